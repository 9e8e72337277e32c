import Linux

/// The connections at a service's Unix sockets.
///
/// The kernel tells nothing of them but that they are there: no ages, no byte counts. So it cannot be told whether a
/// request is in progress on one, unless the socket is known to get one request a connection.
public final class UnixConnections {
  /// So many sockets are followed at most.
  public static var limit: Int { 16 }
  /// So many connections are followed at most; what is beyond them is not waited for, and counted as undecided.
  static var capacity: Int { 4096 }

  /// A listening socket of the service's.
  public struct Listener: Sendable {
    /// Its path.
    public var path: [UInt8]
    /// The user named it: a connection there is a request.
    public var isGiven: Bool
    /// At the last look: whether it listens, and its connections.
    public var isListening = false
    /// At the last look.
    public var connections = 0
  }

  /// The sockets.
  public private(set) var listeners: [Listener] = []
  /// Connections that are waited for, by inode.
  private var followed: [UInt64] = []
  /// Connections of the first look that nobody had accepted: those that are accepted next are they.
  private var pending = 0
  private var waitingSince: Duration?
  private var undecidedMax = Duration.zero
  /// Connections that hold off the stop signal.
  public private(set) var waitedFor = 0
  /// Connections that are open.
  public private(set) var connections = 0

  /// Those at the sockets that the user named.
  public init(given: [[UInt8]]) {
    for path in given { listeners.append(Listener(path: path, isGiven: true)) }
  }

  /// Finds the stream sockets on which one of these processes listens.
  public func find(heldBy owners: SocketOwners) {
    try? UnixSocketTable.read { row in
      guard row.isListening, owners.hold(row.inode), place(of: row.path) == nil,
        listeners.count < UnixConnections.limit
      else { return }
      listeners.append(Listener(path: row.path, isGiven: false))
    }
  }

  private func place(of path: [UInt8]) -> Int? { listeners.firstIndex { $0.path == path } }

  /// From the next look on, the connections of that moment are waited for.
  public func beginWaiting(at now: Duration, undecidedMax: Duration) {
    if waitingSince != nil { return }
    waitingSince = now
    self.undecidedMax = undecidedMax
    pending = -1
  }

  /// Looks at them. `isOneRequest`: the server is known to get one request a connection.
  public func look(at now: Duration, isOneRequest: Bool) {
    if listeners.isEmpty { return }
    for index in listeners.indices {
      listeners[index].isListening = false
      listeners[index].connections = 0
    }
    let isFirst = pending < 0
    let waited = waitingSince.map { now - $0 } ?? .zero
    var (open, waiting): ([UInt64], Int) = ([], 0)
    connections = 0
    waitedFor = 0
    try? UnixSocketTable.read { row in
      guard let place = place(of: row.path) else { return }
      if row.isListening {
        listeners[place].isListening = true
        return
      }
      listeners[place].connections += 1
      connections += 1
      guard waitingSince != nil else { return }
      let isRequest = listeners[place].isGiven || isOneRequest
      if row.inode == 0 {
        waiting += 1
        if (isFirst || waiting <= pending) && (isRequest || waited < undecidedMax) { waitedFor += 1 }
        return
      }
      var isFollowed = isFirst || followed.contains(row.inode)
      if !isFollowed && pending > 0 {
        pending -= 1
        isFollowed = true
      }
      guard isFollowed, open.count < UnixConnections.capacity else { return }
      open.append(row.inode)
      if isRequest || waited < undecidedMax { waitedFor += 1 }
    }
    if waitingSince != nil {
      followed = open
      if isFirst { pending = waiting }
    }
  }
}
