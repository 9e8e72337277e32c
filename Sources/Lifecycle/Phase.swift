/// Where in its life a service is, as users see it.
public enum Phase: UInt8, Equatable, Sendable {
  /// Launched, not ready yet.
  case starting
  /// At work.
  case serving
  /// Told to stop, and still serving what the load balancers go on sending.
  case draining
  /// The work has left, as `ebb drain` asked; the next drain signal stops it at once.
  case drained
  /// The stop signal is out, or the main process has ended and its descendants are being ended.
  case stopping
  /// No process is left; the kernel still holds bytes that no peer has acknowledged.
  case lingering
  /// Over.
  case done
}

/// A signal's number, signal(7): here only a token that is handed back in an action.
public struct SignalNumber: Equatable, Sendable {
  /// 1 to 64.
  public let rawValue: Int32

  /// The signal with this number.
  public init(_ rawValue: Int32) { self.rawValue = rawValue }
}
