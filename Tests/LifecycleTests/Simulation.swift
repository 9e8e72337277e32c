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
  /// How often something woke ebb before the drain, in seconds, and how many times; 0: never.
  var sampling = (every: 0.0, times: 0)

  func run(_ drain: Drain) -> Outcome {
    var next = 0
    /// How many have come until a moment.
    func count(until time: Double) -> Int {
      while next < drain.arrivals.count && drain.arrivals[next] <= time { next += 1 }
      return next
    }
    var history = TrafficHistory()
    for sample in 0..<sampling.times {
      let time = Double(sample - sampling.times + 1) * sampling.every
      history.note(UInt64(count(until: time)), at: .milliseconds(1_000_000 + Int64(time * 1000)))
    }
    var plan = Plan()
    plan.lameDuck = .milliseconds(Int64(longest * 1000))
    plan.quietChance = chance
    plan.gap = history.gap
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
      _ = machine.actions(
        after:
          .look(Look(busy: 0, lingering: 0, arrivals: Arrivals(connections: now - seen))), at: wake)
      seen = now
    }
    return Outcome(left: time, last: max(0, drain.arrivals.last ?? 0))
  }
}
