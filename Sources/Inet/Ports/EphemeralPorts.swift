import Linux

/// The ports that outgoing connections are given, ip(7) ip_local_port_range.
public enum EphemeralPorts {
  /// The range, nil where it cannot be read.
  public static var range: ClosedRange<UInt16>? {
    guard let text = try? File.read(CString("/proc/sys/net/ipv4/ip_local_port_range"), limit: 64) else {
      return nil
    }
    return range(in: text)
  }

  /// The range in the text of that file.
  static func range(in text: [UInt8]) -> ClosedRange<UInt16>? {
    let fields = text.split {
      $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n")
    }
    guard fields.count == 2, let low = decimal(fields[0]).flatMap({ UInt16(exactly: $0) }),
      let high = decimal(fields[1]).flatMap({ UInt16(exactly: $0) }), low <= high
    else { return nil }
    return low...high
  }

  /// Whether an outgoing connection may be given this port: in the range, and not in ip_local_reserved_ports.
  public static func contain(_ port: UInt16) -> Bool {
    guard let range, range.contains(port) else { return false }
    return !isListed(port, in: reserved)
  }

  /// How many ports of a range are not in ip_local_reserved_ports.
  static func count(in range: ClosedRange<UInt16>) -> Int {
    let reserved = ranges(in: reserved)
    if reserved.isEmpty { return range.count }
    var count = 0
    for port in range where !reserved.contains(where: { $0.contains(UInt64(port)) }) { count += 1 }
    return count
  }

  /// The text of ip_local_reserved_ports; empty where it cannot be read.
  private static var reserved: [UInt8] {
    (try? File.read(CString("/proc/sys/net/ipv4/ip_local_reserved_ports"), limit: 65536)) ?? []
  }

  /// Whether a port is in a list like "8080,9000-9010".
  static func isListed(_ port: UInt16, in list: [UInt8]) -> Bool {
    ranges(in: list).contains { $0.contains(UInt64(port)) }
  }

  /// What such a list has, item by item; what makes no sense is left out.
  private static func ranges(in list: [UInt8]) -> [ClosedRange<UInt64>] {
    var ranges: [ClosedRange<UInt64>] = []
    for item in list.split(whereSeparator: { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "\n") }) {
      let ends = item.split(separator: UInt8(ascii: "-"))
      guard let low = ends.first.flatMap({ decimal($0) }), let high = ends.last.flatMap({ decimal($0) }),
        low <= high
      else { continue }
      ranges.append(low...high)
    }
    return ranges
  }
}
