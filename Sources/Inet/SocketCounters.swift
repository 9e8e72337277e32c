import CLinux
import Linux

/// How many sockets there are in this network namespace: two counters of /proc/net, a tenth of what it costs to have the
/// kernel walk an empty table. The first file is kept open, since most of the price of reading it is that of its name.
public final class SocketCounters {
  private var file: FileDescriptor?

  /// Nothing is opened yet.
  public init() {}

  /// Whether there may be TCP sockets that are more than a TIME_WAIT: those that listen or are connected, with a process
  /// or without; true where that cannot be told.
  ///
  /// `others` is how many sockets there are that are none of TCP's, as far as is known: where there are no more of any
  /// kind, the first file says it all.
  public func mayHaveConnections(besides others: Int = 0) -> Bool {
    guard let four = beginning() else { return true }
    if let all = decimal(four.line("sockets: used ")), all <= others { return false }
    // Not there where the kernel has no IPv6.
    let six = try? File.read(CString("/proc/net/sockstat6"), limit: 32)
    return !(four.holds("TCP: inuse 0 ") && six?.holds("TCP6: inuse 0\n") ?? true)
  }

  /// The first two lines of sockstat, as far as they are wanted.
  private func beginning() -> [UInt8]? {
    if file == nil { file = try? FileDescriptor.open(CString("/proc/net/sockstat"), O_RDONLY) }
    guard let file else { return nil }
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = bytes.withUnsafeMutableBytes { pread(file.rawValue, $0.baseAddress, $0.count, 0) }
    return count == bytes.count ? bytes : nil
  }
}
