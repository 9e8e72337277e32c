import Linux

/// The state of a TCP socket, RFC 9293 section 3.3.2, with the kernel's own additions and its numbers,
/// include/net/tcp_states.h.
public enum TCPState: UInt8, Sendable {
  /// A connection in use.
  case established = 1
  /// Our SYN is out.
  case synSent = 2
  /// A SYN has arrived and been answered.
  case synReceived = 3
  /// We have closed; what we sent, or our FIN, is not acknowledged yet.
  case finWait1 = 4
  /// We have closed and all is acknowledged; the peer has not closed.
  case finWait2 = 5
  /// Both have closed, we first; late segments are waited for, 60 s on Linux. No process owns it.
  case timeWait = 6
  /// No connection. In a notice of a dying socket: what every one of them is in.
  case close = 7
  /// The peer has closed; our application has not.
  case closeWait = 8
  /// Both have closed, the peer first; what we sent, or our FIN, is not acknowledged yet.
  case lastAck = 9
  /// Waiting for connections.
  case listen = 10
  /// Both have closed at once; what we sent, or our FIN, is not acknowledged yet.
  case closing = 11
  /// A SYN has arrived and been answered (what the kernel keeps for it is not a whole socket).
  case newSynReceived = 12

  /// Whether the application has closed it, and the kernel still has bytes or a FIN to deliver.
  public var isDelivering: Bool { self == .finWait1 || self == .closing || self == .lastAck }
}

/// Some of the states, as sock_diag takes them: bit n is state n.
public struct TCPStates: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt32

  /// The set with these bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The set of one state.
  public init(_ state: TCPState) { rawValue = 1 << UInt32(state.rawValue) }

  /// LISTEN.
  public static var listening: TCPStates { TCPStates(.listen) }
  /// ESTABLISHED and CLOSE_WAIT: an application has it, and may be at work on it.
  public static var open: TCPStates { [TCPStates(.established), TCPStates(.closeWait)] }
  /// FIN_WAIT1, CLOSING and LAST_ACK: the application has closed it, the kernel is still delivering.
  public static var delivering: TCPStates {
    [TCPStates(.finWait1), TCPStates(.closing), TCPStates(.lastAck)]
  }
}
