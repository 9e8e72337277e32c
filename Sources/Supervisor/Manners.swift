import Linux

/// Where inits differ: each property is a way to behave, and its default is ebb's own.
public struct Manners: Sendable {
  /// A stop of ebb's own: drained, lingered for, reported. Without one ebb is an init and no more: it looks at no
  /// socket, answers nobody, and a service's end is its own.
  public var hasStop = true
  /// A stop sends the signal that came, whatever server it is: `--stop-signal auto` means the known server's.
  public var keepsStopSignal = false
  /// What the main process leaves behind is ended before ebb exits.
  public var endsDescendants = true
  /// What the main process's group is sent when the main process has ended; ``Configuration/rewrites`` hold for
  /// it.
  public var lastSignal: Signal?
  /// Where the service stands; nil is a session of its own, or a group where there is a terminal to share.
  public var placement: Launch.Placement?
  /// Who suspends ebb.
  public var jobControl = JobControl.withService
  /// The service starts with no signal blocked and none ignored, however ebb was started.
  public var resetsSignals = false
  /// Signals that are blocked for the service beside those that were blocked for ebb.
  public var blockedSignals = SignalSet.empty
  /// ebb lets go of its working directory, which the service keeps.
  public var leavesWorkingDirectory = false
  /// ebb closes what it inherited beside the three standard descriptors, which the service keeps.
  public var closesDescriptors = false
  /// What ebb exits with where the service could not be executed.
  public var launchFailure = LaunchCodes.ebb
  /// A line says so where orphans do not come to ebb.
  public var warnsOfLostOrphans = false

  /// Who suspends ebb.
  public enum JobControl: Sendable {
    /// A service that is suspended: the shell that waits for ebb sees it.
    case withService
    /// One of the terminal's stop signals, sent to ebb.
    case withSignal
    /// Nobody.
    case none
  }

  /// The exit codes of a service that could not be executed.
  public enum LaunchCodes: Equatable, Sendable {
    /// 127 where there is no such program, else 126.
    case ebb
    /// 127 for ENOENT, 126 for EACCES, else 1.
    case byErrno
    /// This one.
    case always(UInt8)
  }

  /// ebb's own.
  public init() {}
}

extension Configuration {
  /// Before the launch: what ebb does to itself, and what it has to say about it. Why it may not begin, where the user
  /// asked for something that the kernel refuses.
  func prepareItself(_ journal: Journal) -> Text? {
    do throws(Errno) {
      if let signal = parentDeathSignal { try ProcessControl.setParentDeathSignal(signal) }
    } catch {
      return "--parent-death-signal: \(error)"
    }
    // PID 1 is what orphans go to anyway.
    if ProcessID.own.rawValue != 1 {
      if let refusal = becomeSubreaper(journal) { return refusal }
      if manners.warnsOfLostOrphans && !ProcessControl.isSubreaper {
        journal.write(
          .problems, "no-reaper",
          "this is neither PID 1 nor a subreaper: orphans are not reaped here (-s makes it one)")
      }
    }
    if manners.placement == .sessionWithTerminal { Terminal.leave() }
    return nil
  }

  private func becomeSubreaper(_ journal: Journal) -> Text? {
    if subreaper == .no { return nil }
    do throws(Errno) {
      try ProcessControl.becomeSubreaper()
    } catch {
      if subreaper == .demanded { return "cannot become a subreaper: \(error)" }
      subreaper = .no
      journal.write(
        .problems, "no-subreaper",
        "cannot become a subreaper (\(error)): orphans go to the init above; --no-subreaper says the same and is silent"
      )
    }
    return nil
  }
}

extension Manners {
  /// After the launch: lets go of what the service has and ebb does not need.
  func letGo() {
    if leavesWorkingDirectory { ProcessControl.leaveWorkingDirectory() }
    if closesDescriptors { FileDescriptor.closeInherited() }
  }
}
