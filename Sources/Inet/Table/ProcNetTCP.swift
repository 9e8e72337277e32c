import CLinux
import Linux

/// The socket table as /proc/net/tcp and tcp6 show it, proc_net(5): what is left where netlink is refused. It
/// has no cookies, no cgroups and no histories, and every line is read whatever is wanted.
enum ProcNetTCP {
  /// Reads the rows of a query into a collector. A namespace without IPv6 has no tcp6.
  static func read(_ query: SocketQuery, into collector: SocketCollector) throws(Errno) {
    try read(CString("/proc/net/tcp"), CString("/proc/net/tcp6"), query, collector)
  }

  /// Reads the UDP sockets, whose files have the same form; state 7 is one that is not connected.
  static func readUDP(_ query: SocketQuery, into collector: SocketCollector) throws(Errno) {
    try read(CString("/proc/net/udp"), CString("/proc/net/udp6"), query, collector)
  }

  private static func read(
    _ ipv4: CString, _ ipv6: CString, _ query: SocketQuery, _ collector: SocketCollector
  ) throws(Errno) {
    try read(ipv4, query, into: collector)
    do throws(Errno) {
      try read(ipv6, query, into: collector)
    } catch {
      if error != .noSuchFile { throw error }
    }
  }

  /// Reads one such file. A line that makes no sense is ``Errno/protocolError``.
  static func read(_ path: CString, _ query: SocketQuery, into collector: SocketCollector) throws(Errno) {
    var isFirst = true
    var isBroken = false
    try Lines.read(path) { line in
      // The first line names the columns.
      if isFirst {
        isFirst = false
        return true
      }
      guard let socket = TCPSocket(procLine: line) else {
        isBroken = true
        return false
      }
      if query.states.contains(TCPStates(socket.state)),
        query.ports.isEmpty || query.ports.contains(socket.local.port)
      {
        collector.take(socket)
      }
      return true
    }
    if isBroken { throw .protocolError }
  }
}

extension TCPSocket {
  /// The socket in a line of /proc/net/tcp or tcp6, net/ipv4/tcp_ipv4.c get_tcp4_sock(); nil where it makes no
  /// sense.
  init?(procLine line: UnsafeRawBufferPointer) {
    // sl local remote st tx:rx tr:when retrnsmt uid timeout inode ref pointer rto ato quick<<1|pingpong …
    var line = ProcLine(line)
    line.skipBlanks()
    line.skip()
    let local = line.endpoint()
    let remote = line.endpoint()
    let state = TCPState(rawValue: UInt8(truncatingIfNeeded: line.hexadecimal(atMost: 0xff)))
    let sendQueue = UInt32(
      truncatingIfNeeded: line.hexadecimal(atMost: 0xffff_ffff, before: UInt8(ascii: ":")))
    let receiveQueue = UInt32(truncatingIfNeeded: line.hexadecimal(atMost: 0xffff_ffff))
    let timer = UInt8(truncatingIfNeeded: line.hexadecimal(atMost: 0xff, before: UInt8(ascii: ":")))
    let ticks = line.hexadecimal(atMost: .max)
    let retransmissions = line.hexadecimal(atMost: .max)
    let user = UInt32(truncatingIfNeeded: line.decimal(atMost: 0xffff_ffff))
    line.skip()
    let inode = line.decimal(atMost: .max)
    // What is behind the inode shows that its last digit is there.
    guard line.makesSense, !line.isAtEnd, let state else { return nil }
    // A TIME_WAIT's line ends after the pointer.
    for _ in 0..<4 { line.skip() }
    let mode = line.isAtEnd ? nil : line.number()
    self.init(
      state: state, local: local, remote: remote, cookie: TCPSocket.hash(local, remote),
      receiveQueue: receiveQueue, sendQueue: sendQueue, timer: timer,
      retransmissions: UInt8(truncatingIfNeeded: min(retransmissions, 255)),
      // In clock ticks (USER_HZ, 100 a second on every architecture of ours).
      expires: .milliseconds(Int64(min(ticks, 1 << 32)) * 10), user: user, inode: inode)
    isPingpong = mode.map { $0 & 1 != 0 }
  }

  /// The cookie that the same connection has in /proc/net/tcp.
  var endsHash: UInt64 { TCPSocket.hash(local, remote) }

  /// An identity for a row that has none: FNV-1a over both ends.
  static func hash(_ local: Endpoint, _ remote: Endpoint) -> UInt64 {
    add(remote, to: add(local, to: 0xcbf2_9ce4_8422_2325))
  }

  private static func add(_ end: Endpoint, to hash: UInt64) -> UInt64 {
    add(UInt64(end.port), to: add(end.low, to: add(end.high, to: hash)))
  }

  private static func add(_ word: UInt64, to hash: UInt64) -> UInt64 {
    let product = (hash ^ word) &* 0x100_0000_01b3
    return product ^ product >> 29
  }
}

/// A line of such a file, whose fields are taken off its front one by one, each with the blanks behind it. A field
/// that makes no sense reads as 0, and the line as one that makes none.
private struct ProcLine {
  private let bytes: UnsafeRawBufferPointer
  private var offset = 0
  /// Whether all that was read did.
  private(set) var makesSense = true

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var isAtEnd: Bool { offset >= bytes.count }

  mutating func skipBlanks() {
    while offset < bytes.count, bytes[offset] == UInt8(ascii: " ") { offset += 1 }
  }

  /// Passes over a field.
  mutating func skip() {
    while offset < bytes.count, bytes[offset] != UInt8(ascii: " ") { offset += 1 }
    skipBlanks()
  }

  mutating func hexadecimal(atMost limit: UInt64, before end: UInt8 = UInt8(ascii: " ")) -> UInt64 {
    number(16, digits: 16, limit, before: end)
  }

  mutating func decimal(atMost limit: UInt64) -> UInt64 {
    number(10, digits: 18, limit, before: UInt8(ascii: " "))
  }

  /// A decimal number that need not be there; nil where it is not.
  mutating func number() -> UInt64? {
    var value: UInt64 = 0
    let start = offset
    while offset < bytes.count, case let digit = bytes[offset] &- UInt8(ascii: "0"), digit <= 9 {
      if offset - start > 17 { return nil }
      value = value * 10 + UInt64(digit)
      offset += 1
    }
    // Without what ends it, its last digit may be missing.
    let isWhole = offset < bytes.count && bytes[offset] == UInt8(ascii: " ")
    return offset == start || !isWhole ? nil : value
  }

  /// A number of at most so many digits, and what ends it.
  private mutating func number(_ base: UInt64, digits: Int, _ limit: UInt64, before end: UInt8) -> UInt64 {
    let value = self.digits(base, digits, limit)
    if offset < bytes.count && bytes[offset] == end {
      offset += 1
      if end == UInt8(ascii: " ") { skipBlanks() }
    } else {
      makesSense = false
    }
    return value
  }

  /// The digits at the front, at least one and at most so many.
  private mutating func digits(_ base: UInt64, _ count: Int, _ limit: UInt64) -> UInt64 {
    var value: UInt64 = 0
    let start = offset
    while offset < bytes.count && offset - start < count {
      let byte = bytes[offset]
      // What is above 9 is a letter, small or capital, or more than any base has.
      var digit = UInt64(byte &- UInt8(ascii: "0"))
      if digit > 9 {
        let letter = UInt64((byte | 0x20) &- UInt8(ascii: "a"))
        digit = letter < 6 ? letter + 10 : 255
      }
      if digit >= base { break }
      value = value &* base &+ digit
      offset += 1
    }
    if offset == start || value > limit {
      makesSense = false
      return 0
    }
    return value
  }

  /// "0100007F:1F90": the address as 32-bit words in the machine's own byte order, the port as a number.
  mutating func endpoint() -> Endpoint {
    var high: UInt64 = 0
    var low: UInt64 = 0
    let start = offset
    while offset < bytes.count && bytes[offset] != UInt8(ascii: ":") && offset - start < 32 {
      let before = offset
      let word = UInt32(truncatingIfNeeded: digits(16, 8, 0xffff_ffff))
      if offset - before != 8 {
        makesSense = false
        break
      }
      high = high << 32 | low >> 32
      low = low << 32 | UInt64(UInt32(bigEndian: word))
    }
    let count = offset - start
    if count != 8 && count != 32 || isAtEnd || bytes[offset] != UInt8(ascii: ":") { makesSense = false }
    offset += 1
    return Endpoint(
      isIPv6: count == 32, high: high, low: low, port: UInt16(truncatingIfNeeded: hexadecimal(atMost: 0xffff))
    )
  }
}
