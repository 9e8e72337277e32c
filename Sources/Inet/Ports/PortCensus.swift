import CLinux
import Linux

/// Everything that the table has at one local port: counted by state as the rows stream by, and kept only where
/// a row is to be explained one by one, so that memory is the same for ten sockets and for a million.
public final class PortCensus: SocketCollector {
  /// The port.
  public let port: UInt16
  /// Only sockets that are in the way of this address; nil for every address.
  private let address: Endpoint?
  /// Whether it is a UDP port's: a socket that is not connected takes what comes there, and counts as a listener.
  private let isUDP: Bool
  private var counts: InlineArray<14, Int> = .init(repeating: 0)
  private var total = 0
  /// Listeners, one by one; bounded.
  public private(set) var listeners: [TCPSocket] = []
  /// Connections of ESTABLISHED that a process has; the first few.
  public private(set) var established: [TCPSocket] = []
  /// Those of CLOSE_WAIT, whose owner does not close them; the first few.
  public private(set) var closeWaits: [TCPSocket] = []
  /// Open connections that no process has: not accepted yet.
  public private(set) var notAccepted = 0
  /// When the last TIME_WAIT ends; zero where there is none.
  public private(set) var longestTimeWait = Duration.zero

  /// How many listeners are kept.
  public static var kept: Int { 64 }
  /// How many connections are kept of a state.
  public static var keptConnections: Int { 4 }

  /// A census of a port.
  public init(port: UInt16, address: Endpoint? = nil, isUDP: Bool = false) {
    self.port = port
    self.address = address
    self.isUDP = isUDP
  }

  /// What to ask the table for: every state, or the listeners alone.
  public func query(onlyListeners: Bool = false) -> SocketQuery {
    SocketQuery(states: onlyListeners ? .listening : .all, ports: [port])
  }

  /// Forgets all rows.
  public override func restart() {
    counts = .init(repeating: 0)
    total = 0
    listeners = []
    established = []
    closeWaits = []
    notAccepted = 0
    longestTimeWait = .zero
  }

  /// Counts a row that nobody will look at any closer.
  public override func count(_ row: SocketRow) -> Bool {
    if row.localPort != port { return true }
    if address != nil { return false }
    switch row.state {
    case .listen: return false
    case .established:
      if row.hasProcess && established.isFull { break }
      return false
    case .closeWait:
      if row.hasProcess && closeWaits.isFull { break }
      return false
    case .timeWait: longestTimeWait = max(longestTimeWait, row.expires)
    case .synSent, .synReceived, .finWait1, .finWait2, .close, .lastAck, .closing, .newSynReceived: break
    }
    add(row.state)
    return true
  }

  /// Takes one row.
  public override func take(_ socket: TCPSocket) {
    // A kernel that does not heed the filter must not make us count other ports.
    guard socket.local.port == port, socket.isInTheWay(of: address) else { return }
    let state = isUDP && socket.state == .close ? .listen : socket.state
    add(state)
    switch state {
    case .listen:
      let place = listeners.count
      listeners.keep(socket, atMost: PortCensus.kept)
      if place < listeners.count { listeners[place].state = .listen }
    case .established:
      if socket.inode == 0 {
        notAccepted += 1
      } else {
        established.keep(socket, atMost: PortCensus.keptConnections)
      }
    case .closeWait:
      if socket.inode == 0 {
        notAccepted += 1
      } else {
        closeWaits.keep(socket, atMost: PortCensus.keptConnections)
      }
    case .timeWait: longestTimeWait = max(longestTimeWait, socket.expires)
    case .synSent, .synReceived, .finWait1, .finWait2, .close, .lastAck, .closing, .newSynReceived: break
    }
  }

  private func add(_ state: TCPState) {
    counts[Int(state.rawValue)] += 1
    total += 1
  }

  /// How many sockets are in a state.
  public func count(_ state: TCPState) -> Int { counts[Int(state.rawValue)] }

  /// All but the listeners.
  public var connections: Int { total - count(.listen) }
}

extension [TCPSocket] {
  fileprivate var isFull: Bool { count >= PortCensus.keptConnections }

  /// Appends one where there is room for it.
  mutating func keep(_ socket: TCPSocket, atMost limit: Int) { if count < limit { append(socket) } }
}

extension [UInt64] {
  /// Appends a number: in the binary once.
  mutating func add(_ number: UInt64) { append(number) }
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
  /// Whether two sockets bound to these addresses (ports aside) are in each other's way: one is every address
  /// of the other's family (:: of both families), or they are the same, an IPv4 address mapped into IPv6
  /// included.
  func overlaps(_ other: Endpoint) -> Bool {
    if isIPv6 && isUnspecified || other.isIPv6 && other.isUnspecified { return true }
    if let mine = ipv4, let theirs = other.ipv4 { return mine == 0 || theirs == 0 || mine == theirs }
    return ipv4 == nil && other.ipv4 == nil && high == other.high && low == other.low
  }
}

extension TCPSocket {
  /// Whether it is in the way of a server that binds to this address, ports aside; nil is every address of
  /// both families. True where that cannot be told, see ``mayTakeIPv4Too``.
  func isInTheWay(of address: Endpoint?) -> Bool {
    guard let address else { return true }
    if isIPv6Only == true && local.isUnspecified && address.ipv4 != nil { return false }
    return local.overlaps(address)
  }

  /// Whether it has every IPv6 address, and it is not known whether it has IPv4 with them.
  var mayTakeIPv4Too: Bool { local.isIPv6 && local.isUnspecified && isIPv6Only == nil }
}
