/// What was seen of the traffic before the drain, one look every few seconds: how dense it was, and how even.
///
/// New connections are counted. From counts over seconds nobody can see what happens within one of them. But traffic that
/// comes in bursts makes counts that differ by more than chance: their variance over their mean (the index of dispersion,
/// 1 for independent arrivals) is about how many come in one burst. So so many times fewer events are reckoned with.
///
/// Of requests on kept connections each look tells how long ago the last one was. In the mean that is the time between two,
/// where they come independently of each other; pauses make it longer, and each look that falls into one tells of it.
public struct TrafficHistory: Sendable {
  /// The time from one look to the next, at least.
  public static var spacing: Duration { .seconds(5) }
  /// It is up to so much longer, in milliseconds, each time by another part of that: bursts that come evenly would else be
  /// met at the same place over and over.
  static var unevenness: Int64 { 1500 }
  /// Looks further apart than this tell of different times.
  static var longestSpacing: Int64 { 60_000 }
  /// From so many times between two looks on there is something to say of how they vary.
  static var fewest: Int { 16 }
  /// Only so many of the last are kept.
  static var most: Int { 33 }
  /// Fewer connections than this in 1,000 seconds may be probes alone.
  static var lowestRate: UInt64 { 3000 }

  private struct Look {
    /// In milliseconds.
    let at: Int64
    /// How many connections had been accepted until then.
    let count: UInt64
    /// How long ago the last request on a kept connection was; nil where that was not seen.
    let silence: Int64?
  }

  /// In order.
  private var looks: [Look] = []
  /// How many there have been.
  private var number: Int64 = 0

  /// Nothing yet.
  public init() {}

  /// When the last look was; nil before the first.
  public var lastLook: Duration? { looks.last.map { .milliseconds($0.at) } }

  /// How long after the last look the next one is to be.
  public var untilNext: Duration {
    // By the golden section of it each time, so that they soon lie everywhere within it.
    TrafficHistory.spacing + .milliseconds(number * 927 % TrafficHistory.unevenness)
  }

  /// Takes a look in: so many connections have been accepted by now, and so long ago was the last request on one of those
  /// that are open.
  public mutating func note(_ count: UInt64, silence: Duration? = nil, at now: Duration) {
    let time = now.inMilliseconds
    if let last = looks.last {
      if time <= last.at { return }
      if count < last.count || time - last.at > TrafficHistory.longestSpacing { looks.removeAll() }
    }
    number = (number + 1) % TrafficHistory.unevenness
    if looks.count >= TrafficHistory.most { looks.removeFirst() }
    looks.append(Look(at: time, count: count, silence: silence.map { max(0, $0.inMilliseconds) }))
  }

  /// Connections in 1,000 seconds; nil before the second look.
  public var rate: UInt64? {
    guard let first = looks.first, let last = looks.last, looks.count > 1 else { return nil }
    return TrafficHistory.rate(last.count - first.count, last.at - first.at)
  }

  /// New connections come so often that they tell more than the requests on kept ones.
  public var isOfConnections: Bool { rate.map { $0 >= TrafficHistory.lowestRate } ?? false }

  /// The mean time between two moments with new connections; nil where that is not known.
  public var connectionGap: Duration? {
    guard looks.count > TrafficHistory.fewest, let rate, isOfConnections else { return nil }
    // Between neighbours, so that a rate that changes slowly is no burst.
    var sum: UInt64 = 0
    for index in 2..<looks.count {
      let (one, two, three) = (looks[index - 2], looks[index - 1], looks[index])
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
    let dispersion = max(1_000_000, sum / UInt64(looks.count - 2) * 128)
    // A burst's share of the rate, and the look in which it falls.
    return .milliseconds(Int64(dispersion / rate)) + Quiet.interval
  }

  /// The same of requests on kept connections.
  public var requestGap: Duration? {
    var (sum, count): (Int64, Int64) = (0, 0)
    for look in looks {
      guard let silence = look.silence else { continue }
      sum += min(silence, 1 << 40)
      count += 1
    }
    return count > TrafficHistory.fewest ? .milliseconds(sum / count) + Quiet.interval : nil
  }

  /// At most a million a second, so that its square is a number still.
  private static func rate(_ count: UInt64, _ milliseconds: Int64) -> UInt64 {
    min(min(count, 1 << 40) * 1_000_000 / UInt64(max(1, milliseconds)), 1_000_000_000)
  }
}
