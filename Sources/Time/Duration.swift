/// A length of time, in whole nanoseconds; also a moment, as the time since some fixed one.
///
/// In the place of the standard library's own `Duration`, and called and used like it: that one counts
/// attoseconds in 128 bits, and each sum and comparison of it is a call. 64 bits of nanoseconds reach 292 years;
/// a longer time is 292 years. Sums wrap rather than trap, since PID 1 may not.
public struct Duration: Comparable, Hashable, Sendable {
  /// The nanoseconds.
  public var inNanoseconds: Int64

  /// So many nanoseconds.
  @inline(__always) public init(nanoseconds: Int64) { inNanoseconds = nanoseconds }

  @inline(__always) private init(_ count: some BinaryInteger, times scale: Int64) {
    let (nanoseconds, isTooLarge) = Int64(clamping: count).multipliedReportingOverflow(by: scale)
    self.init(nanoseconds: isTooLarge ? (count < 0 ? .min : .max) : nanoseconds)
  }

  /// No time.
  public static var zero: Duration { Duration(nanoseconds: 0) }

  /// So many seconds.
  @inline(__always) public static func seconds(_ count: some BinaryInteger) -> Duration {
    Duration(count, times: 1_000_000_000)
  }
  /// So many thousandths of a second.
  @inline(__always) public static func milliseconds(_ count: some BinaryInteger) -> Duration {
    Duration(count, times: 1_000_000)
  }
  /// So many millionths of a second.
  @inline(__always) public static func microseconds(_ count: some BinaryInteger) -> Duration {
    Duration(count, times: 1_000)
  }
  /// So many nanoseconds.
  @inline(__always) public static func nanoseconds(_ count: some BinaryInteger) -> Duration {
    Duration(nanoseconds: Int64(truncatingIfNeeded: count))
  }

  /// The whole milliseconds in it.
  @inline(__always) public var inMilliseconds: Int64 { inNanoseconds / 1_000_000 }

  /// From short to long.
  @inline(__always) public static func < (left: Duration, right: Duration) -> Bool {
    left.inNanoseconds < right.inNanoseconds
  }
  /// The two after each other.
  @inline(__always) public static func + (left: Duration, right: Duration) -> Duration {
    Duration(nanoseconds: left.inNanoseconds &+ right.inNanoseconds)
  }
  /// What the first is longer than the second.
  @inline(__always) public static func - (left: Duration, right: Duration) -> Duration {
    Duration(nanoseconds: left.inNanoseconds &- right.inNanoseconds)
  }
  /// Adds a time.
  @inline(__always) public static func += (left: inout Duration, right: Duration) { left = left + right }
  /// So many times as long.
  @inline(__always) public static func * (left: Duration, factor: some BinaryInteger) -> Duration {
    Duration(nanoseconds: left.inNanoseconds &* Int64(truncatingIfNeeded: factor))
  }
  /// One of so many equal parts, not of none.
  @inline(__always) public static func / (left: Duration, parts: some BinaryInteger) -> Duration {
    Duration(nanoseconds: left.inNanoseconds / Int64(truncatingIfNeeded: parts))
  }
}
