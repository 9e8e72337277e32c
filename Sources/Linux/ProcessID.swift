import CLinux

/// The number of a process, as this process's pid namespace has it, pid_namespaces(7).
public struct ProcessID: Equatable, Sendable {
  /// The number.
  public let rawValue: pid_t

  /// The process with this number.
  public init(_ rawValue: pid_t) { self.rawValue = rawValue }

  /// The process whose number these bytes spell; nil where they spell none.
  init?(decimal bytes: ArraySlice<UInt8>) {
    guard let number = Linux.decimal(bytes).flatMap({ pid_t(exactly: $0) }) else { return nil }
    rawValue = number
  }

  /// This process.
  public static var own: ProcessID { ProcessID(getpid()) }

  /// This process's session, getsid(2).
  public static var ownSession: ProcessID { ProcessID(getsid(0)) }

  /// Sends a signal to this process alone; the corresponding C function is `kill`.
  public func send(_ signal: Signal) throws(Errno) {
    let pid = rawValue
    // 0 and -1 mean whole groups to kill(2), and never a process: they must not get there.
    guard pid > 0 else { throw .noSuchProcess }
    try checked(kill(pid, signal.rawValue))
  }

  /// Sends a signal to every member of the process group that has this number, kill(2) with a negative pid.
  public func sendToGroup(_ signal: Signal) throws(Errno) {
    let pid = rawValue
    // -1 would be every process there is.
    guard pid > 1 else { throw .noSuchProcess }
    try checked(kill(-pid, signal.rawValue))
  }
}

extension ProcessID: TextRepresentable {
  /// The number.
  public func write(to text: inout Text) { text.append(rawValue) }
}

/// How a process ended, wait(2).
public enum ExitStatus: Equatable, Sendable {
  /// It called exit(3) with this code, 0 to 255.
  case exited(UInt8)
  /// A signal ended it.
  case killed(Signal)

  /// The exit code that a shell reports for it: 128+n for signal n.
  public var code: UInt8 {
    switch self {
    case .exited(let code): code
    case .killed(let signal): UInt8(truncatingIfNeeded: 128 + signal.rawValue)
    }
  }
}

extension ExitStatus: TextRepresentable {
  /// "exited 0", "was killed by SIGKILL".
  public func write(to text: inout Text) {
    switch self {
    case .exited(let code):
      text.append("exited ")
      text.append(code)
    case .killed(let signal):
      text.append("was killed by ")
      signal.write(to: &text)
    }
  }
}

/// A child that has changed its state, waitid(2).
public struct ChildChange {
  /// What happened to it.
  public enum Kind: Equatable {
    /// It has ended, and its number is free again.
    case ended(ExitStatus)
    /// A signal has stopped it.
    case stopped(Signal)
    /// SIGCONT has woken it.
    case continued
  }

  /// Which child.
  public let process: ProcessID
  /// What happened.
  public let kind: Kind

  /// What ``next()`` found.
  public enum Answer {
    /// A child has changed.
    case change(ChildChange)
    /// There are children; none has changed.
    case nothing
    /// There is no child at all. For an init (and a subreaper) that means: no descendant.
    case childless
  }

  /// The next child that has changed, its state taken (a zombie is gone then). Never waits.
  public static func next() -> Answer {
    var child = clinux_child()
    let options = WEXITED | WSTOPPED | WCONTINUED | WNOHANG
    do throws(Errno) {
      try checked(clinux_wait(P_ALL, 0, &child, Int32(options)))
    } catch {
      return error == .noChild ? .childless : .nothing
    }
    guard child.pid > 0 else { return .nothing }
    let process = ProcessID(child.pid)
    let status = Signal(child.status & 0x7f)
    switch Int(child.code) {
    case Int(CLD_EXITED):
      return .change(
        ChildChange(process: process, kind: .ended(.exited(UInt8(truncatingIfNeeded: child.status)))))
    case Int(CLD_STOPPED), Int(CLD_TRAPPED):
      return .change(ChildChange(process: process, kind: .stopped(status ?? .stop)))
    case Int(CLD_CONTINUED):
      return .change(ChildChange(process: process, kind: .continued))
    default:
      return .change(ChildChange(process: process, kind: .ended(.killed(status ?? .kill))))
    }
  }

  /// Whether this child of ours has ended and is still to be reaped.
  public static func hasEnded(_ process: ProcessID) -> Bool {
    var child = clinux_child()
    let options = Int32(WEXITED | WNOHANG | WNOWAIT)
    return clinux_wait(P_PID, id_t(process.rawValue), &child, options) != -1 && child.pid > 0
  }

  /// Whether a child of ours is in this process group. While one is, the group's number cannot have been
  /// given to strangers.
  public static func isAnyInGroup(_ group: ProcessID) -> Bool {
    var child = clinux_child()
    return
      clinux_wait(P_PGID, id_t(group.rawValue), &child, Int32(WEXITED | WNOHANG | WNOWAIT)) != -1
  }
}
