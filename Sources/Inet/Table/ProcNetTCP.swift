import CLinux
import Linux

/// The socket table as /proc/net/tcp and tcp6 show it, proc_net(5): what is left where netlink is refused. It
/// has no cookies, no cgroups and no histories, and every line is read whatever is wanted.
enum ProcNetTCP {
  /// Reads the rows of a query into a collector. A namespace without IPv6 has no tcp6.
  static func read(_ query: SocketQuery, into collector: borrowing AnyCollector) throws(Errno) {
    try read(CString("/proc/net/tcp"), CString("/proc/net/tcp6"), query, collector)
  }

  /// Reads the UDP sockets, whose files have the same form; state 7 is one that is not connected.
  static func readUDP(_ query: SocketQuery, into collector: borrowing AnyCollector) throws(Errno) {
    try read(CString("/proc/net/udp"), CString("/proc/net/udp6"), query, collector)
  }

  private static func read(
    _ ipv4: CString, _ ipv6: CString, _ query: SocketQuery, _ collector: borrowing AnyCollector
  ) throws(Errno) {
    try read(ipv4, query, collector)
    do throws(Errno) {
      try read(ipv6, query, collector)
    } catch {
      if error != .noSuchFile { throw error }
    }
  }

  /// Reads one such file. A line that makes no sense is ``Errno/protocolError``.
  static func read(_ path: CString, _ query: SocketQuery, _ collector: borrowing AnyCollector) throws(Errno) {
    let take = collector.take
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
        take(socket)
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
    // sl local remote st tx:rx tr:when retrnsmt uid timeout inode …
    let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 10)
    // What is behind the inode shows that its last digit is there.
    guard fields.count >= 11,
      let local = Endpoint(procField: fields[1]), let remote = Endpoint(procField: fields[2]),
      let state = hexadecimal(fields[3]).flatMap({ UInt8(exactly: $0) }).flatMap({ TCPState(rawValue: $0) }),
      let queues = TCPSocket.pair(fields[4]), let sendQueue = UInt32(exactly: queues.0),
      let receiveQueue = UInt32(exactly: queues.1), let timer = TCPSocket.pair(fields[5]),
      let kind = UInt8(exactly: timer.0), let retransmissions = hexadecimal(fields[6]),
      let user = decimal(fields[7]).flatMap({ UInt32(exactly: $0) }),
      let inode = decimal(fields[9])
    else { return nil }
    self.state = state
    self.local = local
    self.remote = remote
    cookie = TCPSocket.hash(local, remote)
    self.sendQueue = sendQueue
    self.receiveQueue = receiveQueue
    self.timer = kind
    // In clock ticks (USER_HZ, 100 a second on every architecture of ours).
    expires = .milliseconds(Int64(truncatingIfNeeded: min(timer.1, 1 << 40)) * 10)
    self.retransmissions = UInt8(truncatingIfNeeded: min(retransmissions, 255))
    self.user = user
    self.inode = inode
    cgroup = nil
    isIPv6Only = nil
    history = nil
  }

  /// Two hexadecimal numbers with a colon between them.
  private static func pair(_ field: Slice<UnsafeRawBufferPointer>) -> (UInt64, UInt64)? {
    guard let colon = field.firstIndex(of: UInt8(ascii: ":")),
      let first = hexadecimal(field[..<colon]), let second = hexadecimal(field[(colon + 1)...])
    else { return nil }
    return (first, second)
  }

  /// An identity for a row that has none: FNV-1a over both ends.
  private static func hash(_ local: Endpoint, _ remote: Endpoint) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for word in [local.high, local.low, UInt64(local.port), remote.high, remote.low, UInt64(remote.port)] {
      hash = (hash ^ word) &* 0x100_0000_01b3
      hash ^= hash >> 29
    }
    return hash
  }
}

extension Endpoint {
  /// "0100007F:1F90": the address as 32-bit words in the machine's own byte order, the port as a number.
  fileprivate init?(procField field: Slice<UnsafeRawBufferPointer>) {
    guard let colon = field.firstIndex(of: UInt8(ascii: ":")),
      let port = hexadecimal(field[(colon + 1)...]).flatMap({ UInt16(exactly: $0) })
    else { return nil }
    let digits = field[..<colon]
    guard digits.count == 8 || digits.count == 32 else { return nil }
    var words: (UInt64, UInt64) = (0, 0)
    var rest = digits
    while !rest.isEmpty {
      guard let word = hexadecimal(rest.prefix(8)).flatMap({ UInt32(exactly: $0) }) else { return nil }
      words = (words.0 << 32 | words.1 >> 32, words.1 << 32 | UInt64(UInt32(bigEndian: word)))
      rest = rest.dropFirst(8)
    }
    self.init(isIPv6: digits.count == 32, high: words.0, low: words.1, port: port)
  }
}
