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
    let wanted = inodes.filter { $0 != 0 }
    if wanted.isEmpty { return }
    var missing = wanted
    var near: [ProcessID] = []
    var far: [ProcessID] = []
    let network = NetworkNamespace.name(of: .own)
    do throws(Errno) {
      try Directory.numbers(in: CString("/proc")) { number in
        let process = ProcessID(number)
        if NetworkNamespace.name(of: process) == network { near.append(process) } else { far.append(process) }
        return near.count + far.count < SocketHolders.processLimit
      }
    } catch {
      isReadable = false
      return
    }
    for processes in [near, far] {
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
    if all { for process in near { lookForHeir(process) } }
    sort()
    if let service { relate(to: service) }
  }

  /// Looks at the descriptors of a process, as many as are allowed; false when it has more.
  private mutating func look(
    at process: ProcessID, for wanted: [UInt64], _ missing: inout [UInt64], atMost count: Int
  ) -> Bool {
    let path: Text = "/proc/\(process)/fd"
    var isRefused = false
    var looked = 0
    let isListed = path.bytes.withCString { path in
      (try? Directory.numbers(in: path) { (number, directory) in
        looked += 1
        if looked > count { return false }
        switch SocketOwners.target(of: number, in: directory) {
        case .socket(let inode):
          if wanted.contains(inode) {
            missing.removeAll { $0 == inode }
            add(process, number, inode)
          }
        case .other: break
        case .refused: isRefused = true
        }
        return !isRefused && !missing.isEmpty
      }) != nil
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
      guard case .socket(let inode) = SocketOwners.target(of: descriptor, of: process),
        holders.contains(where: { $0.inode == inode }),
        !holders.contains(where: { $0.process == process && $0.inode == inode })
      else { continue }
      add(process, descriptor, inode)
    }
  }

  private mutating func add(_ process: ProcessID, _ descriptor: Int32, _ inode: UInt64) {
    guard holders.count < SocketHolders.limit, let record = try? ProcessRecord(of: process) else { return }
    holders.append(
      SocketHolder(
        process: process, descriptor: descriptor, inode: inode, name: record.name,
        startTime: record.startTime, isStopped: record.state == UInt8(ascii: "T")))
  }

  /// The oldest first, by insertion: there are few.
  private mutating func sort() {
    var sorted: [SocketHolder] = []
    for holder in holders {
      let place = sorted.firstIndex { $0.startTime > holder.startTime } ?? sorted.count
      sorted.insert(holder, at: place)
    }
    holders = sorted
  }

  private mutating func relate(to service: ProcessID) {
    for index in holders.indices {
      let process = holders[index].process
      if process == service {
        holders[index].relation = .service
      } else {
        holders[index].relation =
          ProcessTable.isDescendant(process, of: service) ? .child : .stranger
      }
    }
  }

  /// The holders of one socket.
  public func of(_ inode: UInt64) -> [SocketHolder] { holders.filter { $0.inode == inode } }
}
