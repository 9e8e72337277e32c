import Linux

/// The TCP sockets of this network namespace: over netlink, and from /proc/net where that is refused.
public struct SocketTable {
  /// Where the rows come from.
  public enum Source: Equatable, Sendable {
    /// NETLINK_SOCK_DIAG.
    case netlink
    /// /proc/net/tcp and tcp6.
    case proc
  }

  private var diagnostics: SocketDiagnostics?
  /// Where the rows came from last; nil before the first reading.
  public private(set) var source: Source?
  /// Why it is not netlink; nil where that was not asked, or answers.
  public private(set) var netlinkError: Errno?

  /// A table that has not been read yet; opens nothing until it is.
  public init() {}

  /// Reads the rows of a query into a collector. Throws netlink's error where both ways fail; the collector
  /// then holds nothing that may be counted.
  public mutating func read(_ query: SocketQuery, into collector: SocketCollector) throws(Errno) {
    var netlinkError = Errno.noSuchFile
    if source != .proc {
      do throws(Errno) {
        if diagnostics == nil { diagnostics = try SocketDiagnostics() }
        try diagnostics?.dump(query, into: collector)
        source = .netlink
        return
      } catch {
        // What is left of a broken dialogue must not be taken for the next answer.
        diagnostics?.close()
        diagnostics = nil
        collector.restart()
        // Netlink that has worked before is not given up for one failure.
        if source == .netlink { throw error }
        netlinkError = error
        self.netlinkError = error
      }
    }
    do throws(Errno) {
      try ProcNetTCP.read(query, into: collector)
      source = .proc
    } catch {
      collector.restart()
      throw error == .noSuchFile ? netlinkError : error
    }
  }

  /// Reads UDP sockets, from /proc/net: few have many of them, and udp_diag is a module that may be missing.
  public func readUDP(_ query: SocketQuery, into collector: SocketCollector) throws(Errno) {
    try ProcNetTCP.readUDP(query, into: collector)
  }
}
