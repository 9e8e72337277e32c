import Linux

/// What the clients saw.
struct Tally {
  /// Requests that were sent, or tried.
  var sent = 0
  var answered = 0
  var refused = 0
  var reset = 0
  var unanswered = 0
  var short = 0
  var timedOut = 0
  var errors = 0
  var bad = 0
  /// Connections that the client itself has cut, as it was asked to.
  var cut = 0
  /// Bytes of bodies.
  var bodyBytes: UInt64 = 0
  /// How long the answered requests took.
  var latencies = Histogram()

  var failed: Int { refused + reset + unanswered + short + timedOut + errors + bad }

  mutating func add(_ failure: Failure) {
    switch failure {
    case .refused: refused += 1
    case .reset: reset += 1
    case .unanswered: unanswered += 1
    case .short: short += 1
    case .timedOut: timedOut += 1
    case .error: errors += 1
    case .bad: bad += 1
    }
  }

  /// "480 requests: 480 answered, 0 failed (…); p50 0.3 ms, p99 2.1 ms; 1234567 bytes".
  var line: Text {
    var how: Text = "\(refused) refused, \(reset) reset, \(unanswered) unanswered, \(short) short, "
    how.append(contentsOf: "\(timedOut) timed out, \(errors, "error"), \(bad) bad")
    var text: Text = "\(sent, "request"): \(answered) answered, \(failed) failed (\(how)); "
    text.append("p50 ")
    text.append(milliseconds: latencies.quantile(0.5))
    text.append(" ms, p99 ")
    text.append(milliseconds: latencies.quantile(0.99))
    text.append(" ms; ")
    text.append(bodyBytes)
    text.append(" bytes")
    if cut > 0 {
      text.append("; ")
      text.append(cut)
      text.append(" cut by the client")
    }
    return text
  }

  /// The same as the members of a JSON object.
  func jsonMembers(seconds: Duration) -> Text {
    var text: Text = "\"requests\":\(sent),\"answered\":\(answered),\"failed\":\(failed),"
    text.append(contentsOf: "\"refused\":\(refused),\"reset\":\(reset),\"unanswered\":\(unanswered),")
    text.append(contentsOf: "\"short\":\(short),\"timed_out\":\(timedOut),\"error\":\(errors),")
    text.append(contentsOf: "\"bad\":\(bad),\"cut\":\(cut),\"p50_ms\":")
    text.append(milliseconds: latencies.quantile(0.5))
    text.append(",\"p99_ms\":")
    text.append(milliseconds: latencies.quantile(0.99))
    text.append(",\"max_ms\":")
    text.append(milliseconds: latencies.largest)
    text.append(contentsOf: ",\"body_bytes\":\(bodyBytes),\"seconds\":")
    text.append(milliseconds: UInt64(max(0, seconds.inMilliseconds)))
    return text
  }
}

/// How many times were about how long, in microseconds: 32 classes for each doubling, so that a quantile is
/// right to three per cent, in memory that does not grow.
struct Histogram {
  private static var perDoubling: UInt64 { 32 }

  private var counts = [Int](repeating: 0, count: 60 * 32)
  private var total = 0
  private(set) var largest: UInt64 = 0

  mutating func add(_ time: Duration) {
    let microseconds = UInt64(max(0, time.inNanoseconds / 1_000))
    largest = max(largest, microseconds)
    counts[min(Histogram.index(microseconds), counts.count - 1)] += 1
    total += 1
  }

  /// The time, in microseconds, that this part of all times does not exceed; 0 where there are none.
  func quantile(_ part: Double) -> UInt64 {
    let rank = Int(Double(total) * part)
    var before = 0
    for (index, count) in counts.enumerated() where count > 0 {
      before += count
      if before > rank || before == total { return min(Histogram.value(index), largest) }
    }
    return 0
  }

  private static func index(_ value: UInt64) -> Int {
    guard value >= perDoubling else { return Int(value) }
    let doublings = 63 - value.leadingZeroBitCount - 5
    return (doublings + 1) * Int(perDoubling) + Int(value >> UInt64(doublings)) - Int(perDoubling)
  }

  /// The largest value of the class.
  private static func value(_ index: Int) -> UInt64 {
    guard index >= Int(perDoubling) else { return UInt64(index) }
    let doublings = UInt64(index) / perDoubling - 1
    return ((UInt64(index) % perDoubling + perDoubling + 1) << doublings) - 1
  }
}

extension Text {
  /// Adds a time given in microseconds (or anything given in thousandths) with one decimal: "0.3".
  mutating func append(milliseconds microseconds: UInt64) {
    let tenths = (microseconds + 50) / 100
    append(tenths / 10)
    append(".")
    append(tenths % 10)
  }
}
