import Linux

/// Whose a connection is: the service's, a stranger's at the same port number, or a probe of ebb's own.
///
/// The port alone does not tell where several programs share a network namespace (a pod, a host's network, two instances
/// on two addresses). The cgroup of the socket decides where it is known, then the address of the listener that it came
/// in by.
public final class ServiceSockets {
  /// Listeners that are remembered at most.
  static var limit: Int { 256 }

  struct Listener {
    var local: Endpoint
    var cgroup: UInt64?
    var isService: Bool
  }

  private var listeners: [Listener] = []
  /// Probes that are remembered at most: as many as an accept queue holds, since in that of a service that hangs they stay.
  private static var probeLimit: Int { 128 }
  private var probes: [Probe] = []
  /// Connections that were seen and are none of the service's.
  private var others = CookieIndex()

  /// A connection of ebb's own, by both its ends, as the service's side shows them.
  struct Probe {
    var local: Endpoint
    var remote: Endpoint
    /// Whether the look that is under way has met it.
    var isSeen = false
  }

  /// Whoever connects is the service's client, until more is known.
  public init() {}

  /// Takes in what listens at the service's ports, and whether it is the service's. What is known stays: a server closes
  /// its listeners when it begins to stop.
  public func note(_ socket: TCPSocket, isService: Bool) {
    for index in listeners.indices
    where listeners[index].local == socket.local
      && listeners[index].cgroup == socket.cgroup
    {
      listeners[index].isService = isService
      return
    }
    if listeners.count >= ServiceSockets.limit { return }
    listeners.append(Listener(local: socket.local, cgroup: socket.cgroup, isService: isService))
  }

  /// A probe of ebb's own has connected: these are its ends as the service sees them.
  public func noteProbe(local: Endpoint, remote: Endpoint) {
    if probes.count >= ServiceSockets.probeLimit { probes.removeFirst() }
    probes.append(Probe(local: local, remote: remote))
  }

  /// Whether a connection is a client's of the service. What is not is remembered, so that its end is nobody's loss.
  public func owns(_ socket: TCPSocket) -> Bool {
    for index in probes.indices where probes[index].isOf(socket) {
      probes[index].isSeen = true
      forget(socket.cookie)
      return false
    }
    if isServices(socket.local, cgroup: socket.cgroup) { return true }
    forget(socket.cookie)
    return false
  }

  /// Whether a connection that has died was a client's of the service.
  public func owned(_ socket: TCPSocket) -> Bool {
    if others.place(of: socket.cookie) != nil { return false }
    for probe in probes where probe.isOf(socket) { return false }
    return isServices(socket.local, cgroup: socket.cgroup)
  }

  /// Whether a listener is known to be somebody else's.
  public func isStrangers(_ listener: TCPSocket) -> Bool {
    for known in listeners where known.local == listener.local && known.cgroup == listener.cgroup {
      return !known.isService
    }
    return false
  }

  /// The addresses at which the service's listeners at a port are, as far as strangers have others there.
  public func addressesBesideStrangers(_ port: UInt16) -> [Endpoint] {
    var addresses: [Endpoint] = []
    var hasStrangers = false
    for known in listeners where known.local.port == port {
      if known.isService { addresses.append(known.local) } else { hasStrangers = true }
    }
    return hasStrangers ? addresses : []
  }

  /// A socket is none of the service's: it was there before.
  public func forget(_ cookie: UInt64) {
    if others.count < 8192 && others.hasRoom() { _ = others.insert(cookie) }
  }

  private func isServices(_ local: Endpoint, cgroup: UInt64?) -> Bool {
    if let cgroup {
      var (isOurs, isTheirs) = (false, false)
      for listener in listeners where listener.cgroup == cgroup {
        if listener.isService { isOurs = true } else { isTheirs = true }
      }
      if isOurs != isTheirs { return isOurs }
    }
    var exact: Bool?
    var (anyIPv4, anyIPv6): (Bool?, Bool?) = (nil, nil)
    for listener in listeners where listener.local.port == local.port {
      if listener.local.hasAddress(of: local) {
        exact = exact == true || listener.isService
      } else if listener.local.isUnspecified {
        if listener.local.isIPv6 {
          anyIPv6 = anyIPv6 == true || listener.isService
        } else {
          anyIPv4 = anyIPv4 == true || listener.isService
        }
      }
    }
    return exact ?? (local.ipv4 == nil ? nil : anyIPv4) ?? anyIPv6 ?? true
  }

  /// A look at the connections begins.
  func beginLook() {
    for index in probes.indices { probes[index].isSeen = false }
  }

  /// It has ended: a probe that it has not met is gone, and its ends may be somebody else's.
  func endLook() { probes.removeAll { !$0.isSeen } }
}

extension ServiceSockets.Probe {
  func isOf(_ socket: TCPSocket) -> Bool {
    socket.remote.port == remote.port && socket.local.port == local.port
      && socket.remote.hasAddress(of: remote)
      && socket.local.hasAddress(of: local)
  }
}

extension Endpoint {
  /// Whether both have the same address, an IPv4 one mapped into IPv6 or not.
  func hasAddress(of other: Endpoint) -> Bool {
    if let ipv4, let its = other.ipv4 { return ipv4 == its }
    return isIPv6 == other.isIPv6 && high == other.high && low == other.low
  }
}
