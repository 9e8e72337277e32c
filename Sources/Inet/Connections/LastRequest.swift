import Linux

/// One look at the open connections: how long ago the last request on one of them was.
public final class LastRequest: SocketCollector {
  private let service: ServiceSockets
  private let uncounted: Uncounted
  /// nil where there was none.
  public private(set) var silence: Duration?

  /// One of a service's connections.
  public init(of service: ServiceSockets, besides uncounted: Uncounted) {
    self.service = service
    self.uncounted = uncounted
  }

  /// Forgets all rows.
  public override func restart() { silence = nil }

  /// Takes one connection.
  public override func take(_ socket: TCPSocket) {
    guard let history = socket.history, history.bytesReceived > 0, service.owns(socket),
      !uncounted.has(socket)
    else { return }
    silence = min(silence ?? history.sinceReceived, history.sinceReceived)
  }
}
