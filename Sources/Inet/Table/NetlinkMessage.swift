import CLinux
import Linux

/// The messages in one datagram from the kernel, netlink(7): a header, a payload, padding to four bytes.
///
/// Every length in it is checked against what really arrived; a length that makes no sense ends the walk with
/// ``Errno/protocolError``, since what follows cannot be found any more.
struct NetlinkMessages {
  private let bytes: UnsafeRawBufferPointer
  private var offset = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  struct Message {
    let type: UInt16
    let flags: UInt16
    /// Which request it answers.
    let sequence: UInt32
    let payload: UnsafeRawBufferPointer

    /// The error number of an NLMSG_ERROR (or at the end of an NLMSG_DONE), as errno(3) has it; nil where the
    /// message is too short to hold one. 0 is success.
    var errorNumber: Int32? {
      guard payload.count >= 4 else { return nil }
      let value = payload.loadUnaligned(as: Int32.self)
      // Negative on the wire. Int32.min has no positive counterpart, and is no error number either.
      return value == .min ? nil : value < 0 ? -value : value
    }
  }

  /// The next message; nil at the end.
  mutating func next() throws(Errno) -> Message? {
    let left = bytes.count - offset
    if left == 0 { return nil }
    guard left >= MemoryLayout<nlmsghdr>.size else { throw .protocolError }
    let header = bytes.loadUnaligned(fromByteOffset: offset, as: nlmsghdr.self)
    guard let length = Int(exactly: header.nlmsg_len), length >= MemoryLayout<nlmsghdr>.size, length <= left
    else {
      throw .protocolError
    }
    let payload = UnsafeRawBufferPointer(
      rebasing: bytes[(offset + MemoryLayout<nlmsghdr>.size)..<(offset + length)])
    offset += min(left, (length + 3) & ~3)
    return Message(
      type: header.nlmsg_type, flags: header.nlmsg_flags, sequence: header.nlmsg_seq, payload: payload)
  }
}

/// A row of the socket table as the kernel sends it: a struct inet_diag_msg and its attributes,
/// include/uapi/linux/inet_diag.h. What most rows are counted by is read from here, with no ``TCPSocket`` made.
public struct SocketRow {
  fileprivate let payload: UnsafeRawBufferPointer
  /// Its state.
  public let state: TCPState

  /// The row in these bytes; nil where they are too few, or the family or the state is none that we know.
  init?(_ payload: UnsafeRawBufferPointer) {
    guard payload.count >= MemoryLayout<inet_diag_msg>.size else { return nil }
    let message = payload.loadUnaligned(as: inet_diag_msg.self)
    let family = Int32(message.idiag_family)
    // 13, TCP_BOUND_INACTIVE, is only ever asked for: its rows carry state 7.
    guard family == AF_INET || family == AF_INET6, let state = TCPState(rawValue: message.idiag_state) else {
      return nil
    }
    self.payload = payload
    self.state = state
  }

  fileprivate var message: inet_diag_msg { payload.loadUnaligned(as: inet_diag_msg.self) }

  /// The port of our end.
  public var localPort: UInt16 { UInt16(bigEndian: message.id.idiag_sport) }
  /// Whether a process has it.
  public var hasProcess: Bool { message.idiag_inode != 0 }
  /// When its timer runs out.
  public var expires: Duration { .milliseconds(Int64(message.idiag_expires)) }
}

extension TCPSocket {
  /// The socket in a message's payload; nil where the bytes make no sense.
  init?(inetDiagnostic payload: UnsafeRawBufferPointer) {
    guard let row = SocketRow(payload) else { return nil }
    self.init(row)
  }

  /// The socket that a row describes; nil where an attribute's length makes no sense.
  init?(_ row: SocketRow) {
    let payload = row.payload
    let message = row.message
    let id = message.id
    let isIPv6 = message.idiag_family == UInt8(AF_INET6)
    state = row.state
    local = Endpoint(diagnostic: id.idiag_src, port: id.idiag_sport, isIPv6: isIPv6)
    remote = Endpoint(diagnostic: id.idiag_dst, port: id.idiag_dport, isIPv6: isIPv6)
    cookie = UInt64(id.idiag_cookie.0) | UInt64(id.idiag_cookie.1) << 32
    receiveQueue = message.idiag_rqueue
    sendQueue = message.idiag_wqueue
    timer = message.idiag_timer
    retransmissions = message.idiag_retrans
    expires = .milliseconds(Int64(message.idiag_expires))
    user = message.idiag_uid
    inode = UInt64(message.idiag_inode)
    interface = id.idiag_if

    // Collected here and not in self: Swift 6.3.1, optimizing, takes stores into self within this loop for dead,
    // and drops them with all that leads to them.
    var cgroup: UInt64?
    var isIPv6Only: Bool?
    var history: History?
    var offset = MemoryLayout<inet_diag_msg>.size
    while payload.count - offset >= MemoryLayout<rtattr>.size {
      let attribute = payload.loadUnaligned(fromByteOffset: offset, as: rtattr.self)
      let length = Int(attribute.rta_len)
      guard length >= MemoryLayout<rtattr>.size, length <= payload.count - offset else { return nil }
      let value = UnsafeRawBufferPointer(
        rebasing: payload[(offset + MemoryLayout<rtattr>.size)..<(offset + length)])
      switch Int(attribute.rta_type) {
      case Int(INET_DIAG_INFO): history = History(tcpInfo: value)
      case Int(INET_DIAG_SKV6ONLY): isIPv6Only = value.first.map { $0 != 0 }
      case Int(INET_DIAG_CGROUP_ID):
        if value.count >= 8 { cgroup = value.loadUnaligned(as: UInt64.self) }
      default: break
      }
      offset += (length + 3) & ~3
    }
    self.cgroup = cgroup
    self.isIPv6Only = isIPv6Only
    self.history = history
  }
}

extension Endpoint {
  fileprivate init(diagnostic address: (UInt32, UInt32, UInt32, UInt32), port: UInt16, isIPv6: Bool) {
    func word(_ value: UInt32) -> UInt64 { UInt64(UInt32(bigEndian: value)) }
    self.isIPv6 = isIPv6
    self.port = UInt16(bigEndian: port)
    if isIPv6 {
      high = word(address.0) << 32 | word(address.1)
      low = word(address.2) << 32 | word(address.3)
    } else {
      high = 0
      low = word(address.0)
    }
  }
}

extension TCPSocket.History {
  /// The figures of a struct tcp_info; nil where an old kernel's is too short to have them (before 4.19).
  fileprivate init?(tcpInfo bytes: UnsafeRawBufferPointer) {
    var info = clinux_tcp_info()
    guard clinux_read_tcp_info(bytes.baseAddress, bytes.count, &info) else { return nil }
    bytesReceived = info.bytes_received
    bytesSent = info.bytes_sent
    bytesRepeated = info.bytes_retrans
    bytesAcknowledged = info.bytes_acked
    bytesNotSent = info.notsent_bytes
    segmentsSent = info.segs_out
    dataSegmentsReceived = info.data_segs_in
    dataSegmentsSent = info.data_segs_out
    sinceReceived = .milliseconds(Int64(info.last_data_recv))
    sinceSent = .milliseconds(Int64(info.last_data_sent))
    sinceAcknowledged = .milliseconds(Int64(info.last_ack_recv))
  }
}
