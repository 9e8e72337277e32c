import CLinux
import Linux

/// A descriptor of a process that is a socket.
public struct SocketHolder: Sendable {
  /// What a process is to the service that ebb supervises.
  public enum Relation: Sendable {
    /// Its main process.
    case service
    /// A descendant of that.
    case child
    /// Neither.
    case stranger
  }

  /// The process.
  public var process: ProcessID
  /// Its descriptor.
  public var descriptor: Int32
  /// The socket's inode.
  public var inode: UInt64
  /// Its name, from /proc/PID/stat.
  public var name: [UInt8]
  /// When it began, in ticks since the boot.
  public var startTime: UInt64
  /// A signal has stopped it.
  public var isStopped: Bool
  /// What it is to the service; nil where there is none.
  public var relation: Relation?
}

/// Who holds some sockets, by /proc/PID/fd of every process that may be looked into, proc_pid_fd(5).
///
/// The cost is that of the processes, not of their descriptors. Those of this network namespace come first;
/// a listener has nearly always a low number, so only the lowest of each process are looked at, and more of
/// them only where somebody is still missing. Who inherited a socket has it under the same number, fork(2),
/// and is asked for that alone.
public struct SocketHolders: Sendable {
  /// The descriptors found, the oldest process first; bounded.
  public private(set) var holders: [SocketHolder] = []
  /// Processes that we may not look into: another user's, without CAP_SYS_PTRACE.
  public private(set) var refused = 0
  /// Whether /proc could be read at all.
  public private(set) var isReadable = true

  /// More holders than this of a few sockets are not told one by one.
  static var limit: Int { 256 }
  /// How many descriptors of a process are looked at first.
  static var lowDescriptors: Int { 64 }
  /// The most processes that a kernel has, PID_MAX_LIMIT.
  private static var processLimit: Int { 1 << 22 }

  /// Holders that are known.
  init(_ holders: [SocketHolder], refused: Int = 0, isReadable: Bool = true) {
    self.holders = holders
    self.refused = refused
    self.isReadable = isReadable
  }

  /// Looks for a holder of each of the sockets with these inodes.
  ///
  /// - `all`: whether whoever inherited one of them is wanted too.
  /// - `service`: the main process of the service that ebb supervises, where one is known.
  public init(of inodes: [UInt64], all: Bool, service: ProcessID? = nil) {
    var wanted: [UInt64] = []
    for inode in inodes where inode != 0 { wanted.add(inode) }
    if wanted.isEmpty { return }
    var near: [ProcessID] = []
    var far: [ProcessID] = []
    isReadable = NetworkNamespace.visitProcesses { (process, isOurs) in
      if isOurs { near.append(process) } else { far.append(process) }
      return near.count + far.count < SocketHolders.processLimit
    }
    // Not even we are there: what is mounted there is no /proc, or nothing is.
    if near.isEmpty && far.isEmpty { isReadable = false }
    if !isReadable { return }
    var missing = wanted
    look(at: near, for: wanted, &missing)
    look(at: far, for: wanted, &missing)
    if all { for process in near { lookForHeir(process) } }
    if let service { relate(to: service) }
  }

  private mutating func look(at processes: [ProcessID], for wanted: [UInt64], _ missing: inout [UInt64]) {
    var crowded: [ProcessID] = []
    for process in processes where !missing.isEmpty {
      if !look(at: process, for: wanted, &missing, atMost: SocketHolders.lowDescriptors) {
        crowded.append(process)
      }
    }
    for process in crowded where !missing.isEmpty {
      _ = look(at: process, for: wanted, &missing, atMost: .max)
    }
  }

  /// Looks at the descriptors of a process, as many as are allowed; false when it has more.
  private mutating func look(
    at process: ProcessID, for wanted: [UInt64], _ missing: inout [UInt64], atMost count: Int
  ) -> Bool {
    var isRefused = false
    var looked = 0
    let isListed = SocketOwners.visit(process) { (number, directory) in
      looked += 1
      if looked > count { return false }
      switch SocketOwners.target(of: number, in: directory) {
      case .socket(let inode):
        if wanted.contains(inode) {
          // The last one takes its place: they are in no order.
          while let place = missing.firstIndex(of: inode) {
            missing[place] = missing[missing.count - 1]
            missing.removeLast()
          }
          add(process, number, inode)
        }
      case .other: break
      case .refused: isRefused = true
      }
      return !isRefused && !missing.isEmpty
    }
    // Neither one that has ended meanwhile nor a thread of the kernel has a command line.
    if !isListed || isRefused { if ProcessTable.firstArgument(of: process) != nil { refused += 1 } }
    return looked <= count
  }

  /// Looks at the descriptors of a process that others have a socket under.
  private mutating func lookForHeir(_ process: ProcessID) {
    var descriptors: [Int32] = []
    for holder in holders where !descriptors.contains(holder.descriptor) && descriptors.count < 16 {
      descriptors.append(holder.descriptor)
    }
    for descriptor in descriptors {
      guard case .socket(let inode) = SocketOwners.target(of: descriptor, of: process) else { continue }
      var isHeld = false
      var isKnown = false
      for holder in holders where holder.inode == inode {
        isHeld = true
        if holder.process == process { isKnown = true }
      }
      if isHeld && !isKnown { add(process, descriptor, inode) }
    }
  }

  /// Adds one, behind those that are as old: there are few.
  private mutating func add(_ process: ProcessID, _ descriptor: Int32, _ inode: UInt64) {
    guard holders.count < SocketHolders.limit, let record = try? ProcessRecord(of: process) else { return }
    var place = holders.count
    holders.append(
      SocketHolder(
        process: process, descriptor: descriptor, inode: inode, name: record.name,
        startTime: record.startTime, isStopped: record.state == UInt8(ascii: "T")))
    while place > 0 && holders[place - 1].startTime > record.startTime {
      holders.swapAt(place, place - 1)
      place -= 1
    }
  }

  private mutating func relate(to service: ProcessID) {
    for index in holders.indices {
      let process = holders[index].process
      if process == service {
        holders[index].relation = .service
      } else {
        holders[index].relation = ProcessTable.isDescendant(process, of: service) ? .child : .stranger
      }
    }
  }

  /// The holders of one socket.
  public func of(_ inode: UInt64) -> [SocketHolder] {
    var found: [SocketHolder] = []
    for holder in holders where holder.inode == inode { found.append(holder) }
    return found
  }
}

extension SocketHolder: TextRepresentable {
  /// "nginx (pid 7)".
  public func write(to text: inout Text) { text.append(name, process) }
}

extension Text {
  /// A process: "nginx (pid 7)".
  mutating func append(_ name: [UInt8], _ process: ProcessID) {
    append(printable: name)
    append(" (pid ")
    append(process.rawValue)
    append(")")
  }
}
