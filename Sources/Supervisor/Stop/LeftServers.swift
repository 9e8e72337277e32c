import Inet
import Linux

/// Servers among what the main process has left behind: a shell that hands no signal on dies of the stop signal, and its
/// server goes on. Whoever holds the ports is the service, so it is stopped as that is.
struct LeftServers {
  /// One of them: the first process of its tree.
  final class Server {
    let record: ProcessRecord
    /// The signal that ends it: of a server that we do not know, TERM.
    let signal: Signal
    /// The one that ends it sooner; nil where there is none.
    let quickSignal: Signal?

    init(_ record: ProcessRecord, _ known: KnownServer?) {
      self.record = record
      signal = known?.stopSignal ?? .terminate
      quickSignal = known?.quickSignal
    }
  }

  private(set) var servers: [Server] = []
  /// Those, and all that they have started: they tell them what to do.
  private var members: [ProcessID] = []

  /// Looks for those that are known, or listen on the service's ports: `listening` has the inodes of its listening sockets.
  init(among family: [ProcessRecord], listening: [UInt64]) {
    // A tree of more is none that a shell has left.
    if family.count > 4096 { return }
    for record in family where !isMember(record.parent) {
      let known = KnownServer(process: record.process)
      if known == nil && !LeftServers.listens(record, listening) { continue }
      servers.append(Server(record, known))
      addMembers(from: record.process, family)
    }
  }

  /// None.
  init() {}

  private static func listens(_ record: ProcessRecord, _ listening: [UInt64]) -> Bool {
    if listening.isEmpty { return false }
    let owners = SocketOwners([record.process], atMost: 4096)
    return listening.contains { $0 != 0 && owners.hold($0) }
  }

  private mutating func addMembers(from process: ProcessID, _ family: [ProcessRecord]) {
    members.append(process)
    var next = members.count - 1
    while next < members.count {
      for record in family where record.parent == members[next] && !isMember(record.process) {
        members.append(record.process)
      }
      next += 1
    }
  }

  /// Whether a process is one of theirs.
  func isMember(_ process: ProcessID) -> Bool { members.contains(process) }

  /// Whether one of them is still there.
  var remain: Bool { first != nil }

  /// The first of those that are still there.
  var first: Server? {
    servers.first {
      let now = try? ProcessRecord(of: $0.record.process)
      return now?.startTime == $0.record.startTime && now?.state != UInt8(ascii: "Z")
    }
  }

  /// The one that this process was; nil where it was none.
  func server(_ process: ProcessID) -> Server? { servers.first { $0.record.process == process } }
}
