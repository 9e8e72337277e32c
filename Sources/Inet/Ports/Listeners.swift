import CLinux
import Linux

/// The listening sockets of the namespace, or of a part of it.
public final class Listeners: SocketCollector {
  /// At most so many are kept; a service has a handful.
  public static var limit: Int { 1024 }

  /// The sockets.
  public private(set) var sockets: [TCPSocket] = []

  /// None yet.
  public override init() {}

  /// What to ask the table for.
  public static func query(ports: [UInt16] = []) -> SocketQuery {
    SocketQuery(states: .listening, ports: ports)
  }

  /// Forgets all rows.
  public override func restart() { sockets.removeAll() }

  /// Takes one row.
  public override func take(_ socket: TCPSocket) {
    sockets.keep(socket, atMost: Listeners.limit)
  }
}

/// How the service's sockets are told from others.
public enum PortOrigin: Equatable, Sendable {
  /// The user named the ports.
  case given
  /// The sockets were made in ebb's own cgroup.
  case cgroup
  /// The service's processes hold them.
  case descriptors
  /// They are the service's user's, and were not there before the launch.
  case user
}

extension PortOrigin: TextRepresentable {
  /// "given", "cgroup", "descriptors", "user".
  public func write(to text: inout Text) {
    switch self {
    case .given: text.append("given")
    case .cgroup: text.append("cgroup")
    case .descriptors: text.append("descriptors")
    case .user: text.append("user")
    }
  }
}

/// The ports that the service listens on, and how they were found.
public struct ServicePorts: Equatable, Sendable {
  /// The ports, in rising order, each once. Bounded by ``ServicePorts/limit``.
  public var ports: [UInt16]
  /// How they were found; nil where none was.
  public var origin: PortOrigin?

  /// More ports than this are not followed one by one.
  public static var limit: Int { 64 }

  /// These ports.
  public init(ports: [UInt16], origin: PortOrigin?) {
    self.ports = ports
    self.origin = origin
  }

  /// The service's ports among the namespace's listeners, by the first way that finds any: the cgroup of the
  /// process that made the socket, the descriptors of the service's processes, their users.
  ///
  /// - `cgroup`: ebb's own, nil where that tells nothing.
  /// - `before`: the cookies of listeners that were there before the service.
  /// - `family`: the service's processes; looked for only where the cgroup does not tell.
  public static func find(
    among listeners: [TCPSocket], cgroup: UInt64?, before: [UInt64], family: @autoclosure () -> [ProcessID]
  ) -> ServicePorts {
    if let cgroup, let found = ServicePorts(listeners, .cgroup, where: { $0.cgroup == cgroup }) {
      return found
    }
    let family = family()
    let owners = SocketOwners(family)
    if let found = ServicePorts(listeners, .descriptors, where: { $0.inode != 0 && owners.hold($0.inode) }) {
      return found
    }
    let none = ServicePorts(ports: [], origin: nil)
    // Every descriptor was seen, and none is a listener: there is none.
    if owners.isComplete && !family.isEmpty { return none }
    let users = ProcessTable.users(of: family)
    let found = ServicePorts(
      listeners, .user, where: { users.contains($0.user) && !before.contains($0.cookie) })
    if let found { return found }
    // A service that binds before it gives up our user leaves a listener that is ours: looked for last.
    let user = ProcessControl.effectiveUser
    return ServicePorts(listeners, .user, where: { $0.user == user && !before.contains($0.cookie) }) ?? none
  }

  /// The ports of those sockets that are the service's; nil where none is.
  private init?(_ sockets: [TCPSocket], _ origin: PortOrigin, where isServices: (TCPSocket) -> Bool) {
    var ports: [UInt16] = []
    for index in sockets.indices where isServices(sockets[index]) {
      let port = sockets[index].local.port
      if ports.contains(port) || ports.count >= ServicePorts.limit { continue }
      var place = ports.count
      ports.append(port)
      while place > 0 && ports[place - 1] > port {
        ports[place] = ports[place - 1]
        place -= 1
      }
      ports[place] = port
    }
    if ports.isEmpty { return nil }
    self.init(ports: ports, origin: origin)
  }
}

/// The cgroup (v2) that this process is in, as sock_diag names it: the inode of its directory, cgroups(7).
public enum Cgroup {
  /// Its number; nil where there is no cgroup v2, where its directory cannot be seen, and in the root cgroup,
  /// which every process is in where the machine's services are kept apart by cgroup v1.
  public static var own: UInt64? {
    guard let file = try? File.read(CString("/proc/self/cgroup")), let path = path(in: file) else {
      return nil
    }
    return inode("/sys/fs/cgroup", path) ?? inode("/sys/fs/cgroup/unified", path)
  }

  private static func inode(_ mount: StaticString, _ path: [UInt8]) -> UInt64? {
    var directory = Text()
    directory.append(mount)
    directory.append(contentsOf: Text(bytes: path))
    let inode = directory.bytes.withCString { clinux_cgroup2_inode($0.pointer) }
    return inode > 1 ? inode : nil
  }

  /// The path behind "0::" in the text of /proc/PID/cgroup.
  static func path(in file: [UInt8]) -> [UInt8]? {
    var file = file[...]
    while let line = file.next(before: UInt8(ascii: "\n")) {
      if line.hasPrefix("0::/") { return line.dropFirst(3).copy }
    }
    return nil
  }
}
