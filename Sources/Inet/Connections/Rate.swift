import Linux

/// How often something happens, to a thousandth of an event a second; whole numbers, so that no floating-point
/// library comes into the binary.
public struct Rate: Equatable, Comparable, Sendable {
  /// Events in 1,000 seconds.
  public let perThousandSeconds: Int64

  /// So many events in so long a time, which must not be zero.
  public init(count: UInt64, in time: Duration) {
    let milliseconds = UInt64(max(1, time.inMilliseconds))
    perThousandSeconds = Int64(clamping: min(count, 1 << 40) * 1_000_000 / milliseconds)
  }

  /// From rare to frequent.
  public static func < (left: Rate, right: Rate) -> Bool {
    left.perThousandSeconds < right.perThousandSeconds
  }
}

extension Rate: TextRepresentable {
  /// "9.8": events a second, with one decimal.
  public func write(to text: inout Text) {
    let tenths = (perThousandSeconds + 50) / 100
    text.append(tenths / 10)
    text.append(".")
    text.append(tenths % 10)
  }
}
