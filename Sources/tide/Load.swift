import CLinux
import Linux

/// `tide load`: the clients behind one or more load balancers, the stop that they learn of late, and the line at
/// the end.
final class Load {
  private enum Source {
    static var clock: UInt8 { 1 }
    static var process: UInt8 { 2 }
    /// Two for each load balancer.
    static var clients: UInt8 { 10 }
  }

  /// The moments that the load waits for, as the index of a token.
  private enum Moment {
    static var look: Int { 0 }
    static var stop: Int { 1 }
    static var signal: Int { 2 }
    static var patience: Int { 3 }
    /// And those after it: a load balancer each.
    static var removal: Int { 4 }
  }

  /// How long the process may take to end.
  private static var patience: Duration { .seconds(120) }

  private let options: LoadOptions
  private let loop: Loop
  private let record: LoadRecord
  private var clients: [LoadClient] = []
  private var process: StoppedProcess?
  private var isInterrupted = false
  private var isImpatient = false
  private var stopBegan: Duration?
  private var removed: Duration?

  init(_ options: LoadOptions) throws(Errno) {
    self.options = options
    loop = try Loop(catching: SignalSet(.terminate, .interrupt, .user1, .brokenPipe))
    record = LoadRecord(
      began: loop.now, hasSeries: options.hasSeries, report: options.isVerbose ? { complain($0) } : nil)
    if let stops = options.stops {
      let process = try StoppedProcess(stops)
      try process.watch(in: loop, as: Token(source: Source.process))
      self.process = process
    }
    for index in 0..<options.balancers {
      let source = Source.clients + 2 * UInt8(index)
      clients.append(LoadClient(options.share(index), in: loop, source: source, record: record))
    }
  }

  /// Sends what there is to send, prints what came of it, and gives the exit code.
  func run() -> Int32 {
    clinux_raise_file_limit()
    if options.stopFile != nil { wake(Moment.look, at: loop.now) }
    if let moment = options.stopAfter { wake(Moment.stop, at: loop.now + moment) }
    for client in clients { client.begin() }
    loop.run(handle)
    record.finish(at: MonotonicClock.now)
    if options.isJSON {
      var line = json
      line.append("\n")
      try? line.write(to: .standardOutput)
    } else {
      say(record.tally.line)
    }
    return record.tally.failed == 0 ? 0 : 1
  }

  private func handle(_ occurrence: Occurrence) {
    switch occurrence {
    case .signal(let arrived): take(arrived.signal)
    case .due(let token, _) where token.source == Source.clock: due(token.index)
    case .ready(let token, _, _) where token.source == Source.process: process?.end(at: loop.now, in: loop)
    default: for client in clients { client.handle(occurrence) }
    }
    let isStopped = process.map { $0.ended != nil } ?? true
    if clients.allSatisfy({ $0.isFinished }) && (isStopped || isImpatient || stopBegan == nil) { loop.stop() }
  }

  private func due(_ moment: Int) {
    switch moment {
    case Moment.look: lookForStopFile()
    case Moment.stop: stop()
    case Moment.signal: process?.terminate(at: loop.now)
    case Moment.patience: isImpatient = true
    default:
      clients[moment - Moment.removal].stopSending()
      removed = loop.now
    }
  }

  private func take(_ signal: Signal) {
    if signal == .user1 {
      stop()
    } else if signal != .brokenPipe {
      // Once: no new requests. Twice: the end, whatever is in progress.
      if isInterrupted { loop.stop() }
      isInterrupted = true
      for client in clients { client.stopSending() }
    }
  }

  /// The stop begins, and the load balancers are told. They take their time to act on it, one after the other.
  private func stop() {
    if stopBegan != nil { return }
    stopBegan = loop.now
    for index in clients.indices {
      let after = options.removeAfter * (index + 1) / clients.count
      wake(Moment.removal + index, at: loop.now + after)
    }
    wake(Moment.signal, at: loop.now + options.hook)
    wake(Moment.patience, at: loop.now + options.hook + Load.patience)
  }

  private func lookForStopFile() {
    guard let path = options.stopFile else { return }
    if path.withCString({ File.exists($0) }) {
      stop()
    } else {
      wake(Moment.look, at: loop.now + .milliseconds(50))
    }
  }

  private func wake(_ moment: Int, at time: Duration) {
    loop.wake(Token(source: Source.clock, index: moment), at: time)
  }

  // MARK: What came of it

  /// Its times are in seconds after the stop began; where there was none, after the load did.
  private var json: Text {
    let zero = stopBegan ?? record.began
    var text: Text = "{"
    text.append(contentsOf: record.tally.jsonMembers(seconds: loop.now - record.began))
    text.append(",\"began\":")
    text.append(seconds: record.began - zero)
    text.append(",\"removed\":")
    text.append(seconds: removed.map { $0 - zero })
    text.append(",\"last_sent\":")
    text.append(seconds: record.lastSent.map { $0 - zero })
    text.append(",\"last_answer\":")
    text.append(seconds: record.lastAnswered.map { $0 - zero })
    text.append(",\"signalled\":")
    text.append(seconds: process?.signalled.map { $0 - zero })
    text.append(",\"ended\":")
    text.append(seconds: process?.ended.map { $0 - zero })
    text.append(",\"failures\":[")
    for (index, failure) in record.failures.enumerated() {
      if index > 0 { text.append(",") }
      text.append(contentsOf: failure.json(zero: zero))
    }
    text.append("]")
    if let series = record.series {
      text.append(",\"series\":")
      text.append(contentsOf: series.json)
    }
    text.append("}")
    return text
  }
}
