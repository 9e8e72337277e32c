import Inet
import Lifecycle
import Linux

// What the machine says is to be done, and how it is done.
extension Supervisor {
  /// Tells the machine what has happened, and does what it says. What happens while that is being done (a look
  /// that finds something, a command that cannot be started) is told afterwards, in order.
  func handle(_ event: Event) {
    events.append(event)
    if events.count > 1 { return }
    while let event = events.first {
      for action in lifecycle.handle(event, at: now) { perform(action) }
      if lifecycle.phase != toldPhase {
        toldPhase = lifecycle.phase
        phaseSince = now
        if lifecycle.phase == .drained { sayDrained() }
        answerDrains()
      }
      events.removeFirst()
    }
  }

  private func sayDrained() {
    sockets.endFollowing()
    let busy: Text = lastBusy > 0 ? "\(lastBusy) still busy" : "nothing is busy"
    say(
      .phases, "drained",
      "drained: \(busy) after \(now - (lifecycle.drainBegan ?? now)); serving on until the stop signal",
      [Field("busy", lastBusy), Field("seconds", .seconds(now - (lifecycle.drainBegan ?? now)))])
  }

  func perform(_ action: Action) {
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

  func forward(_ number: SignalNumber) {
    guard let signal = Signal(number.rawValue) else { return }
    service.send(signal)
    counters.signalsForwarded += 1
    if !configuration.manners.hasStop && journal.writes(.phases) {
      say(.phases, "forwarded", "forwarded: \(signal)", [Field("signal", signal)])
    }
  }

  /// Before the machine hears of the drain: what the limits are for this server, on this platform.
  func prepareDrain() {
    if service.isAlive { knownServer = KnownServer(process: service.process) }
    let longest = configuration.lameDuckMax ?? Platform.lameDuckMax
    lifecycle.plan.lameDuck = configuration.lameDuck ?? longest
    lifecycle.plan.quietChance = configuration.lameDuck == nil ? configuration.quietChance : nil
    if history.wantsSample(at: now, spacing: .seconds(1)) { noteTraffic() }
    lifecycle.plan.busyMax =
      configuration.busyMax ?? (knownServer?.finishesRequests == true ? .seconds(2) : .seconds(5))
    sockets.findPorts()
    if !sockets.hasNamespaceForItself() { history = TrafficHistory() }
    lifecycle.plan.gap = history.gap
  }

  func beginDrain() {
    counters.drains += 1
    readiness.nextLook = nil
    sockets.listenForDeaths()
    if let notices = sockets.notices { try? poll.add(notices.descriptor, token: Token(.notices).rawValue) }
    if lifecycle.quiet != nil { sockets.beginArrivals(at: now) }
    startDrainCommand()
    guard isHeard(.phases) else { return }
    var text: Text = "draining: "
    if let signal = beganWith { text.append(contentsOf: "\(signal)") } else { text.append("ebb drain") }
    // With no lame duck the look that is told of is the one that decides who is waited for: whoever reads the
    // line and then connects is a newcomer.
    if lifecycle.isFinishing { sockets.followBusy() }
    let traffic = sockets.lookAtTraffic()
    if let traffic {
      text.append(contentsOf: "; \(traffic.connections, "connection"), \(traffic.busy) busy")
    }
    let rate = history.rate.map { Rate(count: $0, in: .seconds(1000)) }
    if let rate { text.append(contentsOf: ", \(rate) new a second") }
    say(
      .phases, "draining", text,
      [
        beganWith.map { Field("signal", $0) } ?? Field("signal", .null),
        Field("connections", traffic.map { .number(Int64($0.connections)) } ?? .null),
        Field("busy", traffic.map { .number(Int64($0.busy)) } ?? .null),
        Field("arrivals_per_second", rate.map { .seconds(.milliseconds($0.perThousandSeconds)) } ?? .null),
      ])
  }

  func startDrainCommand() {
    guard !configuration.drainCommand.isEmpty else { return }
    do throws(Errno) {
      drainCommand = try Command(
        configuration.drainCommand, signalMask: signalMask, ignoresChildSignal: ignoresChildSignal)
    } catch {
      say(.problems, "drain-command", "--on-drain: cannot start the command: \(error)")
      handle(.drainCommandEnded)
    }
  }

  /// Looks at what the machine is waiting for. A table that cannot be read holds nothing off.
  func look() {
    let began = now
    if lifecycle.phase == .lingering {
      let isFirst = lastLinger == nil
      let look = sockets.lookAtLingering()
      lastLinger = look
      if isFirst, let look, look.waiting > 0 {
        var text: Text = "lingering: \(look.waiting, "connection"), "
        text.append(byteCount: look.waitingBytes)
        text.append(" not yet acknowledged")
        say(
          .phases, "lingering", text, [Field("connections", look.waiting), Field("bytes", look.waitingBytes)])
      }
      pace(since: began)
      handle(.look(Look(busy: 0, lingering: look?.waiting ?? 0)))
    } else if lifecycle.phase == .draining && !lifecycle.isFinishing {
      let arrivals = sockets.lookAtArrivals(
        wantsRequests: lifecycle.quiet?.wantsRequests == true, at: began)
      pace(since: began)
      handle(.look(Look(busy: 0, lingering: 0, arrivals: arrivals)))
    } else {
      sockets.endArrivals()
      sockets.followBusy()
      let traffic = sockets.lookAtTraffic()
      lastBusy = traffic?.busy ?? 0
      pace(since: began)
      sayQuiet()
      handle(.look(Look(busy: lastBusy, lingering: 0)))
    }
  }

  /// Once the lame duck is over: whether the traffic had gone quiet, and how that was seen.
  private func sayQuiet() {
    guard !toldQuiet, isHeard(.phases), let quiet = lifecycle.quiet else { return }
    toldQuiet = true
    let silent = quiet.silent(at: now)
    var text: Text
    if lifecycle.hasGoneQuiet {
      text = "quiet: nothing new for \(silent), chance under \(lifecycle.plan.quietChance ?? .standard)"
    } else {
      text = "not quiet: \(lifecycle.plan.lameDuck) are over; "
      if quiet.looksWithTraffic > 0 {
        text.append(contentsOf: "something new \(silent) ago")
      } else {
        text.append("nothing new was seen, which says little")
      }
    }
    if lastBusy > 0 { text.append(contentsOf: "; \(lastBusy) busy") }
    say(
      .phases, "quiet", text,
      [
        Field("quiet", .flag(lifecycle.hasGoneQuiet)), Field("silent_seconds", .seconds(silent)),
        Field("silence_wanted_seconds", quiet.silence.map { .seconds($0) } ?? .null),
        Field("connections", sockets.arrived.map { .number(Int64(clamping: $0)) } ?? .null),
        Field("busy", lastBusy),
      ])
  }

  /// A look may take a tenth of the time between two: with 100,000 sockets it takes longer.
  func pace(since began: Duration) {
    let end = now
    let rest = (end - began) * 10
    lifecycle.plan.lookInterval = max(.milliseconds(20), rest)
    nextUnaskedLook = end + rest
  }

  /// The signal that ends the service.
  var stopSignal: Signal {
    if let chosen = configuration.stopSignal { return chosen }
    let first = beganWith ?? .terminate
    if configuration.manners.keepsStopSignal { return first }
    if configuration.rewrites.contains(where: { $0.to == first }) { return first }
    return knownServer?.stopSignal ?? first
  }

  func stop() {
    sockets.endFollowing()
    let signal = stopSignal
    stopSent = now
    var text: Text = "stopping: "
    if lastBusy > 0 { text.append(contentsOf: "\(lastBusy) still busy; ") }
    text.append(contentsOf: "\(signal) to pid \(service.process)")
    if service.isStopped { text.append(", which is suspended, and SIGCONT") }
    say(
      .phases, "stopping", text,
      [Field("signal", signal), Field("pid", service.process.rawValue), Field("busy", lastBusy)])
    if service.isAlive { service.stop(signal) }
  }

  func killAll() {
    let outcome = Descendants.kill(group: service.process)
    service.send(.kill)
    say(
      .problems, "killed",
      "killed: pid \(service.process) and what is left of its tree: the grace of \(configuration.grace ?? .zero) is over",
      [
        Field("pid", service.process.rawValue),
        Field("processes", outcome.count.map { .number(Int64($0)) } ?? .null),
      ])
  }

  func terminateDescendants() {
    tell(Descendants.send(.terminate, group: service.process), signal: .terminate, level: .phases)
  }

  func killDescendants() {
    let outcome = Descendants.kill(group: service.process)
    // Once: a tree that forks as it is killed takes many rounds.
    if !toldOfKill && outcome.count != 0 {
      toldOfKill = true
      tell(outcome, signal: .kill, level: .problems)
    }
  }

  func tell(_ outcome: Descendants.Outcome, signal: Signal, level: Verbosity) {
    var text: Text = "left behind: \(signal) to "
    if let count = outcome.count {
      if count == 0 { return }
      text.append(contentsOf: count == 1 ? "1 process" : "\(count) processes")
      if let example = outcome.example {
        text.append(contentsOf: " (pid \(example.process), \(example.name)")
        text.append(count > 1 ? ", …)" : ")")
      }
    } else {
      text.append(contentsOf: "process group \(outcome.groups.first ?? service.process)")
    }
    say(
      level, "left-behind", text,
      [Field("signal", signal), Field("processes", outcome.count.map { .number(Int64($0)) } ?? .null)])
  }
}
