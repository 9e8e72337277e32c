/// The connections that the service has closed and the kernel still delivers: what of them can be judged already.
public final class ClosingConnections: SocketCollector {
  /// At most so many are judged.
  static var limit: Int { 4096 }

  private let service: ServiceSockets
  private let tracker: RequestTracker
  private var sockets: [TCPSocket] = []

  /// Those of a service, whose requests were tracked.
  public init(of service: ServiceSockets, _ tracker: RequestTracker) {
    self.service = service
    self.tracker = tracker
  }

  /// What to ask the table for.
  public func query(ports: [UInt16]) -> SocketQuery {
    SocketQuery(states: .delivering, ports: ports, wantsHistory: true)
  }

  /// Forgets all rows.
  public override func restart() { sockets.removeAll() }

  /// Takes one row.
  public override func take(_ socket: TCPSocket) {
    if sockets.count < ClosingConnections.limit && service.owned(socket) { sockets.append(socket) }
  }

  /// Says what became of the request of each.
  public func judge(_ tell: (RequestTracker.Ending) -> Void) {
    for socket in sockets { tell(tracker.judge(socket)) }
  }
}
