import CLinux
import Linux

/// The main process: launched, signalled, and followed until it is reaped.
final class Service {
  /// The main process.
  private(set) var process = ProcessID(0)
  /// The process that was launched, where it has named another as the main one and has not been reaped.
  private var former: ProcessID?
  /// What /proc said of that other one. It need not be a child of ours: its end may be its parent's to know, and
  /// its number another's then.
  private var named: ProcessRecord?
  /// How the launched process ended, where it had named another.
  private(set) var formerStatus = ExitStatus.exited(0)
  /// It has not been reaped, so its number is its own.
  private(set) var isAlive = true
  /// A signal has stopped it, and none continued it.
  private(set) var isStopped = false
  private let signalsGroup: Bool
  private let jobControl: Manners.JobControl
  private let isOrphanedGroup: Bool
  private let terminal: Terminal?
  private var launch: Launch?

  /// One that is not launched yet.
  init(_ configuration: Configuration) {
    let manners = configuration.manners
    let keepsTerminal = manners.placement == nil || manners.placement == .group
    terminal = keepsTerminal ? Terminal.controlling : nil
    isOrphanedGroup = manners.placement == nil && terminal == nil
    jobControl = manners.jobControl
    signalsGroup = configuration.signalsGroup
  }

  /// Launches it, in a session of its own where there is no controlling terminal (the scheduler's autogroup
  /// then runs it as soon as a signal wakes it: 10 µs instead of 25), else in a process group of its own,
  /// which gets the terminal if we had it.
  func launch(
    _ configuration: Configuration, signalMask: SignalSet, ignoresChildSignal: Bool
  ) throws(Errno) {
    let manners = configuration.manners
    let handedOver = terminal.flatMap { $0.isOurs ? $0.descriptor : nil }
    var mask = manners.resetsSignals ? SignalSet.empty : signalMask
    mask.rawValue |= manners.blockedSignals.rawValue
    var settings = Launch.Settings(
      signalMask: mask, ignoresChildSignal: ignoresChildSignal && !manners.resetsSignals,
      placement: manners.placement ?? (terminal == nil ? .session : .group), terminal: handedOver)
    settings.resetsSignals = manners.resetsSignals
    let launch = try Launch(configuration.arguments, settings)
    process = launch.process
    self.launch = launch
  }

  /// Why it could not be executed; nil when it ran. Once, when it has ended.
  func launchError() -> Errno? {
    defer { launch?.close() }
    return launch?.error()
  }

  /// Sends it a signal, or its whole group where the user wants that.
  func send(_ signal: Signal) {
    guard isAlive else { return }
    if let named, !named.isCurrent {
      // The one that was named is gone, and only its parent was told: its number may be a stranger's by now. The launched
      // one is the main one again, where it is still there.
      guard let former else { return }
      process = former
      self.former = nil
      self.named = nil
    }
    let signal = adapted(signal)
    if signalsGroup || (signal == .continue && terminal != nil && jobControl == .withService) {
      // Before it has made its group there is none.
      if (try? process.sendToGroup(signal)) != nil { return }
    }
    try? process.send(signal)
  }

  /// A process group of its own session is orphaned, and the kernel does not let the terminal's three stop
  /// signals stop such a one, setpgid(2). So a service that leaves them to their default action gets SIGSTOP,
  /// which is what that would have done.
  private func adapted(_ signal: Signal) -> Signal {
    guard isOrphanedGroup, signal.stopsJob else { return signal }
    // Blocked while it forks, or for good? A few milliseconds tell.
    for _ in 0..<20 {
      if let handles = ProcessTable.handles(signal, process) { return handles ? signal : .stop }
      _ = poll(nil, 0, 1)
    }
    return signal
  }

  /// Sends it the signal that has it end, and wakes it if it is suspended: it would not see it otherwise.
  func stop(_ signal: Signal) {
    send(signal)
    if isStopped { send(.continue) }
  }

  /// Takes in that it has been stopped or continued.
  func note(isStopped: Bool) { self.isStopped = isStopped }

  /// Takes in that it has been reaped: from here on its number may be another's.
  func noteReaped() { isAlive = false }

  /// Takes another process of the service as the main one, MAINPID= of sd_notify(3).
  func adopt(_ record: ProcessRecord) {
    if former == nil && named == nil { former = process }
    process = record.process
    named = record
  }

  /// Takes in that a process has been reaped; true where it was the launched one, which had named another.
  /// With the other gone too (its parent reaped it, so nobody told us), the service has ended.
  func noteFormerReaped(_ process: ProcessID, _ status: ExitStatus) -> Bool {
    guard process == former else { return false }
    former = nil
    formerStatus = status
    if named?.isCurrent != true { isAlive = false }
    return true
  }

  // MARK: - Job control

  /// Suspends ebb with a service that a shell's user has suspended, so that the shell gets its terminal back
  /// and says "Stopped". Not as PID 1: nobody could wake it.
  ///
  /// But a service that wanted the terminal (SIGTTIN, SIGTTOU) while ebb has it gets it: a shell's `fg` of a job
  /// that runs in the background puts it into the foreground without a word.
  func suspendAlong(for signal: Signal) {
    guard jobControl == .withService else { return }
    if let terminal, signal == .terminalInput || signal == .terminalOutput, terminal.isOurs {
      terminal.setForeground(process)
      return send(.continue)
    }
    guard ProcessID.own.rawValue != 1 else { return }
    if let terminal, terminal.foreground == process { terminal.takeBack() }
    ProcessControl.suspend()
  }

  /// Gives the service the terminal that the shell (`fg`) has just given us.
  func handOverTerminal() {
    if let terminal, isAlive, terminal.isOurs { terminal.setForeground(process) }
  }

  /// Takes the terminal back at the end, as a shell script that goes on after us expects it.
  func returnTerminal() {
    if let terminal, ProcessID.own.rawValue != 1, terminal.foreground == process { terminal.takeBack() }
  }
}
