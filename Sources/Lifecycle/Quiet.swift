/// Whether the traffic has gone quiet: observations with their times in, "quiet" or "look again at" out.
///
/// What is counted are looks of 100 ms in which anything new arrived, not arrivals: a burst is one look or a few,
/// however many come in it. n such looks in a time t make it likely that a silence of s is chance, if the traffic
/// goes on as before, with (1 + s/t)^-n (n events of a Poisson process whose rate is only known from them). Every
/// gap within the lame duck is a test, and there are m of them at most; so the silence that leaves too early no
/// more often than `chance` over the whole drain is t·((m/chance)^(1/n) − 1).
///
/// The last 16 looks with traffic decide, since a rate falls as endpoints leave one by one, and all of them
/// where that is longer, since a burst looks like a high rate. After fewer than 3 nothing can be concluded,
/// unless the time before the drain is known (``TrafficHistory``): then it is as if 16 looks of that had been
/// seen, and no silence shorter than theirs means anything. Where it is not known, none shorter than ``pause`` does: it may
/// be one of those that such traffic has.
public struct Quiet: Sendable {
  /// The time between two looks, and what counts as one event.
  public static var interval: Duration { .milliseconds(100) }
  /// How many of the last looks with traffic decide.
  static var window: Int { 16 }
  /// Fewer looks with traffic than this say nothing.
  static var fewest: Int { 3 }
  /// A pause of traffic of which nothing is known.
  static var pause: Int64 { 4000 }

  /// What is to be done.
  public enum Verdict: Equatable, Sendable {
    /// The traffic has left.
    case quiet
    /// It has not, or that cannot be told yet.
    case lookAgain(at: Duration)
  }

  private let began: Duration
  /// The lame duck's longest time, in milliseconds.
  private let longest: Int64
  private let chance: QuietChance
  /// New connections; what is left of a rate of theirs is known best.
  private var connections = Channel()
  /// Everything: new connections, and requests on those that are kept.
  private var everything = Channel()

  /// The traffic from a moment on, of which the mean times between two moments of it are known before, or not.
  public init(
    began: Duration, longest: Duration, chance: QuietChance, connectionGap: Duration? = nil,
    requestGap: Duration? = nil
  ) {
    self.began = began
    self.longest = max(1, longest.inMilliseconds)
    self.chance = chance
    if let connectionGap { connections = known(connectionGap) }
    if let gap = connectionGap ?? requestGap { everything = known(gap) }
  }

  private func known(_ gap: Duration) -> Channel {
    var channel = Channel(gap: gap.inMilliseconds)
    channel.least = silence(events: Quiet.window, in: channel.recent)
    return channel
  }

  /// Takes in what a look found, and says whether that is quiet.
  public mutating func take(_ arrivals: Arrivals?, at now: Duration) -> Verdict {
    let time = max(0, (now - began).inMilliseconds)
    guard let arrivals else {
      // Something may have come.
      connections.since = time
      everything.since = time
      return .lookAgain(at: now + Quiet.interval)
    }
    if arrivals.connections > 0 { connections.note(at: time) }
    if arrivals.connections > 0 || arrivals.requests > 0 { everything.note(at: time) }
    if isQuiet(at: time) { return .quiet }
    return .lookAgain(at: now + Quiet.interval)
  }

  /// Requests on kept connections matter: there have been too few new ones to judge by these alone.
  public var wantsRequests: Bool { !connections.isKnown }

  /// How many looks have found something new.
  public var looksWithTraffic: Int { everything.events }

  /// The silence that means something; nil where nothing can be concluded from what was seen.
  public var silence: Duration? { demanded.map { .milliseconds($0.silence) } }

  /// For how long nothing new has come.
  public func silent(at now: Duration) -> Duration {
    now - began - .milliseconds(deciding.since)
  }

  private func isQuiet(at time: Int64) -> Bool {
    guard let demanded else { return false }
    return time - demanded.since >= demanded.silence
  }

  /// New connections where there have been enough, while kept ones go on for ever; else everything.
  private var deciding: Channel { connections.isKnown ? connections : everything }

  /// Since when there has been silence, and how much of it is wanted, in milliseconds; nil: that cannot be told.
  private var demanded: (since: Int64, silence: Int64)? {
    let channel = deciding
    guard channel.hasHistory || channel.events >= Quiet.fewest else { return nil }
    var longest = channel.least
    if !channel.hasHistory || channel.events > Quiet.window {
      longest = max(longest, silence(events: channel.events, in: channel.last))
    }
    if channel.hasHistory || channel.events > Quiet.window {
      longest = max(longest, silence(events: Quiet.window, in: channel.recent))
    }
    return (channel.since, longest)
  }

  /// t·((m/chance)^(1/n) − 1), in milliseconds.
  private func silence(events: Int, in time: Int64) -> Int64 {
    let time = max(1, time)
    let gaps = max(1, min(Int64(events) &* longest / time, longest / 100))
    // Twice, since either of the two kinds may be mistaken.
    let root = powerOfTwo(chance.binaryLogarithm(2 * gaps) / UInt64(events))
    let product = UInt64(time).multipliedReportingOverflow(by: root - 65536)
    return product.overflow ? .max : Int64(product.partialValue >> 16)
  }

  /// The looks with traffic of one kind.
  private struct Channel {
    var events = 0
    /// When the last arrival was seen, in milliseconds since the beginning; in the beginning 0.
    var last: Int64 = 0
    /// Since when it is certain that nothing has come.
    var since: Int64 = 0
    /// The times of the last 17, a ring; within 24 days.
    private var times = InlineArray<17, Int32>(repeating: 0)
    let hasHistory: Bool
    /// The least silence that means something, in milliseconds.
    var least = Quiet.pause

    init() { hasHistory = false }

    /// One in which there was one every `gap` before.
    init(gap: Int64) {
      hasHistory = true
      // Not in self: Swift 6.3.1 can take stores into self within a loop of an init for dead.
      var times = times
      for index in 0..<17 { times[index] = Int32(clamping: Int64(index - 16) * min(gap, 1 << 40)) }
      self.times = times
    }

    /// Whether there were enough to go by these alone.
    var isKnown: Bool { hasHistory || events >= Quiet.window }

    mutating func note(at time: Int64) {
      // One look's worth is one event, however often it is asked.
      let isSame = events > 0 && time / 100 == last / 100
      last = time
      since = time
      if isSame { return }
      times[events % 17] = Int32(clamping: time)
      events += 1
    }

    /// The time that the last 16 took.
    var recent: Int64 { last - Int64(times[events % 17]) }
  }
}

/// What has arrived since the look before.
public struct Arrivals: Equatable, Sendable {
  /// New connections.
  public var connections: Int
  /// Connections that were there before, on which the client has sent something.
  public var requests: Int

  /// These.
  public init(connections: Int, requests: Int = 0) {
    self.connections = connections
    self.requests = requests
  }
}

/// How likely it may be that the traffic is taken for gone while it is not, in millionths.
public struct QuietChance: Equatable, Sendable {
  /// 1 to 1,000,000.
  public let millionths: UInt32

  /// So many millionths; nil where that is no chance.
  public init?(millionths: UInt32) {
    guard (1...1_000_000).contains(millionths) else { return nil }
    self.millionths = millionths
  }

  private init() { millionths = 1000 }

  /// One in a thousand.
  public static var standard: QuietChance { QuietChance() }

  /// log2(count / chance) in 65536ths, for a count from 1 to some billions.
  func binaryLogarithm(_ count: Int64) -> UInt64 {
    logarithmToBase2(UInt64(min(max(1, count), 1 << 40)) * 1_000_000 / UInt64(millionths))
  }
}

/// log2 of a number from 1 on, in 65536ths: a bit of the fraction for every squaring.
func logarithmToBase2(_ number: UInt64) -> UInt64 {
  let number = max(number, 1)
  var result = 63 - UInt64(number.leadingZeroBitCount)
  // From 1 to 2, with 31 bits behind the point.
  var mantissa = result > 31 ? number >> (result - 31) : number << (31 - result)
  var bits = 16
  while bits > 0 {
    mantissa = (mantissa * mantissa) >> 31
    let carry = mantissa >> 32
    mantissa >>= carry
    result = result << 1 | carry
    bits -= 1
  }
  return result
}

/// 2^(x/65536) in 65536ths, for x up to 32·65536; more is that.
func powerOfTwo(_ exponent: UInt64) -> UInt64 {
  // The square roots of 2, one after the other, each with 30 bits behind the point.
  var root: UInt64 = 1_518_500_250
  var result: UInt64 = 1 << 30
  var bit: UInt64 = 1 << 15
  while bit > 0 {
    if exponent & bit != 0 { result = (result * root) >> 30 }
    // Newton's steps from above; from a number so near to its root five of them are exact.
    let square = root << 30
    for _ in 0..<5 { root = (root + square / root) / 2 }
    bit >>= 1
  }
  return (result << min(exponent >> 16, 32)) >> 14
}
