import Linux

/// How many connections this network namespace has accepted: Tcp PassiveOpens of /proc/net/snmp, RFC 4022
/// tcpPassiveOpens.
public enum AcceptedConnections {
  /// The count since the namespace was made; nil where it cannot be read.
  public static var count: UInt64? {
    guard let file = try? File.read(CString("/proc/net/snmp"), limit: 8192) else { return nil }
    return count(in: file)
  }

  /// The count in the text of /proc/net/snmp, which has a line of names and a line of values for a protocol.
  static func count(in file: [UInt8]) -> UInt64? {
    var names: ArraySlice<UInt8>?
    for line in file.split(separator: UInt8(ascii: "\n")) where Array(line).hasPrefix("Tcp: ") {
      guard let heads = names else {
        names = line
        continue
      }
      let fields = line.split(separator: UInt8(ascii: " "))
      guard
        let index = heads.split(separator: UInt8(ascii: " ")).firstIndex(where: {
          Array($0) == "PassiveOpens"
        }),
        index < fields.count
      else { return nil }
      return decimal(fields[index])
    }
    return nil
  }
}
