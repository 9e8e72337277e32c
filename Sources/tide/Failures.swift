import Linux

/// Why a request was not answered.
enum Failure {
  /// Nobody listens.
  case refused
  /// The service, or the kernel in its stead, has thrown the connection away.
  case reset
  /// The connection was closed without a byte of the answer.
  case unanswered
  /// The connection ended before the answer did.
  case short
  case timedOut
  /// The service answered, with a status of 500 or more.
  case error
  /// A wrong answer, or a connection that could not even be tried.
  case bad

  /// Its name in JSON.
  var name: StaticString {
    switch self {
    case .refused: "refused"
    case .reset: "reset"
    case .unanswered: "unanswered"
    case .short: "short"
    case .timedOut: "timed_out"
    case .error: "error"
    case .bad: "bad"
    }
  }
}

/// One request that failed.
struct FailedRequest {
  let failure: Failure
  let why: Text
  /// When that was known.
  let at: Duration
  /// When it was to be sent.
  let began: Duration
  /// Whether another request had used its connection before.
  let isReused: Bool

  /// A JSON object, its times in seconds after `zero`.
  func json(zero: Duration) -> Text {
    var text: Text = "{\"at\":"
    text.append(seconds: at - zero)
    text.append(",\"began\":")
    text.append(seconds: began - zero)
    text.append(",\"failure\":\"")
    text.append(failure.name)
    text.append("\",\"reused\":")
    text.append(isReused ? "true" : "false")
    text.append(",\"why\":")
    text.append(jsonString: why.bytes)
    text.append("}")
    return text
  }
}

extension Text {
  /// Adds a time as JSON has it, in seconds: "-0.25", "3.104".
  mutating func append(seconds time: Duration) {
    let milliseconds = time.inMilliseconds
    if milliseconds < 0 { append("-") }
    append(milliseconds.magnitude / 1000)
    append(".")
    append(digitsOf: milliseconds.magnitude % 1000, atLeast: 3)
  }

  /// Adds such a time, or null.
  mutating func append(seconds time: Duration?) {
    if let time { append(seconds: time) } else { append("null") }
  }
}
