import Linux

/// A TCP socket as the kernel describes it, sock_diag(7): one row of the table.
public struct TCPSocket: Sendable {
  /// Its state.
  public var state: TCPState
  /// Our end.
  public var local: Endpoint
  /// The peer's end; port 0 where there is none.
  public var remote: Endpoint
  /// A number that no other socket gets until the next boot. From /proc, which has none, a hash of both ends.
  public var cookie: UInt64
  /// Bytes that have arrived and that the application has not read; for LISTEN, connections that wait to be
  /// accepted. A FIN that has arrived counts one.
  public var receiveQueue: UInt32
  /// Bytes that the application has written and the peer not acknowledged; for LISTEN, how many connections
  /// may wait. Our own FIN counts one.
  public var sendQueue: UInt32
  /// What the kernel's timer for it is about: 0 nothing, 1 retransmission, 2 keep-alive, 3 TIME_WAIT,
  /// 4 a probe of a closed window.
  public var timer: UInt8
  /// Retransmissions, or window probes, without any progress since.
  public var retransmissions: UInt8
  /// When the timer runs out.
  public var expires: Duration
  /// The user that made it.
  public var user: UInt32
  /// The inode, which /proc/PID/fd shows as `socket:[inode]`; 0 where no process has it.
  public var inode: UInt64
  /// The cgroup (v2) of the process that made it: the inode of the cgroup's directory. nil from /proc and
  /// before Linux 5.9.
  public var cgroup: UInt64?
  /// Whether an IPv6 listener takes no IPv4 (IPV6_V6ONLY); nil where that is not told, as /proc never does.
  public var isIPv6Only: Bool?
  /// The network interface that it is bound to, by number; 0 where to none, and from /proc.
  public var interface: UInt32 = 0
  /// The connection's history; nil where it was not asked for or cannot be had.
  public var history: History?
  /// Whether the socket is in pingpong mode (include/net/inet_connection_sock.h): it sent within 40 ms of a receive, and
  /// no acknowledgement has had to go out alone since. nil from netlink, which does not tell.
  public var isPingpong: Bool?

  /// What TCP_INFO tells of a connection, tcp(7) and include/uapi/linux/tcp.h.
  public struct History: Equatable, Sendable {
    /// Payload bytes received; a FIN counts one.
    public var bytesReceived: UInt64
    /// Payload bytes sent, repetitions included, a FIN not.
    public var bytesSent: UInt64
    /// Payload bytes sent again.
    public var bytesRepeated: UInt64 = 0
    /// Payload bytes that the peer has acknowledged; an acknowledged FIN counts one, and so does the SYN of a
    /// connection that we opened.
    public var bytesAcknowledged: UInt64 = 0
    /// Bytes written that have never been sent; a FIN behind them counts one.
    public var bytesNotSent: UInt32 = 0
    /// Segments sent, those without payload included; the SYN-ACK of an accepted connection is not.
    public var segmentsSent: UInt32 = 0
    /// Segments received that had payload.
    public var dataSegmentsReceived: UInt32 = 0
    /// Segments sent that had payload, repetitions included.
    public var dataSegmentsSent: UInt32 = 0
    /// How long ago data was last received; before any: since the connection was made. In steps of the
    /// kernel's tick.
    public var sinceReceived: Duration
    /// How long ago data was last sent; before any: since the connection was made.
    public var sinceSent: Duration
    /// How long ago the peer last acknowledged anything: of CLOSE_WAIT, how long ago its FIN came, or less.
    public var sinceAcknowledged: Duration = .zero

    /// Payload bytes sent, repetitions left out.
    public var payloadSent: UInt64 { bytesSent - min(bytesRepeated, bytesSent) }

    /// A history of these figures.
    public init(bytesReceived: UInt64, bytesSent: UInt64, sinceReceived: Duration, sinceSent: Duration) {
      self.bytesReceived = bytesReceived
      self.bytesSent = bytesSent
      self.sinceReceived = sinceReceived
      self.sinceSent = sinceSent
    }
  }

  /// Whether the peer has sent its FIN.
  public var peerHasClosed: Bool {
    state == .closeWait || state == .lastAck || state == .closing
  }

  /// Bytes that have arrived and that the application has not read, without the FIN.
  public var unread: UInt32 {
    peerHasClosed && receiveQueue > 0 ? receiveQueue - 1 : receiveQueue
  }

  /// Payload bytes received, the FIN not counted; nil without a history.
  public var payloadReceived: UInt64? {
    history.map { peerHasClosed && $0.bytesReceived > 0 ? $0.bytesReceived - 1 : $0.bytesReceived }
  }

  /// Bytes that the application has written and the peer not acknowledged, without our FIN.
  public var unacknowledged: UInt32 {
    state.isDelivering && sendQueue > 0 ? sendQueue - 1 : sendQueue
  }
}
