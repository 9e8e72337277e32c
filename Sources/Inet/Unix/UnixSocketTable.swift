import CLinux
import Linux

/// A row of /proc/net/unix, proc_net(5): one Unix stream socket with a name.
public struct UnixSocketRow: Equatable, Sendable {
  /// The path; an abstract name begins with '@'.
  public var path: [UInt8]
  /// 0 for a connection that nobody has accepted.
  public var inode: UInt64
  /// It waits for connections; else it is the server's end of one, which has the listener's name.
  public var isListening: Bool
}

/// The Unix stream sockets of this network namespace that have a name.
public enum UnixSocketTable {
  /// Longer lines than this are not read.
  static var longestPath: Int { 108 }

  /// Calls `body` with each of them.
  public static func read(_ body: (UnixSocketRow) -> Void) throws(Errno) {
    var isFirst = true
    try Lines.read(CString("/proc/net/unix")) { line in
      // The first line names the columns.
      if isFirst {
        isFirst = false
      } else if let row = UnixSocketRow(procLine: line) {
        body(row)
      }
      return true
    }
  }
}

extension UnixSocketRow {
  /// The socket in a line; nil where it is no stream's, has no name, is not connected, or makes no sense.
  init?(procLine line: UnsafeRawBufferPointer) {
    // Num: RefCount Protocol Flags Type St Inode Path
    var rest = Array(line)[...]
    func field() -> ArraySlice<UInt8>? { rest.next(before: UInt8(ascii: " ")) }
    for _ in 0..<3 where field() == nil { return nil }
    guard let flags = field().flatMap({ hexadecimal($0) }), let type = field().flatMap({ hexadecimal($0) }),
      let state = field().flatMap({ hexadecimal($0) }), let inode = field().flatMap({ decimal($0) }),
      type == UInt64(UnixSocketRow.stream), !rest.isEmpty, rest.count <= UnixSocketTable.longestPath
    else { return nil }
    // __SO_ACCEPTCON, include/linux/net.h
    isListening = flags & 0x10000 != 0
    // SS_CONNECTING, which is not accepted yet, and SS_CONNECTED.
    if !isListening && state != 2 && state != 3 { return nil }
    self.inode = inode
    path = rest.copy
  }

  private static var stream: Int { 1 }
}
