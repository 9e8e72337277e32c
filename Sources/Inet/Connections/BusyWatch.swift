import Linux

/// The connections that were busy at one moment, followed until each has answered once.
///
/// The first look takes the busy ones in; every further look tells how many of them still are. One that has
/// ended, or was closed by the service (the kernel delivers the rest), is not any more, and newcomers never
/// become any.
public final class BusyWatch: SocketCollector {
  /// How many connections are followed at most. Where there is no room for more, all that are busy at a look are waited
  /// for: who was there first cannot be told any more.
  public static var capacity: Int { 65536 }

  private struct Entry {
    /// At the first look.
    var bytesSent: UInt64
    var bytesReceived: UInt64
    /// A piece of an answer was on its way: it counts as busy while it sends on.
    var wasSending: Bool
    var isFinished = false
  }

  private var entries: [Entry] = []
  /// The places of `entries`.
  private var index = CookieIndex()
  private var isFirstLook = true
  /// Ports of the loopback interface from which ebb itself probes: none of that is work.
  private let probePorts: [UInt16]
  /// The connections of such probes that nobody had accepted at this look.
  public private(set) var unacceptedProbes: [UInt64] = []

  /// Open connections at this look.
  public private(set) var connections = 0
  /// Those among them that are still waited for.
  public private(set) var busy = 0
  /// Connections that were busy at the first look and for which there was no place.
  public private(set) var notFollowed = 0

  /// A watch that has seen nothing.
  public init(probePorts: [UInt16] = []) { self.probePorts = probePorts }

  /// What to ask the table for.
  public static func query(ports: [UInt16]) -> SocketQuery {
    SocketQuery(states: .open, ports: ports, wantsHistory: true)
  }

  /// Begins a look: call it before the table is read.
  public func beginLook() {
    connections = 0
    busy = 0
    unacceptedProbes.removeAll()
  }

  /// Ends a look that was read whole. From the first one on, newcomers are not taken in.
  public func endLook() { isFirstLook = false }

  /// Forgets this look's rows.
  public override func restart() {
    beginLook()
    if isFirstLook {
      entries.removeAll()
      index.removeAll()
      notFollowed = 0
    }
  }

  /// Takes one open connection.
  public override func take(_ socket: TCPSocket) {
    if socket.remote.isLoopback && probePorts.contains(socket.remote.port) {
      // It gets its inode with a descriptor, accept(2).
      if socket.inode == 0 && unacceptedProbes.count < 1024 { unacceptedProbes.append(socket.cookie) }
      return
    }
    connections += 1
    if isFirstLook {
      follow(socket)
    } else if let place = index.place(of: socket.cookie), !entries[place].isFinished {
      if isFinished(entries[place], socket) {
        entries[place].isFinished = true
      } else {
        busy += 1
      }
    } else if notFollowed > 0, index.place(of: socket.cookie) == nil, Activity(of: socket) != .idle {
      busy += 1
    }
  }

  private func follow(_ socket: TCPSocket) {
    let activity = Activity(of: socket)
    guard activity != .idle else { return }
    guard entries.count < BusyWatch.capacity, index.hasRoom else {
      notFollowed += 1
      busy += 1
      return
    }
    guard index.insert(socket.cookie) else { return }
    busy += 1
    entries.append(
      Entry(
        bytesSent: socket.history?.bytesSent ?? 0,
        bytesReceived: socket.history?.bytesReceived ?? 0, wasSending: activity == .justSent))
  }

  /// Whether a followed connection is not waited for any more.
  private func isFinished(_ entry: Entry, _ socket: TCPSocket) -> Bool {
    let activity = Activity(of: socket)
    guard let history = socket.history else { return activity == .idle }
    switch activity {
    case .idle: return true
    case .justSent: return false
    case .busy:
      // Not the answer of then, but the next request: it has answered once.
      let hasAnswered = entry.wasSending || history.bytesSent > entry.bytesSent
      return hasAnswered && socket.unacknowledged == 0 && history.bytesReceived > entry.bytesReceived
        && history.sinceReceived + Activity.tick < history.sinceSent
    }
  }
}
