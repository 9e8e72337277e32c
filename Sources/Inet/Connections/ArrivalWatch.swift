import Linux

/// New connections, and requests on those that are kept, between two looks at the table.
///
/// A connection is new when its cookie was not there at the look before. What came and went between two looks
/// is not in the table: the kernel's notices of dying sockets tell of it, ``take(_:)``.
public final class ArrivalWatch: SocketCollector {
  /// How many connections are remembered at most, of each of three looks: 3 MB of them.
  public static var capacity: Int { 65536 }

  /// Whose connections do not count: probes.
  private let ignored: [PeerRange]
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
  public init(of service: ServiceSockets = ServiceSockets(), ignoring ignored: [PeerRange] = []) {
    self.service = service
    self.ignored = ignored
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
    if isFirstLook || isIgnored(socket.remote) { return }
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
      || isIgnored(death.socket.remote) || !service.owned(death.socket)
    {
      return
    }
    passed += 1
  }

  private func isIgnored(_ peer: Endpoint) -> Bool {
    for range in ignored where range.contains(peer) { return true }
    return false
  }
}

/// Addresses of peers: one, or a network of them.
public struct PeerRange: Sendable {
  private let address: Endpoint
  /// How many of the address' bits count, of an IPv4 one's 32 or an IPv6 one's 128.
  private let bits: Int

  /// "10.0.0.1", "10.0.0.0/8", "2001:db8::/32"; nil where it is none of these.
  public init?(_ text: [UInt8]) {
    let slash = text.firstIndex(of: UInt8(ascii: "/")) ?? text.count
    guard let address = text[..<slash].copy.withCString({ Endpoint(address: $0) }) else { return nil }
    let width = address.isIPv6 ? 128 : 32
    self.address = address
    if slash == text.count {
      bits = width
    } else {
      guard let bits = decimal(text[(slash + 1)...]), bits <= UInt64(width) else { return nil }
      self.bits = Int(bits)
    }
  }

  /// Whether a peer's address is one of these.
  public func contains(_ peer: Endpoint) -> Bool {
    if address.isIPv6 && address.ipv4 == nil {
      guard peer.isIPv6 else { return false }
      let upper = min(bits, 64)
      return PeerRange.agree(peer.high, address.high, upper, of: 64)
        && PeerRange.agree(peer.low, address.low, bits - upper, of: 64)
    }
    // A socket that serves both families shows an IPv4 peer as ::ffff:a.b.c.d.
    guard let own = address.ipv4, let its = peer.ipv4 else { return false }
    return PeerRange.agree(UInt64(its), UInt64(own), address.isIPv6 ? max(0, bits - 96) : bits, of: 32)
  }

  private static func agree(_ left: UInt64, _ right: UInt64, _ bits: Int, of width: Int) -> Bool {
    bits == 0 || (left ^ right) >> UInt64(width - bits) == 0
  }
}
