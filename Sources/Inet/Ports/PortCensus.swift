import CLinux
import Linux

/// Everything that the table has at one local port: counted by state as the rows stream by, and kept only where
/// a row is to be explained one by one, so that memory is the same for ten sockets and for a million.
public struct PortCensus: SocketCollector, Sendable {
  /// The port.
  public let port: UInt16
  /// Only sockets that are in the way of this address; nil for every address.
  private let address: Endpoint?
  private var counts: InlineArray<14, Int> = .init(repeating: 0)
  /// Listeners, one by one; bounded.
  public private(set) var listeners: [TCPSocket] = []
  /// Sockets of CLOSE_WAIT, whose owner does not close them; the first few.
  public private(set) var closeWaits: [TCPSocket] = []
  /// Open connections that no process has any more (or that are not accepted yet).
  public private(set) var withoutProcess = 0
  /// When the last TIME_WAIT ends; zero where there is none.
  public private(set) var longestTimeWait = Duration.zero

  /// How many rows are kept of a kind.
  public static var kept: Int { 64 }

  /// A census of a port.
  public init(port: UInt16, address: Endpoint? = nil) {
    self.port = port
    self.address = address
  }

  /// What to ask the table for: every state but, where `onlyListeners`, the others.
  public func query(onlyListeners: Bool = false) -> SocketQuery {
    SocketQuery(states: onlyListeners ? .listening : .all, ports: [port])
  }

  /// Forgets all rows.
  public mutating func restart() { self = PortCensus(port: port, address: address) }

  /// Takes one row.
  public mutating func take(_ socket: TCPSocket) {
    if let address, !socket.local.overlaps(address) { return }
    counts[Int(socket.state.rawValue)] += 1
    switch socket.state {
    case .listen: if listeners.count < PortCensus.kept { listeners.append(socket) }
    case .closeWait:
      if closeWaits.count < PortCensus.kept { closeWaits.append(socket) }
      if socket.inode == 0 { withoutProcess += 1 }
    case .established: if socket.inode == 0 { withoutProcess += 1 }
    case .timeWait: longestTimeWait = max(longestTimeWait, socket.expires)
    case .synSent, .synReceived, .finWait1, .finWait2, .close, .lastAck, .closing, .newSynReceived: break
    }
  }

  /// How many sockets are in a state.
  public func count(_ state: TCPState) -> Int { counts[Int(state.rawValue)] }

  /// All but the listeners.
  public var connections: Int {
    var sum = 0
    for state in TCPState.all where state != .listen { sum += count(state) }
    return sum
  }
}

extension TCPStates {
  /// Every state that the table has.
  public static var all: TCPStates { TCPStates(rawValue: 0x1fff) }
}

extension TCPState: TextRepresentable {
  /// The states in the order of a connection's life.
  static var all: [TCPState] {
    [
      .listen, .synSent, .synReceived, .newSynReceived, .established, .finWait1, .finWait2, .closing,
      .timeWait,
      .closeWait, .lastAck, .close,
    ]
  }

  /// The name that netstat(8) made known, which is the RFC's.
  public var name: StaticString {
    switch self {
    case .established: "ESTABLISHED"
    case .synSent: "SYN_SENT"
    case .synReceived, .newSynReceived: "SYN_RECV"
    case .finWait1: "FIN_WAIT1"
    case .finWait2: "FIN_WAIT2"
    case .timeWait: "TIME_WAIT"
    case .close: "CLOSE"
    case .closeWait: "CLOSE_WAIT"
    case .lastAck: "LAST_ACK"
    case .listen: "LISTEN"
    case .closing: "CLOSING"
    }
  }

  /// The name.
  public func write(to text: inout Text) { text.append(name) }
}

extension Endpoint {
  /// Whether two sockets bound to these addresses (ports aside) are in each other's way: one is every address,
  /// or they are the same, an IPv4 address mapped into IPv6 included.
  func overlaps(_ other: Endpoint) -> Bool {
    if isUnspecified || other.isUnspecified {
      // 0.0.0.0 has no IPv6 address in it; :: has all.
      if isUnspecified && !isIPv6 && other.ipv4 == nil && !other.isUnspecified { return false }
      if other.isUnspecified && !other.isIPv6 && ipv4 == nil && !isUnspecified { return false }
      return true
    }
    if let mine = ipv4, let theirs = other.ipv4 { return mine == theirs }
    return isIPv6 == other.isIPv6 && high == other.high && low == other.low
  }
}
