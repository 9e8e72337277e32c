import Linux

/// Looks up in /proc/net/tcp what netlink does not tell, for the connections that need it: whether a socket is in pingpong
/// mode, ``TCPSocket/isPingpong``.
final class Pingpong: SocketCollector {
  private let tracker: RequestTracker

  /// For the ties of a tracker's look.
  init(_ tracker: RequestTracker) { self.tracker = tracker }

  /// Takes one row of /proc/net/tcp, whose cookie is a hash of its ends.
  override func take(_ socket: TCPSocket) {
    guard let place = tracker.tieIndex.place(of: socket.cookie), place < tracker.ties.count else { return }
    tracker.resolve(place, isPingpong: socket.isPingpong)
  }
}

extension SocketTable {
  /// Looks at the requests in progress: one reading of the table, and of /proc/net/tcp where connections need that.
  public mutating func read(_ tracker: RequestTracker, ports: [UInt16], at now: Duration) throws(Errno) {
    tracker.beginLook(at: now)
    let query = RequestTracker.query(ports: ports)
    try read(query, into: tracker)
    // Where it cannot be read, those connections cannot be told.
    if !tracker.ties.isEmpty { try? ProcNetTCP.read(query, into: Pingpong(tracker)) }
    tracker.endLook()
  }
}
