import Linux

/// Sockets that are bound to a port and neither listen nor are connected: no line of `ss -tan` or /proc/net/tcp
/// shows them, and they are in the way of a bind. Linux 6.8 tells them (TCP_BOUND_INACTIVE, bit 13), with
/// state 7 in the row and no regard to the port asked for.
public struct BoundSockets: SocketCollector {
  private let port: UInt16
  private let address: Endpoint?
  /// The sockets; bounded.
  public private(set) var sockets: [TCPSocket] = []

  /// Those of a port that are in the way of an address; of every one where that is nil.
  public init(port: UInt16, address: Endpoint? = nil) {
    self.port = port
    self.address = address
  }

  /// What to ask the table for.
  public var query: SocketQuery { SocketQuery(states: TCPStates(rawValue: 1 << 13), ports: []) }

  /// Forgets all rows.
  public mutating func restart() { sockets.removeAll() }

  /// Takes one row.
  public mutating func take(_ socket: TCPSocket) {
    if socket.local.port == port && sockets.count < PortCensus.kept && socket.isInTheWay(of: address) {
      sockets.append(socket)
    }
  }
}
