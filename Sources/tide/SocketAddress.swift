import CLinux
import Linux

/// Where to listen or to connect: an IPv4 or IPv6 address and a TCP port.
///
/// Names are not looked up: an image may hold nothing that could.
struct SocketAddress {
  private var storage = sockaddr_storage()
  private var length: socklen_t = 0

  /// The port.
  let port: UInt16
  /// AF_INET or AF_INET6.
  let family: Int32

  private init(v4 address: in_addr, port: UInt16) {
    var value = sockaddr_in()
    value.sin_family = sa_family_t(AF_INET)
    value.sin_port = port.bigEndian
    value.sin_addr = address
    self.port = port
    family = AF_INET
    length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: value, as: sockaddr_in.self) }
  }

  private init(v6 address: in6_addr, port: UInt16) {
    var value = sockaddr_in6()
    value.sin6_family = sa_family_t(AF_INET6)
    value.sin6_port = port.bigEndian
    value.sin6_addr = address
    self.port = port
    family = AF_INET6
    length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: value, as: sockaddr_in6.self) }
  }

  /// Every IPv6 address of this machine (a socket may take IPv4 there too, ipv6(7)).
  static func anyV6(port: UInt16) -> SocketAddress { SocketAddress(v6: in6_addr(), port: port) }

  /// Every IPv4 address of this machine.
  static func anyV4(port: UInt16) -> SocketAddress { SocketAddress(v4: in_addr(), port: port) }

  /// 127.0.0.1.
  static func loopback(port: UInt16) -> SocketAddress {
    SocketAddress(v4: in_addr(s_addr: UInt32(0x7f00_0001).bigEndian), port: port)
  }

  /// "127.0.0.1:8080", "[::1]:8080", "localhost:8080"; nil where it is none of these.
  init?(written text: [UInt8]) {
    guard let colon = text.lastIndex(of: UInt8(ascii: ":")),
      let port = SocketAddress.port(written: Array(text[(colon + 1)...]))
    else { return nil }
    var host = Array(text[..<colon])
    if host == "localhost" {
      self = .loopback(port: port)
      return
    }
    if host.first == UInt8(ascii: "["), host.last == UInt8(ascii: "]"), host.count > 2 {
      host.removeFirst()
      host.removeLast()
      var address = in6_addr()
      guard host.withCString({ inet_pton(AF_INET6, $0.pointer, &address) }) == 1 else { return nil }
      self.init(v6: address, port: port)
    } else {
      var address = in_addr()
      guard host.withCString({ inet_pton(AF_INET, $0.pointer, &address) }) == 1 else { return nil }
      self.init(v4: address, port: port)
    }
  }

  /// A port number, 0 to 65535.
  static func port(written text: [UInt8]) -> UInt16? { decimal(text).flatMap { UInt16(exactly: $0) } }

  /// The address as the C functions take it.
  func withBytes<Result>(_ body: (UnsafeRawPointer, socklen_t) -> Result) -> Result {
    withUnsafePointer(to: storage) { body(UnsafeRawPointer($0), length) }
  }
}
