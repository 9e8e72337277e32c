import Linux

/// What a request asks of the service: the answer, when it is to come, and what is to happen around it.
struct Plan {
  enum Answer {
    /// One line.
    case line(StaticString)
    /// This many bytes of ``Pattern``, with Content-Length.
    case bytes(UInt64)
    /// As many pieces of that size, one every so often, in chunks.
    case stream(pieces: Int, size: UInt64, every: Duration)
    /// None, for as long as the client waits.
    case never
    /// None; and nothing more is read, so that what the client sends stays unread.
    case deaf
  }

  var status: Status = .ok
  var answer: Answer
  /// How long the answer takes.
  var delay: Duration = .zero
  /// What is done before the answer.
  var before: Deed?
  /// What is done when the answer is in the kernel's hands.
  var after: Deed?
  /// After the answer the connection is never looked at again, and so never closed.
  var leaks = false

  /// Something beside an answer.
  enum Deed {
    /// As many processes that lose their parent at once, and sleep for a while.
    case makeOrphans(Int, lifetime: Duration)
    /// As many children that hold the listening socket, and sleep.
    case makeChildren(Int, ignoringTerm: Bool)
    case exit(Int32)
    case crash
    case stopSelf
  }

  /// What the path of a request means.
  init(_ request: Request) throws(Refusal) {
    guard request.method != .other else { throw Refusal(status: .methodNotAllowed) }
    let (path, query) = (request.path, request.query)
    answer = .line("The tide is in.")
    if path == "/" {
    } else if path == "/slow" {
      delay = .milliseconds(300)
    } else if path == "/bytes" {
      answer = .bytes(try Plan.size(query, default: 3 * 1024 * 1024))
    } else if path == "/stream" {
      answer = .stream(
        pieces: try query.number("pieces", default: 10, max: 1_000_000),
        size: try Plan.size(query, default: 1000), every: try query.milliseconds("ms", default: 100))
    } else if path == "/hold" {
      answer = .never
    } else if path == "/unread" {
      answer = .deaf
    } else if path == "/leak" {
      leaks = true
    } else if path == "/orphans" {
      let lifetime = try query.milliseconds("ms", default: 1000)
      before = .makeOrphans(try query.number("n", default: 1, max: 20_000), lifetime: lifetime)
      return
    } else if path == "/children" {
      before = .makeChildren(
        try query.number("n", default: 1, max: 1000),
        ignoringTerm: try query.number("ignore-term", default: 0, max: 1) == 1)
    } else if path == "/exit" {
      after = .exit(Int32(try query.number("code", default: 0, max: 255)))
    } else if path == "/crash" {
      before = .crash
    } else if path == "/stop-self" {
      after = .stopSelf
    } else {
      throw Refusal(status: .notFound)
    }
    // "ms" delays every answer (a stream's is the time between its pieces), and "n" sizes every one.
    if case .stream = answer { return }
    delay = try query.milliseconds("ms", default: Int(delay.inMilliseconds))
    if case .line = answer, path == "/slow" || leaks || after != nil {
      let size = try Plan.size(query, default: 0)
      if size > 0 { answer = .bytes(size) }
    }
  }

  /// The answer to a request that is refused.
  init(_ refusal: Refusal) {
    status = refusal.status
    answer = .line(refusal.status.reason)
  }

  /// "n", in bytes: up to 1 GiB.
  private static func size(_ query: Query, default ordinary: Int) throws(Refusal) -> UInt64 {
    UInt64(try query.number("n", default: ordinary, max: 1 << 30))
  }
}
