import Glibc

extension Random {
  /// From 0 to 1, neither of them.
  mutating func unit() -> Double { (Double(next() >> 11) + 0.5) / 9_007_199_254_740_992 }
  mutating func uniform(_ low: Double, _ high: Double) -> Double { low + (high - low) * unit() }
  /// As often from 1 to 2 as from 10 to 20.
  mutating func logarithmic(_ low: Double, _ high: Double) -> Double { low * pow(high / low, unit()) }
  mutating func exponential(mean: Double) -> Double { -mean * log(unit()) }
}

/// How traffic comes to a service that is being taken out of rotation.
enum Pattern: CaseIterable {
  /// Independent users.
  case poisson
  /// One every so often, to within a tenth.
  case periodic
  /// Several at once, 2 to 50, at random moments: pages with all that is on them.
  case batches
  /// Traffic for a while, then none for a while, each up to a second, or up to three.
  case shortBursts, longBursts
  /// The rate falls to nothing, in a straight line or by halves.
  case falling
  /// 2 to 20 load balancers with an equal part each, which hear of it at moments of their own.
  case oneByOne

  var name: String {
    switch self {
    case .poisson: "Poisson"
    case .periodic: "periodic"
    case .batches: "batches of 2 to 50"
    case .shortBursts: "on and off, to 1 s"
    case .longBursts: "on and off, to 3 s"
    case .falling: "falling slowly"
    case .oneByOne: "leaving one by one"
    }
  }
}

/// One drain's arrivals, in seconds since it began, and those of the time before.
struct Drain {
  let rate: Double
  /// When the service is out of rotation.
  let removal: Double
  /// In rising order, from ``history`` on.
  private(set) var arrivals: [Double] = []
  /// How long before the drain the arrivals begin.
  let history: Double

  /// A drain of a service that got up to `fastest` arrivals a second; out of rotation after up to 9 s, or just then.
  init(
    _ pattern: Pattern, history: Double, _ random: inout Random, fastest: Double = 500,
    removal fixed: Double? = nil
  ) {
    rate = random.logarithmic(0.5, fastest)
    removal = fixed ?? random.uniform(0, 9)
    self.history = history
    let end = max(removal, 0.001)
    switch pattern {
    case .poisson: poisson(rate, until: end, &random)
    case .periodic:
      let interval = 1 / rate
      var time = interval * random.unit() - history
      while time < end {
        arrivals.append(time)
        time += interval * random.uniform(0.9, 1.1)
      }
    case .batches: poisson(rate / random.logarithmic(2, 50), until: end, &random)
    case .shortBursts: bursts(longest: 1, &random)
    case .longBursts: bursts(longest: 3, &random)
    case .falling:
      let isLinear = random.chance(50)
      poisson(rate, until: end, &random) { time in
        time < 0 ? 1 : isLinear ? 1 - time / end : pow(0.5, time / end * 6)
      }
    case .oneByOne:
      let count = Int(random.logarithmic(2, 20.99))
      var leave = (1..<count).map { _ in random.uniform(0, removal) }
      leave.append(removal)
      leave.sort()
      poisson(rate, until: end, &random) { time in
        Double(leave.count { $0 > time }) / Double(count)
      }
    }
  }

  private mutating func poisson(
    _ rate: Double, until end: Double, _ random: inout Random, thinned: ((Double) -> Double)? = nil
  ) {
    var time = random.exponential(mean: 1 / rate) - history
    while time < end {
      if thinned.map({ random.unit() < $0(time) }) ?? true { arrivals.append(time) }
      time += random.exponential(mean: 1 / rate)
    }
  }

  /// Both times are the same ones over and over, or random with these means.
  private mutating func bursts(longest: Double, _ random: inout Random) {
    let on = random.logarithmic(0.02, longest)
    let off = random.logarithmic(0.05, longest)
    let isRegular = random.chance(50)
    let within = rate * (on + off) / on
    var time = -history - random.uniform(0, on + off)
    while time < removal {
      let ends = time + (isRegular ? on : random.exponential(mean: on))
      while true {
        time += random.exponential(mean: 1 / within)
        if time >= min(ends, removal) { break }
        if time > -history { arrivals.append(time) }
      }
      time = ends + (isRegular ? off : random.exponential(mean: off))
    }
  }
}
