#if canImport(Lifecycle)
  @testable import Lifecycle
#endif

/// What became of one drain.
struct Outcome {
  /// When the lame duck ended, in seconds.
  var left: Double
  /// When the last request came; 0 where none did.
  var last: Double
  /// Requests came after it had ended.
  var isEarly: Bool { last > left }
}

/// How the drain of a service goes whose traffic is this.
struct Simulation {
  /// The longest lame duck, in seconds.
  var longest = 10.0
  /// The chance that is promised.
  var chance = QuietChance.standard
  /// For how long the traffic was looked at before the drain, in seconds.
  var life = 0.0
  /// It comes on a pool of kept connections, else each request on a new one.
  var isPool = false

  func run(_ drain: Drain) -> Outcome {
    var next = 0
    /// How many have come until a moment.
    func count(until time: Double) -> Int {
      while next < drain.arrivals.count && drain.arrivals[next] <= time { next += 1 }
      return next
    }
    var history = TrafficHistory()
    var moment = -life
    while moment <= 0 && life > 0 {
      let count = count(until: moment)
      let silence = count > 0 ? moment - drain.arrivals[count - 1] : 0
      let now = Duration.milliseconds(1_000_000 + Int64(moment * 1000))
      history.note(
        UInt64(isPool ? 0 : count), silence: isPool ? .milliseconds(Int64(silence * 1000)) : nil, at: now)
      moment += Double(history.untilNext.inMilliseconds) / 1000
    }
    var plan = Plan()
    plan.lameDuck = .milliseconds(Int64(longest * 1000))
    plan.quietChance = chance
    plan.connectionGap = history.connectionGap
    plan.requestGap = history.requestGap
    var machine = Lifecycle(plan: plan)
    _ = machine.actions(after: .ready, at: .zero)
    _ = machine.actions(after: .drainSignal(SignalNumber(15)), at: .zero)
    var seen = count(until: 0)
    var time = 0.0
    while !machine.isFinishing, let wake = machine.wake {
      time = Double(wake.inNanoseconds) * 1e-9
      let actions = machine.actions(after: .tick, at: wake)
      if !actions.contains(.look) || machine.isFinishing { continue }
      let now = count(until: time)
      let arrivals =
        isPool ? Arrivals(connections: 0, requests: now - seen) : Arrivals(connections: now - seen)
      _ = machine.actions(after: .look(Look(busy: 0, lingering: 0, arrivals: arrivals)), at: wake)
      seen = now
    }
    return Outcome(left: time, last: max(0, drain.arrivals.last ?? 0))
  }
}
