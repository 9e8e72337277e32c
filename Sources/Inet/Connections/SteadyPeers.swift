import Linux

/// Who asks steadily, at even intervals of more than a second: a kubelet, a load balancer's health check, a scraper.
///
/// Each look before a drain counts the connections that have ended since the one before, by peer and port. Who comes every so often is always
/// within one of the line from the first to the last; independent clients stray from it by the root of their number.
public struct SteadyPeers {
  /// How many are watched at once; those that came least make room.
  static var most: Int { 48 }
  /// Of so many looks, the last ones.
  static var looks: Int { 33 }
  /// Who came less often cannot be told from chance.
  static var fewest: Int { 8 }

  private struct Peer {
    /// Its address, with the service's port.
    var key: Endpoint
    var total = 0
    /// Since the last look.
    var now: UInt8 = 0
    /// Of the looks before, in a ring.
    var counts = InlineArray<33, UInt8>(repeating: 0)
  }

  private var peers: [Peer] = []
  /// When the looks were, in milliseconds, in the same ring.
  private var times = InlineArray<33, Int64>(repeating: 0)
  private var number = 0

  /// Nobody is known.
  public init() {}

  /// A connection has ended.
  public mutating func note(_ socket: TCPSocket) {
    let key = SteadyPeers.key(socket)
    var place: Int?
    var rarest = 0
    for index in peers.indices {
      if peers[index].key == key {
        place = index
        break
      }
      if peers[index].total < peers[rarest].total { rarest = index }
    }
    if place == nil {
      if peers.count < SteadyPeers.most {
        place = peers.count
        peers.append(Peer(key: key))
      } else {
        place = rarest
        peers[rarest] = Peer(key: key)
      }
    }
    guard let place else { return }
    peers[place].total += 1
    if peers[place].now < .max { peers[place].now += 1 }
  }

  /// Those who have come so often since the last look that they are not steady in this sense, whatever else they are.
  public var dense: [Endpoint] {
    var found: [Endpoint] = []
    for peer in peers where peer.now > 10 { found.append(peer.key) }
    return found
  }

  /// A look has ended.
  public mutating func endLook(at now: Duration) {
    let slot = number % SteadyPeers.looks
    times[slot] = now.inMilliseconds
    number += 1
    for index in peers.indices {
      peers[index].total -= Int(peers[index].counts[slot])
      peers[index].counts[slot] = peers[index].now
      peers[index].now = 0
    }
    peers.removeAll { $0.total <= 0 }
  }

  /// Those who are steady: the address of each, with the service's port.
  public var steady: [Endpoint] {
    var found: [Endpoint] = []
    for peer in peers where isSteady(peer) { found.append(peer.key) }
    return found
  }

  /// As which a connection's peer is among them.
  public static func key(_ socket: TCPSocket) -> Endpoint {
    var key = socket.remote
    key.port = socket.local.port
    return key
  }

  private func isSteady(_ peer: Peer) -> Bool {
    let known = min(number, SteadyPeers.looks)
    guard known > 1 else { return false }
    let first = number - known
    let began = times[first % SteadyPeers.looks]
    let time = times[(number - 1) % SteadyPeers.looks] - began
    // What came before the first look has no time.
    let total = Int64(peer.total) - Int64(peer.counts[first % SteadyPeers.looks])
    // A second apart, or a little less as it is measured.
    guard total >= SteadyPeers.fewest, total * 950 <= time else { return false }
    var sum: Int64 = 0
    for look in first + 1..<number {
      sum += Int64(peer.counts[look % SteadyPeers.looks])
      let strays = sum * time - total * (times[look % SteadyPeers.looks] - began)
      if abs(strays) * 5 > time * 6 { return false }
    }
    return true
  }
}
