import CLinux
import Linux

/// Which rows of the socket table are wanted.
public struct SocketQuery: Sendable {
  /// Sockets in one of these states.
  public var states: TCPStates
  /// Sockets with one of these local ports; all where it is empty.
  public var ports: [UInt16]
  /// Whether each connection's ``TCPSocket/History`` is wanted; it costs the kernel a fifth more.
  public var wantsHistory: Bool

  /// A query of these parts.
  public init(states: TCPStates, ports: [UInt16] = [], wantsHistory: Bool = false) {
    self.states = states
    self.ports = ports
    self.wantsHistory = wantsHistory
  }
}

/// The socket table over NETLINK_SOCK_DIAG, sock_diag(7): both address families in one dump, filtered by the
/// kernel, with no privilege needed.
struct SocketDiagnostics {
  private let descriptor: FileDescriptor
  /// The number of the last request, which its answers carry.
  private var sequence: UInt32 = 0

  /// Opens a netlink socket. Fails where the kernel has none (gVisor) or a seccomp profile refuses it.
  init() throws(Errno) { descriptor = try .openSocketDiagnostics() }

  /// A dialogue over a descriptor that is open already.
  init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }

  func close() { descriptor.close() }

  /// Dumps the rows of a query into a collector. A dump that the kernel marks as interrupted
  /// (NLM_F_DUMP_INTR) is taken again, at most three times; then it is ``Errno/wouldBlock``.
  mutating func dump(_ query: SocketQuery, into collector: SocketCollector) throws(Errno) {
    for _ in 0..<4 {
      sequence &+= 1
      try descriptor.ask(SocketDiagnostics.request(query, sequence: sequence))
      if try receive(into: collector) { return }
      collector.restart()
    }
    throw .wouldBlock
  }

  /// The request: TCPDIAG_GETSOCK, the older of the two, which is the one that gives both families at once.
  ///
  /// The kernel passes over a socket with another port than the one in `id` before it looks at anything else
  /// of it (net/ipv4/inet_diag.c, inet_diag_dump_icsk()); several ports take a filter program.
  static func request(_ query: SocketQuery, sequence: UInt32) -> [UInt8] {
    let program = query.ports.count > 1 ? portProgram(query.ports) : []
    let attribute = program.isEmpty ? 0 : MemoryLayout<rtattr>.size + program.count
    let headers = MemoryLayout<nlmsghdr>.size + MemoryLayout<inet_diag_req>.size
    var header = nlmsghdr()
    header.nlmsg_len = UInt32(headers + attribute)
    header.nlmsg_type = UInt16(TCPDIAG_GETSOCK)
    header.nlmsg_flags = UInt16(NLM_F_REQUEST | NLM_F_DUMP)
    header.nlmsg_seq = sequence
    var body = inet_diag_req()
    body.idiag_family = UInt8(AF_UNSPEC)
    body.idiag_states = query.states.rawValue
    if query.ports.count == 1, let port = query.ports.first { body.id.idiag_sport = port.bigEndian }
    body.idiag_ext = query.wantsHistory ? 1 << UInt8(INET_DIAG_INFO - 1) : 0
    var bytes: [UInt8] = []
    bytes.reserveCapacity(headers + attribute)
    withUnsafeBytes(of: &header) { bytes.append(raw: $0) }
    withUnsafeBytes(of: &body) { bytes.append(raw: $0) }
    if !program.isEmpty {
      var filter = rtattr()
      filter.rta_len = UInt16(truncatingIfNeeded: attribute)
      filter.rta_type = UInt16(INET_DIAG_REQ_BYTECODE)
      withUnsafeBytes(of: &filter) { bytes.append(raw: $0) }
      program.withUnsafeBytes { bytes.append(raw: $0) }
    }
    return bytes
  }

  /// The kernel's filter for "local port is one of these", struct inet_diag_bc_op: a comparison a port, each
  /// but the last followed by a jump to the end (accept); a comparison that fails goes on to the next port,
  /// and the last one to just behind the end (reject).
  static func portProgram(_ ports: [UInt16]) -> [UInt8] {
    var program: [UInt8] = []
    func operation(_ code: Int, yes: UInt8, no: UInt16) {
      program.append(UInt8(code))
      program.append(yes)
      program.append(UInt8(no & 0xff))
      program.append(UInt8(no >> 8))
    }
    var rest = ports.count
    for port in ports {
      rest -= 1
      operation(Int(INET_DIAG_BC_S_EQ), yes: 8, no: 12)
      operation(0, yes: 0, no: port)
      if rest > 0 { operation(Int(INET_DIAG_BC_JMP), yes: 4, no: UInt16(12 * rest)) }
    }
    return program
  }

  /// Takes in datagrams until the dump's end; false when it was interrupted.
  private func receive(into collector: SocketCollector) throws(Errno) -> Bool {
    // The kernel fills as much as the reader offers, up to 32 KiB.
    try withBuffer(of: 32 * 1024) { (buffer) throws(Errno) in
      var reply = DumpReply(to: sequence)
      while !reply.isComplete { try reply.take(try descriptor.receive(into: buffer), into: collector) }
      return !reply.wasInterrupted
    }
  }
}

extension FileDescriptor {
  /// Opens a netlink socket to the kernel's socket tables.
  static func openSocketDiagnostics() throws(Errno) -> FileDescriptor {
    let descriptor = FileDescriptor(
      try checked { socket(AF_NETLINK, clinux_socket_raw_cloexec(), NETLINK_SOCK_DIAG) })
    // The kernel answers at once. Should it not, nobody waits for ever.
    var limit = timeval(tv_sec: 2, tv_usec: 0)
    _ = setsockopt(
      descriptor.rawValue, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    return descriptor
  }

  /// Sets an option that is a number, setsockopt(2).
  func set(_ level: Int32, _ option: Int32, _ value: Int32) throws(Errno) {
    var value = value
    _ = try checked { setsockopt(rawValue, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) }
  }

  /// Sends a request, send(2).
  func ask(_ request: [UInt8]) throws(Errno) {
    _ = try request.withUnsafeBufferPointer { (bytes) throws(Errno) -> Int in
      try checked { send(rawValue, bytes.baseAddress, bytes.count, 0) }
    }
  }

  /// The next datagram; one that is larger than the buffer, so that some of it is lost, is
  /// ``Errno/protocolError``.
  func receive(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> UnsafeRawBufferPointer {
    // With MSG_TRUNC the count is the datagram's own.
    let count = try checked { recv(rawValue, buffer.baseAddress, buffer.count, Int32(MSG_TRUNC)) }
    guard count <= buffer.count else { throw .protocolError }
    return UnsafeRawBufferPointer(start: buffer.baseAddress, count: count)
  }
}

extension [UInt8] {
  /// Appends the bytes of something that has its form from the kernel.
  mutating func append(raw bytes: UnsafeRawBufferPointer) { append(contentsOf: bytes) }
}

/// The reply to a dump as it arrives, datagram by datagram.
struct DumpReply {
  private let sequence: UInt32
  private(set) var isComplete = false
  private(set) var wasInterrupted = false

  /// The reply to the request of this number.
  init(to sequence: UInt32) { self.sequence = sequence }

  /// Takes in one datagram. Throws the kernel's error, or ``Errno/protocolError`` where it makes no sense.
  mutating func take(_ datagram: UnsafeRawBufferPointer, into collector: SocketCollector) throws(Errno) {
    // An empty datagram would be waited out for ever.
    guard !datagram.isEmpty else { throw .protocolError }
    var messages = NetlinkMessages(datagram)
    while let message = try messages.next() {
      // What answers another request must not be counted here.
      if message.sequence != sequence { continue }
      if message.flags & UInt16(NLM_F_DUMP_INTR) != 0 { wasInterrupted = true }
      switch Int32(message.type) {
      case NLMSG_DONE, NLMSG_ERROR:
        // A NLMSG_DONE of old kernels has no number.
        let hasNone = Int32(message.type) == NLMSG_DONE && message.payload.count < 4
        let number = hasNone ? 0 : message.errorNumber ?? EPROTO
        if number != 0 { throw Errno(number) }
        isComplete = true
        return
      case Int32(TCPDIAG_GETSOCK), Int32(SOCK_DIAG_BY_FAMILY):
        guard let row = SocketRow(message.payload) else { throw .protocolError }
        if collector.count(row) { continue }
        guard let socket = TCPSocket(row) else { throw .protocolError }
        collector.take(socket)
      default:
        break
      }
    }
  }
}
