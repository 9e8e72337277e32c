import Testing

@testable import Lifecycle

private let term = SignalNumber(15)
private let interrupt = SignalNumber(2)
private let hangup = SignalNumber(1)

/// A machine and a clock: events at moments that the test names, in milliseconds.
private struct Driven {
  var machine: Lifecycle
  /// Nobody is to be told in between who is waited for: that is said at the drain's beginning, and not shown.
  private var isTold: Bool

  init(_ change: (inout Plan) -> Void = { _ in }) {
    var plan = Plan()
    plan.noticeAfter = .zero
    change(&plan)
    isTold = plan.noticeAfter > .zero
    machine = Lifecycle(plan: plan)
  }

  /// What the machine wants done about an event.
  mutating func at(_ milliseconds: Int, _ event: Event) -> [Action] {
    let actions = machine.actions(after: event, at: .milliseconds(milliseconds))
    if !isTold && machine.drainBegan != nil {
      isTold = true
      #expect(machine.actions(after: .tick, at: .milliseconds(milliseconds)) == [.sayWaiting])
    }
    return actions
  }

  var phase: Phase { machine.phase }

  /// When the next tick is wanted, in milliseconds.
  var wake: Int? {
    machine.wake.map { Int($0.inMilliseconds) }
  }

  /// A service that serves.
  static func serving(_ change: (inout Plan) -> Void = { _ in }) -> Driven {
    var driven = Driven(change)
    _ = driven.at(0, .ready)
    return driven
  }

  /// A service that got its stop signal at 1,000 ms.
  static func stopping(_ change: (inout Plan) -> Void = { _ in }) -> Driven {
    var driven = serving(change)
    _ = driven.at(1000, .drainSignal(term))
    _ = driven.at(1000, .look(Look(busy: 0, lingering: 0)))
    return driven
  }

  /// A stopped service, its main process ended with 7 at 2,000 ms and no descendants: lingering.
  static func lingering(_ change: (inout Plan) -> Void = { _ in }) -> Driven {
    var driven = stopping(change)
    _ = driven.at(2000, .ended(7))
    _ = driven.at(2000, .childless)
    return driven
  }

  /// A service that `ebb drain` has drained at 1,000 ms.
  static func drained(_ change: (inout Plan) -> Void = { _ in }) -> Driven {
    var driven = serving(change)
    _ = driven.at(1000, .drainRequest)
    _ = driven.at(1000, .look(Look(busy: 0, lingering: 0)))
    return driven
  }
}

private let quiet = Event.look(Look(busy: 0, lingering: 0))
private func busy(_ count: Int) -> Event { .look(Look(busy: count, lingering: 0)) }
private func lingering(_ count: Int) -> Event { .look(Look(busy: 0, lingering: count)) }

// MARK: - Starting and serving

@Suite struct `A service at rest` {
  @Test func `is starting until it is ready, and then serves`() {
    var service = Driven()
    #expect(service.phase == .starting)
    #expect(service.at(80, .ready) == [])
    #expect(service.phase == .serving)
  }

  @Test func `wakes nobody, neither starting, nor serving, nor drained`() {
    #expect(Driven().wake == nil)
    #expect(Driven.serving().wake == nil)
    let drained = Driven.drained()
    #expect(drained.phase == .drained)
    #expect(drained.wake == nil)
  }

  @Test func `gets every signal that begins no drain, in every phase in which it lives`() {
    var services = [
      Driven(), .serving(), .serving { $0.lameDuck = .seconds(9) }, .serving(), .drained(), .stopping(),
    ]
    _ = services[2].at(1000, .drainSignal(term))
    _ = services[3].at(1000, .drainSignal(term))
    #expect(services.map { $0.phase } == [.starting, .serving, .draining, .draining, .drained, .stopping])
    for index in services.indices {
      let phase = services[index].phase
      #expect(services[index].at(1500, .signal(hangup)) == [.forward(hangup)])
      #expect(services[index].phase == phase)
    }
  }

  @Test func `ignores what makes no sense`() {
    for event: Event in [.ready, .tick, .look(Look(busy: 9, lingering: 9)), .childless, .onDrainEnded] {
      var service = Driven.serving()
      #expect(service.at(5, event) == [])
      #expect(service.phase == .serving)
      #expect(service.wake == nil)
    }
  }
}

// MARK: - The drain

@Suite struct `A drain` {
  @Test func `of a service with nothing busy sends the stop signal at once`() {
    var service = Driven.serving()
    #expect(service.at(1000, .drainSignal(term)) == [.beginDrain, .look])
    #expect(service.at(1000, quiet) == [.stop])
    #expect(service.phase == .stopping)
    #expect(service.machine.drainBegan == .seconds(1))
  }

  @Test func `begins while the service still starts, too`() {
    var service = Driven()
    #expect(service.at(10, .drainSignal(term)) == [.beginDrain, .look])
    #expect(service.at(10, quiet) == [.stop])
  }

  @Test func `serves on through the lame duck, whatever is looked at`() {
    var service = Driven.serving { $0.lameDuck = .seconds(10) }
    #expect(service.at(1000, .drainSignal(term)) == [.beginDrain])
    #expect(service.phase == .draining)
    #expect(!service.machine.isFinishing)
    // Every half second it is looked at what the connections do.
    #expect(service.wake == 1500)
    #expect(service.at(1500, .tick) == [.look])
    #expect(service.at(1510, quiet) == [])
    #expect(service.wake == 2010)
    #expect(service.at(2009, .tick) == [])
    _ = service.at(10_990, .tick)
    #expect(service.at(10_999, quiet) == [])
    #expect(service.wake == 11_000)
    #expect(!service.machine.isFinishing)
    #expect(service.at(11_000, .tick) == [.look])
    #expect(service.machine.isFinishing)
  }

  @Test func `with a lame duck that ends in quiet looks until it is quiet, and then at what is busy`() {
    var service = Driven.serving {
      $0.lameDuck = .seconds(10)
      $0.quietChance = .standard
    }
    #expect(service.at(1000, .drainSignal(term)) == [.beginDrain])
    var time = 1000
    func look(_ connections: Int) -> [Action] {
      time += 100
      #expect(service.wake == time)
      #expect(service.at(time, .tick) == [.look])
      return service.at(
        time, .look(Look(busy: 0, lingering: 0, arrivals: Arrivals(connections: connections))))
    }
    for _ in 0..<20 { #expect(look(3) == []) }
    var actions: [Action] = []
    while actions.isEmpty && time < 11_000 { actions = look(0) }
    #expect(actions == [.look])
    #expect(service.machine.hasGoneQuiet)
    #expect(service.machine.isFinishing)
    #expect(time > 5000 && time < 8000)
    #expect(service.at(time, quiet) == [.stop])
  }

  @Test func `with a lame duck that could end in quiet takes its whole time where nothing can be seen`() {
    var service = Driven.serving {
      $0.lameDuck = .seconds(10)
      $0.quietChance = .standard
    }
    _ = service.at(1000, .drainSignal(term))
    while let wake = service.wake, wake < 11_000 {
      #expect(service.at(wake, .tick) == [.look])
      #expect(service.at(wake, .look(Look(busy: 0, lingering: 0, arrivals: nil))) == [])
    }
    #expect(service.at(11_000, .tick) == [.look])
    #expect(!service.machine.hasGoneQuiet)
  }

  @Test func `is held off by busy connections until each has answered`() {
    var service = Driven.serving()
    _ = service.at(1000, .drainSignal(term))
    #expect(service.at(1000, busy(3)) == [])
    #expect(service.machine.isFinishing)
    #expect(service.wake == 1020)
    #expect(service.at(1020, .tick) == [.look])
    #expect(service.at(1020, busy(1)) == [])
    #expect(service.at(1040, .tick) == [.look])
    #expect(service.at(1040, quiet) == [.stop])
  }

  @Test func `is held off by what is busy for as long as the platform's limit leaves, lame duck included`() {
    // The limit of 10 s, without a second and the three that are kept for the end of the stop.
    var service = Driven.serving()
    _ = service.at(1000, .drainSignal(term))
    _ = service.at(6980, .tick)
    while service.at(6980, .tick) != [] {}
    #expect(service.at(6980, busy(1)) == [])
    #expect(service.wake == 7000)
    #expect(service.at(7000, .tick) == [.stop])

    var duck = Driven.serving {
      $0.lameDuck = .seconds(4)
      $0.limit = .seconds(30)
    }
    _ = duck.at(1000, .drainSignal(term))
    while let wake = duck.wake, duck.phase == .draining {
      if duck.at(wake, .tick) == [.look] { _ = duck.at(wake, busy(1)) }
      if duck.phase == .stopping { #expect(wake == 27_000) }
    }
    #expect(duck.phase == .stopping)
  }

  @Test func `is not held off at all where the lame duck has taken all that the limit leaves`() {
    var service = Driven.serving { $0.lameDuck = .seconds(9) }
    _ = service.at(1000, .drainSignal(term))
    #expect(service.at(10_000, .tick) == [.look])
    #expect(service.at(10_000, busy(1)) == [.stop])
  }

  @Test func `is held off by busy connections no longer than busy-max`() {
    var service = Driven.serving { $0.busyMax = .milliseconds(500) }
    _ = service.at(1000, .drainSignal(term))
    _ = service.at(1000, busy(1))
    _ = service.at(1490, .tick)
    #expect(service.at(1490, busy(1)) == [])
    #expect(service.wake == 1500)
    #expect(service.at(1500, .tick) == [.stop])
  }

  @Test func `is not held off for ever by a look that nobody answers`() {
    var service = Driven.serving()
    #expect(service.at(1000, .drainSignal(term)) == [.beginDrain, .look])
    #expect(service.wake == 7000)
    #expect(service.at(7000, .tick) == [.stop])
  }

  @Test func `looks as often as the look interval of the moment says, and not oftener`() {
    var service = Driven.serving()
    _ = service.at(1000, .drainSignal(term))
    service.machine.plan.lookInterval = .milliseconds(700)
    _ = service.at(1000, busy(1))
    #expect(service.wake == 1700)
    #expect(service.at(1699, .tick) == [])
    #expect(service.at(1700, .tick) == [.look])
    // While that look is being taken, no second one.
    #expect(service.at(1701, .tick) == [])
  }

  @Test func `waits for the drain command like for a busy connection`() {
    var service = Driven.serving { $0.hasOnDrain = true }
    _ = service.at(1000, .drainSignal(term))
    #expect(service.at(1000, quiet) == [])
    #expect(service.phase == .draining)
    #expect(service.at(1300, .onDrainEnded) == [.look])
    #expect(service.at(1300, quiet) == [.stop])
  }

  @Test func `waits for the drain command no longer than busy-max`() {
    var service = Driven.serving {
      $0.hasOnDrain = true
      $0.busyMax = .seconds(4)
    }
    _ = service.at(1000, .drainSignal(term))
    _ = service.at(1000, quiet)
    _ = service.at(4990, .tick)
    _ = service.at(4990, quiet)
    #expect(service.at(5000, .tick) == [.stop])
  }

  @Test func `does not wait for a drain command that ended during the lame duck`() {
    var service = Driven.serving {
      $0.hasOnDrain = true
      $0.lameDuck = .seconds(2)
    }
    _ = service.at(1000, .drainSignal(term))
    #expect(service.at(1500, .onDrainEnded) == [])
    #expect(service.at(3000, .tick) == [.look])
    #expect(service.at(3000, quiet) == [.stop])
  }

  @Test func `is not begun twice`() {
    var service = Driven.serving { $0.lameDuck = .seconds(5) }
    _ = service.at(1000, .drainSignal(term))
    #expect(service.at(1200, .drainSignal(term)) == [])
    #expect(service.at(1300, .drainRequest) == [])
    #expect(service.machine.drainBegan == .seconds(1))
    #expect(service.wake == 1500)
    _ = service.at(1500, .tick)
    #expect(service.wake == 6000)
  }
}

// MARK: - The notice

@Suite struct `Who is waited for` {
  private func noticed(_ plan: inout Plan) { plan.noticeAfter = .seconds(5) }

  @Test func `is said once, five seconds after the drain began`() {
    #expect(Plan().noticeAfter == .seconds(5))
    var service = Driven.stopping(noticed)
    #expect(service.wake == 6000)
    #expect(service.at(5999, .tick) == [])
    #expect(service.at(6000, .tick) == [.sayWaiting])
    #expect(service.wake == nil)
    #expect(service.at(60_000, .tick) == [])
  }

  @Test func `is said in every phase of a stop`() {
    var duck = Driven.serving {
      noticed(&$0)
      $0.lameDuck = .seconds(9)
    }
    _ = duck.at(1000, .drainSignal(term))
    #expect(duck.at(6000, .tick) == [.sayWaiting])
    // What else that moment asks for comes at once.
    #expect(duck.wake.map { $0 <= 6000 } == true)
    #expect(duck.at(6000, .tick) == [.look])

    var finishing = Driven.serving(noticed)
    _ = finishing.at(1000, .drainSignal(term))
    _ = finishing.at(5990, busy(1))
    #expect(finishing.wake == 6000)
    #expect(finishing.at(6000, .tick) == [.sayWaiting])

    var clearing = Driven.stopping(noticed)
    _ = clearing.at(5000, .ended(0))
    #expect(clearing.at(5000, .tick) == [.terminateDescendants])
    #expect(clearing.wake == 6000)
    #expect(clearing.at(6000, .tick) == [.sayWaiting])

    var left = Driven.lingering(noticed)
    _ = left.at(5990, lingering(1))
    #expect(left.wake == 6000)
    #expect(left.at(6000, .tick) == [.sayWaiting])
  }

  @Test func `is not said while nobody is: at rest, drained, after the end`() {
    var serving = Driven.serving(noticed)
    #expect(serving.at(60_000, .tick) == [])
    var drained = Driven.drained(noticed)
    #expect(drained.wake == nil)
    #expect(drained.at(60_000, .tick) == [])
    var unasked = Driven.serving(noticed)
    _ = unasked.at(1000, .ended(0))
    for moment in [1000, 2000, 6000, 60_000] { #expect(unasked.at(moment, .tick) != [.sayWaiting]) }
    var over = Driven.lingering(noticed)
    _ = over.at(2000, quiet)
    #expect(over.wake == nil)
    #expect(over.at(60_000, .tick) == [])
  }

  @Test func `and until when`() {
    #expect(Driven.stopping().machine.waitsUntil == nil)
    #expect(Driven.stopping { $0.grace = .seconds(10) }.machine.waitsUntil == .milliseconds(10_500))
    var finishing = Driven.serving { $0.busyMax = .seconds(3) }
    _ = finishing.at(1000, .drainSignal(term))
    #expect(finishing.machine.waitsUntil == .seconds(4))
    #expect(Driven.lingering().machine.waitsUntil == .seconds(7))
  }
}

// MARK: - Hurry

@Suite struct `A second drain signal` {
  @Test func `a second after the first ends the lame duck at once`() {
    var service = Driven.serving { $0.lameDuck = .seconds(10) }
    _ = service.at(1000, .drainSignal(term))
    #expect(service.at(2000, .drainSignal(term)) == [.stop])
  }

  @Test func `a second after the first ends the wait for busy connections at once`() {
    var service = Driven.serving()
    _ = service.at(1000, .drainSignal(term))
    _ = service.at(1000, busy(5))
    #expect(service.at(2000, .drainSignal(interrupt)) == [.stop])
  }

  @Test func `sooner than that is the same one, sent twice`() {
    var service = Driven.serving { $0.lameDuck = .seconds(10) }
    _ = service.at(1000, .drainSignal(term))
    #expect(service.at(1999, .drainSignal(term)) == [])
    #expect(service.phase == .draining)
    // A repetition does not start the second anew.
    #expect(service.at(2000, .drainSignal(term)) == [.stop])
  }

  @Test func `reaches a service that is stopping, so that its own "hurry" works`() {
    var service = Driven.stopping()
    #expect(service.at(1500, .drainSignal(term)) == [])
    #expect(service.at(2000, .drainSignal(interrupt)) == [.forward(interrupt)])
    #expect(service.at(2500, .drainSignal(interrupt)) == [])
    #expect(service.at(3000, .drainSignal(interrupt)) == [.forward(interrupt)])
  }

  @Test func `kills what the main process left behind`() {
    var service = Driven.stopping()
    _ = service.at(1500, .ended(0))
    #expect(service.at(1500, .tick) == [.terminateDescendants])
    #expect(service.at(2000, .drainSignal(term)) == [])
    #expect(service.wake == 2000)
    #expect(service.at(2000, .tick) == [.killDescendants])
  }

  @Test func `does not put off the moment at which what cannot be killed is given up`() {
    var service = Driven.stopping { $0.lingerMax = .zero }
    _ = service.at(1500, .ended(0))
    _ = service.at(1500, .tick)
    #expect(service.at(6500, .tick) == [.killDescendants])
    _ = service.at(7400, .drainSignal(term))
    while let wake = service.wake, wake < 7500 { _ = service.at(wake, .tick) }
    #expect(service.at(7500, .tick) == [.finish(0)])
  }

  @Test func `ends the lingering`() {
    var service = Driven.lingering()
    _ = service.at(2000, lingering(1))
    #expect(service.at(2001, .drainSignal(term)) == [.finish(7)])
  }

  @Test func `soon after the first does not end the lingering`() {
    var service = Driven.stopping()
    _ = service.at(1100, .ended(0))
    _ = service.at(1100, .childless)
    _ = service.at(1100, lingering(1))
    #expect(service.at(1900, .drainSignal(term)) == [])
    #expect(service.phase == .lingering)
  }
}

// MARK: - ebb drain

@Suite struct `A drain request` {
  @Test func `leaves the service serving when it is drained`() {
    var service = Driven.serving()
    #expect(service.at(1000, .drainRequest) == [.beginDrain, .look])
    #expect(service.at(1000, busy(1)) == [])
    #expect(service.phase == .draining)
    #expect(service.at(1020, .tick) == [.look])
    #expect(service.at(1020, quiet) == [])
    #expect(service.phase == .drained)
    #expect(service.at(1021, .signal(hangup)) == [.forward(hangup)])
  }

  @Test func `is drained at busy-max, busy or not`() {
    var service = Driven.serving { $0.busyMax = .seconds(4) }
    _ = service.at(1000, .drainRequest)
    _ = service.at(1000, busy(1))
    #expect(service.at(5000, .tick) == [])
    #expect(service.phase == .drained)
  }

  @Test func `once drained, has the next drain signal stop the service at once`() {
    var service = Driven.drained { $0.lameDuck = .zero }
    #expect(service.at(60_000, .drainSignal(term)) == [.stop])
    #expect(service.phase == .stopping)
  }

  @Test func `and a signal after that stop still say hurry to each other`() {
    var service = Driven.drained()
    #expect(service.at(60_000, .drainSignal(term)) == [.stop])
    #expect(service.at(60_400, .drainSignal(term)) == [])
    #expect(service.at(61_000, .drainSignal(term)) == [.forward(term)])
  }

  @Test func `is joined by a drain signal, which then stops the service at the drain's end`() {
    var service = Driven.serving { $0.lameDuck = .seconds(5) }
    _ = service.at(1000, .drainRequest)
    // Not a second signal: the first.
    #expect(service.at(4000, .drainSignal(term)) == [])
    #expect(service.phase == .draining)
    #expect(service.at(6000, .tick) == [.look])
    #expect(service.at(6000, quiet) == [.stop])
  }

  @Test func `that a signal has joined is hurried by a second signal`() {
    var service = Driven.serving { $0.lameDuck = .seconds(5) }
    _ = service.at(1000, .drainRequest)
    _ = service.at(2000, .drainSignal(term))
    #expect(service.at(2900, .drainSignal(term)) == [])
    #expect(service.at(3000, .drainSignal(term)) == [.stop])
  }

  @Test func `begins nothing anew once drained`() {
    var service = Driven.drained()
    #expect(service.at(9000, .drainRequest) == [])
    #expect(service.phase == .drained)
    #expect(service.machine.drainBegan == .seconds(1))
  }
}

// MARK: - What is left of the tree

@Suite struct `When the main process has ended` {
  @Test func `without descendants ebb goes straight to lingering`() {
    var service = Driven.stopping()
    #expect(service.at(2000, .ended(0)) == [])
    #expect(service.at(2000, .childless) == [.look])
    #expect(service.phase == .lingering)
  }

  @Test func `its descendants get TERM at once and KILL five seconds later`() {
    var service = Driven.stopping()
    _ = service.at(2000, .ended(0))
    #expect(service.wake == 2000)
    #expect(service.at(2000, .tick) == [.terminateDescendants])
    #expect(service.wake == 7000)
    #expect(service.at(6999, .tick) == [])
    #expect(service.at(7000, .tick) == [.killDescendants])
  }

  @Test func `unasked, its descendants get KILL one second later`() {
    var service = Driven.serving()
    _ = service.at(2000, .ended(3))
    #expect(service.phase == .stopping)
    #expect(service.at(2000, .tick) == [.terminateDescendants])
    #expect(service.wake == 3000)
    #expect(service.at(3000, .tick) == [.killDescendants])
  }

  @Test func `a tree that grows as it is killed is killed again and again, for a second`() {
    var service = Driven.stopping { $0.lingerMax = .zero }
    _ = service.at(2000, .ended(0))
    _ = service.at(2000, .tick)
    var rounds = 0
    var last: [Action] = []
    while let wake = service.wake {
      last = service.at(wake, .tick)
      if last == [.killDescendants] { rounds += 1 }
      if service.phase == .done { #expect(wake == 8000) }
    }
    #expect(rounds == 20)
    #expect(last == [.finish(0)])
  }

  @Test func `what the kernel cannot kill is given up after a second, and lingering comes next`() {
    var service = Driven.stopping()
    _ = service.at(2000, .ended(0))
    for moment in [2000, 7000] { _ = service.at(moment, .tick) }
    #expect(service.at(8000, .tick) == [.look])
    #expect(service.phase == .lingering)
  }

  @Test func `descendants are killed even if every tick comes much too late`() {
    var service = Driven.stopping { $0.lingerMax = .zero }
    _ = service.at(2000, .ended(0))
    #expect(service.at(60_000, .tick) == [.killDescendants])
    // And get the time that a kill takes.
    #expect(service.phase == .stopping)
    #expect(service.at(60_000, .childless) == [.finish(0)])
  }

  @Test func `nothing is sent to it any more`() {
    for event: Event in [.signal(hangup), .drainSignal(interrupt), .drainRequest] {
      var clearing = Driven.stopping()
      _ = clearing.at(2000, .ended(0))
      #expect(clearing.at(2500, event) == [])
      var lingering = Driven.lingering()
      _ = lingering.at(2000, Event.look(Look(busy: 0, lingering: 1)))
      let actions = lingering.at(2500, event)
      #expect(actions == [] || actions == [.finish(7)])
    }
  }

  @Test func `ebb's code is its code, whatever way it takes`() {
    for code: UInt8 in [0, 1, 143, 255] {
      var unasked = Driven.serving { $0.lingerMax = .zero }
      _ = unasked.at(5, .ended(code))
      #expect(unasked.at(5, .childless) == [.finish(code)])

      var starting = Driven()
      _ = starting.at(5, .ended(code))
      #expect(starting.at(5, .childless) == [.look])
      #expect(starting.at(5, quiet) == [.finish(code)])

      var duck = Driven.serving { $0.lameDuck = .seconds(9) }
      _ = duck.at(1000, .drainSignal(term))
      _ = duck.at(2000, .ended(code))
      _ = duck.at(2000, .childless)
      #expect(duck.at(2000, quiet) == [.finish(code)])

      var drained = Driven.drained()
      _ = drained.at(2000, .ended(code))
      _ = drained.at(2000, .childless)
      #expect(drained.at(2000, quiet) == [.finish(code)])
    }
  }

  @Test func `long after a drain that had no signal, its descendants still get their time`() {
    // The drain began at 1,000 ms; the grace ran out while the service served on, as `ebb drain` left it.
    var service = Driven.drained { $0.grace = .seconds(10) }
    _ = service.at(60_000, .ended(1))
    #expect(service.at(60_000, .tick) == [.terminateDescendants])
    #expect(service.wake == 61_500)
    #expect(service.at(61_500, .tick) == [.killDescendants])
    #expect(service.at(61_510, .childless) == [.look])
  }
}

// MARK: - The platform's limit

@Suite struct `Before the platform kills, where no grace is given,` {
  /// Lives on from a moment on, with looks that find something left, and descendants that nothing ends: when it is done.
  private func end(of service: inout Driven, from moment: Int) -> (at: Int, kills: Int, terminates: Int) {
    var (now, kills, terminates, ticks) = (moment, 0, 0, 0)
    while let wake = service.wake, ticks < 5000 {
      ticks += 1
      now = max(now, wake)
      for action in service.at(now, .tick) {
        switch action {
        case .terminateDescendants: terminates += 1
        case .killDescendants: kills += 1
        case .look: _ = service.at(now, lingering(1))
        default: break
        }
      }
    }
    #expect(service.phase == .done)
    // No tick after tick at one moment.
    #expect(ticks < 1000)
    return (now, kills, terminates)
  }

  @Test func `ebb has waited for descendants and for last bytes, a second before`() {
    // The limit is 10 s after 1,000 ms.
    for ended in [1000, 2000, 5000, 7000, 8500, 9900] {
      var service = Driven.stopping()
      _ = service.at(ended, .ended(0))
      let done = end(of: &service, from: ended)
      #expect(done.at <= 10_000, "ended at \(ended)")
      #expect(done.terminates == 1, "ended at \(ended)")
      #expect(done.kills > 0, "ended at \(ended)")
    }
  }

  @Test func `ebb waits for last bytes alone, too`() {
    for ended in [2000, 8000] {
      var service = Driven.stopping { $0.lingerMax = .seconds(60) }
      _ = service.at(ended, .ended(0))
      _ = service.at(ended, .childless)
      #expect(end(of: &service, from: ended).at == 10_000)
    }
  }

  @Test func `ebb does not wait at all for who ends after that, but kills what it leaves behind`() {
    var service = Driven.stopping()
    _ = service.at(30_000, .ended(0))
    let done = end(of: &service, from: 30_000)
    #expect(done.at <= 31_000)
    #expect(done.kills > 0)
  }

  @Test func `three seconds are left for the end, however late the stop signal`() {
    // Who lets requests take longer than the limit knows of a longer one.
    var service = Driven.serving {
      $0.busyMax = .seconds(60)
      $0.lingerMax = .seconds(60)
    }
    _ = service.at(1000, .drainSignal(term))
    _ = service.at(40_000, busy(1))
    _ = service.at(41_000, .tick)
    #expect(service.at(41_000, quiet) == [.stop])
    _ = service.at(42_000, .ended(0))
    _ = service.at(42_000, .childless)
    #expect(end(of: &service, from: 42_000).at == 44_000)
  }

  @Test func `nothing is hurried of a service that nobody asked to stop`() {
    var service = Driven.serving()
    _ = service.at(60_000, .ended(0))
    #expect(end(of: &service, from: 60_000).at == 63_000)
  }
}

// MARK: - Lingering

@Suite struct `Lingering` {
  @Test func `ends with the last byte's acknowledgement`() {
    var service = Driven.lingering()
    #expect(service.at(2000, lingering(2)) == [])
    #expect(service.wake == 2020)
    #expect(service.at(2020, .tick) == [.look])
    #expect(service.at(2020, lingering(1)) == [])
    #expect(service.at(2040, .tick) == [.look])
    #expect(service.at(2040, quiet) == [.finish(7)])
  }

  @Test func `waits no longer than linger-max`() {
    var service = Driven.lingering { $0.lingerMax = .seconds(3) }
    _ = service.at(2000, lingering(1))
    _ = service.at(4990, .tick)
    #expect(service.at(4990, lingering(1)) == [])
    #expect(service.wake == 5000)
    #expect(service.at(5000, .tick) == [.finish(7)])
  }

  @Test func `does not look at all where linger-max is 0`() {
    var service = Driven.stopping { $0.lingerMax = .zero }
    _ = service.at(2000, .ended(0))
    #expect(service.at(2000, .childless) == [.finish(0)])
  }

  @Test func `is brief after a service that ended unasked`() {
    var service = Driven.serving { $0.lingerMax = .seconds(30) }
    _ = service.at(2000, .ended(9))
    #expect(service.at(2000, .childless) == [.look])
    _ = service.at(2000, lingering(1))
    _ = service.at(2990, .tick)
    _ = service.at(2990, lingering(1))
    #expect(service.wake == 3000)
    #expect(service.at(3000, .tick) == [.finish(9)])
  }

  @Test func `is not waited for for ever where a look is never answered`() {
    var service = Driven.lingering()
    #expect(service.wake == 7000)
    #expect(service.at(7000, .tick) == [.finish(7)])
  }

  @Test func `is over once, whatever comes behind`() {
    var service = Driven.lingering()
    #expect(service.at(2000, quiet) == [.finish(7)])
    for event: Event in [
      .ready, .drainSignal(term), .drainRequest, .signal(hangup), .ended(1), quiet,
      .onDrainEnded, .childless, .tick,
    ] {
      #expect(service.at(9000, event) == [])
      #expect(service.phase == .done)
      #expect(service.wake == nil)
    }
  }
}

// MARK: - The grace

@Suite struct `The grace` {
  @Test func `kills the main process half a second before its end, and not before`() {
    var service = Driven.stopping { $0.grace = .seconds(10) }
    #expect(service.wake == 10_500)
    #expect(service.at(10_499, .tick) == [])
    #expect(service.at(10_500, .tick) == [.killAll])
    #expect(service.at(10_501, .tick) == [])
    _ = service.at(10_510, .ended(137))
    #expect(service.at(10_510, .childless) == [.look])
    #expect(service.at(10_510, quiet) == [.finish(137)])
  }

  @Test func `keeps a tenth for the end where it is short`() {
    var service = Driven.stopping { $0.grace = .seconds(1) }
    #expect(service.wake == 1900)
    #expect(service.at(1900, .tick) == [.killAll])
  }

  @Test func `ends ebb even if the main process cannot be killed`() {
    var service = Driven.stopping { $0.grace = .seconds(10) }
    _ = service.at(10_500, .tick)
    #expect(service.wake == 10_875)
    #expect(service.at(10_875, .tick) == [.finish(137)])
  }

  @Test func `kills before it gives up, even if the tick comes after its end`() {
    var service = Driven.stopping { $0.grace = .seconds(10) }
    #expect(service.at(60_000, .tick) == [.killAll])
    #expect(service.at(60_000, .tick) == [.finish(137)])
  }

  @Test func `leaves a margin and a reserve to what comes after the stop signal`() {
    // Seconds of grace, and when the stop signal is due: after 60 %, and after all but four seconds.
    for (grace, latest) in [(1, 600), (5, 3000), (10, 6000), (30, 26_000)] {
      var service = Driven.serving {
        $0.lameDuck = .seconds(60)
        $0.grace = .seconds(grace)
        $0.limit = .seconds(grace)
      }
      _ = service.at(1000, .drainSignal(term))
      _ = service.at(1000 + latest - 1, .tick)
      #expect(service.at(1000 + latest - 1, quiet) == [])
      #expect(service.wake == 1000 + latest)
      #expect(service.at(1000 + latest, .tick) == [.look])
      #expect(service.at(1000 + latest, busy(1)) == [.stop])

      var busyMax = Driven.serving {
        $0.busyMax = .seconds(60)
        $0.grace = .seconds(grace)
        $0.limit = .seconds(grace)
      }
      _ = busyMax.at(1000, .drainSignal(term))
      #expect(busyMax.wake == 1000 + latest)
      #expect(busyMax.at(1000 + latest, .tick) == [.stop])
    }
  }

  @Test func `limits descendants and lingering as well`() {
    var service = Driven.stopping { $0.grace = .seconds(10) }
    _ = service.at(9000, .ended(0))
    #expect(service.at(9000, .tick) == [.terminateDescendants])
    #expect(service.wake == 10_500)
    #expect(service.at(10_500, .tick) == [.killDescendants])
    #expect(service.at(10_510, .childless) == [.look])
    #expect(service.at(10_510, lingering(4)) == [])
    var end = 0
    while let wake = service.wake {
      end = wake
      if service.at(wake, .tick) == [.look] { _ = service.at(wake, lingering(4)) }
    }
    #expect(end == 10_875)
    #expect(service.phase == .done)
  }

  @Test func `counts from the drain request, and leaves the signal after it two seconds`() {
    var early = Driven.drained { $0.grace = .seconds(10) }
    _ = early.at(3000, .drainSignal(term))
    #expect(early.wake == 10_500)

    var late = Driven.drained { $0.grace = .seconds(10) }
    _ = late.at(10_900, .drainSignal(term))
    #expect(late.wake == 12_400)
    #expect(late.at(12_400, .tick) == [.killAll])
  }

  @Test func `is not put off by further signals`() {
    var service = Driven.drained { $0.grace = .seconds(10) }
    _ = service.at(10_900, .drainSignal(term))
    for moment in [11_000, 11_950, 12_300] { _ = service.at(moment, .drainSignal(term)) }
    #expect(service.wake == 12_400)
  }

  @Test func `where there is none, never kills the main process`() {
    var service = Driven.stopping()
    #expect(service.wake == nil)
    #expect(service.at(1_000_000_000, .tick) == [])
    #expect(service.phase == .stopping)
  }

  @Test func `of a service that nobody asked to stop does not run`() {
    var service = Driven.serving { $0.grace = .seconds(10) }
    #expect(service.wake == nil)
    #expect(service.at(1_000_000_000, .tick) == [])
  }
}
