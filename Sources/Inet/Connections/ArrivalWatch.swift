import Linux

/// New connections, and requests on those that are kept, between two looks at the table.
///
/// A connection is new when its cookie was not there at the look before. What came and went between two looks
/// is not in the table: the kernel's notices of dying sockets tell of it, ``take(_:)``.
public final class ArrivalWatch: SocketCollector {
  /// How many connections are remembered at most, of each of three looks: 3 MB of them.
  public static var capacity: Int { 65536 }

  private let uncounted: Uncounted
  private let service: ServiceSockets
  /// Of the look before that before, of the one before, and of this one.
  private var former = CookieIndex()
  private var known = CookieIndex()
  private var current = CookieIndex()
  private var isFirstLook = true
  /// A connection that has received something more recently than this has a request of this look's.
  private var recent: Duration?

  /// New connections at this look, those included that have died since the one before.
  public private(set) var connections = 0
  /// Connections that were there before and have received something since.
  public private(set) var requests = 0
  /// Connections that are open.
  public private(set) var open = 0
  /// New connections that have died, as the notices tell, since the last look.
  private var passed = 0
  /// More connections than can be remembered: new ones cannot be told from old ones.
  public private(set) var isOverfull = false

  /// A watch of a service's connections that does not count those of some peers.
  public init(of service: ServiceSockets = ServiceSockets(), besides uncounted: Uncounted = Uncounted()) {
    self.service = service
    self.uncounted = uncounted
  }

  /// What to ask the table for: whatever dies with a notice still to come, so that it is known then.
  public static func query(ports: [UInt16], wantsRequests: Bool) -> SocketQuery {
    SocketQuery(
      states: [.open, .delivering, TCPStates(.finWait2)], ports: ports, wantsHistory: wantsRequests)
  }

  /// Begins a look; `elapsed` is the time since the one before, where requests are wanted.
  public func beginLook(after elapsed: Duration? = nil) {
    recent = elapsed
    restart()
  }

  /// Forgets this look's rows.
  public override func restart() {
    current.removeAll()
    connections = 0
    requests = 0
    open = 0
    isOverfull = false
  }

  /// Takes one connection.
  public override func take(_ socket: TCPSocket) {
    guard service.owns(socket) else { return }
    if socket.state == .established || socket.state == .closeWait { open += 1 }
    if current.count < ArrivalWatch.capacity && current.hasRoom() {
      _ = current.insert(socket.cookie)
    } else {
      isOverfull = true
      return
    }
    if isFirstLook || uncounted.has(socket) { return }
    if known.place(of: socket.cookie) == nil {
      connections += 1
    } else if let recent, let history = socket.history, history.bytesReceived > 0,
      history.sinceReceived < recent
    {
      requests += 1
    }
  }

  /// Ends a look that was read whole.
  public func endLook() {
    former = known
    known = current
    current.removeAll()
    connections += passed
    passed = 0
    isFirstLook = false
  }

  /// A look that needed no reading of the table: it has not changed.
  public func lookAtNotices() {
    connections = passed
    requests = 0
    passed = 0
  }

  /// Takes the kernel's word that a connection has died. It may come late: one that a look no longer found was counted
  /// by the one before.
  public func take(_ death: Death) {
    if isFirstLook || known.place(of: death.socket.cookie) != nil
      || former.place(of: death.socket.cookie) != nil
      || uncounted.has(death.socket) || !service.owned(death.socket)
    {
      return
    }
    passed += 1
  }
}
