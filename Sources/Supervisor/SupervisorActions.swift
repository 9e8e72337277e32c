import Inet
import Lifecycle
import Linux

// What the machine says is to be done, and how it is done.
extension Supervisor {
  /// Tells the machine what has happened, and does what it says. What happens while that is being done (a look
  /// that finds something, a command that cannot be started) is told afterwards, in order.
  func handle(_ event: Event) {
    if isTelling { return events.append(event) }
    isTelling = true
    var event = event
    var told = 0
    while true {
      let actions = lifecycle.handle(event, at: now)
      if let first = actions.first { perform(first) }
      if let second = actions.second { perform(second) }
      if lifecycle.phase != toldPhase {
        toldPhase = lifecycle.phase
        phaseSince = now
        if lifecycle.phase == .drained { sayDrained() }
        answerDrains()
      }
      if told == events.count { break }
      event = events[told]
      told += 1
    }
    if told > 0 { events.removeAll(keepingCapacity: true) }
    isTelling = false
  }

  private func sayDrained() {
    sockets.endFollowing()
    let busy: Text =
      lastBusy > 0
      ? "\(lastBusy) still busy"
      : sockets.blindness == nil ? "nothing is busy" : "whether anything is busy is not seen"
    let took = drainTook
    var facts = Facts()
    facts.add("busy", lastBusy)
    facts.add("seconds", seconds: took)
    say(.phases, "drained", "drained: \(busy) after \(took); serving on until the stop signal", facts)
  }

  /// The time since the drain began.
  var drainTook: Duration { lifecycle.drainBegan.map { now - $0 } ?? .zero }

  func perform(_ action: Action) {
    switch action {
    case .forward(let number): forward(number)
    case .beginDrain: beginDrain()
    case .look: look()
    case .stop: stop()
    case .hurry: hurry()
    case .killAll: killAll()
    case .terminateDescendants: terminateDescendants()
    case .killOthers: killOthers()
    case .killDescendants: killDescendants()
    case .sayWaiting: sayWaiting()
    case .finish(let code): finish(code)
    }
  }

  func forward(_ number: SignalNumber) {
    guard let signal = Signal(number.rawValue) else { return }
    service.send(signal)
    counters.signalsForwarded += 1
    if !configuration.manners.hasStop && journal.writes(.phases) {
      var facts = Facts()
      facts.add("signal", signal)
      say(.phases, "forwarded", "forwarded: \(signal)", facts)
    }
  }

  /// Before the machine hears of the drain: what the limits are for this server, on this platform.
  func prepareDrain() {
    if service.isAlive { knownServer = KnownServer(process: service.process) }
    let longest = configuration.lameDuckMax ?? Platform.lameDuckMax
    lifecycle.plan.lameDuck = configuration.lameDuck ?? longest
    lifecycle.plan.quietChance = configuration.lameDuck == nil ? configuration.quietChance : nil
    lookout.lookOnceMore(at: now)
    lifecycle.plan.limit = configuration.grace ?? Platform.stopLimit
    lifecycle.plan.busyMax =
      configuration.busyMax ?? (knownServer?.finishesRequests == true ? .seconds(2) : nil)
    lifecycle.plan.canHurry = configuration.stopSignal == nil && knownServer?.quickSignal != nil
    sockets.findPorts()
    sockets.findOtherSockets()
    if isWorker {
      // There is nobody to wait for, and each moment more is one in which new work may be begun.
      lifecycle.plan.lameDuck = configuration.lameDuck ?? .zero
    }
    sockets.unixIsOneRequest = knownServer == .phpFPM
    let history = lookout.history
    isRateKnown = sockets.hasNamespaceForItself()
    lifecycle.plan.connectionGap = isRateKnown ? history.connectionGap : nil
    lifecycle.plan.requestGap = history.requestGap
  }

  /// Nobody sends the service anything: it takes its work by itself.
  private var isWorker: Bool { isDeclaredWorker || sockets.servesNobody }

  /// Its user said so.
  private var isDeclaredWorker: Bool {
    sockets.ports.origin != .given && configuration.readyWhen.contains(.alive)
  }

  func beginDrain() {
    counters.drains += 1
    readiness.nextLook = nil
    sockets.listenForDeaths()
    if let notices = sockets.notices { try? waiter.add(notices.descriptor, token: Token(.notices).rawValue) }
    if lifecycle.quiet != nil { sockets.beginArrivals(at: now) }
    if !configuration.onDrain.isEmpty { takeDrainStep() }
    // With no lame duck this look is the one that decides who is waited for: whoever reads the line and then connects is
    // a newcomer.
    if lifecycle.isFinishing { beginWaiting() }
    let traffic = sockets.lookAtTraffic(at: now)
    lastLearning = now
    guard isHeard(.phases) else { return }
    var text: Text = "draining: "
    if let signal = beganWith { signal.write(to: &text) } else { text.append("ebb drain") }
    if let traffic {
      text.append("; ", traffic.connections, of: "connection")
      text.append(", ", traffic.inProgress, " busy")
      if traffic.undecided > 0 { text.append(", ", traffic.undecided, " undecided") }
      if traffic.notFollowed > 0 {
        text.append(" (for ", traffic.notFollowed, " there is no memory: whoever is busy is waited for)")
      }
    }
    if isDeclaredWorker || (sockets.servesNobody && sockets.unix.listeners.isEmpty) {
      text.append("; a worker: there are no requests to wait for")
    } else if let why = sockets.blindness {
      text.append(contentsOf: "; connections are not seen, for \(why)")
    } else if case .refused(let error) = sockets.losses.notMeasured {
      text.append(contentsOf: " by their queues alone, for netlink is refused (\(error))")
    }
    let rate = isRateKnown ? lookout.history.rate.map { Rate(count: $0, in: .seconds(1000)) } : nil
    if let rate {
      text.append(", ")
      rate.write(to: &text)
      text.append(" new a second")
    }
    var facts = Facts()
    facts.add("signal", beganWith)
    facts.add("connections", number: traffic.map { Int64($0.connections) })
    facts.add("busy", number: traffic.map { Int64($0.inProgress) })
    facts.add("undecided", number: traffic.map { Int64($0.undecided) })
    facts.add("not_followed", number: traffic.map { Int64($0.notFollowed) })
    facts.add("arrivals_per_second", seconds: rate.map { .milliseconds($0.perThousandSeconds) })
    say(.phases, "draining", text, facts)
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
        var facts = Facts()
        facts.add("connections", look.waiting)
        facts.add("bytes", look.waitingBytes)
        say(.phases, "lingering", text, facts)
      }
      pace(since: began)
      handle(.look(Look(busy: 0, lingering: look?.waiting ?? 0)))
    } else if lifecycle.phase == .draining && !lifecycle.isFinishing {
      let arrivals = sockets.lookAtArrivals(
        wantsRequests: lifecycle.quiet?.wantsRequests == true, at: began)
      // What a connection does in the lame duck tells later what is a request, and what a heartbeat or a stream.
      if began - lastLearning >= .milliseconds(500) {
        lastLearning = began
        _ = sockets.lookAtTraffic(at: began)
      }
      pace(since: began)
      handle(.look(Look(busy: 0, lingering: 0, arrivals: arrivals)))
    } else {
      sockets.endArrivals()
      beginWaiting()
      // What asks for a worker's metrics holds nothing off.
      let traffic = isDeclaredWorker ? nil : sockets.lookAtTraffic(at: began)
      lastTraffic = traffic
      lastBusy = traffic?.waitedFor ?? 0
      pace(since: began)
      sayQuiet()
      handle(.look(Look(busy: lastBusy > 0 ? lastBusy : newcomers(traffic, at: began), lingering: 0)))
    }
  }

  /// Requests that have come since the drain began, where a moment without any is waited for: there may always be some, so
  /// not for long.
  private func newcomers(_ traffic: SocketWatch.Traffic?, at now: Duration) -> Int {
    guard let traffic, knownServer?.finishesRequests != true else { return 0 }
    let since = newcomersSince ?? now
    newcomersSince = since
    return now - since < Supervisor.newcomersMax ? traffic.active : 0
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
        text.append("something new ", silent, " ago")
      } else {
        text.append("nothing new was seen, which says little")
      }
    }
    if lastBusy > 0 { text.append("; ", lastBusy, " busy") }
    var facts = Facts()
    facts.add("quiet", flag: lifecycle.hasGoneQuiet)
    facts.add("silent_seconds", seconds: silent)
    facts.add("silence_wanted_seconds", seconds: quiet.silence)
    facts.add("connections", number: sockets.arrived.map { Int64(clamping: $0) })
    facts.add("busy", lastBusy)
    say(.phases, "quiet", text, facts)
  }

  private func beginWaiting() {
    let finishes = knownServer?.finishesRequests == true
    sockets.beginWaiting(
      at: now, undecidedMax: finishes ? .zero : configuration.undecidedMax, serverFinishes: finishes)
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
    for rewrite in configuration.rewrites where rewrite.to == first { return first }
    return knownServer?.stopSignal ?? first
  }

  func stop() {
    sockets.beginStop(at: now, knownServer)
    let signal = stopSignal
    stopSent = now
    var text: Text = "stopping: "
    if lastBusy > 0 { text.append("", lastBusy, " still busy; ") }
    signal.write(to: &text)
    text.append(" to pid ")
    text.append(service.process.rawValue)
    if service.isStopped { text.append(", which is suspended, and SIGCONT") }
    sayStopLimit(of: knownServer, to: &text)
    var facts = Facts()
    facts.add("signal", signal)
    facts.add("pid", service.process.rawValue)
    facts.add("busy", lastBusy)
    say(.phases, "stopping", text, facts)
    if service.isAlive { service.stop(signal) }
  }

  /// What limits a graceful stop that may else last for ever.
  func sayStopLimit(of server: KnownServer?, to text: inout Text) {
    guard let server, configuration.grace == nil, stopSignal == server.stopSignal,
      let limit = server.stopLimit
    else { return }
    text.append("; clients may hold it as long as they like: ")
    text.append(limit)
    text.append(" or --grace limits that")
  }

  private func hurry() {
    held = sockets.beginHurry(at: now)
    if service.isAlive {
      guard let signal = knownServer?.quickSignal else { return }
      service.send(signal)
      sayHurrying(signal, service.process)
    } else {
      for server in leftServers.servers {
        guard let signal = server.quickSignal, ProcessTable.send(signal, to: server.record) else { continue }
        sayHurrying(signal, server.record.process)
      }
    }
  }

  private func sayHurrying(_ signal: Signal, _ process: ProcessID) {
    var text: Text =
      "hurrying: \(signal) to pid \(process): the grace of \(configuration.grace ?? .zero) is nearly over"
    if let held { text.append(contentsOf: "; held by \(held)") }
    var facts = Facts()
    facts.add("signal", signal)
    facts.add("pid", process.rawValue)
    facts.add("connections", number: held.map { Int64($0.count) })
    say(.report, "hurrying", text, facts)
  }

  func killAll() {
    held = held ?? sockets.lookAtOpen()
    let outcome = Descendants.kill(group: service.process)
    service.send(.kill)
    var facts = Facts()
    facts.add("pid", service.process.rawValue)
    facts.add("processes", number: outcome.count.map { Int64($0) })
    say(
      .problems, "killed",
      "killed: pid \(service.process) and what is left of its tree: the grace of \(configuration.grace ?? .zero) is over",
      facts)
  }

  func terminateDescendants() {
    findLeftServers()
    for server in leftServers.servers {
      guard ProcessTable.send(server.signal, to: server.record) else { continue }
      var text: Text = "left behind: \(server.signal) to pid \(server.record.process) ("
      text.append(printable: server.record.name)
      text.append(
        "), a server, which is waited for; with exec in its shell it would have heard the stop signal itself")
      var facts = Facts()
      facts.add("signal", server.signal)
      facts.add("pid", server.record.process.rawValue)
      say(.report, "left-behind", text, facts)
    }
    tell(
      Descendants.send(.terminate, group: service.process, except: leftServers), signal: .terminate,
      level: .phases)
    for server in leftServers.servers where server.quickSignal != nil { lifecycle.plan.canHurry = true }
    if !leftServers.servers.isEmpty { handle(.serversRemain(true)) }
  }

  private func findLeftServers() {
    guard let family = try? ProcessTable.descendants(of: .own) else { return }
    var inodes: [UInt64] = []
    for socket in sockets.listening() ?? [] { inodes.append(socket.inode) }
    leftServers = LeftServers(among: family, listening: inodes)
  }

  private func killOthers() {
    if leftServers.remain {
      let outcome = Descendants.send(.kill, group: service.process, except: leftServers)
      if outcome.count != 0 { tell(outcome, signal: .kill, level: .problems) }
    } else {
      handle(.serversRemain(false))
    }
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
      text.append("", count, count == 1 ? " process" : " processes")
      if let example = outcome.example {
        text.append(" (pid ", Int(example.rawValue), ", ")
        text.append(printable: outcome.exampleName)
        text.append(count > 1 ? ", …)" : ")")
      }
    } else {
      text.append("process group ")
      text.append((outcome.groups.first ?? service.process).rawValue)
    }
    var facts = Facts()
    facts.add("signal", signal)
    facts.add("processes", number: outcome.count.map { Int64($0) })
    say(level, "left-behind", text, facts)
  }
}
