/// One look at the connections that the service has left to the kernel with bytes that no peer has
/// acknowledged: FIN_WAIT1, CLOSING and LAST_ACK.
public struct LingerLook: Equatable, Sendable {
  /// So many retransmissions, or probes of a closed window, without any progress: the peer has gone silent.
  static var silent: UInt8 { 3 }

  /// Connections worth waiting for.
  public private(set) var waiting = 0
  /// Their bytes that are not acknowledged, FINs not counted.
  public private(set) var waitingBytes: UInt64 = 0
  /// Connections whose peer has gone silent.
  public private(set) var silent = 0
  /// Their bytes.
  public private(set) var silentBytes: UInt64 = 0
  /// Only sockets of this cgroup count, where no port tells which are the service's; nil: all of them.
  ///
  /// Not the user's: a socket's is that of the process that accepted it, often not our own, and before Linux
  /// 6.17 one without a process shows as root's (net/core/sock.c, sock_i_uid()).
  private let cgroup: UInt64?

  /// A look that has seen nothing yet.
  public init(cgroup: UInt64? = nil) { self.cgroup = cgroup }

  /// What to ask the table for.
  public static func query(ports: [UInt16]) -> SocketQuery { SocketQuery(states: .delivering, ports: ports) }

  /// Forgets all rows.
  public mutating func restart() { self = LingerLook(cgroup: cgroup) }

  /// Takes one connection. One that has only its FIN left is not counted: nothing can be lost any more.
  public mutating func take(_ socket: TCPSocket) {
    if let cgroup, let its = socket.cgroup, its != cgroup { return }
    let bytes = UInt64(socket.unacknowledged)
    if bytes == 0 { return }
    if socket.retransmissions >= LingerLook.silent {
      silent += 1
      silentBytes += bytes
    } else {
      waiting += 1
      waitingBytes += bytes
    }
  }
}

/// Who takes in the rows of such a look.
public final class LingerCollector: SocketCollector {
  /// What was seen.
  public private(set) var look: LingerLook
  private let service: ServiceSockets

  /// A look that has seen nothing yet, at the connections of a service.
  public init(of service: ServiceSockets = ServiceSockets(), cgroup: UInt64? = nil) {
    self.service = service
    look = LingerLook(cgroup: cgroup)
  }

  /// Forgets all rows.
  public override func restart() { look.restart() }

  /// Takes one connection.
  public override func take(_ socket: TCPSocket) {
    if service.owned(socket) { look.take(socket) }
  }
}
