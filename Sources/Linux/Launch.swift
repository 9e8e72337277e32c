import CLinux

/// A program being started: a new process, execvp(3) in it, and word of how that went.
///
/// The word is kept apart from the exit code, so that a program that itself exits with 127 is never taken for one that
/// is not there. Nobody waits for it: a file system may keep execve(2) waiting, and a program that does not run is a
/// child that ends.
public struct Launch {
  /// The child.
  public let process: ProcessID
  /// Where the word comes from: a pipe that the program's execve(2) closes.
  private let report: FileDescriptor

  /// What the child gets beside its arguments.
  public struct Settings {
    /// The blocked signals that it starts with.
    public var signalMask: SignalSet
    /// SIGCHLD was ignored when we were started, and is to be ignored for it.
    public var ignoresChildSignal: Bool
    /// Every signal has its default action for it, even one that was ignored when we were started.
    public var resetsSignals = false
    /// Where it stands among sessions and process groups.
    public var placement: Placement
    /// The controlling terminal, whose foreground it is to be.
    public var terminal: FileDescriptor?

    /// The settings, each as its property says.
    public init(
      signalMask: SignalSet, ignoresChildSignal: Bool, placement: Placement, terminal: FileDescriptor?
    ) {
      self.signalMask = signalMask
      self.ignoresChildSignal = ignoresChildSignal
      self.placement = placement
      self.terminal = terminal
    }
  }

  /// Where a child stands among sessions and process groups, credentials(7).
  public enum Placement: Equatable, Sendable {
    /// A session of its own, setsid(2).
    case session
    /// The same, and standard input's terminal becomes that session's, if no other session has it: TIOCSCTTY.
    case sessionWithTerminal
    /// A process group of its own in our session, setpgid(2).
    case group
    /// Our own process group.
    case ours
  }

  /// Makes the process. `arguments` is an argv: pointers to C strings, the last one nil, the first one the program,
  /// looked up in PATH where it has no slash.
  public init(_ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>, _ settings: Settings)
    throws(Errno)
  {
    var launch = clinux_launch()
    launch.argv = UnsafePointer(arguments)
    launch.signal_mask = settings.signalMask.rawValue
    launch.ignore_sigchld = settings.ignoresChildSignal
    launch.default_signals = settings.resetsSignals
    launch.new_session = settings.placement == .session || settings.placement == .sessionWithTerminal
    launch.new_group = settings.placement == .group
    launch.take_terminal = settings.placement == .sessionWithTerminal
    launch.terminal = settings.terminal?.rawValue ?? -1
    var report: Int32 = -1
    let pid = try checked(clinux_launch(&launch, &report))
    // In both processes, since either may need the group first, as shells do.
    if launch.new_group { _ = setpgid(pid, pid) }
    process = ProcessID(pid)
    self.report = FileDescriptor(report)
  }

  /// Why it could not be executed; nil when it ran. For a child that has ended.
  public func error() -> Errno? {
    let number = clinux_launch_error(report.rawValue)
    return number > 0 ? Errno(number) : nil
  }

  /// Lets go of the pipe.
  public func close() { report.close() }
}

/// The process attributes that an init has or sets for itself.
public enum ProcessControl {
  /// Makes orphaned descendants our children, PR_SET_CHILD_SUBREAPER, prctl(2), Linux 3.4.
  public static func becomeSubreaper() throws(Errno) {
    try checked(clinux_prctl(PR_SET_CHILD_SUBREAPER, 1))
  }

  /// The signal that we get when our parent dies, PR_SET_PDEATHSIG, prctl(2).
  public static func setParentDeathSignal(_ signal: Signal) throws(Errno) {
    try checked(clinux_prctl(PR_SET_PDEATHSIG, UInt(signal.rawValue)))
  }

  /// Whether orphaned descendants become our children, PR_GET_CHILD_SUBREAPER: an exec(3) before ours may have
  /// left it so.
  public static var isSubreaper: Bool { clinux_is_subreaper() }

  /// Lets go of the working directory, chdir(2): what it is on can be unmounted then.
  public static func leaveWorkingDirectory() { _ = chdir(CString("/").pointer) }

  /// Gives SIGCHLD its default action (ignored, it would have the kernel reap children unseen); true when it
  /// was ignored.
  public static func watchChildren() -> Bool { clinux_default_action(SIGCHLD) == 1 }

  /// Ends this process, at once; the corresponding C function is `_exit`.
  public static func exit(_ code: UInt8) -> Never { _exit(Int32(code)) }

  /// Suspends this process as SIGSTOP does; comes back at SIGCONT.
  public static func suspend() { _ = kill(getpid(), SIGSTOP) }
}

extension ProcessControl {
  /// The user whose rights this process has, geteuid(2).
  public static var effectiveUser: UInt32 { geteuid() }
}
