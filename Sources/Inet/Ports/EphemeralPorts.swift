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

  /// The range in the text of that file: two numbers with a tab between them.
  static func range(in text: [UInt8]) -> ClosedRange<UInt16>? {
    var rest = text[...]
    for index in rest.indices where rest[index] == UInt8(ascii: "\t") || rest[index] == UInt8(ascii: "\n") {
      rest[index] = UInt8(ascii: " ")
    }
    let (low, high) = (port(&rest), port(&rest))
    guard let low, let high, low <= high, rest.next(before: UInt8(ascii: " ")) == nil else { return nil }
    return low...high
  }

  private static func port(_ text: inout ArraySlice<UInt8>) -> UInt16? {
    text.next(before: UInt8(ascii: " ")).flatMap { decimal($0) }.flatMap { UInt16(exactly: $0) }
  }

  /// Whether an outgoing connection may be given this port: in the range, and not in ip_local_reserved_ports.
  public static func contain(_ port: UInt16) -> Bool {
    guard let range, range.contains(port) else { return false }
    return !isListed(port, in: reserved)
  }

  /// How many ports of a range are not in ip_local_reserved_ports.
  static func count(in range: ClosedRange<UInt16>) -> Int {
    let list = reserved
    // None, which is a newline: nothing need be counted.
    if list.count <= 1 { return range.count }
    let marks = marks(list)
    var count = 0
    for port in Int(range.lowerBound)...Int(range.upperBound) where marks[port] == 0 { count += 1 }
    return count
  }

  /// The text of ip_local_reserved_ports; empty where it cannot be read.
  private static var reserved: [UInt8] {
    (try? File.read(CString("/proc/sys/net/ipv4/ip_local_reserved_ports"), limit: 65536)) ?? []
  }

  /// Whether a port is in a list like "8080,9000-9010".
  static func isListed(_ port: UInt16, in list: [UInt8]) -> Bool { marks(list)[Int(port)] != 0 }

  /// A 1 for each port that such a list has, and a 0 for each other; what makes no sense is left out.
  private static func marks(_ list: [UInt8]) -> [UInt8] {
    var marks = [UInt8](repeating: 0, count: 65536)
    var lines = list[...]
    while var line = lines.next(before: UInt8(ascii: "\n")) {
      while var item = line.next(before: UInt8(ascii: ",")) {
        guard let first = item.next(before: UInt8(ascii: "-")) else { continue }
        var last = first
        while let end = item.next(before: UInt8(ascii: "-")) { last = end }
        guard let low = decimal(first), let high = decimal(last) else { continue }
        var port = low
        while port <= high && port < 65536 {
          marks[Int(port)] = 1
          port += 1
        }
      }
    }
    return marks
  }
}
