/// Whose connections are no traffic: probes.
public struct Uncounted {
  /// `--ignore-peer`.
  var ranges: [PeerRange]
  /// ``SteadyPeers/steady``.
  public var steady: [Endpoint] = []

  /// These.
  public init(_ ranges: [PeerRange] = []) { self.ranges = ranges }

  /// Whether a connection is one of theirs.
  func has(_ socket: TCPSocket) -> Bool {
    for range in ranges where range.contains(socket.remote) { return true }
    if steady.isEmpty { return false }
    let key = SteadyPeers.key(socket)
    for one in steady where one == key { return true }
    return false
  }
}
