import Linux

/// Who takes in the rows of a socket table, one at a time, so that memory does not grow with the table. A class, so
/// that the code which reads a table is in the binary once, and not once for each collector.
open class SocketCollector {
  /// A collector that has seen nothing.
  public init() {}

  /// Forgets all rows: the kernel says that the table changed under the reading, which begins again.
  open func restart() {}

  /// Takes one row.
  open func take(_ socket: TCPSocket) {}

  /// Takes a row by what can be read of it at once, so that no more is made of it; false where the whole
  /// socket is wanted after all. Only rows from netlink come this way.
  open func count(_ row: SocketRow) -> Bool { false }
}
