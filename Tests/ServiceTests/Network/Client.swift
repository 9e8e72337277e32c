import Foundation

/// A TCP connection of the tests' own, every step of it told. Closed with this value.
final class Client: @unchecked Sendable {
  private var file: Int32
  /// MSG_NOSIGNAL, which the import of libc has as an enum in one version and as a number in the other.
  private static let noSignal: Int32 = 0x4000

  /// Connects.
  ///
  /// - Parameters:
  ///   - address: an IPv4 or IPv6 address.
  ///   - network: where from; nil is the tests' own network.
  ///   - receiveBuffer: how much the kernel may take for us before we read; nil is its choice.
  init(
    _ address: String = "127.0.0.1", _ port: UInt16, from network: PrivateNetwork? = nil,
    receiveBuffer: Int32? = nil
  )
    throws
  {
    let make: @Sendable () throws -> Int32 = { try Client.connect(address, port, receiveBuffer) }
    file = try network.map { try $0.inside(make) } ?? make()
  }

  deinit { close() }

  /// Closes it, as most clients do.
  func close() {
    if file >= 0 { Glibc.close(file) }
    file = -1
  }

  /// Closes it with a reset.
  func reset() {
    var option = linger(l_onoff: 1, l_linger: 0)
    setsockopt(file, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    close()
  }

  /// Sends all of it.
  func send(_ text: String) throws { try send(bytes: Array(text.utf8)) }

  /// Sends all of it.
  func send(bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.send(file, $0.baseAddress, $0.count, Client.noSignal) }
      guard count > 0 else { throw Unusable("send: errno \(errno)") }
      rest = rest.dropFirst(count)
    }
  }

  /// Sends a request, and leaves the connection open for the next.
  func request(_ path: String, closing: Bool = false) throws {
    try send("GET \(path) HTTP/1.1\r\nHost: test\r\n\(closing ? "Connection: close\r\n" : "")\r\n")
  }

  /// What came of reading.
  enum End: Equatable {
    /// The service closed.
    case closed
    /// It, or the network, reset the connection.
    case reset
    /// Nothing more came for so long that the rest is taken for lost.
    case silence
    /// There is more.
    case more
  }

  /// Reads once, at most so many bytes.
  func read(atMost count: Int = 65536, silence: TimeInterval = hangsAfter) -> (bytes: [UInt8], end: End) {
    var limit = timeval(tv_sec: Int(silence), tv_usec: Int((silence - silence.rounded(.down)) * 1_000_000))
    setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var buffer = [UInt8](repeating: 0, count: count)
    let got = recv(file, &buffer, count, 0)
    if got > 0 { return (Array(buffer.prefix(got)), .more) }
    if got == 0 { return ([], .closed) }
    return ([], errno == EAGAIN ? .silence : .reset)
  }

  /// Reads an answer of HTTP/1.1 with Content-Length: its body, and how it ended (`more` where it is whole).
  ///
  /// - Parameters:
  ///   - pace: how long to do nothing after every 16 KiB: a slow reader.
  ///   - silence: after which the rest is taken for lost.
  func answer(pace: TimeInterval = 0, silence: TimeInterval = hangsAfter) -> (
    body: Int, expected: Int?, end: End
  ) {
    var head: [UInt8] = []
    var expected: Int?
    var body = 0
    while expected.map({ body < $0 }) ?? true {
      let piece = read(atMost: pace > 0 ? 16384 : 1 << 18, silence: silence)
      if piece.end != .more { return (body, expected, piece.end) }
      if expected == nil {
        head += piece.bytes
        let text = String(decoding: head, as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n") else { continue }
        let line = text[..<end.lowerBound].components(separatedBy: "\r\n").first {
          $0.lowercased().hasPrefix("content-length:")
        }
        expected = line.flatMap { Int($0.dropFirst(15).trimmingCharacters(in: .whitespaces)) } ?? .max
        body = head.count - text[..<end.upperBound].utf8.count
      } else {
        body += piece.bytes.count
      }
      if pace > 0 { usleep(useconds_t(pace * 1_000_000)) }
    }
    return (body, expected, .more)
  }

  private static func connect(_ address: String, _ port: UInt16, _ receiveBuffer: Int32?) throws -> Int32 {
    try Socket.withAddress(address, port) { family, pointer, length in
      let file = try Socket.make(family, SOCK_STREAM)
      if var size = receiveBuffer {
        setsockopt(file, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
      }
      guard Glibc.connect(file, pointer, length) == 0 else {
        let number = errno
        Glibc.close(file)
        throw Refused(number: number)
      }
      return file
    }
  }

  /// Nobody took the connection.
  struct Refused: Error { let number: Int32 }
}

/// A socket that holds a port, listening or not: a stranger beside the service. Closed with this value.
final class Stranger: @unchecked Sendable {
  private let file: Int32

  /// How it holds the port.
  enum Hold: Sendable { case listening, listeningShared, bound, datagrams }

  init(_ hold: Hold, at address: String, _ port: UInt16, in network: PrivateNetwork) throws {
    file = try network.inside {
      try Socket.withAddress(address, port) { family, pointer, length in
        let file = try Socket.make(family, hold == .datagrams ? SOCK_DGRAM : SOCK_STREAM)
        var yes: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        if hold == .listening { setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, size) }
        if hold == .listeningShared { setsockopt(file, SOL_SOCKET, SO_REUSEPORT, &yes, size) }
        guard bind(file, pointer, length) == 0 else { throw Unusable("bind: errno \(errno)") }
        if hold == .listening || hold == .listeningShared { listen(file, 16) }
        return file
      }
    }
  }

  deinit { close(file) }
}

private enum Socket {
  static func make(_ family: Int32, _ type: __socket_type) throws -> Int32 {
    let file = socket(family, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard file >= 0 else { throw Unusable("socket: errno \(errno)") }
    return file
  }

  static func withAddress<Value>(
    _ text: String, _ port: UInt16, _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) throws -> Value
  ) throws -> Value {
    var four = sockaddr_in()
    if inet_pton(AF_INET, text, &four.sin_addr) == 1 {
      four.sin_family = sa_family_t(AF_INET)
      four.sin_port = port.bigEndian
      return try withUnsafePointer(to: &four) {
        try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          try body(AF_INET, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
    var six = sockaddr_in6()
    guard inet_pton(AF_INET6, text, &six.sin6_addr) == 1 else { throw Unusable("no address: \(text)") }
    six.sin6_family = sa_family_t(AF_INET6)
    six.sin6_port = port.bigEndian
    return try withUnsafePointer(to: &six) {
      try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        try body(AF_INET6, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
      }
    }
  }
}
