import CLinux
import Inet
import Lifecycle
import Linux
import Supervisor

/// The values of options: bytes in, a value or nil out.
enum Values {
  /// "8080,8443,53/udp": each from 1 to 65535, 64 of either kind at most.
  static func ports(_ text: CString) -> (tcp: [UInt16], udp: [UInt16])? {
    guard let ports = servicePorts(text), ports.unix.isEmpty else { return nil }
    return (ports.tcp, ports.udp)
  }

  /// The same, and Unix sockets among them: "8080,unix:/run/php/fpm.sock,unix:@name".
  static func servicePorts(_ text: CString) -> ServicePortList? {
    var tcp: [UInt16] = []
    var udp: [UInt16] = []
    var unix: [[UInt8]] = []
    var items = Items(text)
    repeat {
      let first = items.next(",/")
      if let name = first.value(of: "unix:") {
        var path = name
        if items.end == UInt8(ascii: "/") {
          path.append(items.end)
          path += items.next(",")
        }
        // sun_path, unix(7).
        guard path.count > 1, path.count <= 107, path.hasPrefix("/") || path.hasPrefix("@") else {
          return nil
        }
        unix.append(path)
        continue
      }
      guard let number = Values.number(first, atMost: 65535), number > 0 else { return nil }
      let port = UInt16(truncatingIfNeeded: number)
      let kind = items.end == UInt8(ascii: "/") ? items.next(",") : CString("tcp").bytes
      if kind == "tcp" {
        add(port, to: &tcp)
      } else if kind == "udp" {
        add(port, to: &udp)
      } else {
        return nil
      }
    } while items.end != 0
    return tcp.count <= 64 && udp.count <= 64 && unix.count <= 16
      ? ServicePortList(tcp: tcp, udp: udp, unix: unix) : nil
  }

  /// Adds a port, once.
  private static func add(_ port: UInt16, to ports: inout [UInt16]) {
    for other in ports where other == port { return }
    ports.append(port)
  }

  /// "TERM,INT".
  static func signals(_ text: CString) -> [Signal]? {
    var signals: [Signal] = []
    var items = Items(text)
    repeat {
      guard let signal = Signal(named: items.next(",")) else { return nil }
      signals.append(signal)
    } while items.end != 0
    return signals
  }

  /// "TERM:QUIT,HUP:0".
  static func rewrites(_ text: CString) -> [(from: Signal, to: Signal?)]? {
    var pairs: [(from: Signal, to: Signal?)] = []
    var items = Items(text)
    repeat {
      guard let from = Signal(named: items.next(",:")), items.end == UInt8(ascii: ":") else { return nil }
      let name = items.next(",")
      let to = Signal(named: name)
      if to == nil && !(name == "0") { return nil }
      pairs.append((from, to))
    } while items.end != 0
    return pairs
  }

  /// "143=0,1=2".
  static func exitCodes(_ text: CString) -> [(from: UInt8, to: UInt8)]? {
    var pairs: [(from: UInt8, to: UInt8)] = []
    var items = Items(text)
    repeat {
      guard let from = number(items.next(",="), atMost: 255), items.end == UInt8(ascii: "="),
        let to = number(items.next(","), atMost: 255)
      else { return nil }
      pairs.append((UInt8(truncatingIfNeeded: from), UInt8(truncatingIfNeeded: to)))
    } while items.end != 0
    return pairs
  }

  /// "0.001": from a millionth to 1.
  static func chance(_ text: CString) -> QuietChance? {
    var items = Items(text)
    guard var millionths = number(items.next("."), atMost: .max) else { return nil }
    millionths = min(millionths, 2) * 1_000_000
    if items.end != 0 {
      var decimals = items.next("")
      if decimals.isEmpty || decimals.count > 6 { return nil }
      while decimals.count < 6 { decimals.append(UInt8(ascii: "0")) }
      guard let fraction = number(decimals, atMost: .max) else { return nil }
      millionths += fraction
    }
    return QuietChance(millionths: UInt32(truncatingIfNeeded: millionths))
  }

  /// A whole number up to some largest.
  static func number(_ digits: [UInt8], atMost largest: UInt64) -> UInt64? {
    guard let number = decimal(digits), number <= largest else { return nil }
    return number
  }

  /// The items of a list, empty ones included: they make no sense anywhere.
  private struct Items {
    private var rest: CString
    /// The byte that ended the last item; 0 at the end of the list.
    private(set) var end: UInt8 = 0

    init(_ text: CString) { rest = text }

    /// The next item, up to one of these bytes.
    mutating func next(_ ends: StaticString) -> [UInt8] {
      let item = rest.cut(ends)
      end = rest.first
      if end != 0 { rest = rest.dropFirst(1) }
      return item
    }
  }
}

/// What `--ports` names: each kind in the order in which it was written.
struct ServicePortList {
  var tcp: [UInt16]
  var udp: [UInt16]
  var unix: [[UInt8]]
}

/// Values that more than one command takes.
extension Options {
  /// "8080,53/udp,unix:/run/php/fpm.sock".
  func servicePorts(_ expected: StaticString) throws(UsageError) -> ServicePortList {
    guard let ports = Values.servicePorts(value) else { throw wrong(expected) }
    return ports
  }

  /// "250ms", "10s", "2m".
  func duration() throws(UsageError) -> Duration {
    guard let duration = Duration(written: value.bytes) else {
      throw wrong("a time, like 250ms, 10s or 2m")
    }
    return duration
  }

  /// The same, or "auto".
  func durationOrAuto() throws(UsageError) -> Duration? {
    if value == "auto" { return nil }
    guard let duration = Duration(written: value.bytes) else {
      throw wrong("auto or a time, like 250ms, 10s or 2m")
    }
    return duration
  }

  /// "TERM", "SIGQUIT", "15".
  func signal(_ expected: StaticString) throws(UsageError) -> Signal {
    guard let signal = Signal(named: value.bytes) else { throw wrong(expected) }
    return signal
  }

  /// "8080,53/udp".
  func ports(_ expected: StaticString) throws(UsageError) -> (tcp: [UInt16], udp: [UInt16]) {
    guard let ports = Values.ports(value) else { throw wrong(expected) }
    return ports
  }

  /// "TERM:QUIT,HUP:0".
  func rewrites(_ expected: StaticString) throws(UsageError) -> [(from: Signal, to: Signal?)] {
    guard let pairs = Values.rewrites(value) else { throw wrong(expected) }
    return pairs
  }

  /// The place of a word among those that it may be, which have a blank between each.
  func choice(_ words: StaticString, _ expected: StaticString) throws(UsageError) -> Int {
    guard let place = place(of: value, in: words) else { throw wrong(expected) }
    return place
  }

  /// "0.001": from a millionth to 1.
  func chance() throws(UsageError) -> QuietChance {
    guard let chance = Values.chance(value) else {
      throw wrong("a chance from 0.000001 to 1, like 0.001")
    }
    return chance
  }

  /// "10.0.0.1", "10.0.0.0/8": added to those before, 16 at most.
  func add(to peers: inout [PeerRange]) throws(UsageError) {
    guard peers.count < 16, let range = PeerRange(value.bytes) else {
      throw wrong("an address or a network, like 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32 (16 at most)")
    }
    peers.append(range)
  }

  /// "9100", "127.0.0.1:9100", "[::1]:9100".
  func listenAddress() throws(UsageError) -> ListenAddress {
    guard let address = ListenAddress(value.bytes) else {
      throw wrong("a port, or an address and a port, like 9100, 127.0.0.1:9100 or [::1]:9100")
    }
    return address
  }

  /// "@name", "/path", "off", "auto".
  func control() throws(UsageError) -> ControlAddress {
    guard let address = ControlAddress(value) else {
      throw wrong("@name, /path, auto or off (107 bytes at most)")
    }
    return address
  }
}
