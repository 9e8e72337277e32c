import CLinux
import Linux

/// Ends connections as `ss -K` does: SOCK_DESTROY, sock_diag(7). The kernel sends a reset to the peer, and the
/// application's next call fails with ECONNABORTED. Needs CAP_NET_ADMIN, and a kernel built with
/// CONFIG_INET_DIAG_DESTROY.
public struct SocketDestroyer {
  private let descriptor: FileDescriptor
  /// The number of the last request, which its answer carries.
  private var sequence: UInt32 = 0

  /// Opens a netlink socket.
  public init() throws(Errno) { descriptor = try .openSocketDiagnostics() }

  /// A dialogue over a descriptor that is open already.
  init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }

  /// Closes it.
  public func close() { descriptor.close() }

  /// Ends one connection; false where it had ended already.
  public mutating func destroy(_ socket: TCPSocket) throws(Errno) -> Bool {
    sequence &+= 1
    let sequence = sequence
    try descriptor.ask(SocketDestroyer.request(socket, sequence: sequence))
    return try withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) {
      (buffer) throws(Errno) -> Bool in
      try SocketDestroyer.answer(try descriptor.receive(into: buffer), to: sequence)
    }
  }

  /// What the answer to a request says.
  static func answer(_ datagram: UnsafeRawBufferPointer, to sequence: UInt32) throws(Errno) -> Bool {
    var messages = NetlinkMessages(datagram)
    guard let message = try messages.next(), Int32(message.type) == NLMSG_ERROR,
      message.sequence == sequence, let number = message.errorNumber
    else { throw .protocolError }
    if number == 0 { return true }
    if number == ENOENT || number == ESTALE { return false }
    throw Errno(number)
  }

  /// The request: this very socket, by both ends and its cookie.
  static func request(_ socket: TCPSocket, sequence: UInt32) -> [UInt8] {
    var header = nlmsghdr()
    header.nlmsg_len = UInt32(MemoryLayout<nlmsghdr>.size + MemoryLayout<inet_diag_req_v2>.size)
    header.nlmsg_type = UInt16(SOCK_DESTROY)
    header.nlmsg_flags = UInt16(NLM_F_REQUEST | NLM_F_ACK)
    header.nlmsg_seq = sequence
    var body = inet_diag_req_v2()
    body.sdiag_family = UInt8(socket.local.isIPv6 ? AF_INET6 : AF_INET)
    body.sdiag_protocol = UInt8(IPPROTO_TCP)
    body.idiag_states = TCPStates.all.rawValue
    body.id = inet_diag_sockid(socket)
    var bytes: [UInt8] = []
    withUnsafeBytes(of: &header) { bytes.append(raw: $0) }
    withUnsafeBytes(of: &body) { bytes.append(raw: $0) }
    return bytes
  }
}

extension inet_diag_sockid {
  fileprivate init(_ socket: TCPSocket) {
    self.init()
    idiag_sport = socket.local.port.bigEndian
    idiag_dport = socket.remote.port.bigEndian
    idiag_src = socket.local.words
    idiag_dst = socket.remote.words
    idiag_cookie = (
      UInt32(truncatingIfNeeded: socket.cookie), UInt32(truncatingIfNeeded: socket.cookie >> 32)
    )
    // The kernel finds a socket that is bound to an interface by that alone.
    idiag_if = socket.interface
  }
}

extension Endpoint {
  /// The address as the kernel has it: words in network order, the first one alone for IPv4.
  fileprivate var words: (UInt32, UInt32, UInt32, UInt32) {
    func word(_ value: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: value).bigEndian }
    if !isIPv6 { return (word(low), 0, 0, 0) }
    return (word(high >> 32), word(high), word(low >> 32), word(low))
  }
}

/// The sockets that a filter means, a bounded number of them.
public final class SocketSelection: SocketCollector {
  private let filter: SocketFilter
  /// The sockets.
  public private(set) var sockets: [TCPSocket] = []
  /// How many there are, those beyond the limit too.
  public private(set) var count = 0

  /// At most so many are kept at a time.
  public static var limit: Int { 4096 }

  /// The sockets of a filter. Listeners are meant only where their state was named.
  public init(_ filter: SocketFilter) { self.filter = filter }

  /// Forgets all rows.
  public override func restart() {
    sockets.removeAll()
    count = 0
  }

  /// Takes one row.
  public override func take(_ socket: TCPSocket) {
    guard filter.includes(socket), socket.state != .listen || filter.states?.contains(.listening) == true
    else {
      return
    }
    count += 1
    sockets.keep(socket, atMost: SocketSelection.limit)
  }
}
