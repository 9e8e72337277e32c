import Inet
import Lifecycle
import Linux

/// One service, from its launch to ebb's exit: the loop that feeds ``Lifecycle`` with what happens and does
/// what it says. One thread, one wait, nothing polled while the service serves.
public final class Supervisor {
  let configuration: Configuration
  let started = MonotonicClock.now
  let signalMask: SignalSet
  let ignoresChildSignal: Bool

  let signals: SignalDescriptor
  let timer: TimerDescriptor
  let poll: EventPoll
  var journal: Journal
  var lifecycle: Lifecycle
  var sockets: SocketWatch
  var service: Service
  var drainCommand: Command?
  var exitCode: UInt8?

  /// The known server that the main process was when the drain began.
  var knownServer: KnownServer?
  /// The signal that began the stop.
  var beganWith: Signal?
  private var armed: Duration?
  private var moreChildren = false
  private var moreNotices = false
  private var forwardedJobStop = false
  /// When to look again whether the service listens already; only where that line is wanted.
  private var nextListenLook: Duration?
  private var listenLookInterval = Duration.milliseconds(2)
  private var stopSent: Duration?
  private var lastLinger: LingerLook?
  private var lostLines = 0
  private var failure: Text?

  private enum Token {
    static var signals: UInt64 { 0 }
    static var timer: UInt64 { 1 }
    static var launch: UInt64 { 2 }
    static var notices: UInt64 { 3 }
  }

  /// Runs a service and gives back the code to exit with.
  public static func run(_ configuration: Configuration) -> UInt8 {
    let signalMask = SignalSet.blockAll()
    let ignoresChildSignal = ProcessControl.watchChildren()
    var journal = Journal(format: configuration.logFormat, verbosity: configuration.verbosity)
    do throws(Errno) {
      let supervisor = try Supervisor(configuration, signalMask, ignoresChildSignal, journal)
      return supervisor.loop()
    } catch {
      let program = CString(configuration.arguments[0] ?? UnsafeMutablePointer(mutating: CString("").pointer))
      journal.write(
        .problems, "failed", "cannot start \(program): \(error)",
        [Field("exit", 125), Field("errno", error.rawValue)])
      return 125
    }
  }

  private init(
    _ configuration: Configuration, _ signalMask: SignalSet, _ ignoresChildSignal: Bool, _ journal: Journal
  ) throws(Errno) {
    self.configuration = configuration
    self.signalMask = signalMask
    self.ignoresChildSignal = ignoresChildSignal
    self.journal = journal
    signals = try SignalDescriptor()
    timer = try TimerDescriptor()
    poll = try EventPoll()
    try poll.add(signals.descriptor, token: Token.signals)
    try poll.add(timer.descriptor, token: Token.timer)
    if let signal = configuration.parentDeathSignal { try ProcessControl.setParentDeathSignal(signal) }
    // PID 1 is what orphans go to anyway.
    if configuration.isSubreaper && ProcessID.own.rawValue != 1 { try ProcessControl.becomeSubreaper() }
    sockets = SocketWatch(given: configuration.ports)
    sockets.noteListenersBefore()
    var plan = Plan()
    plan.grace = configuration.grace
    plan.hasDrainCommand = !configuration.drainCommand.isEmpty
    lifecycle = Lifecycle(plan: plan)
    service = try Service(configuration, signalMask: signalMask, ignoresChildSignal: ignoresChildSignal)
    if let report = service.launchReport { try poll.add(report, token: Token.launch) }
    if journal.writes(.phases) { nextListenLook = started }
  }

  // MARK: - The loop

  private func loop() -> UInt8 {
    while true {
      if let exitCode {
        service.returnTerminal()
        return exitCode
      }
      poll.wait(block: !moreChildren && !moreNotices) { event in
        switch event.token {
        case Token.timer: timer.acknowledge()
        case Token.launch: takeLaunchOutcome()
        case Token.notices: moreNotices = true
        default: break
        }
      }
      armed = nil
      takeSignals()
      if moreChildren { reap() }
      if moreNotices { takeNotices() }
      tick()
    }
  }

  /// Sends the machine its ticks as they fall due, and sets the timer for the next one.
  private func tick() {
    // Each tick either moves the machine on or names a later moment; the limit is for a mistake in that.
    for _ in 0..<16 {
      guard let wake = lifecycle.wake, wake <= now else { break }
      handle(.tick)
    }
    lookWhetherListening()
    var next = lifecycle.wake
    if let look = nextListenLook { next = min(next ?? look, look) }
    if next != armed || next != nil {
      timer.set(to: next)
      armed = next
    }
  }

  var now: Duration { MonotonicClock.now }

  // MARK: - What happens

  private func takeSignals() {
    // The kernel merges the standard ones and limits the others (RLIMIT_SIGPENDING), but a flood must not
    // keep us from everything else.
    for _ in 0..<256 {
      guard let arrived = signals.next() else { return }
      take(arrived)
    }
  }

  private func take(_ arrived: ArrivedSignal) {
    let signal = arrived.signal
    if signal == .child {
      moreChildren = true
      // A child's own word is not for the service; somebody's kill(1) is.
      if !arrived.sentByProcess { return }
    }
    // Our own, for writing to a pipe that nobody reads.
    if signal == .brokenPipe && arrived.sender == .own { return }
    if signal == .continue { service.handOverTerminal() }
    guard let rewritten = configuration.rewritten(signal) else { return }
    if signal.stopsJob { forwardedJobStop = true }
    if isDrainSignal(signal) {
      if beganWith == nil {
        beganWith = rewritten
        prepareDrain()
      }
      handle(.drainSignal(SignalNumber(rewritten.rawValue)))
    } else {
      handle(.signal(SignalNumber(rewritten.rawValue)))
    }
  }

  private func isDrainSignal(_ signal: Signal) -> Bool {
    if let chosen = configuration.drainOn { return chosen.contains { $0 == signal } }
    if signal == .terminate || signal == .interrupt { return true }
    // An image that is stopped with its server's own signal (STOPSIGNAL SIGQUIT in nginx's) is drained too.
    guard service.isAlive, KnownServer.allCases.contains(where: { $0.stopSignal == signal }) else {
      return false
    }
    return KnownServer(process: service.process)?.stopSignal == signal
  }

  /// Reaps what has ended, a bounded number at a time, so that signals are not starved by orphans.
  private func reap() {
    moreChildren = false
    var ended: UInt8?
    for _ in 0..<256 {
      switch ChildChange.next() {
      case .nothing:
        if let ended { handle(.ended(ended)) }
        return
      case .childless:
        if let ended { handle(.ended(ended)) }
        handle(.childless)
        return
      case .change(let change):
        if change.process == service.process && service.isAlive {
          ended = take(change.kind) ?? ended
        } else if let command = drainCommand, change.process == command.process {
          take(change.kind, of: command)
        } else if case .ended(let status) = change.kind, configuration.warnsOnReap {
          journal.write(
            .problems, "reaped", "reaped an orphan: pid \(change.process) \(status)",
            [Field("pid", change.process.rawValue), Field("status", status.code)])
        }
      }
    }
    moreChildren = true
    if let ended { handle(.ended(ended)) }
  }

  /// Takes in what happened to the main process; its exit code once it has ended.
  private func take(_ kind: ChildChange.Kind) -> UInt8? {
    switch kind {
    case .stopped(let signal):
      service.note(isStopped: true)
      if signal.stopsJob || forwardedJobStop {
        forwardedJobStop = false
        service.suspendAlong()
      }
      return nil
    case .continued:
      service.note(isStopped: false)
      return nil
    case .ended(let status):
      takeLaunchOutcome()
      service.noteReaped()
      lifecycle.plan.lingerMax = configuration.lingerMax ?? Platform.lingerMax
      var text: Text = "stopped: pid \(service.process) \(status)"
      if let sent = stopSent { text.append(contentsOf: " after \(now - sent)") }
      journal.write(
        .phases, "stopped", text,
        [
          Field("pid", service.process.rawValue), Field("status", status.code),
          Field("seconds", stopSent.map { .seconds(now - $0) } ?? .null),
        ])
      return status.code
    }
  }

  private func take(_ kind: ChildChange.Kind, of command: Command) {
    guard case .ended(let status) = kind else { return }
    drainCommand = nil
    if let error = command.outcome() {
      journal.write(.problems, "drain-command", "--on-drain: cannot run the command: \(error)")
    } else if status != .exited(0) {
      journal.write(
        .problems, "drain-command", "--on-drain: the command \(status)", [Field("status", status.code)])
    }
    handle(.drainCommandEnded)
  }

  private func takeLaunchOutcome() {
    guard let report = service.launchReport else { return }
    poll.remove(report)
    guard let error = service.takeLaunchOutcome() else { return }
    let failure = LaunchFailure(error, program: configuration.program)
    journal.write(
      .problems, "failed", failure.text, [Field("exit", failure.exitCode), Field("errno", error.rawValue)])
    handle(.failed(failure.exitCode))
  }

  private func takeNotices() {
    let isEmpty = sockets.takeNotices { death in
      // A line each, for those who asked for many; not for a flood.
      lostLines += 1
      guard journal.writes(.phases), lostLines <= 20 else { return }
      journal.write(
        .phases, "reset",
        death.isMeasured
          ? "reset: \(death.remote) to \(death.local.port): \(death.unread) bytes unread, \(death.unacknowledged) not acknowledged"
          : "reset: \(death.remote) to \(death.local.port), before it was read",
        [
          Field("port", death.local.port),
          Field("bytes_unread", death.isMeasured ? .number(Int64(clamping: death.unread)) : .null),
          Field(
            "bytes_unacknowledged", death.isMeasured ? .number(Int64(clamping: death.unacknowledged)) : .null),
        ])
    }
    moreNotices = !isEmpty
    // Something has died: what was waited for may be over.
    if lifecycle.phase == .lingering || lifecycle.isFinishing { look() }
  }

  /// While the service starts, and only for those who want to read it: whether it listens already.
  private func lookWhetherListening() {
    guard let next = nextListenLook, next <= now else { return }
    nextListenLook = nil
    guard lifecycle.phase == .starting, service.launchReport == nil || service.isAlive else { return }
    sockets.findPorts()
    if let listening = sockets.listening(), !listening.isEmpty {
      handle(.ready)
      let name = ProcessTable.name(of: service.process) ?? configuration.program.bytes
      var text: Text = "serving: \(name) (pid \(service.process)) listens on "
      var ports: [UInt16] = []
      for socket in listening where !ports.contains(socket.local.port) { ports.append(socket.local.port) }
      for (index, port) in ports.enumerated() { text.append(contentsOf: index > 0 ? ", \(port)" : "\(port)") }
      text.append(contentsOf: " after \(now - started)")
      journal.write(
        .phases, "serving", text,
        [
          Field("name", .text(name)), Field("pid", service.process.rawValue), Field("ports", .numbers(ports)),
          Field("seconds", .seconds(now - started)),
        ])
    } else if now - started < .seconds(60) {
      // Quick at first, then ever more slowly, then never again.
      listenLookInterval = min(listenLookInterval * 2, .seconds(1))
      nextListenLook = now + listenLookInterval
    }
  }

  // MARK: - What is done about it

  func handle(_ event: Event) {
    for action in lifecycle.handle(event, at: now) { perform(action) }
  }

  private func perform(_ action: Action) {
    switch action {
    case .forward(let number): forward(number)
    case .beginDrain: beginDrain()
    case .look: look()
    case .stop: stop()
    case .killAll: killAll()
    case .terminateDescendants: terminateDescendants()
    case .killDescendants: killDescendants()
    case .finish(let code): finish(code)
    }
  }

  private func forward(_ number: SignalNumber) {
    if let signal = Signal(number.rawValue) { service.send(signal) }
  }

  /// Before the machine hears of the drain: what the limits are for this server, on this platform.
  func prepareDrain() {
    if service.isAlive { knownServer = KnownServer(process: service.process) }
    let longest = configuration.lameDuckMax ?? Platform.lameDuckMax
    lifecycle.plan.lameDuck = configuration.lameDuck ?? longest
    lifecycle.plan.busyMax =
      configuration.busyMax ?? (knownServer?.finishesRequests == true ? .seconds(2) : .seconds(5))
    sockets.findPorts()
  }

  private func beginDrain() {
    nextListenLook = nil
    sockets.listenForDeaths()
    if let notices = sockets.notices { try? poll.add(notices.descriptor, token: Token.notices) }
    startDrainCommand()
    guard journal.writes(.phases) else { return }
    var text: Text = "draining: "
    if let signal = beganWith { text.append(contentsOf: "\(signal)") } else { text.append("asked to") }
    let traffic = sockets.lookAtTraffic()
    if let traffic {
      text.append(contentsOf: "; \(traffic.connections, "connection"), \(traffic.busy) busy")
    }
    journal.write(
      .phases, "draining", text,
      [
        beganWith.map { Field("signal", $0) } ?? Field("signal", .null),
        Field("connections", traffic.map { .number(Int64($0.connections)) } ?? .null),
        Field("busy", traffic.map { .number(Int64($0.busy)) } ?? .null),
      ])
  }

  private func startDrainCommand() {
    guard !configuration.drainCommand.isEmpty else { return }
    do throws(Errno) {
      drainCommand = try Command(
        configuration.drainCommand, signalMask: signalMask, ignoresChildSignal: ignoresChildSignal)
    } catch {
      journal.write(.problems, "drain-command", "--on-drain: cannot start the command: \(error)")
      handle(.drainCommandEnded)
    }
  }

  /// Looks at what the machine is waiting for. A table that cannot be read holds nothing off.
  private func look() {
    let began = now
    if lifecycle.phase == .lingering {
      let isFirst = lastLinger == nil
      let look = sockets.lookAtLingering()
      lastLinger = look
      if isFirst, let look, look.waiting > 0 {
        var text: Text = "lingering: \(look.waiting, "connection"), "
        text.append(byteCount: look.waitingBytes)
        text.append(" not yet acknowledged")
        journal.write(
          .phases, "lingering", text, [Field("connections", look.waiting), Field("bytes", look.waitingBytes)])
      }
      pace(since: began)
      handle(.look(Look(busy: 0, lingering: look?.waiting ?? 0)))
    } else {
      sockets.followBusy()
      let traffic = sockets.lookAtTraffic()
      lastBusy = traffic?.busy ?? 0
      pace(since: began)
      handle(.look(Look(busy: lastBusy, lingering: 0)))
    }
  }

  private var lastBusy = 0

  /// A look may take a tenth of the time between two: with 100,000 sockets it takes longer.
  private func pace(since began: Duration) {
    lifecycle.plan.lookInterval = max(.milliseconds(20), (now - began) * 10)
  }

  /// The signal that ends the service.
  private var stopSignal: Signal {
    if let chosen = configuration.stopSignal { return chosen }
    let first = beganWith ?? .terminate
    if configuration.rewrites.contains(where: { $0.to == first }) { return first }
    return knownServer?.stopSignal ?? first
  }

  private func stop() {
    sockets.endFollowing()
    let signal = stopSignal
    stopSent = now
    var text: Text = "stopping: "
    if lastBusy > 0 { text.append(contentsOf: "\(lastBusy) still busy; ") }
    text.append(contentsOf: "\(signal) to pid \(service.process)")
    if service.isStopped { text.append(", which is suspended, and SIGCONT") }
    journal.write(
      .phases, "stopping", text,
      [Field("signal", signal), Field("pid", service.process.rawValue), Field("busy", lastBusy)])
    if service.isAlive { service.stop(signal) }
  }

  private func killAll() {
    let outcome = Descendants.kill(group: service.process)
    if service.isAlive { try? service.process.send(.kill) }
    journal.write(
      .problems, "killed",
      "killed: pid \(service.process) and what is left of its tree: the grace of \(configuration.grace ?? .zero) is over",
      [
        Field("pid", service.process.rawValue),
        Field("processes", outcome.count.map { .number(Int64($0)) } ?? .null),
      ])
  }

  private func terminateDescendants() {
    tell(Descendants.send(.terminate, group: service.process), signal: .terminate, level: .phases)
  }

  private var toldOfKill = false

  private func killDescendants() {
    let outcome = Descendants.kill(group: service.process)
    // Once: a tree that forks as it is killed takes many rounds.
    if !toldOfKill && outcome.count != 0 {
      toldOfKill = true
      tell(outcome, signal: .kill, level: .problems)
    }
  }

  private func tell(_ outcome: Descendants.Outcome, signal: Signal, level: Verbosity) {
    var text: Text = "left behind: \(signal) to "
    if let count = outcome.count {
      if count == 0 { return }
      text.append(contentsOf: count == 1 ? "1 process" : "\(count) processes")
      if let example = outcome.example {
        text.append(contentsOf: " (pid \(example.process), \(example.name)")
        text.append(count > 1 ? ", …)" : ")")
      }
    } else {
      text.append(contentsOf: "process group \(service.process)")
    }
    journal.write(
      level, "left-behind", text,
      [Field("signal", signal), Field("processes", outcome.count.map { .number(Int64($0)) } ?? .null)])
  }

  private func finish(_ code: UInt8) {
    let mapped = configuration.exitCodes.last { $0.from == code }?.to ?? code
    while sockets.notices != nil {
      takeNotices()
      if !moreNotices { break }
    }
    var report = Report(exitCode: mapped)
    if let began = lifecycle.drainBegan { report.duration = now - began }
    report.losses = sockets.losses
    report.left = lastLinger
    report.ports = portEnds()
    if lifecycle.isAsked {
      report.survivors = (try? ProcessTable.descendants(of: .own).count) ?? nil
      journal.write(report.hasLosses ? .problems : .report, "released", report.text, report.fields)
      writeTerminationLog(report)
    } else if report.hasLosses {
      journal.write(.problems, "released", report.text, report.fields)
    }
    flushJournal()
    exitCode = mapped
  }

  private func portEnds() -> [Report.PortEnd] {
    guard lifecycle.isAsked || lastLinger != nil else { return [] }
    let listening = sockets.listening()
    var ends = sockets.ports.ports.map { port -> Report.PortEnd in
      guard let listening else { return Report.PortEnd(port: port, state: .unknown) }
      if listening.contains(where: { $0.local.port == port }) {
        return Report.PortEnd(port: port, state: .listening)
      }
      return Report.PortEnd(port: port, state: Report.PortEnd.State(BindTest.ask(port)))
    }
    for port in configuration.udpPorts {
      ends.append(
        Report.PortEnd(port: port, isUDP: true, state: Report.PortEnd.State(BindTest.ask(port, udp: true))))
    }
    return ends
  }

  private func writeTerminationLog(_ report: Report) {
    do throws(Errno) {
      try TerminationLog.write("ebb: \(report.text)\n", to: configuration.terminationLog)
    } catch {
      journal.write(.problems, "termination-log", "cannot write the termination log: \(error)")
    }
  }

  /// The last lines get a moment more, where nobody reads them at once; the exit does not wait for them long.
  private func flushJournal() {
    let end = now + .milliseconds(100)
    while journal.isWaiting && now < end {
      FileDescriptor.standardError.waitUntilWritable(for: .milliseconds(10))
      journal.flush()
    }
  }
}

extension Report.PortEnd.State {
  fileprivate init(_ verdict: BindTest.Verdict) {
    switch verdict {
    case .free: self = .free
    case .inUse: self = .inUse
    case .cannotTell: self = .notListening
    }
  }
}

extension Configuration {
  /// The program's name, as the user typed it.
  var program: CString { CString(arguments[0] ?? UnsafeMutablePointer(mutating: CString("").pointer)) }

  /// What `--rewrite` makes of a signal; nil where it is dropped.
  func rewritten(_ signal: Signal) -> Signal? {
    for rewrite in rewrites where rewrite.from == signal { return rewrite.to }
    return signal
  }
}
