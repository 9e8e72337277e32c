import CLinux
import Linux

/// The service: a listening socket, its connections, and what becomes of them when it is told to stop.
final class Server {
  private enum Source {
    static var listener: UInt8 { 1 }
    static var connection: UInt8 { 2 }
    static var clock: UInt8 { 3 }
  }

  /// The moments that the service itself waits for, as the index of a token.
  private enum Moment {
    static var listen: Int { 0 }
    static var sweep: Int { 1 }
    static var stop: Int { 2 }
  }

  /// How long a client that has just connected has for its first request when the service stops.
  private static var lastCall: Duration { .seconds(1) }

  private let options: ServerOptions
  private let loop: Loop
  private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
  private var listener: Socket?
  private var isAccepting = false
  private var connections = Table<Connection>(source: Source.connection)

  private var accepted = 0
  /// Of the connections that are gone.
  private var answers = 0
  private var signals = SignalLog()
  /// When the stop began, and the signal that began it.
  private var stopping: (since: Duration, signal: Signal)?

  init(_ options: ServerOptions) throws(Errno) {
    self.options = options
    // Without the log, a signal does to us what it does to most services.
    let caught = options.logsSignals || options.countsSignals ? SignalSet.all : SignalSet.stopOrChild
    loop = try Loop(catching: caught)
  }

  /// Serves until it is stopped, and exits.
  func run() -> Never {
    clinux_raise_file_limit()
    if options.readyAfter > .zero {
      loop.wake(Token(source: Source.clock, index: Moment.listen), at: loop.now + options.readyAfter)
    } else {
      open()
    }
    scheduleSweep()
    loop.run(handle)
    finish(0)
  }

  private func handle(_ occurrence: Occurrence) {
    switch occurrence {
    case .ready(let token, _, _):
      if token.source == Source.listener {
        accept()
      } else if let connection = connections[token], connection.isDead {
        close(token, connection)
      } else {
        advance(token)
      }
    case .due(let token, let moment):
      if token.source == Source.connection {
        guard let connection = connections[token], connection.deadline == moment else { return }
        connection.deadline = nil
        advance(token)
      } else if token.index == Moment.listen {
        open()
      } else if token.index == Moment.sweep {
        sweep()
      } else {
        endOfDelay()
      }
    case .signal(let signal):
      take(signal)
      // Not the end yet, whatever it was: others may have come with it, and are to be counted.
      return
    }
    endIfDone()
  }

  // MARK: Listening

  private func open() {
    guard stopping == nil else { return }
    let socket: Socket
    do throws(Errno) {
      switch options.place {
      case .at(let address):
        socket = try Socket.listening(on: address, reusesAddress: options.reusesAddress)
      case .everywhere(let port):
        socket = try Server.listenEverywhere(port, reusesAddress: options.reusesAddress)
      }
      try loop.watch(socket.descriptor, Token(source: Source.listener))
    } catch {
      complain("cannot listen: \(error)")
      exit(1)
    }
    listener = socket
    isAccepting = true
    say("listening on \(socket.localPort)")
    Notify.send("READY=1")
  }

  private static func listenEverywhere(_ port: UInt16, reusesAddress: Bool) throws(Errno) -> Socket {
    do throws(Errno) {
      return try Socket.listening(on: .anyV6(port: port), reusesAddress: reusesAddress)
    } catch {
      // No IPv6 in this kernel or this network namespace.
      guard error == .addressFamilyNotSupported || error == .addressNotAvailable else { throw error }
      return try Socket.listening(on: .anyV4(port: port), reusesAddress: reusesAddress)
    }
  }

  private func accept() {
    // As many as wait, but not so many that those who are here have to wait long.
    for _ in 0..<64 {
      guard let listener else { return }
      do throws(Errno) {
        try welcome(try listener.accept())
      } catch {
        if error == Errno(EMFILE) || error == Errno(ENFILE) || error == .noBufferSpace {
          // Until a connection is closed there is nothing that we could do about those who wait.
          loop.change(listener.descriptor, Token(source: Source.listener), readable: false, writable: false)
          isAccepting = false
        }
        return
      }
    }
  }

  private func welcome(_ socket: Socket) throws(Errno) {
    let connection = Connection(socket, now: loop.now)
    let token = connections.insert(connection)
    do throws(Errno) {
      try loop.watch(socket.descriptor, token)
    } catch {
      connections.remove(token)
      socket.close()
      throw error
    }
    accepted += 1
    advance(token)
  }

  private func stopListening() {
    guard let listener else { return }
    // A connection that the kernel has completed and we have not taken would be reset by the close.
    var before = -1
    while before != accepted {
      before = accepted
      accept()
    }
    listener.close()
    self.listener = nil
  }

  // MARK: Connections

  private func advance(_ token: Token) {
    guard let connection = connections[token] else { return }
    while true {
      switch connection.advance(circumstances, scratch: scratch) {
      case .close:
        close(token, connection)
        return
      case .perform(let deed):
        perform(deed)
      case .wait(let readable, let writable, let until):
        loop.change(connection.socket.descriptor, token, readable: readable, writable: writable)
        connection.waitsForSocket = readable || writable
        if let until, connection.deadline != until {
          connection.deadline = until
          loop.wake(token, at: until)
        }
        return
      }
    }
  }

  private var circumstances: Connection.Circumstances {
    let isLastCall = options.onStop == .graceful ? stopping.map { $0.since + Server.lastCall } : nil
    return Connection.Circumstances(now: loop.now, lastCallUntil: isLastCall)
  }

  private func close(_ token: Token, _ connection: Connection) {
    connections.remove(token)
    connection.socket.close()
    answers += connection.answers
    if !isAccepting, let listener {
      loop.change(listener.descriptor, Token(source: Source.listener), readable: true, writable: false)
      isAccepting = true
    }
  }

  private func perform(_ deed: Plan.Deed) {
    switch deed {
    case .makeOrphans(let count, let lifetime):
      let made = Forks.makeOrphans(count, lifetime: lifetime)
      if made < count { complain("made \(made) of \(count) orphans") }
    case .makeChildren(let count, let ignoringTerm):
      let made = Forks.makeChildren(count, holding: listener?.descriptor, ignoringTerm: ignoringTerm)
      if made < count { complain("made \(made) of \(count) children") }
    case .exit(let code): finish(code)
    case .crash: Ending.crash()
    case .stopSelf: ProcessControl.suspend()
    }
  }

  /// Closes the connections on which nobody has asked for anything in a long time.
  private func sweep() {
    scheduleSweep()
    for token in connections.tokens {
      guard let connection = connections[token], connection.isReading else { continue }
      if loop.now - connection.lastActive >= options.idleTimeout { close(token, connection) }
    }
  }

  private func scheduleSweep() {
    // In milliseconds, since a Duration is divided in 128 bits, for which musl has no function; and not all
    // the time, however short the time-out.
    let interval = max(10, options.idleTimeout.inMilliseconds / 2)
    loop.wake(Token(source: Source.clock, index: Moment.sweep), at: loop.now + .milliseconds(interval))
  }

  // MARK: Stopping

  private func take(_ arrived: ArrivedSignal) {
    if arrived.signal == .child {
      Forks.reap()
      // The kernel tells of our own children: that is no signal to us.
      if !arrived.sentByProcess { return }
    }
    signals.add(arrived.signal)
    if options.logsSignals { say("got \(arrived.signal)") }
    if SignalSet.stop.contains(arrived.signal) && stopping == nil { stop(arrived.signal) }
  }

  private func stop(_ signal: Signal) {
    if options.onStop == .ignore { return }
    stopping = (loop.now, signal)
    Notify.send("STOPPING=1")
    if options.forksAtStop > 0 { Forks.makeForkers(total: options.forksAtStop) }
    loop.wake(Token(source: Source.clock, index: Moment.stop), at: loop.now + options.stopDelay)
    switch options.onStop {
    case .graceful:
      stopListening()
      for token in connections.tokens where connections[token]?.isReading == true { advance(token) }
    case .stopAccepting: stopListening()
    case .exit, .flushAndExit, .ignore: break
    }
  }

  /// The time is up that a stop takes at least.
  private func endOfDelay() {
    guard let stopping else { return }
    switch options.onStop {
    case .exit:
      if let code = options.exitCode { finish(code) }
      summarize("dies of \(stopping.signal)")
      Ending.die(of: stopping.signal)
    case .flushAndExit:
      for token in connections.tokens {
        guard let connection = connections[token], connection.isHeld else { continue }
        let taken = connection.flush(options.flushBytes, scratch: scratch)
        complain("the kernel took \(taken) of \(options.flushBytes) bytes of an answer")
        close(token, connection)
      }
      finish(options.exitCode ?? 0)
    case .graceful, .stopAccepting, .ignore: break
    }
  }

  private func endIfDone() {
    guard options.onStop == .graceful, let stopping else { return }
    guard loop.now >= stopping.since + options.stopDelay else { return }
    for token in connections.tokens where connections[token]?.holdsOffTheEnd == true { return }
    finish(options.exitCode ?? 0)
  }

  private func finish(_ code: Int32) -> Never {
    summarize("exit \(code)")
    exit(code)
  }

  private func summarize(_ end: Text) {
    var total = answers
    for token in connections.tokens { total += connections[token]?.answers ?? 0 }
    if options.countsSignals { say("signals: \(signals.summary)") }
    let clients: Text = "\(total, "answer") on \(accepted, "connection"), \(connections.count) still open"
    say("stopped: \(clients); \(signals.total, "signal"); \(end)")
  }
}

extension SignalSet {
  /// Those that stop a service.
  static var stop: SignalSet { SignalSet(.terminate, .interrupt, .quit) }
  /// What tide serve catches: those that stop it, word of a child, and SIGPIPE (standard output may be a pipe
  /// whose reader has gone).
  static var stopOrChild: SignalSet { SignalSet(.terminate, .interrupt, .quit, .child, .brokenPipe) }
}
