import Inet
import Lifecycle
import Linux
import Supervisor

/// The values of options: bytes in, a value or nil out.
enum Values {
  /// "8080,8443,53/udp": each from 1 to 65535, 64 of either kind at most.
  static func ports(_ text: CString) -> (tcp: [UInt16], udp: [UInt16])? {
    var tcp: [UInt16] = []
    var udp: [UInt16] = []
    for item in items(text) {
      let parts = item.split(separator: UInt8(ascii: "/"), maxSplits: 1, omittingEmptySubsequences: false)
      guard let number = decimal(parts[0]).flatMap({ UInt16(exactly: $0) }), number > 0 else { return nil }
      if parts.count == 1 || Array(parts[1]) == "tcp" {
        if !tcp.contains(number) { tcp.append(number) }
      } else if Array(parts[1]) == "udp" {
        if !udp.contains(number) { udp.append(number) }
      } else {
        return nil
      }
    }
    return tcp.count <= 64 && udp.count <= 64 ? (tcp, udp) : nil
  }

  /// "TERM,INT".
  static func signals(_ text: CString) -> [Signal]? {
    var signals: [Signal] = []
    for item in items(text) {
      guard let signal = Signal(named: Array(item)) else { return nil }
      signals.append(signal)
    }
    return signals
  }

  /// "TERM:QUIT,HUP:0".
  static func rewrites(_ text: CString) -> [(from: Signal, to: Signal?)]? {
    var pairs: [(from: Signal, to: Signal?)] = []
    for item in items(text) {
      let parts = item.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      guard parts.count == 2, let from = Signal(named: Array(parts[0])) else { return nil }
      let to = Signal(named: Array(parts[1]))
      if to == nil && !(Array(parts[1]) == "0") { return nil }
      pairs.append((from, to))
    }
    return pairs
  }

  /// "143=0,1=2".
  static func exitCodes(_ text: CString) -> [(from: UInt8, to: UInt8)]? {
    var pairs: [(from: UInt8, to: UInt8)] = []
    for item in items(text) {
      let parts = item.split(separator: UInt8(ascii: "="), omittingEmptySubsequences: false)
      guard parts.count == 2, let from = decimal(parts[0]).flatMap({ UInt8(exactly: $0) }),
        let to = decimal(parts[1]).flatMap({ UInt8(exactly: $0) })
      else { return nil }
      pairs.append((from, to))
    }
    return pairs
  }

  /// "250ms", "10s", "2m".
  static func duration(
    _ text: CString, _ source: UsageError.Source, orAuto: Bool = false
  ) throws(UsageError) -> Duration {
    guard let duration = Duration(written: text.bytes) else {
      throw UsageError(
        source, text,
        expected: orAuto ? "auto or a time, like 250ms, 10s or 2m" : "a time, like 250ms, 10s or 2m")
    }
    return duration
  }

  /// "0.001": from a millionth to 1.
  static func chance(_ text: CString, _ source: UsageError.Source) throws(UsageError) -> QuietChance {
    let parts = text.bytes.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
    var millionths = decimal(parts[0]).map { min($0, 2) * 1_000_000 }
    if parts.count == 2 {
      let decimals =
        parts[1].count <= 6 ? Array(parts[1]) + [UInt8](repeating: 48, count: 6 - parts[1].count) : []
      millionths = millionths.flatMap { whole in
        parts[1].isEmpty ? nil : decimal(decimals).map { whole + $0 }
      }
    }
    guard let millionths, let chance = QuietChance(millionths: UInt32(clamping: millionths)) else {
      throw UsageError(source, text, expected: "a chance from 0.000001 to 1, like 0.001")
    }
    return chance
  }

  /// "10.0.0.1", "10.0.0.0/8": added to those before, 16 at most.
  static func add(
    _ text: CString, _ source: UsageError.Source, to peers: inout [PeerRange]
  ) throws(UsageError) {
    guard peers.count < 16, let range = PeerRange(text.bytes) else {
      throw UsageError(
        source, text,
        expected: "an address or a network, like 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32 (16 at most)")
    }
    peers.append(range)
  }

  /// "9100", "127.0.0.1:9100", "[::1]:9100".
  static func listenAddress(_ text: CString, _ source: UsageError.Source) throws(UsageError) -> ListenAddress
  {
    guard let address = ListenAddress(text.bytes) else {
      throw UsageError(
        source, text, expected: "a port, or an address and a port, like 9100, 127.0.0.1:9100 or [::1]:9100")
    }
    return address
  }

  /// "@name", "/path", "off", "auto".
  static func control(_ text: CString, _ source: UsageError.Source) throws(UsageError) -> ControlAddress {
    guard let address = ControlAddress(text) else {
      throw UsageError(source, text, expected: "@name, /path, auto or off (107 bytes at most)")
    }
    return address
  }

  /// What is between the commas, empty items included: they make no sense anywhere.
  private static func items(_ text: CString) -> [ArraySlice<UInt8>] {
    text.bytes.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
  }
}
