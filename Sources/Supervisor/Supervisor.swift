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
  /// Signals at which a known server stops: for any other nobody looks which server this is.
  let knownStopSignals = KnownServer.stopSignals

  let waiter: Waiter
  let journal: Journal
  let sockets: SocketWatch
  let lookout: Lookout
  let service: Service
  // What is asked.
  let control: ControlServer
  let http: HTTPServer
  let readiness: Readiness

  // What one turn leaves to the next.
  var moreChildren = false
  var moreNotices = false
  var httpIsPaused = false
  var exitCode: UInt8?
  /// The machine is being told something; what happens meanwhile comes afterwards, in order.
  var isTelling = false
  var events: [Event] = []
  var toldPhase = Phase.starting
  var phaseSince: Duration

  // The stop.
  /// The known server that the main process was when the drain began.
  var knownServer: KnownServer?
  /// The servers that the main process has left behind.
  var leftServers = LeftServers()
  /// The last of them that has ended, and how.
  var leftServerEnded: (name: [UInt8], status: ExitStatus)?
  /// Connections that kept the service to the end of its grace.
  var held: OpenConnections?
  var toldQuiet = false
  var toldOfKill = false
  var forwardedJobStop = false
  /// The exit code of a launch that failed: what the child exits with says less.
  var launchFailure: UInt8?
  /// The signal that began the stop; nil while only a request did.
  var beganWith: Signal?
  /// What the counters of the namespace tell is the service's own traffic.
  var isRateKnown = false
  /// Connections that the last look found busy.
  var lastBusy = 0
  var lastTraffic: SocketWatch.Traffic?
  /// Since when nobody is waited for but those who came meanwhile.
  var newcomersSince: Duration?
  /// When the connections were last looked at in the lame duck.
  var lastLearning = Duration.zero
  var stopSent: Duration?
  /// From when on the kernel's word that something has died is reason for a look.
  var nextUnaskedLook = Duration.zero
  var toldResets = 0
  var drainSteps = DrainSteps()

  var counters = Counters()
  var lastLinger: LingerLook?
  var lastStatusLook: StatusLook?
  var lifecycle: Lifecycle

  /// Runs a service, and exits with its code; comes back, with a code to exit with, only where it cannot begin.
  public static func run(_ configuration: Configuration) -> UInt8 {
    let signalMask = SignalSet.blockAll()
    let ignoresChildSignal = ProcessControl.watchChildren()
    let journal = Journal(format: configuration.logFormat, verbosity: configuration.verbosity)
    if let refusal = configuration.prepareItself(journal) {
      return cannotStart(refusal, configuration, journal, nil)
    }
    do throws(Errno) {
      let supervisor = Supervisor(configuration, journal, try Waiter(), signalMask, ignoresChildSignal)
      try supervisor.launch()
      supervisor.loop()
    } catch {
      return cannotStart("\(error)", configuration, journal, error)
    }
  }

  private static func cannotStart(
    _ why: Text, _ configuration: Configuration, _ journal: Journal, _ error: Errno?
  ) -> UInt8 {
    var facts = Facts()
    facts.add("exit", 125)
    facts.add("errno", number: error.map { Int64($0.rawValue) })
    journal.write(.problems, "failed", "cannot start \(configuration.program): \(why)", facts)
    return 125
  }

  private init(
    _ configuration: Configuration, _ journal: Journal, _ waiter: Waiter, _ signalMask: SignalSet,
    _ ignoresChildSignal: Bool
  ) {
    self.configuration = configuration
    self.journal = journal
    self.waiter = waiter
    self.signalMask = signalMask
    self.ignoresChildSignal = ignoresChildSignal
    control = ControlServer(waiter: waiter)
    http = HTTPServer(waiter: waiter)
    service = Service(configuration)
    phaseSince = started
    readiness = Readiness(configuration.readyWhen)
    sockets = SocketWatch(
      given: configuration.ports, udp: configuration.udpPorts, unix: configuration.unixPaths,
      ignoring: configuration.ignoredPeers)
    lookout = Lookout(sockets, waiter)
    var plan = Plan()
    plan.grace = configuration.grace
    plan.descendantsMax = configuration.leftoversMax
    plan.hasOnDrain = !configuration.onDrain.isEmpty
    plan.endsDescendants = configuration.manners.endsDescendants
    lifecycle = Lifecycle(plan: plan)
  }

  /// Starts the service, and opens what is asked about it.
  private func launch() throws(Errno) {
    if configuration.manners.hasStop { sockets.noteSocketsBefore() }
    let notifySocket = try readiness.openNotifySocket()
    try service.launch(configuration, signalMask: signalMask, ignoresChildSignal: ignoresChildSignal)
    configuration.manners.letGo()
    if let notifySocket { try waiter.add(notifySocket, token: Token(.notify).rawValue) }
    if configuration.manners.hasStop {
      if journal.writes(.phases) { readiness.nextLook = started }
      // The traffic matters to a lame duck alone that ends with it.
      if configuration.lameDuck == nil && (configuration.lameDuckMax ?? Platform.lameDuckMax) > .zero {
        lookout.begin(at: started)
      }
    } else if journal.writes(.phases) {
      var facts = Facts()
      facts.add("pid", service.process.rawValue)
      journal.write(
        .phases, "started", "started: \(configuration.program) (pid \(service.process))", facts)
    }
    openControl()
    openHTTP()
  }

  // MARK: - The loop

  private func loop() -> Never {
    while true {
      if let exitCode {
        service.returnTerminal()
        closeControl()
        // What ebb has is the kernel's to take back: it is quicker.
        ProcessControl.exit(exitCode)
      }
      let moment = moreChildren || moreNotices ? .zero : nextMoment
      waiter.wait(for: moment.map { max(.zero, $0 - now) }) { wakeup in
        switch wakeup {
        case .signal(let arrived): take(arrived)
        case .descriptor(let event): take(Token(rawValue: event.token))
        }
      }
      if moreChildren { reap() }
      if moreNotices { takeNotices() }
      takeTicks()
      listenAsThereIsRoom()
    }
  }

  /// When there is something to do though nothing happens; nil where there is no such moment.
  private var nextMoment: Duration? {
    var first = lifecycle.wake
    first = first.sooner(readiness.deadline).sooner(lookout.nextLook).sooner(drainSteps.request?.ends)
    if configuration.manners.hasStop {
      first = first.sooner(control.places.deadline)
      first = first.sooner(http.places.deadline)
    }
    return first
  }

  /// Takes what a descriptor is ready for.
  private func take(_ token: Token) {
    switch token.kind {
    case .notices: moreNotices = true
    case .lookout: lookout.wakeUp(at: now)
    case .notify: takeNotifications()
    case .probe: advanceProbe(token.index)
    case .drainRequest: advanceDrainRequest(token.index)
    case .controlListener: acceptControl()
    case .control: readControl(token.index)
    case .httpListener: http.accept(token.index, at: now)
    case .http: advanceHTTP(token.index)
    }
  }

  /// Sends the machine its ticks as they fall due, and ends what has taken too long.
  private func takeTicks() {
    // Each tick either moves the machine on or names a later moment; the limit is for a mistake in that.
    for _ in 0..<16 {
      guard let wake = lifecycle.wake, wake <= now else { break }
      handle(.tick)
    }
    let now = now
    control.tick(at: now)
    http.tick(at: now)
    takeReadinessTick()
    takeDrainTick()
    if let look = lookout.nextLook, look <= now {
      if lifecycle.isAsked || !service.isAlive { lookout.end() } else { lookout.look(at: now) }
    }
  }

  var now: Duration { MonotonicClock.now }

  /// How long a moment without any request is waited for, once those of the drain's beginning have their answers.
  static var newcomersMax: Duration { .seconds(2) }

  // MARK: - The log

  /// Writes a line, and tells it to those who wait for a drain.
  func say(
    _ level: Verbosity, _ event: StaticString, _ text: consuming Text, _ facts: consuming Facts = Facts()
  ) {
    control.tellDrains(text)
    journal.write(level, event, text, facts)
  }

  /// Whether anybody reads a line of this level.
  func isHeard(_ level: Verbosity) -> Bool { journal.writes(level) || control.hasDrains }
}

extension Duration? {
  /// The first of two moments, as far as there are any.
  fileprivate func sooner(_ other: Duration?) -> Duration? {
    guard let other else { return self }
    guard let self else { return other }
    return Swift.min(self, other)
  }
}

/// What a descriptor in the loop is: a kind, and which of that kind.
struct Token {
  enum Kind: UInt32 {
    case notices, lookout, notify, probe, drainRequest, controlListener, control, httpListener, http
  }

  let rawValue: UInt64

  init(_ kind: Kind, _ index: Int = 0) {
    rawValue = UInt64(kind.rawValue) << 32 | UInt64(UInt32(truncatingIfNeeded: index))
  }

  init(rawValue: UInt64) { self.rawValue = rawValue }

  var kind: Kind { Kind(rawValue: UInt32(truncatingIfNeeded: rawValue >> 32)) ?? .notices }
  var index: Int { Int(UInt32(truncatingIfNeeded: rawValue)) }
}

/// What has been counted since the launch.
struct Counters {
  var signalsForwarded: UInt64 = 0
  var childrenReaped: UInt64 = 0
  var drains: UInt64 = 0
}
