import CLinux
import Linux

/// The sockets that processes hold, by /proc/PID/fd, proc(5).
public struct SocketOwners {
  /// The inodes of sockets, in no order; bounded.
  private var inodes: [UInt64] = []
  /// Whether every descriptor of every process could be read.
  public private(set) var isComplete = true

  /// At most so many descriptors are looked at by PID 1: 5 µs each, and a drain waits for it.
  public static var limit: Int { 32768 }

  /// Reads the descriptors of some processes. Another user's are refused without CAP_SYS_PTRACE, and so are
  /// those of one of our own that has changed its user, ptrace(2). Not complete either where there are more
  /// than may be looked at: each process has its share, from its lowest on, where a listener nearly always is.
  public init(_ processes: [ProcessID], atMost limit: Int = SocketOwners.limit) {
    let share = max(64, limit / max(1, processes.count))
    var looked = 0
    for process in processes where looked < limit {
      let end = looked + share
      let isReadable = SocketOwners.visit(process) { (number, folder) in
        looked += 1
        if looked > end { return false }
        switch SocketOwners.target(of: number, in: folder) {
        case .socket(let inode): inodes.add(inode)
        case .other: break
        // With CAP_DAC_OVERRIDE, as root in a container, the directory can be listed all the same.
        case .refused: isComplete = false
        }
        return true
      }
      if !isReadable || looked > end { isComplete = false }
    }
    if looked >= limit { isComplete = false }
  }

  /// Calls `body` with each descriptor of a process, by its number in an open /proc/PID/fd, until that gives
  /// false; false where they cannot be listed.
  static func visit(_ process: ProcessID, _ body: (Int32, FileDescriptor) -> Bool) -> Bool {
    let path: Text = "/proc/\(process)/fd"
    return path.bytes.withCString { (path) -> Bool in
      do throws(Errno) {
        try Directory.numbers(in: path, body)
        return true
      } catch {
        return false
      }
    }
  }

  /// The inodes of the sockets that they hold.
  var sockets: [UInt64] { inodes }

  /// Whether one of them holds the socket of this inode.
  public func hold(_ inode: UInt64) -> Bool { inodes.contains(inode) }

  /// What a descriptor is of.
  enum Target {
    /// A socket of this inode.
    case socket(UInt64)
    case other
    /// We may not know.
    case refused
  }

  /// What a descriptor is of, by its name in an open /proc/PID/fd.
  static func target(of descriptor: Int32, in directory: FileDescriptor) -> Target {
    let name: Text = "\(descriptor)"
    return target(name, from: directory.rawValue)
  }

  /// What a descriptor of a process is of.
  static func target(of descriptor: Int32, of process: ProcessID) -> Target {
    let path: Text = "/proc/\(process)/fd/\(descriptor)"
    return target(path, from: AT_FDCWD)
  }

  private static func target(_ path: Text, from directory: Int32) -> Target {
    path.bytes.withCString { path in
      withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { buffer in
        guard let base = buffer.baseAddress else { return .other }
        let count: Int
        do throws(Errno) {
          count = try checked {
            readlinkat(directory, path.pointer, base.assumingMemoryBound(to: CChar.self), buffer.count)
          }
        } catch {
          return error == .permissionDenied ? .refused : .other
        }
        return inode(in: UnsafeRawBufferPointer(rebasing: buffer[..<count])).map { .socket($0) } ?? .other
      }
    }
  }

  /// The inode in "socket:[12345]"; nil where a link leads anywhere else.
  static func inode(in link: UnsafeRawBufferPointer) -> UInt64? {
    let prefix: StaticString = "socket:["
    guard let base = link.baseAddress, link.count > prefix.utf8CodeUnitCount + 1,
      link.last == UInt8(ascii: "]"), memcmp(base, prefix.utf8Start, prefix.utf8CodeUnitCount) == 0
    else { return nil }
    return decimal(UnsafeRawBufferPointer(rebasing: link[prefix.utf8CodeUnitCount..<(link.count - 1)]))
  }
}
