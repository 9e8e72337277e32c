/// How many connections had been accepted at some moments before the drain, as whatever woke ebb then gave the
/// occasion to note: how dense the traffic was, and how even.
///
/// From counts over seconds nobody can see what happens within one of them. But traffic that comes in bursts makes
/// counts that differ by more than chance: their variance over their mean (the index of dispersion, 1 for
/// independent arrivals) is about how many come in one burst. So so many times fewer events are reckoned with.
public struct TrafficHistory: Sendable {
  /// How long after a sample the next one is taken.
  public static var spacing: Duration { .seconds(4) }
  /// Samples further apart than this tell of different times.
  static var longestSpacing: Int64 { 60_000 }
  /// From so many times between two samples on there is something to say of how they vary.
  static var fewest: Int { 8 }
  /// Fewer connections than this in 1,000 seconds may be probes alone.
  static var lowestRate: UInt64 { 3000 }

  /// When, in milliseconds, and how many until then; at most 17, in order.
  private var samples: [(at: Int64, count: UInt64)] = []

  /// Nothing yet.
  public init() {}

  /// Whether it is time for a sample.
  public func wantsSample(at now: Duration, spacing: Duration = TrafficHistory.spacing) -> Bool {
    guard let last = samples.last else { return true }
    return now.inMilliseconds - last.at >= spacing.inMilliseconds
  }

  /// Takes a sample: so many connections have been accepted by now.
  public mutating func note(_ count: UInt64, at now: Duration) {
    let time = now.inMilliseconds
    if let last = samples.last {
      if time <= last.at { return }
      if count < last.count || time - last.at > TrafficHistory.longestSpacing { samples.removeAll() }
    }
    if samples.count > Quiet.window { samples.removeFirst() }
    samples.append((time, count))
  }

  /// Connections in 1,000 seconds; nil before the second sample.
  public var rate: UInt64? {
    guard let first = samples.first, let last = samples.last, samples.count > 1 else { return nil }
    return TrafficHistory.rate(last.count - first.count, last.at - first.at)
  }

  /// The mean time between two looks with traffic; nil where that is not known.
  public var gap: Duration? {
    guard samples.count > TrafficHistory.fewest, let rate, rate >= TrafficHistory.lowestRate else {
      return nil
    }
    // Between neighbours, so that a rate that changes slowly is no burst.
    var sum: UInt64 = 0
    for index in 2..<samples.count {
      let (one, two, three) = (samples[index - 2], samples[index - 1], samples[index])
      let (before, after) = (two.at - one.at, three.at - two.at)
      let first = TrafficHistory.rate(two.count - one.count, before)
      let second = TrafficHistory.rate(three.count - two.count, after)
      let difference = max(first, second) - min(first, second)
      // In millionths: both rates vary by their mean over their time.
      let weight = UInt64(before * after / (before + after))
      let square = (difference * difference / rate).multipliedReportingOverflow(by: weight)
      if square.overflow { return .seconds(3600) }
      sum += square.partialValue / 128
    }
    let dispersion = max(1_000_000, sum / UInt64(samples.count - 2) * 128)
    // A burst's share of the rate, and the look in which it falls.
    return .milliseconds(Int64(dispersion / rate)) + Quiet.interval
  }

  /// At most a million a second, so that its square is a number still.
  private static func rate(_ count: UInt64, _ milliseconds: Int64) -> UInt64 {
    min(min(count, 1 << 40) * 1_000_000 / UInt64(max(1, milliseconds)), 1_000_000_000)
  }
}
