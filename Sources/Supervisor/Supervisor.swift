import Inet
import Lifecycle
import Linux

/// One service, from its launch to ebb's exit: the loop that feeds ``Lifecycle`` with what happens and does
/// what it says. One thread, one wait, nothing polled while the service serves.
///
/// This file is its state and its loop; what happens is in SupervisorEvents, what is done about it in
/// SupervisorActions, what is asked of it in Control, Readiness and HTTP.
public final class Supervisor {
  let configuration: Configuration
  let started = MonotonicClock.now
  let signalMask: SignalSet
  let ignoresChildSignal: Bool

  let signals: SignalDescriptor
  let timer: TimerDescriptor
  let poll: EventPoll
  let journal: Journal
  let sockets: SocketWatch
  let service: Service
  // What is asked.
  let control: ControlServer
  let http: HTTPServer
  let readiness: Readiness

  // What one turn of the loop leaves to the next.
  var moreChildren = false
  var moreNotices = false
  /// The service was launched, or a question answered, since the last rest.
  private var hasAnswered = false
  /// The service runs since this turn.
  var hasLaunched = false
  var httpIsPaused = false
  var exitCode: UInt8?
  private var armed: Duration?
  /// What has happened and the machine has not been told yet; the first one is being told.
  var events: [Event] = []
  var toldPhase = Phase.starting
  var phaseSince: Duration

  // The stop.
  /// The known server that the main process was when the drain began.
  var knownServer: KnownServer?
  var toldQuiet = false
  var toldOfKill = false
  var forwardedJobStop = false
  /// The exit code of a launch that failed: what the child exits with says less.
  var launchFailure: UInt8?
  /// The signal that began the stop; nil while only a request did.
  var beganWith: Signal?
  /// Connections that the last look found busy.
  var lastBusy = 0
  var stopSent: Duration?
  /// From when on the kernel's word that something has died is reason for a look.
  var nextUnaskedLook = Duration.zero
  var toldResets = 0
  var drainCommand: Command?

  // What is large comes last: the code that reaches for the rest is shorter then.
  /// How many connections came before the drain, noted when something else wakes us.
  var history = TrafficHistory()
  var counters = Counters()
  var lastLinger: LingerLook?
  var lastStatusLook: StatusLook?
  var lifecycle: Lifecycle

  /// Runs a service and gives back the code to exit with.
  public static func run(_ configuration: Configuration) -> UInt8 {
    let signalMask = SignalSet.blockAll()
    let ignoresChildSignal = ProcessControl.watchChildren()
    let journal = Journal(format: configuration.logFormat, verbosity: configuration.verbosity)
    do throws(Errno) {
      try configuration.prepareItself(journal)
      let supervisor = Supervisor(
        configuration, journal, signalMask, ignoresChildSignal, try SignalDescriptor(), try TimerDescriptor(),
        try EventPoll())
      try supervisor.launch()
      return supervisor.loop()
    } catch {
      var facts = Facts()
      facts.add("exit", 125)
      facts.add("errno", error.rawValue)
      journal.write(.problems, "failed", "cannot start \(configuration.program): \(error)", facts)
      return 125
    }
  }

  private init(
    _ configuration: Configuration, _ journal: Journal, _ signalMask: SignalSet, _ ignoresChildSignal: Bool,
    _ signals: SignalDescriptor, _ timer: TimerDescriptor, _ poll: EventPoll
  ) {
    self.configuration = configuration
    self.journal = journal
    self.signalMask = signalMask
    self.ignoresChildSignal = ignoresChildSignal
    self.signals = signals
    self.timer = timer
    self.poll = poll
    control = ControlServer(poll: poll)
    http = HTTPServer(poll: poll)
    service = Service(configuration)
    phaseSince = started
    readiness = Readiness(configuration.readyWhen)
    sockets = SocketWatch(given: configuration.ports, ignoring: configuration.ignoredPeers)
    var plan = Plan()
    plan.grace = configuration.grace
    plan.hasDrainCommand = !configuration.drainCommand.isEmpty
    plan.endsDescendants = configuration.manners.endsDescendants
    lifecycle = Lifecycle(plan: plan)
  }

  /// Starts the service, and opens what is asked about it.
  @inline(never)
  private func launch() throws(Errno) {
    try poll.add(signals.descriptor, token: Token(.signals).rawValue)
    try poll.add(timer.descriptor, token: Token(.timer).rawValue)
    if configuration.manners.hasStop { sockets.noteListenersBefore() }
    let notifySocket = try readiness.openNotifySocket()
    try service.launch(configuration, signalMask: signalMask, ignoresChildSignal: ignoresChildSignal)
    configuration.manners.letGo()
    if let report = service.launchReport { try poll.add(report, token: Token(.launch).rawValue) }
    if let notifySocket { try poll.add(notifySocket, token: Token(.notify).rawValue) }
    if configuration.manners.hasStop {
      if journal.writes(.phases) { readiness.nextLook = started }
    } else {
      var facts = Facts()
      facts.add("pid", service.process.rawValue)
      journal.write(
        .phases, "started", "started: \(configuration.program) (pid \(service.process))", facts)
    }
    openControl()
    openHTTP()
  }

  // MARK: - The loop

  @inline(never)
  private func loop() -> UInt8 {
    while true {
      if let exitCode {
        service.returnTerminal()
        closeControl()
        return exitCode
      }
      // What the launch or somebody's question took is not needed to wait; a signal mostly comes with others.
      let atRest = hasAnswered && armed == nil
      if atRest { hasAnswered = false }
      hasLaunched = false
      poll.wait(block: !moreChildren && !moreNotices, atRest: atRest) { take(Token(rawValue: $0.token)) }
      if moreChildren {
        // What a process said before it ended is heard while it can still be told who it was.
        takeNotifications()
        reap()
      }
      if moreNotices { takeNotices() }
      takeTicks()
      setTimer()
    }
  }

  /// Takes what a descriptor is ready for.
  @inline(never)
  private func take(_ token: Token) {
    switch token.kind {
    case .signals: break
    case .timer:
      timer.acknowledge()
      armed = nil
    case .launch:
      takeLaunchOutcome()
      hasAnswered = true
    case .notices: moreNotices = true
    case .notify: takeNotifications()
    case .probe: advanceProbe(token.index)
    case .controlListener: acceptControl()
    case .control:
      readControl(token.index)
      hasAnswered = true
    case .httpListener: acceptHTTP(token.index)
    case .http:
      advanceHTTP(token.index)
      hasAnswered = true
    }
    // Signals come first, whatever else there is to do.
    takeSignals()
  }

  /// Sends the machine its ticks as they fall due, and ends what has taken too long.
  @inline(never)
  private func takeTicks() {
    // Each tick either moves the machine on or names a later moment; the limit is for a mistake in that.
    for _ in 0..<16 {
      guard let wake = lifecycle.wake, wake <= now else { break }
      handle(.tick)
    }
    let now = now
    control.tick(at: now)
    http.tick(at: now)
    listenAsThereIsRoom()
    takeReadinessTick()
    // The turn of the launch has nothing to count yet, and is one that somebody waits for.
    guard configuration.manners.hasStop && exitCode == nil && !lifecycle.isAsked && !hasLaunched else {
      return
    }
    if history.wantsSample(at: now) { noteTraffic() }
  }

  /// Notes how many connections have been accepted by now.
  @inline(never)
  func noteTraffic() {
    if let count = AcceptedConnections.count { history.note(count, at: now) }
  }

  @inline(never)
  private func setTimer() {
    let next = sooner(
      sooner(lifecycle.wake, readiness.deadline), sooner(control.places.deadline, http.places.deadline))
    if next != armed {
      timer.set(to: next)
      armed = next
    }
  }

  @inline(never)
  private func sooner(_ one: Duration?, _ other: Duration?) -> Duration? {
    guard let one, let other else { return one ?? other }
    return min(one, other)
  }

  @inline(never)
  var now: Duration { MonotonicClock.now }

  // MARK: - The log

  /// Writes a line, and tells it to those who wait for a drain.
  @inline(never)
  func say(
    _ level: Verbosity, _ event: StaticString, _ text: consuming Text, _ facts: consuming Facts = Facts()
  ) {
    control.tellDrains(text)
    journal.write(level, event, text, facts)
  }

  /// Whether anybody reads a line of this level.
  @inline(never)
  func isHeard(_ level: Verbosity) -> Bool { journal.writes(level) || control.hasDrains }
}

/// What a descriptor in the loop is: a kind, and which of that kind.
struct Token {
  enum Kind: UInt32 {
    case signals, timer, launch, notices, notify, probe, controlListener, control, httpListener, http
  }

  let rawValue: UInt64

  init(_ kind: Kind, _ index: Int = 0) {
    rawValue = UInt64(kind.rawValue) << 32 | UInt64(UInt32(truncatingIfNeeded: index))
  }

  init(rawValue: UInt64) { self.rawValue = rawValue }

  var kind: Kind { Kind(rawValue: UInt32(truncatingIfNeeded: rawValue >> 32)) ?? .signals }
  var index: Int { Int(UInt32(truncatingIfNeeded: rawValue)) }
}

/// What has been counted since the launch.
struct Counters {
  var signalsForwarded: UInt64 = 0
  var childrenReaped: UInt64 = 0
  var drains: UInt64 = 0
}
