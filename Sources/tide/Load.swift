import CLinux
import Linux

/// `tide load`: one load client, the signals that steer it, and the line at the end.
final class Load {
  private enum Source {
    static var client: UInt8 { 1 }
    static var clock: UInt8 { 3 }
  }

  private let options: LoadOptions
  private let loop: Loop
  private let client: LoadClient
  private let removal = Token(source: Source.clock, index: 0)
  private let look = Token(source: Source.clock, index: 1)
  private var isInterrupted = false
  private var isRemoved = false

  init(_ options: LoadOptions) throws(Errno) {
    self.options = options
    loop = try Loop(catching: SignalSet(.terminate, .interrupt, .user1, .brokenPipe))
    client = LoadClient(
      options, in: loop, source: Source.client, report: options.isVerbose ? { complain($0) } : nil)
  }

  /// Sends what there is to send, prints what came of it, and gives the exit code.
  func run() -> Int32 {
    clinux_raise_file_limit()
    let began = loop.now
    if options.stopFile != nil { loop.wake(look, at: began) }
    client.begin()
    loop.run(handle)
    let tally = client.tally
    if options.isJSON {
      var line = tally.json(seconds: loop.now - began)
      line.append("\n")
      try? line.write(to: .standardOutput)
    } else {
      say(tally.line)
    }
    return tally.failed == 0 ? 0 : 1
  }

  private func handle(_ occurrence: Occurrence) {
    switch occurrence {
    case .signal(let arrived): take(arrived.signal)
    case .due(let token, _) where token == removal: client.stopSending()
    case .due(let token, _) where token == look: lookForStopFile()
    default: client.handle(occurrence)
    }
    if client.isFinished { loop.stop() }
  }

  private func take(_ signal: Signal) {
    if signal == .user1 {
      remove()
    } else if signal != .brokenPipe {
      // Once: no new requests. Twice: the end, whatever is in progress.
      if isInterrupted { loop.stop() }
      isInterrupted = true
      client.stopSending()
    }
  }

  /// The load balancer has been told that the service goes, and takes its time to act on it.
  private func remove() {
    if isRemoved { return }
    isRemoved = true
    loop.wake(removal, at: loop.now + options.removeAfter)
  }

  private func lookForStopFile() {
    guard let path = options.stopFile else { return }
    if path.withCString({ File.exists($0) }) {
      remove()
    } else {
      loop.wake(look, at: loop.now + .milliseconds(50))
    }
  }
}
