import Linux

/// The UDP ports of a service, udp(7): sockets that are bound and not connected. There are no connections to follow: what
/// can be told is whether they are bound, how much waits to be read, and how many datagrams the namespace has received.
public final class DatagramPorts {
  /// A port.
  public struct Port: Sendable {
    /// Its number.
    public var number: UInt16
    /// At the last look: whether a socket is bound to it.
    public var isBound = false
    /// At the last look: bytes that have arrived and that nobody has read, the kernel's own book-keeping included.
    public var waiting: UInt64 = 0
  }

  /// The ports; at most ``ServicePorts/limit``.
  public private(set) var ports: [Port] = []
  /// At the last search: a socket is bound of which it could not be seen whose it is.
  public private(set) var hasUnknown = false
  /// At the last look: nobody else's socket is bound, so what the namespace receives is the service's, or answers to what
  /// it has asked itself.
  public private(set) var areAlone = false

  /// These ports.
  public init(given: [UInt16]) {
    for number in given { ports.append(Port(number: number)) }
  }

  /// Looks for the bound sockets of these processes. Those in the range from which outgoing ones get their ports (a
  /// resolver's, a metrics client's) are left out.
  public func find(heldBy owners: SocketOwners) {
    hasUnknown = false
    guard let bound = bound() else { return }
    let outgoing = EphemeralPorts.range
    for socket in bound where outgoing?.contains(socket.local.port) != true {
      if !owners.hold(socket.inode) {
        if !owners.isComplete { hasUnknown = true }
      } else if !holds(socket.local.port) && ports.count < ServicePorts.limit {
        ports.append(Port(number: socket.local.port))
      }
    }
  }

  /// Looks at the ports anew; they are as they were where the table cannot be read.
  public func look() {
    if ports.isEmpty { return }
    guard let bound = bound() else { return }
    for index in ports.indices {
      ports[index].isBound = false
      ports[index].waiting = 0
    }
    areAlone = true
    let outgoing = EphemeralPorts.range
    for socket in bound {
      guard let index = ports.firstIndex(where: { $0.number == socket.local.port }) else {
        if outgoing?.contains(socket.local.port) != true { areAlone = false }
        continue
      }
      ports[index].isBound = true
      ports[index].waiting += UInt64(socket.receiveQueue)
    }
  }

  private func holds(_ number: UInt16) -> Bool { ports.contains { $0.number == number } }

  /// The namespace's bound sockets; nil where they cannot be read.
  private func bound() -> [TCPSocket]? {
    let sockets = Listeners()
    // /proc shows one that is not connected as closed.
    guard (try? SocketTable().readUDP(SocketQuery(states: TCPStates(.close)), into: sockets)) != nil else {
      return nil
    }
    return sockets.sockets
  }

  /// How many datagrams this network namespace has received: Udp InDatagrams, RFC 4113, IPv6's too; nil where that cannot
  /// be read.
  public static var received: UInt64? {
    guard let four = KernelCounters.value("Udp: ", "InDatagrams", in: CString("/proc/net/snmp")) else {
      return nil
    }
    // A line a counter, and not there without IPv6.
    let six = (try? File.read(CString("/proc/net/snmp6"), limit: 32768)) ?? []
    var value = six.line("Udp6InDatagrams")
    while let first = value.first, first == UInt8(ascii: " ") || first == UInt8(ascii: "\t") {
      value = value.dropFirst()
    }
    return four &+ (decimal(value) ?? 0)
  }
}
