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
    var file = file[...]
    guard var names = line(head, &file), var values = line(head, &file) else { return nil }
    while let heading = names.next(before: UInt8(ascii: " ")),
      let value = values.next(before: UInt8(ascii: " "))
    {
      if heading.count == name.utf8CodeUnitCount && heading.hasPrefix(name) { return decimal(value) }
    }
    return nil
  }

  /// The next line that begins like this.
  private static func line(_ head: StaticString, _ file: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    while let line = file.next(before: UInt8(ascii: "\n")) {
      if line.hasPrefix(head) { return line }
    }
    return nil
  }
}

/// Multipath TCP in this network namespace, RFC 8684.
public enum Multipath {
  /// Whether a client has asked for it since the namespace was made: MPTcpExt MPCapableSYNRX of /proc/net/netstat.
  public static var isInUse: Bool {
    KernelCounters.value("MPTcpExt: ", "MPCapableSYNRX", in: CString("/proc/net/netstat")).map { $0 > 0 }
      ?? false
  }
}
