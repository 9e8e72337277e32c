import CLinux
import Linux

/// `tide demo`: a service under ebb, clients, a stop in the middle, and what the clients saw of it.
final class Demo {
  private enum Source {
    static var traffic: UInt8 { 1 }
    static var idle: UInt8 { 3 }
    static var output: UInt8 { 5 }
    static var clock: UInt8 { 6 }
  }

  /// The moments that the demo waits for, as the index of a token.
  private enum Moment {
    static var look: Int { 0 }
    static var stop: Int { 1 }
    static var removal: Int { 2 }
    static var progress: Int { 3 }
    static var patience: Int { 4 }
  }

  /// How long the service gets to answer for the first time.
  private static var startLimit: Duration { .seconds(10) }
  /// How long the traffic runs before the stop.
  private static var traffic: Duration { .seconds(2) }
  /// How long the load balancer takes to notice that the service goes.
  private static var removal: Duration { .seconds(1) }
  /// How long the whole stop may take before the demo ends it.
  private static var patience: Duration { .seconds(30) }
  private static var idleConnections: Int { 4 }

  /// The command line.
  struct Options {
    var port: UInt16 = 8080

    init(_ words: inout Words) throws(UsageError) {
      while let word = try words.next() {
        guard word == "--port" else { throw words.unknown }
        port = UInt16(try words.number("a port", 1...65535))
      }
    }
  }

  private let port: UInt16
  private let address: SocketAddress
  private let loop: Loop
  private let timeline: Timeline
  private var clients: LoadClient?
  private var idleClients: LoadClient?

  private var ebb: ProcessID?
  private var output: FileDescriptor?
  private var lines = LineBuffer()
  private var status: ExitStatus?
  private var stopBegan: Duration?
  private var stopEnded: Duration?
  private var hasSaidTheLast = false
  private var problem: Text?

  init(_ options: Options) throws(Errno) {
    port = options.port
    address = .loopback(port: options.port)
    loop = try Loop(catching: SignalSet(.terminate, .interrupt, .child, .brokenPipe))
    timeline = Timeline(start: loop.now)
  }

  /// Shows it, and gives the exit code: 0 when no client lost anything and ebb exited with 0.
  func run() -> Int32 {
    if Probe.connects(to: address, within: .milliseconds(200)) {
      complain("port \(port) is in use; take another with --port")
      return 1
    }
    guard launch() else { return 1 }
    wake(Moment.look, after: .zero)
    loop.run(handle)
    return conclude()
  }

  // MARK: What happens

  private func handle(_ occurrence: Occurrence) {
    switch occurrence {
    case .signal(let arrived): take(arrived.signal)
    case .ready(let token, _, _) where token.source == Source.output: passOn()
    case .due(let token, _) where token.source == Source.clock: due(token.index)
    default:
      clients?.handle(occurrence)
      idleClients?.handle(occurrence)
    }
    if let clients, clients.isFinished, !hasSaidTheLast {
      hasSaidTheLast = true
      sayProgress()
    }
    let isDone = clients?.isFinished != false && idleClients?.isFinished != false
    if status != nil && isDone { loop.stop() }
  }

  private func due(_ moment: Int) {
    switch moment {
    case Moment.look: look()
    case Moment.stop: stop()
    case Moment.removal:
      clients?.stopSending()
      timeline.add(.demo, "the load balancer has noticed: no new requests")
    case Moment.progress:
      if hasSaidTheLast || status != nil { return }
      sayProgress()
      wake(Moment.progress, after: .milliseconds(500))
    default:
      problem = "ebb did not end within \(Demo.patience)"
      if status == nil { try? ebb?.send(.kill) }
    }
  }

  private func take(_ signal: Signal) {
    if signal == .child {
      while case .change(let change) = ChildChange.next() {
        guard change.process == ebb, case .ended(let status) = change.kind else { continue }
        ended(status)
      }
    } else if signal != .brokenPipe {
      problem = "interrupted"
      // Once: the stop comes early. Twice: the end.
      if stopBegan == nil {
        stop()
      } else if status == nil {
        try? ebb?.send(.kill)
      }
    }
  }

  // MARK: The service

  private func launch() -> Bool {
    guard let own = Spawn.ownPath, let slash = own.lastIndex(of: UInt8(ascii: "/")) else {
      complain("cannot tell where this program is")
      return false
    }
    let ebb = Array(own[...slash]) + Array("ebb".utf8)
    guard ebb.withCString({ access($0.pointer, X_OK) }) == 0 else {
      complain("no ebb beside this program: expected \(ebb)")
      return false
    }
    let port: Text = "\(self.port)"
    let place: Text = "127.0.0.1:\(self.port)"
    var arguments: [[UInt8]] = [ebb, Array("--ports".utf8), port.bytes]
    let options: [StaticString] = ["--lame-duck-max", "10s", "--linger-max", "5s", "--verbose", "--"]
    for option in options { arguments.append(Demo.bytes(option)) }
    arguments += [own, Demo.bytes("serve"), Demo.bytes("--listen"), place.bytes]

    timeline.add(
      .demo,
      "ebb --ports \(port) --lame-duck-max 10s --linger-max 5s --verbose -- tide serve --listen \(place)")
    do throws(Errno) {
      let pipe = try FileDescriptor.pipe()
      defer { pipe.write.close() }
      self.ebb = try Spawn.start(arguments, output: pipe.write)
      pipe.read.setNonblocking()
      try loop.watch(pipe.read, Token(source: Source.output))
      output = pipe.read
    } catch {
      complain("cannot start ebb: \(error)")
      return false
    }
    return true
  }

  private static func bytes(_ literal: StaticString) -> [UInt8] { CString(literal).bytes }

  /// Looks whether the service answers yet.
  private func look() {
    if status != nil || stopBegan != nil { return }
    if Probe.connects(to: address, within: .milliseconds(100)) { return send() }
    if loop.now >= timeline.start + Demo.startLimit {
      problem = "the service did not answer within \(Demo.startLimit)"
      return stop()
    }
    wake(Moment.look, after: .milliseconds(20))
  }

  private func passOn() {
    guard let output else { return }
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
      while true {
        guard let count = try? output.read(into: buffer) else { return }
        if count == 0 {
          loop.forget(output)
          output.close()
          self.output = nil
          return
        }
        lines.take(UnsafeRawBufferPointer(rebasing: buffer[..<count])) { line in
          // The speaker's name stands before the line already.
          if line.hasPrefix("ebb: ") {
            timeline.add(.ebb, "\(Array(line.dropFirst(5)))")
          } else if line.hasPrefix("tide: ") {
            timeline.add(.service, "\(Array(line.dropFirst(6)))")
          } else {
            timeline.add(.service, "\(line)")
          }
        }
      }
    }
  }

  private func ended(_ status: ExitStatus) {
    self.status = status
    stopEnded = loop.now
    passOn()
    if stopBegan == nil { problem = "ebb ended before it was told to" }
    clients?.stopSending()
    timeline.add(.demo, "ebb \(status)")
  }

  // MARK: The clients

  private func send() {
    var traffic = LoadOptions(target: address)
    traffic.path = Demo.bytes("/slow?ms=300")
    traffic.arrival = .open(rate: 50, isPoisson: false, bursts: nil)
    let report: (Text) -> Void = { [timeline] in timeline.add(.failure, $0) }
    let clients = LoadClient(
      traffic, in: loop, source: Source.traffic, record: LoadRecord(began: loop.now, report: report))
    self.clients = clients

    var idle = LoadOptions(target: address)
    idle.arrival = .closed(connections: Demo.idleConnections)
    idle.requests = Demo.idleConnections
    idle.holds = true
    idle.timeout = .seconds(60)
    let idleClients = LoadClient(
      idle, in: loop, source: Source.idle, record: LoadRecord(began: loop.now, report: report))
    self.idleClients = idleClients

    timeline.add(
      .demo, "50 requests a second, 300 ms each; and \(Demo.idleConnections, "connection") kept open and idle"
    )
    clients.begin()
    idleClients.begin()
    wake(Moment.stop, after: Demo.traffic)
    wake(Moment.progress, after: .milliseconds(500))
  }

  private func stop() {
    guard stopBegan == nil, status == nil, let ebb else { return }
    stopBegan = loop.now
    timeline.add(.demo, "SIGTERM to ebb: the stop begins, while requests keep coming")
    try? ebb.send(.terminate)
    wake(Moment.removal, after: Demo.removal)
    wake(Moment.patience, after: Demo.patience)
  }

  private func sayProgress() {
    guard let clients else { return }
    let tally = clients.record.tally
    let counts: Text = "\(tally.sent) sent, \(tally.answered) answered, \(tally.failed) failed"
    timeline.add(
      tally.failed == 0 ? .clients : .failure,
      clients.inProgress > 0 ? "\(counts), \(clients.inProgress) in progress" : counts)
  }

  private func wake(_ moment: Int, after time: Duration) {
    loop.wake(Token(source: Source.clock, index: moment), at: loop.now + time)
  }

  // MARK: The end

  private func conclude() -> Int32 {
    let requests = clients?.record.tally ?? Tally()
    let idle = idleClients?.record.tally ?? Tally()
    try? Text("\n").write(to: .standardOutput)
    let counts: Text = "\(requests.sent, "request"): \(requests.answered) answered, \(requests.failed) failed"
    timeline.conclude(
      "what clients saw", counts, isGood: requests.failed == 0 && requests.sent > 0)
    timeline.conclude(
      "idle connections", "\(idle.sent) open until the service closed them, \(idle.failed) failed",
      isGood: idle.failed == 0)
    if let stopBegan, let stopEnded {
      timeline.conclude("the stop took", "\(stopEnded - stopBegan)", isGood: true)
    }
    var isGood = requests.failed + idle.failed == 0 && requests.sent > 0
    if let status {
      isGood = isGood && status == .exited(0)
      timeline.conclude("ebb", "\(status)", isGood: status == .exited(0))
    }
    if let problem {
      isGood = false
      timeline.conclude("but", problem, isGood: false)
    }
    return isGood ? 0 : 1
  }
}
