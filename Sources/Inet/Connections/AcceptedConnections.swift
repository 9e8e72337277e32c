import Linux

/// How many connections this network namespace has accepted: Tcp PassiveOpens of /proc/net/snmp, RFC 4022
/// tcpPassiveOpens.
public enum AcceptedConnections {
  /// The count since the namespace was made; nil where it cannot be read.
  public static var count: UInt64? {
    KernelCounters.value("Tcp: ", "PassiveOpens", in: CString("/proc/net/snmp"))
  }
}

/// The counters of /proc/net/snmp and /proc/net/netstat: a line of names and a line of values for a protocol.
enum KernelCounters {
  /// A counter; nil where it cannot be read.
  static func value(_ head: StaticString, _ name: StaticString, in path: CString) -> UInt64? {
    guard let file = try? File.read(path, limit: 32768) else { return nil }
    return value(head, name, in: file)
  }

  /// A counter in the text of such a file.
  static func value(_ head: StaticString, _ name: StaticString, in file: [UInt8]) -> UInt64? {
    var names: ArraySlice<UInt8>?
    for line in file.split(separator: UInt8(ascii: "\n")) where Array(line).hasPrefix(head) {
      guard let heads = names else {
        names = line
        continue
      }
      let fields = line.split(separator: UInt8(ascii: " "))
      guard let index = heads.split(separator: UInt8(ascii: " ")).firstIndex(where: { Array($0) == name }),
        index < fields.count
      else { return nil }
      return decimal(fields[index])
    }
    return nil
  }
}
