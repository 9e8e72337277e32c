import CLinux
import Linux

/// The address of one end of a socket: an IPv4 or IPv6 address and a port.
public struct Endpoint: Equatable, Sendable {
  /// Whether the address is an IPv6 one (an IPv4 address mapped into IPv6 is).
  public var isIPv6: Bool
  /// The first 8 bytes of an IPv6 address, as a number; 0 for IPv4.
  public var high: UInt64
  /// The last 8 bytes of an IPv6 address, or the 4 of an IPv4 one, as a number.
  public var low: UInt64
  /// The port, 0 where there is none (yet, or any more).
  public var port: UInt16

  /// An end with these parts.
  public init(isIPv6: Bool, high: UInt64, low: UInt64, port: UInt16) {
    self.isIPv6 = isIPv6
    self.high = high
    self.low = low
    self.port = port
  }

  /// The address in text, inet_pton(3), with no port; nil where it is none.
  public init?(address text: CString) {
    var high: UInt64 = 0
    var low: UInt64 = 0
    let family = clinux_parse_address(text.pointer, &high, &low)
    if family == 0 { return nil }
    self.init(isIPv6: family == 6, high: high, low: low, port: 0)
  }

  /// A port of the loopback address, 127.0.0.1 or ::1.
  public static func loopback(_ port: UInt16, isIPv6: Bool) -> Endpoint {
    Endpoint(isIPv6: isIPv6, high: 0, low: isIPv6 ? 1 : 0x7f00_0001, port: port)
  }

  /// Whether it is every address of the host: 0.0.0.0 or ::.
  public var isUnspecified: Bool { high == 0 && low == 0 }

  /// The IPv4 address in it: of its own, or mapped into IPv6 (::ffff:a.b.c.d).
  public var ipv4: UInt32? {
    if !isIPv6 { return UInt32(truncatingIfNeeded: low) }
    return high == 0 && low >> 32 == 0xffff ? UInt32(truncatingIfNeeded: low) : nil
  }
}

extension Endpoint: TextRepresentable {
  /// "10.0.0.1:8080", "[2001:db8::1]:8080" (RFC 5952), "[::ffff:10.0.0.1]:8080".
  public func write(to text: inout Text) {
    if isIPv6 {
      text.append("[")
      writeIPv6(to: &text)
      text.append("]")
    } else {
      Endpoint.write(ipv4: UInt32(truncatingIfNeeded: low), to: &text)
    }
    text.append(":")
    text.append(port)
  }

  private static func write(ipv4 address: UInt32, to text: inout Text) {
    var shift: UInt32 = 32
    while shift > 0 {
      shift -= 8
      text.append(address >> shift & 0xff)
      if shift > 0 { text.append(".") }
    }
  }

  private func group(_ index: Int) -> UInt64 {
    index < 4 ? high >> UInt64(48 - 16 * index) & 0xffff : low >> UInt64(112 - 16 * index) & 0xffff
  }

  private func writeIPv6(to text: inout Text) {
    if let mapped = ipv4 {
      text.append("::ffff:")
      Endpoint.write(ipv4: mapped, to: &text)
      return
    }
    // The longest run of two or more zero groups, the first of equals, becomes "::".
    var best = (start: 8, count: 1)
    var index = 0
    while index < 8 {
      var end = index
      while end < 8 && group(end) == 0 { end += 1 }
      if end - index > best.count { best = (index, end - index) }
      index = max(end, index + 1)
    }
    index = 0
    while index < 8 {
      if index == best.start {
        text.append("::")
        index += best.count
        continue
      }
      text.append(hexadecimal: group(index))
      index += 1
      if index < 8 && index != best.start { text.append(":") }
    }
  }
}
