import CLinux
import Linux

/// A descriptor of a process that is a socket.
public struct SocketHolder: Sendable {
  /// The process.
  public let process: ProcessID
  /// Its descriptor.
  public let descriptor: Int32
  /// The socket's inode.
  public let inode: UInt64
  /// Its name, from /proc/PID/stat.
  public let name: [UInt8]
  /// Its parent.
  public let parent: ProcessID
  /// When it began, in ticks since the boot.
  public let startTime: UInt64
  /// A signal has stopped it.
  public let isStopped: Bool
}

/// Who holds some sockets: a walk of /proc/PID/fd of every process that may be looked into.
public struct SocketHolders: Sendable {
  /// The descriptors found, the oldest process first; bounded.
  public private(set) var holders: [SocketHolder] = []
  /// Processes that we may not look into: another user's, without CAP_SYS_PTRACE.
  public private(set) var refused = 0
  /// Whether /proc could be read at all.
  public private(set) var isReadable = true

  /// More holders than this of a few sockets are not told one by one.
  static var limit: Int { 256 }

  /// Looks for the holders of the sockets with these inodes. Ends as soon as each has one, unless `all` are
  /// wanted, those that inherited it too.
  public init(of inodes: [UInt64], all: Bool) {
    let wanted = inodes.filter { $0 != 0 }
    if wanted.isEmpty { return }
    var missing = wanted
    do throws(Errno) {
      try Directory.numbers(in: CString("/proc")) { number in
        look(ProcessID(number), for: wanted, &missing)
        return holders.count < SocketHolders.limit && (all || !missing.isEmpty)
      }
    } catch {
      isReadable = false
    }
    // The oldest first, by insertion: there are few.
    var sorted: [SocketHolder] = []
    for holder in holders {
      let place = sorted.firstIndex { $0.startTime > holder.startTime } ?? sorted.count
      sorted.insert(holder, at: place)
    }
    holders = sorted
  }

  private mutating func look(_ process: ProcessID, for wanted: [UInt64], _ missing: inout [UInt64]) {
    let directory: Text = "/proc/\(process)/fd"
    var record: ProcessRecord?
    var isRefused = false
    var found: [(Int32, UInt64)] = []
    let isListed = directory.bytes.withCString { path in
      (try? Directory.numbers(in: path) { number in
        switch SocketOwners.target(of: number, in: directory) {
        case .socket(let inode): if wanted.contains(inode) { found.append((number, inode)) }
        case .other: break
        case .refused: isRefused = true
        }
        return !isRefused
      }) != nil
    }
    // One that has ended meanwhile is not refused; it has no descriptors left.
    if !isListed || isRefused { if (try? ProcessRecord(of: process)) != nil { refused += 1 } }
    for (descriptor, inode) in found where holders.count < SocketHolders.limit {
      if record == nil { record = try? ProcessRecord(of: process) }
      guard let record else { return }
      missing.removeAll { $0 == inode }
      holders.append(
        SocketHolder(
          process: process, descriptor: descriptor, inode: inode, name: record.name, parent: record.parent,
          startTime: record.startTime, isStopped: record.state == UInt8(ascii: "T")))
    }
  }

  /// The holders of one socket.
  public func of(_ inode: UInt64) -> [SocketHolder] { holders.filter { $0.inode == inode } }
}
