import Linux

/// When requests come that do not wait for each other: so many a second, evenly or independently of each other
/// (a Poisson process), all the time or in bursts.
struct Arrivals {
  /// How long they come, and how long none does, over and over.
  struct Bursts {
    let on: Duration
    let off: Duration
  }

  private let interval: Double
  private let isPoisson: Bool
  private let bursts: Bursts?
  private var random: RandomNumbers
  private var count = 0.0
  /// How much of the time in which they come has passed, in nanoseconds.
  private var active = 0.0

  /// Arrivals with a mean rate over all of the time, bursts or not.
  init(rate: Double, isPoisson: Bool, bursts: Bursts? = nil, seed: UInt64) {
    self.isPoisson = isPoisson
    self.bursts = bursts
    random = RandomNumbers(seed: seed)
    var share = 1.0
    if let bursts {
      share = Double(bursts.on.inNanoseconds) / Double((bursts.on + bursts.off).inNanoseconds)
    }
    interval = 1e9 / rate * share
  }

  /// The next one, counted from the start. The first of even ones is at the start.
  mutating func next() -> Duration {
    if isPoisson {
      active += random.exponential() * interval
    } else {
      // Counted from the start, so that roundings do not add up.
      active = count * interval
    }
    count += 1
    guard let bursts else { return .nanoseconds(Int64(active)) }
    let on = Double(bursts.on.inNanoseconds)
    // Whole cycles: cut off by way of an integer, which needs no mathematical library.
    let cycles = Double(Int64(active / on))
    return .nanoseconds(Int64(active + cycles * Double(bursts.off.inNanoseconds)))
  }
}
