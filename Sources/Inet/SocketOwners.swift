import CLinux
import Linux

/// The sockets that processes hold, by /proc/PID/fd, proc(5).
public struct SocketOwners {
  /// The inodes of sockets, in no order; bounded.
  private var inodes: [UInt64] = []
  /// Whether the descriptors of every process could be read.
  public private(set) var isComplete = true

  /// At most so many sockets are remembered.
  static var limit: Int { 65536 }

  /// Reads the descriptors of some processes. Another user's are refused without CAP_SYS_PTRACE, and so are
  /// those of one of our own that has changed its user, ptrace(2).
  public init(_ processes: [ProcessID]) {
    for process in processes {
      let directory: Text = "/proc/\(process)/fd"
      let isReadable = directory.bytes.withCString { path in
        (try? Directory.numbers(in: path) { number in
          if let inode = SocketOwners.inode(of: number, in: directory) { inodes.append(inode) }
          return inodes.count < SocketOwners.limit
        }) != nil
      }
      if !isReadable { isComplete = false }
    }
  }

  /// Whether one of them holds the socket of this inode.
  public func hold(_ inode: UInt64) -> Bool { inodes.contains(inode) }

  /// The inode in "socket:[12345]"; nil where the descriptor is no socket.
  private static func inode(of descriptor: Int32, in directory: Text) -> UInt64? {
    let path: Text = "\(directory)/\(descriptor)"
    return path.bytes.withCString { path in
      withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { buffer in
        guard let base = buffer.baseAddress else { return nil }
        let count = readlink(path.pointer, base.assumingMemoryBound(to: CChar.self), buffer.count)
        guard count > 9 else { return nil }
        let target = [UInt8](UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
        guard target.hasPrefix("socket:["), target.last == UInt8(ascii: "]") else { return nil }
        return decimal(target[8..<(count - 1)])
      }
    }
  }
}
