import Linux

/// The table summed up as it streams by: by state, by listening port, by destination; and what is kept of the
/// rows that mean trouble. Its memory is the same for ten sockets and for a million.
public final class SocketSummary: SocketCollector {
  /// Counts by state.
  public struct Counts: Sendable {
    private var counts: InlineArray<14, Int> = .init(repeating: 0)
    /// All of them.
    public private(set) var total = 0

    /// How many sockets are in a state; the two kinds of SYN_RECV are one.
    public func count(_ state: TCPState) -> Int {
      state == .synReceived
        ? counts[Int(TCPState.synReceived.rawValue)] + counts[Int(TCPState.newSynReceived.rawValue)]
        : counts[Int(state.rawValue)]
    }

    mutating func add(_ state: TCPState) {
      counts[Int(state.rawValue)] += 1
      total += 1
    }
  }

  /// A port that is listened on, and what its listeners' queues look like.
  public struct Port: Sendable {
    /// The port.
    public let port: UInt16
    /// Its sockets.
    public var counts = Counts()
    /// Connections that wait to be accepted, in the listener where most do, and how many may.
    public var waiting: UInt32 = 0
    /// How many may wait there; nil where the table does not tell, as /proc does not.
    public var backlog: UInt32?
    /// The inode of that listener.
    public var inode: UInt64 = 0
  }

  /// Sockets that have been for too long in a state that should pass.
  public struct Overdue: Sendable {
    /// How many.
    public private(set) var count = 0
    /// For how long one has been at least; nil where the table does not tell.
    public private(set) var longest: Duration?

    /// Counts one, if it has been there for so long, or for a time that is not known; false where not.
    fileprivate mutating func add(_ time: Duration?, limit: Duration) -> Bool {
      if let time {
        if time < limit { return false }
        longest = max(longest ?? .zero, time)
      }
      count += 1
      return true
    }
  }

  /// A destination of outgoing connections.
  public struct Destination: Sendable {
    /// The peer.
    public let peer: Endpoint
    /// Sockets towards it.
    public var count: Int
    /// Those of them in TIME_WAIT.
    public var timeWaits: Int
  }

  private let filter: SocketFilter
  /// Whether nothing is filtered.
  var isOfEverything: Bool { filter.isEmpty }
  /// Everything.
  public private(set) var all = Counts()
  /// The ports that are listened on.
  public private(set) var ports: [Port] = []
  /// Sockets of other ports: outgoing connections, and what is left of listeners that are gone.
  public private(set) var others = Counts()
  /// Destinations, as many as there is room for.
  public private(set) var destinations: [Destination] = []
  /// Whether the counts of the destinations are what there is at least, since there was not room for all.
  public private(set) var areDestinationsLeast = false
  /// CLOSE_WAIT for too long.
  public private(set) var notClosed = Overdue()
  /// The inodes of these sockets, the first few, to find their owners.
  public private(set) var notClosedInodes: [UInt64] = []
  /// ESTABLISHED for too long with no process.
  public private(set) var notAccepted = Overdue()
  /// FIN_WAIT1, CLOSING and LAST_ACK whose peer has gone silent, and their bytes.
  public private(set) var stuck = LingerLook()
  /// Where a port is in `ports`, plus one; 0 is nowhere. One byte a port.
  private var index = [UInt8](repeating: 0, count: 65536)

  /// At most so many listening ports are told apart; more are summed up with the others.
  static var portLimit: Int { 255 }
  /// At most so many destinations are counted. A frequent one that comes late takes the place of a rare one.
  static var destinationLimit: Int { 256 }
  /// So many inodes of CLOSE_WAIT sockets are kept.
  static var kept: Int { 256 }
  /// A peer that has closed is no reason to close while an answer is still being made.
  static var closeLimit: Duration { .seconds(5) }
  /// A server that keeps up accepts within a moment.
  static var acceptLimit: Duration { .seconds(1) }

  /// A summary of the sockets that a filter means; `listeners` are the ports to tell apart, `tellsBacklog` is
  /// whether their rows say how many may wait.
  public init(_ filter: SocketFilter, listeners: [TCPSocket], tellsBacklog: Bool = true) {
    self.filter = filter
    super.init()
    for index in listeners.indices { tellApart(listeners[index], tellsBacklog) }
  }

  private func tellApart(_ socket: TCPSocket, _ tellsBacklog: Bool) {
    let port = Int(socket.local.port)
    if index[port] == 0 {
      if ports.count >= SocketSummary.portLimit { return }
      ports.append(Port(port: socket.local.port))
      index[port] = UInt8(ports.count)
    }
    let place = Int(index[port]) - 1
    if socket.receiveQueue > ports[place].waiting || ports[place].inode == 0 {
      ports[place].waiting = socket.receiveQueue
      ports[place].backlog = tellsBacklog ? socket.sendQueue : nil
      ports[place].inode = socket.inode
    }
  }

  /// Forgets all rows.
  public override func restart() {
    all = Counts()
    others = Counts()
    for place in ports.indices { ports[place].counts = Counts() }
    destinations = []
    areDestinationsLeast = false
    notClosed = Overdue()
    notClosedInodes = []
    notAccepted = Overdue()
    stuck = LingerLook()
  }

  /// Takes one row.
  public override func take(_ socket: TCPSocket) {
    guard filter.includes(socket) else { return }
    all.add(socket.state)
    let place = Int(index[Int(socket.local.port)])
    if place > 0 {
      ports[place - 1].counts.add(socket.state)
    } else {
      others.add(socket.state)
      if socket.remote.port != 0 { count(socket.remote, isTimeWait: socket.state == .timeWait) }
    }
    switch socket.state {
    case .closeWait:
      if notClosed.add(socket.history?.sinceAcknowledged, limit: SocketSummary.closeLimit),
        notClosedInodes.count < SocketSummary.kept
      {
        notClosedInodes.add(socket.inode)
      }
    // Nothing has been sent on it: that is how long the connection has been there.
    case .established:
      if socket.inode == 0 {
        _ = notAccepted.add(socket.history?.sinceSent, limit: SocketSummary.acceptLimit)
      }
    case .finWait1, .closing, .lastAck: stuck.take(socket)
    case .synSent, .synReceived, .finWait2, .timeWait, .close, .listen, .newSynReceived: break
    }
  }

  /// The states in which there are sockets that may have been there for too long: whether they have, only their
  /// histories tell, which are not asked for at first.
  public var doubtful: TCPStates {
    var states = TCPStates()
    if notClosed.count > 0 { states.insert(TCPStates(.closeWait)) }
    if notAccepted.count > 0 { states.insert(TCPStates(.established)) }
    return states
  }

  /// Takes over what a summary of the sockets in these states, with their histories, says of their times.
  public func judge(by other: SocketSummary) {
    notClosed = other.notClosed
    notClosedInodes = other.notClosedInodes
    notAccepted = other.notAccepted
  }

  /// Counts a destination: exactly, while there are few; else by the rule of Misra and Gries, with which one
  /// that has more than a 256th of all sockets is never missed.
  private func count(_ peer: Endpoint, isTimeWait: Bool) {
    for place in destinations.indices where destinations[place].peer == peer {
      destinations[place].count += 1
      if isTimeWait { destinations[place].timeWaits += 1 }
      return
    }
    if destinations.count < SocketSummary.destinationLimit {
      destinations.append(Destination(peer: peer, count: 1, timeWaits: isTimeWait ? 1 : 0))
      return
    }
    areDestinationsLeast = true
    var kept = 0
    for place in destinations.indices where destinations[place].count > 1 {
      destinations[kept] = destinations[place]
      destinations[kept].count -= 1
      kept += 1
    }
    while destinations.count > kept { destinations.removeLast() }
  }
}
