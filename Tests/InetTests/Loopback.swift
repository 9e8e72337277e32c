import Glibc
import Linux

@testable import Inet

/// Real sockets on loopback, of this process.
struct Loopback {
  let descriptor: Int32
  let port: UInt16

  private static func address(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
  }

  private static func with<Result>(
    _ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>) -> Result
  ) -> Result {
    withUnsafeMutablePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
  }

  private static var size: socklen_t { socklen_t(MemoryLayout<sockaddr_in>.size) }

  /// A TCP socket, closed on exec.
  private static func open() throws(Errno) -> Int32 {
    try checked { socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0) }
  }

  private init(_ descriptor: Int32) throws(Errno) {
    self.descriptor = descriptor
    var address = Loopback.address(0)
    var size = Loopback.size
    _ = try checked { Loopback.with(&address) { getsockname(descriptor, $0, &size) } }
    port = UInt16(bigEndian: address.sin_port)
  }

  /// A listener on a port that the kernel chooses.
  static func listen(backlog: Int32 = 16) throws(Errno) -> Loopback {
    let descriptor = try open()
    var address = address(0)
    _ = try checked { with(&address) { bind(descriptor, $0, size) } }
    _ = try checked { Glibc.listen(descriptor, backlog) }
    return try Loopback(descriptor)
  }

  /// A connection to a port.
  static func connect(_ port: UInt16) throws(Errno) -> Loopback {
    let descriptor = try open()
    var address = address(port)
    _ = try checked { with(&address) { Glibc.connect(descriptor, $0, size) } }
    return try Loopback(descriptor)
  }

  func accept() throws(Errno) -> Loopback { try Loopback(checked { Glibc.accept(descriptor, nil, nil) }) }

  func write(_ count: Int) {
    let bytes = [UInt8](repeating: 0x61, count: count)
    _ = send(descriptor, bytes, count, Int32(MSG_NOSIGNAL))
  }

  /// Waits until that many bytes have come, and takes them.
  func read(_ count: Int) {
    var bytes = [UInt8](repeating: 0, count: count)
    _ = recv(descriptor, &bytes, count, Int32(MSG_WAITALL))
  }

  func close() { _ = Glibc.close(descriptor) }

  /// The inode that /proc/self/fd shows.
  var inode: UInt64 {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : 0
  }
}
