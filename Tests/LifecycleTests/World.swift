@testable import Lifecycle

/// One history of a service: a main process with a will of its own, descendants, connections, and people who
/// send signals. It drives a machine as the supervisor does, and judges what that says by the promises of a
/// stop, each of which it keeps count of by itself.
///
/// Times are in microseconds.
struct World {
  private struct Descendant {
    /// When it ends, as far as that is settled.
    var ends: Int?
    /// How long it takes to end at TERM, and at KILL; nil: it does not.
    var atTerminate: Int?
    var atKill: Int?
    /// As it is killed, it forks so often.
    var forks: Int
  }

  private enum Happening {
    case event(Event)
    /// A look that was asked for is answered.
    case answer
    /// The main process, the command or a descendant is reaped.
    case mainReaped, commandReaped, allReaped
  }

  private static let second = 1_000_000
  private static let horizon = 400 * second
  private static let hangup = SignalNumber(1)
  private static let terminate = SignalNumber(15)

  private var random: Random
  private(set) var machine: Lifecycle
  private var now = 0
  private var happenings: [(at: Int, what: Happening)] = []

  /// What is told is true, and everything that is true is told in the end.
  private let isHonest: Bool
  /// A tick comes when it is wanted, and every look is answered at once.
  private let isTimely: Bool

  // The service.
  private var mainEnds: Int?
  private var mainLives = true
  private var mainCode: UInt8
  private let stopTakes: Int?
  private let killTakes: Int?
  private var descendants: [Descendant] = []
  private var commandLives = false
  private let commandTakes: Int
  private var commandEnds: Int?
  private var busyUntil: [Int] = []
  private var lingersUntil: [Int] = []
  /// Until when after the drain's beginning requests come, and in how many of a hundred looks.
  private let trafficUntil: Int
  private let trafficDensity: Int

  // The limits, as given.
  private let lameDuck: Int
  private let isAuto: Bool
  private let isDense: Bool
  /// nil: what the limit leaves.
  private let busyMax: Int?
  private let grace: Int?
  /// When the platform kills, after the drain's beginning.
  private let limit: Int
  private let noticeAfter: Int
  private let descendantsMax: Int
  private let unaskedMax: Int
  private var lingerMax: Int

  // What has been told and said, by our own count.
  private var began: Int?
  private var toldSignal: Int?
  private var countedSignal: Int?
  private var onlyRequested = false
  private var floorFrom: Int?
  private var settledGraceEnd: Int?
  private var sentQuick = false
  private var ended: (at: Int, code: UInt8)?
  private var stopped: Int?
  private var saidWaiting: Int?
  private var hurried = false
  private var killedAll: Int?
  private var terminated: Int?
  /// A server was left behind, which is waited for as the main process was.
  private var hasLeftServer = false
  private var firstKill: Int?
  private var lingerBegan: Int?
  private var lastLook: Look?
  /// Looks of the lame duck that found something new, and when the last was that might have.
  private var looksWithTraffic = 0
  private var lastTraffic: Int?
  /// The same of new connections alone: what counts where there have been many.
  private var looksWithConnections = 0
  private var lastConnection: Int?
  /// When the lame duck ended.
  private var finishingSince: Int?
  private var commandToldEnded = false
  private var finished: (at: Int, code: UInt8)?
  private var ticksAtThisMoment = 0
  private var tickDue: Int?
  private var wakeOfTick: Duration?

  /// The promise that was broken; nil while none is.
  private(set) var fault: String?
  /// What has happened, if anybody wants to read it.
  private(set) var trace: [String] = []
  private let keepsTrace: Bool
  /// How many events the machine was told of.
  private(set) var steps = 0

  init(seed: UInt64, keepsTrace: Bool = false) {
    self.keepsTrace = keepsTrace
    var random = Random(seed: seed)
    isHonest = random.chance(80)
    isTimely = random.chance(75)
    let second = World.second

    lameDuck = random.chance(50) ? 0 : random.time(upTo: 4 * second)
    busyMax = random.chance(40) ? nil : random.chance(20) ? 0 : random.time(upTo: 3 * second)
    // A multiple of 40, so that a tenth of it and a quarter of that are whole.
    grace = random.chance(50) ? nil : 40 * (1 + random.time(upTo: 10 * second) / 40)
    limit = grace ?? 40 * (1 + random.time(upTo: 12 * second) / 40)
    noticeAfter = random.chance(50) ? 5 * second : random.time(upTo: 5 * second)
    descendantsMax = 1 + random.time(upTo: 5 * second)
    unaskedMax = 1 + random.time(upTo: second)
    lingerMax = random.chance(30) ? 0 : random.time(upTo: 3 * second)
    isAuto = lameDuck > 0 && random.chance(60)
    isDense = isAuto && random.chance(30)
    trafficUntil = random.time(upTo: 4 * second)
    trafficDensity = random.below(101)
    var plan = Plan()
    if isAuto { plan.quietChance = QuietChance(millionths: UInt32(1 + random.below(500_000))) }
    if isDense { plan.connectionGap = .milliseconds(100 + random.below(1000)) }
    plan.lameDuck = .microseconds(lameDuck)
    plan.busyMax = busyMax.map { .microseconds($0) }
    plan.grace = grace.map { .microseconds($0) }
    plan.limit = .microseconds(limit)
    plan.noticeAfter = .microseconds(noticeAfter)
    plan.descendantsMax = .microseconds(descendantsMax)
    plan.unaskedMax = .microseconds(unaskedMax)
    plan.lingerMax = .microseconds(lingerMax)
    plan.lookInterval = .microseconds(20_000 + random.below(300_000))
    plan.hasOnDrain = random.chance(25)
    plan.canHurry = random.chance(30)
    machine = Lifecycle(plan: plan)

    mainCode = UInt8(random.below(256))
    stopTakes = random.chance(15) ? nil : random.time(upTo: 6 * second)
    killTakes = random.chance(5) ? nil : random.time(upTo: second / 10)
    commandTakes = random.time(upTo: 4 * second)
    for _ in 0..<(random.chance(50) ? 0 : random.below(5)) {
      descendants.append(
        Descendant(
          ends: random.chance(40) ? random.time(upTo: 20 * second) : nil,
          atTerminate: random.chance(60) ? random.time(upTo: 2 * second) : nil,
          atKill: random.chance(95) ? random.time(upTo: second / 10) : nil,
          forks: random.chance(20) ? random.below(5) : 0))
    }
    for _ in 0..<random.below(4) { busyUntil.append(random.time(upTo: 8 * second)) }
    for _ in 0..<random.below(4) { lingersUntil.append(random.time(upTo: 12 * second)) }
    if random.chance(20) { mainEnds = random.time(upTo: 8 * second) }
    self.random = random
    plot()
  }

  /// Everything that comes from outside: signals, requests, and in the end what a patient operator does.
  private mutating func plot() {
    let second = World.second
    if random.chance(85) { add(random.time(upTo: second), .ready) }
    if random.chance(3) {
      // It cannot be executed: the child ends.
      mainEnds = random.time(upTo: second)
      mainCode = 127
    }
    if random.chance(30) { add(random.time(upTo: 6 * second), .drainRequest) }
    let first = random.time(upTo: 6 * second)
    if random.chance(80) { add(first, .drainSignal(World.terminate)) }
    var at = first
    for _ in 0..<(random.chance(50) ? 0 : random.below(5)) {
      // About the second that makes a hurry of it, and on it exactly.
      at += random.chance(30) ? second : random.time(upTo: 2 * second)
      add(at, .drainSignal(World.terminate))
    }
    for _ in 0..<random.below(3) { add(random.time(upTo: 12 * second), .signal(World.hangup)) }
    for _ in 0..<random.below(3) { add(random.time(upTo: 12 * second), .tick) }
    if random.chance(20) { add(random.time(upTo: 12 * second), .drainRequest) }
    if random.chance(20) { add(random.time(upTo: 12 * second), .ready) }
    // The kernel tells of a dying connection: an unasked look.
    for _ in 0..<random.below(3) { happenings.append((random.time(upTo: 12 * second), .answer)) }
    if !isHonest {
      for _ in 0..<random.below(12) {
        let lies: [Event] = [
          .ended(UInt8(random.below(256))), .childless, .onDrainEnded, .ready, .tick,
          .look(Look(busy: random.below(3) - 1, lingering: random.below(3) - 1)), .drainRequest,
          .drainSignal(World.hangup), .signal(World.terminate),
        ]
        add(random.time(upTo: 12 * second), lies[random.below(lies.count)])
      }
    }
    // Who still serves by then is told to stop.
    add(120 * second, .drainSignal(World.terminate))
    add(130 * second, .drainSignal(World.terminate))
  }

  private mutating func add(_ at: Int, _ event: Event) { happenings.append((at, .event(event))) }

  // MARK: - Time

  /// Lives the whole history; the promise that it broke, or nil.
  mutating func live() -> String? {
    while fault == nil, step() {}
    if fault == nil { judgeTheEnd() }
    return fault
  }

  /// The next thing that happens; false when nothing does any more.
  private mutating func step() -> Bool {
    var next = Int.max
    var place = -1
    for index in happenings.indices where happenings[index].at < next {
      next = happenings[index].at
      place = index
    }
    if let tickDue, tickDue < next || (tickDue == next && random.chance(50)) {
      next = tickDue
      place = -2
    }
    var death: Int?
    if mainLives, let mainEnds, mainEnds < next { (next, death) = (mainEnds, -1) }
    if commandLives, let commandEnds, commandEnds < next { (next, death) = (commandEnds, -2) }
    for index in descendants.indices {
      if let ends = descendants[index].ends, ends < next { (next, death) = (ends, index) }
    }
    if next > World.horizon { return false }
    if next > now { ticksAtThisMoment = 0 }
    now = max(now, next)
    if let death {
      end(death)
    } else if place == -2 {
      tickDue = nil
      wakeOfTick = nil
      ticksAtThisMoment += 1
      if ticksAtThisMoment > 8 { broken("wants tick after tick at one moment") }
      tell(.tick)
    } else {
      happen(happenings.remove(at: place).what)
    }
    return fault == nil && (finished.map { now < $0.at + World.second } ?? true)
  }

  private mutating func happen(_ what: Happening) {
    switch what {
    case .event(let event): tell(event)
    case .answer:
      if isHonest || random.chance(50) {
        tell(
          .look(
            Look(
              busy: busyUntil.count { $0 > now && mainLives }, lingering: lingersUntil.count { $0 > now },
              arrivals: arrivals())))
      } else {
        tell(.look(Look(busy: random.below(3) - 1, lingering: random.below(3) - 1)))
      }
    case .mainReaped:
      tell(.ended(mainCode))
    case .commandReaped:
      tell(.onDrainEnded)
    case .allReaped:
      tell(.childless)
    }
  }

  /// What a look finds to have come; nil where the table cannot be read.
  private mutating func arrivals() -> Arrivals? {
    if random.chance(3) { return nil }
    let comes = began.map { now - $0 < trafficUntil } ?? true
    guard comes && random.chance(trafficDensity) else { return Arrivals(connections: 0) }
    return Arrivals(connections: random.below(3), requests: 1 + random.below(3))
  }

  /// A process ends, and is reaped a little later.
  private mutating func end(_ which: Int) {
    let reaped = now + (random.chance(70) ? 0 : random.below(2000))
    if which == -1 {
      mainLives = false
      happenings.append((reaped, .mainReaped))
    } else if which == -2 {
      commandLives = false
      happenings.append((reaped, .commandReaped))
    } else {
      descendants.remove(at: which)
    }
    if keepsTrace {
      note("a process ended: main \(mainLives), command \(commandLives), others \(descendants.count)")
    }
    if !mainLives && !commandLives && descendants.isEmpty {
      // Never before the word of the last of them.
      let last = happenings.reduce(reaped) { latest, happening in
        switch happening.what {
        case .mainReaped, .commandReaped: max(latest, happening.at)
        default: latest
        }
      }
      happenings.append((last, .allReaped))
    }
  }

  /// The moment `delay` from now, or the one that is settled already where that is sooner.
  private func sooner(_ delay: Int?, _ moment: Int?) -> Int? {
    guard let delay else { return moment }
    return min(moment ?? .max, now + delay)
  }

  // MARK: - What the machine is told and says

  private mutating func tell(_ event: Event) {
    steps += 1
    if steps > 4000 {
      broken("never comes to an end")
      return
    }
    let before = machine.phase
    let expectation = count(event, in: before)
    let actions = machine.actions(after: event, at: .microseconds(now))
    if keepsTrace { note("\(event) in \(before): \(actions), now \(machine.phase)") }
    judge(actions, after: event, in: before, expectation)
    for action in actions { perform(action) }
    let after = machine.phase
    if machine.isFinishing && finishingSince == nil {
      finishingSince = now
      judgeEndOfLameDuck()
    }
    if after == .lingering && before != .lingering {
      lingerBegan = now
      lastLook = nil
    }
    judgePhase(before, after)
    scheduleTick()
  }

  private enum Expectation { case nothing, hurry, repetition, stopsAtOnce }

  /// Our own account of signals, requests and ends.
  private mutating func count(_ event: Event, in phase: Phase) -> Expectation {
    switch event {
    case .drainRequest:
      if phase == .starting || phase == .serving {
        began = now
        onlyRequested = true
      }
    case .drainSignal:
      if phase == .done { return .nothing }
      if phase == .starting || phase == .serving {
        (began, toldSignal, countedSignal) = (now, now, now)
        return .nothing
      }
      guard began != nil else { return .repetition }
      toldSignal = toldSignal ?? now
      if onlyRequested {
        onlyRequested = false
        (countedSignal, floorFrom) = (now, now)
        return phase == .drained ? .stopsAtOnce : .repetition
      }
      if let countedSignal, now - countedSignal >= World.second {
        self.countedSignal = now
        hurried = true
        return .hurry
      }
      return .repetition
    case .ended(let code):
      if ended == nil && phase.rawValue <= Phase.stopping.rawValue {
        ended = (now, code)
        if phase == .drained { floorFrom = now }
        settledGraceEnd = graceEnd
      }
    case .look(let look):
      lastLook = look
      if phase == .draining && finishingSince == nil {
        if look.arrivals.map({ $0.connections > 0 || $0.requests > 0 }) ?? true { lastTraffic = now }
        if look.arrivals.map({ $0.connections > 0 }) ?? true { lastConnection = now }
        if look.arrivals != nil && lastTraffic == now { looksWithTraffic += 1 }
        if look.arrivals != nil && lastConnection == now { looksWithConnections += 1 }
      }
    case .onDrainEnded:
      commandToldEnded = true
    case .ready, .signal, .childless, .serversRemain, .tick: break
    }
    return .nothing
  }

  private mutating func perform(_ action: Action) {
    switch action {
    case .forward:
      if ended != nil { broken("forwards a signal to a process that has ended") }
      if random.chance(10) {
        let delay = random.time(upTo: World.second)
        mainEnds = sooner(delay, mainEnds)
      }
    case .beginDrain:
      if began != now { broken("begins a drain that nobody asked for, or twice") }
      if machine.plan.hasOnDrain {
        commandLives = true
        commandEnds = now + commandTakes
      }
      for index in busyUntil.indices { busyUntil[index] += now }
    case .look:
      // A look is answered at once; where the table cannot be read in time, late or never.
      if isTimely || random.chance(70) {
        happenings.append((now, .answer))
      } else if random.chance(70) {
        happenings.append((now + random.time(upTo: World.second), .answer))
      }
      machine.plan.lookInterval = .microseconds(20_000 + random.below(300_000))
    case .stop:
      judgeStop()
      stopped = now
      mainEnds = sooner(stopTakes, mainEnds)
      // As the supervisor does, the limit of lingering is only settled now.
      lingerMax = random.chance(30) ? 0 : random.time(upTo: 3 * World.second)
      machine.plan.lingerMax = .microseconds(lingerMax)
    case .hurry:
      if !machine.plan.canHurry { broken("hurries a server that knows no hurry") }
      if sentQuick { broken("hurries twice") }
      if killedAll != nil { broken("hurries what it has killed") }
      sentQuick = true
    case .killAll:
      judgeKillAll()
      killedAll = now
      mainEnds = sooner(killTakes, mainEnds)
      killDescendants()
    case .terminateDescendants:
      if ended == nil { broken("ends descendants while the main process lives") }
      if terminated != nil { broken("asks descendants to end twice") }
      terminated = now
      for index in descendants.indices {
        descendants[index].ends = sooner(descendants[index].atTerminate, descendants[index].ends)
      }
      if commandLives { commandEnds = sooner(1000, commandEnds) }
      if !descendants.isEmpty && random.chance(20) {
        hasLeftServer = true
        happenings.append((now, .event(.serversRemain(true))))
      }
    case .killOthers:
      if !hasLeftServer || began == nil { broken("spares what is no server") }
      if let graceEnd, now >= graceEnd { broken("spares a server beyond the grace") }
      if random.chance(30) { happenings.append((now, .event(.serversRemain(false)))) }
    case .killDescendants:
      if ended == nil { broken("kills descendants while the main process lives") }
      firstKill = firstKill ?? now
      killDescendants()
    case .sayWaiting:
      if saidWaiting != nil { broken("says twice who is waited for") }
      saidWaiting = now
      judgeNotice()
    case .finish(let code):
      if finished != nil { broken("finishes twice") }
      finished = (now, code)
      judgeFinish(code)
    }
  }

  private mutating func killDescendants() {
    for index in descendants.indices {
      descendants[index].ends = sooner(descendants[index].atKill, descendants[index].ends)
      if descendants[index].forks > 0 {
        descendants[index].forks -= 1
        var child = descendants[index]
        child.ends = nil
        descendants.append(child)
      }
    }
    if commandLives { commandEnds = sooner(1000, commandEnds) }
  }

  private mutating func scheduleTick() {
    guard let wake = machine.wake else {
      tickDue = nil
      wakeOfTick = nil
      return
    }
    if wake == wakeOfTick { return }
    wakeOfTick = wake
    let due = Int((wake.inNanoseconds + 999) / 1_000)
    var late = 0
    if !isTimely { late = random.chance(70) ? random.below(5000) : random.time(upTo: 10 * World.second) }
    tickDue = max(now, due + late)
  }

  // MARK: - The promises

  private mutating func broken(_ promise: String) {
    if fault == nil { fault = promise }
  }

  private mutating func note(_ line: String) { trace.append("\(Double(now) / 1e6)s: \(line)") }

  private var killMargin: Int { min(World.second / 2, (grace ?? 0) / 10) }
  /// What comes behind ebb's own waits, and what is kept for those behind the stop signal.
  private var margin: Int { min(World.second, limit / 10) }
  private var reserve: Int { min(3 * World.second, limit * 3 / 10) }

  /// When the stop signal is due at the latest, where there is a grace.
  private var latestStop: Int {
    guard grace != nil, let began else { return .max }
    return began + limit - margin - reserve
  }

  /// When the lame duck is over at the latest.
  private var lameDuckEnd: Int { min((began ?? 0) + lameDuck, latestStop) }

  /// When what is busy has held off the stop signal for as long as it may.
  private var finishingEnd: Int {
    let since = finishingSince ?? lameDuckEnd
    guard let busyMax else { return max(since, (began ?? 0) + limit - margin - reserve) }
    return min(since + busyMax, max(since, latestStop))
  }

  /// When ebb's own waits behind the stop signal are over at the latest, where there is no grace.
  private var waitsEnd: Int? {
    guard grace == nil, let began, let stop = stopped ?? ended?.at else { return nil }
    return max(began + limit - margin, stop + reserve)
  }

  /// Since when it counts that somebody is waited for: the drain, or the signal after one that was only asked for.
  private var noticeBase: Int? { floorFrom ?? began }

  /// The end of the grace, by our own count.
  private var graceEnd: Int? {
    guard let grace, let began else { return nil }
    return max(began + grace, floorFrom.map { $0 + 2 * World.second } ?? 0)
  }

  /// Whether the grace is over but for the margin in which ebb itself ends. A signal that comes when the main
  /// process has ended need not prolong what has begun then.
  private var isGraceOver: Bool { (settledGraceEnd ?? graceEnd).map { now >= $0 - killMargin / 4 } ?? false }

  private mutating func judge(
    _ actions: [Action], after event: Event, in phase: Phase, _ expectation: Expectation
  ) {
    switch expectation {
    case .nothing: break
    case .repetition:
      if !actions.isEmpty { broken("acts on a repeated drain signal") }
    case .stopsAtOnce:
      if actions != [.stop] { broken("does not stop a drained service at the next drain signal") }
    case .hurry:
      switch phase {
      case .draining where actions != [.stop]: broken("does not hurry out of the drain")
      case .stopping
      where ended == nil && actions != [.forward(World.terminate)]
        && actions != [.forward(World.hangup)]:
        broken("does not pass a hurry on to the service")
      case .lingering where finished == nil && actions.count != 1: broken("lingers in spite of a hurry")
      default: break
      }
    }
    if case .signal(let signal) = event, ended == nil, finished == nil, actions != [.forward(signal)] {
      broken("keeps a signal from the service")
    }
    if case .tick = event {
    } else if let finished, finished.at < now, !actions.isEmpty {
      broken("acts after the end")
    }
  }

  private mutating func judgePhase(_ before: Phase, _ after: Phase) {
    if after.rawValue < before.rawValue { broken("goes back from \(before) to \(after)") }
    if machine.isAsked != (began != nil) { broken("does not know whether it was asked") }
    let wake = machine.wake
    switch after {
    case .starting, .serving, .drained, .done:
      if wake != nil { broken("is woken while \(after)") }
    case .draining, .lingering:
      if wake == nil { broken("is never woken while \(after)") }
    case .stopping:
      if wake == nil && (ended != nil || grace != nil) { broken("is never woken while stopping") }
      let isForNotice = saidWaiting == nil && wake == noticeBase.map { .microseconds($0 + noticeAfter) }
      if wake != nil && ended == nil && grace == nil && !isForNotice {
        broken("is woken for nothing while stopping")
      }
    }
    if let base = noticeBase, saidWaiting == nil, after != .drained, after != .done,
      wake.map({ $0 > .microseconds(base + noticeAfter) }) ?? true
    {
      broken("does not want to say who is waited for")
    }
    guard isTimely else { return }
    if let graceEnd, now > graceEnd, after != .done, after != .drained {
      broken("goes on beyond the grace")
    }
    if after == .draining, now > finishingEnd + 1 { broken("drains too long") }
    if after == .draining, grace != nil, now > latestStop + 1 {
      broken("leaves the end of the stop less than its reserve")
    }
  }

  /// The lame duck takes its whole time, or as long as it takes to see that nothing comes any more.
  private mutating func judgeEndOfLameDuck() {
    guard let began, now < lameDuckEnd else { return }
    if !isAuto { broken("cuts the lame duck short") }
    if looksWithTraffic < 3 && !isDense { broken("concludes from next to nothing that it is quiet") }
    let areKnown = isDense || looksWithConnections >= 16
    if now <= (areKnown ? lastConnection : lastTraffic) ?? began {
      broken("calls it quiet as something comes")
    }
    if !machine.hasGoneQuiet { broken("does not say why the lame duck ends") }
  }

  private mutating func judgeStop() {
    if stopped != nil { broken("sends the stop signal twice") }
    if ended != nil { broken("sends the stop signal to a process that has ended") }
    if began == nil {
      broken("stops a service that nobody asked to stop")
      return
    }
    if toldSignal == nil { broken("stops a service that was only asked to drain") }
    if hurried || floorFrom == now { return }
    if now < finishingSince ?? lameDuckEnd { broken("cuts the lame duck short") }
    let commandRuns = machine.plan.hasOnDrain && !commandToldEnded
    if let lastLook, lastLook.busy > 0 || commandRuns, now < finishingEnd {
      broken("does not wait for what is busy")
    }
  }

  private mutating func judgeNotice() {
    guard let base = noticeBase else {
      return broken("says who is waited for though nobody asked for a stop")
    }
    if now < base + noticeAfter { broken("says too early who is waited for") }
    if finished != nil || machine.phase == .drained { broken("says who is waited for while nobody is") }
  }

  private mutating func judgeKillAll() {
    if killedAll != nil { broken("kills twice") }
    if ended != nil { broken("kills a process that has ended") }
    guard let graceEnd else {
      broken("kills the main process without a grace")
      return
    }
    if now < graceEnd - killMargin { broken("kills the main process too early") }
  }

  private mutating func judgeFinish(_ code: UInt8) {
    guard let ended else {
      if killedAll == nil { broken("finishes though the main process lives") }
      if !isGraceOver { broken("gives up the main process before the end of the grace") }
      if code != 137 { broken("gives another code than 137 for a process that cannot be killed") }
      return
    }
    if code != ended.code { broken("gives another code than the main process's") }
    if isHonest && !descendants.isEmpty {
      if let firstKill {
        let areWaitsOver = waitsEnd.map { now >= $0 } ?? false
        if now < firstKill + World.second && !isGraceOver && !areWaitsOver {
          broken("does not wait for what it has killed")
        }
      } else {
        broken("leaves descendants alive that it has not killed")
      }
      let hadTime = waitsEnd.map { ended.at < $0 } ?? true
      if terminated == nil && isTimely && !hurried && grace == nil && hadTime {
        broken("kills descendants that it has not asked to end")
      }
    }
    let asked = began != nil
    let lingers = asked ? lingerMax : min(lingerMax, unaskedMax)
    if let lingerBegan {
      if isTimely && now > lingerBegan + lingers + 1 { broken("lingers too long") }
      let isLeft = lastLook.map { $0.lingering != 0 } ?? true
      let areWaitsOver = waitsEnd.map { now >= $0 } ?? false
      if isLeft && now < lingerBegan + lingers && !hurried && !isGraceOver && !areWaitsOver {
        broken("does not wait for the last bytes")
      }
    } else if lingers > 0 {
      broken("does not look for last bytes")
    }
    if isTimely {
      // Whoever is asked to end has a moment for it.
      let clearing = max(asked ? descendantsMax : unaskedMax, 50_000) + World.second
      if hasLeftServer { return }
      if now > ended.at + clearing + lingers + 10 { broken("ends later than its limits allow") }
      if let waitsEnd, now > max(ended.at, waitsEnd) + 1 { broken("goes on beyond the platform's limit") }
    }
  }

  private mutating func judgeTheEnd() {
    if finished == nil {
      // Nothing but a main process that does not end keeps ebb; and then only where there is no grace.
      if ended != nil { broken("does not finish though the main process has ended") }
      if began != nil && grace != nil && machine.phase != .drained {
        broken("does not finish though there is a grace")
      }
      if !mainLives { broken("was not told that the main process has ended") }
      return
    }
    for event: Event in [.tick, .drainSignal(World.terminate), .ended(1), .childless] {
      if !machine.actions(after: event, at: .microseconds(now + 1)).isEmpty { broken("acts after the end") }
    }
  }
}
