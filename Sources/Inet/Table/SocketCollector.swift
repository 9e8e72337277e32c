import Linux

/// Who takes in the rows of a socket table, one at a time, so that memory does not grow with the table.
public protocol SocketCollector {
  /// Forgets all rows: the kernel says that the table changed under the reading, which begins again.
  mutating func restart()
  /// Takes one row.
  mutating func take(_ socket: TCPSocket)
  /// Takes a row by what can be read of it at once, so that no more is made of it; false where the whole
  /// socket is wanted after all. Only rows from netlink come this way.
  mutating func count(_ row: SocketRow) -> Bool
}

extension SocketCollector {
  /// Wants every socket whole.
  public mutating func count(_ row: SocketRow) -> Bool { false }
}

/// A collector of some type, so that the code which reads a table is in the binary once, and not once for each
/// type. It holds no reference: only good for as long as the call that lends it.
struct AnyCollector: ~Copyable {
  let restart: () -> Void
  let take: (TCPSocket) -> Void
  let count: (SocketRow) -> Bool

  /// Has `body` read into a collector.
  static func lend(
    _ collector: inout some SocketCollector, to body: (borrowing AnyCollector) throws(Errno) -> Void
  ) throws(Errno) {
    try withUnsafeMutablePointer(to: &collector) { (pointer) throws(Errno) in
      try body(
        AnyCollector(
          restart: { pointer.pointee.restart() }, take: { pointer.pointee.take($0) },
          count: { pointer.pointee.count($0) }))
    }
  }
}

extension SocketDiagnostics {
  /// The same, into a collector of any type.
  mutating func dump(_ query: SocketQuery, into collector: inout some SocketCollector) throws(Errno) {
    try AnyCollector.lend(&collector) { (any) throws(Errno) in try dump(query, into: any) }
  }
}

extension DumpReply {
  /// The same, into a collector of any type.
  mutating func take(_ datagram: UnsafeRawBufferPointer, into collector: inout some SocketCollector)
    throws(Errno)
  {
    try AnyCollector.lend(&collector) { (any) throws(Errno) in try take(datagram, into: any) }
  }
}

extension ProcNetTCP {
  /// The same, into a collector of any type.
  static func read(_ query: SocketQuery, into collector: inout some SocketCollector) throws(Errno) {
    try AnyCollector.lend(&collector) { (any) throws(Errno) in try read(query, into: any) }
  }

  /// The same of one file.
  static func read(_ path: CString, _ query: SocketQuery, into collector: inout some SocketCollector)
    throws(Errno)
  {
    try AnyCollector.lend(&collector) { (any) throws(Errno) in try read(path, query, any) }
  }
}
