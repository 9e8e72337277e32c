import CLinux

/// The one wait of a program that nothing may keep from its signals: for them, for descriptors, and for a moment.
///
/// While there is no descriptor, signals are taken from the kernel as they are waited for, sigtimedwait(2): one system
/// call. The first descriptor makes it epoll(7), with the signals as a file beside it, signalfd(2). A descriptor of
/// which hardly ever anything comes does so only once it has: until then it is a signal too.
///
/// All signals must be blocked, ``SignalSet/blockAll()``.
public final class Waiter {
  /// What has come.
  public enum Wakeup {
    /// A signal. Those that are pending come before all descriptors.
    case signal(ArrivedSignal)
    /// A descriptor is ready.
    case descriptor(EventPoll.Event)
  }

  /// The token of the signals' own descriptor: none that is added may have it.
  private static var signalToken: UInt64 { .max }
  /// By which signal the kernel tells of the quiet descriptor: the last of all, SIGRTMAX, so that it comes after those
  /// that are handed over. A process that sends it is known by the signal's code.
  private static var bell: Signal { .last }
  /// After so many signals the bell is heard first, once: a storm of others does not drown it.
  private static var bellTurn: UInt8 { 64 }

  private var poll: EventPoll?
  private var signals: SignalDescriptor?
  /// Which signals the descriptor tells of.
  private var wanted = SignalSet.all
  /// The descriptor that the bell is rung for; nil where there is none, or the poll has it.
  private var quiet: (file: FileDescriptor, token: UInt64)?
  private var hasBell = false
  private var signalsUntilBell = Waiter.bellTurn

  /// One for signals alone.
  public init() {}

  /// Begins to wait for a descriptor: to be readable, to be writable, both, or (neither) to fail.
  public func add(
    _ file: FileDescriptor, token: UInt64, readable: Bool = true, writable: Bool = false
  ) throws(Errno) {
    try opened().add(file, token: token, readable: readable, writable: writable)
  }

  /// Begins to wait for one non-blocking descriptor to be readable, which is not now: a listener that does not listen
  /// yet. As long as there is no other, the kernel tells of it by a signal, fcntl(2) O_ASYNC, and no file is opened.
  public func addQuiet(_ file: FileDescriptor, token: UInt64) throws(Errno) {
    guard poll == nil, quiet == nil, clinux_announce(file.rawValue, Waiter.bell.rawValue) == 0 else {
      return try add(file, token: token)
    }
    quiet = (file, token)
    hasBell = true
  }

  /// Changes what is waited for.
  public func modify(
    _ file: FileDescriptor, token: UInt64, readable: Bool = true, writable: Bool
  ) throws(Errno) {
    try poll?.modify(file, token: token, readable: readable, writable: writable)
  }

  /// Ends the wait for a descriptor.
  public func remove(_ file: FileDescriptor) {
    if let quiet, quiet.file == file { silence(file) }
    poll?.remove(file)
  }

  /// Has the kernel tell of it by a signal no more.
  private func silence(_ file: FileDescriptor) {
    file.setNonblocking()
    quiet = nil
  }

  @inline(never)
  private func opened() throws(Errno) -> EventPoll {
    if let poll { return poll }
    let poll = try EventPoll()
    do throws(Errno) {
      let signals = try SignalDescriptor(wanted)
      do throws(Errno) {
        try poll.add(signals.descriptor, token: Waiter.signalToken)
        if let quiet {
          try poll.add(quiet.file, token: quiet.token)
          silence(quiet.file)
        }
        self.signals = signals
        self.poll = poll
        return poll
      } catch {
        signals.descriptor.close()
        throw error
      }
    } catch {
      poll.close()
      throw error
    }
  }

  /// Waits for one of these signals, for a descriptor, or for so long (nil: without an end), and hands over what has
  /// come; nothing, where a stop and its SIGCONT interrupted the wait. Whatever is pending and not handed over comes
  /// with the next wait.
  ///
  /// At rest: the wait is likely to be long, so that the memory for the program's own code is given back for as long as
  /// it takes. That is a wait without an end.
  public func wait(
    for signalSet: SignalSet = .all, during time: Duration?, atRest: Bool = false, _ take: (Wakeup) -> Void
  ) {
    guard let poll, let signals else {
      var signal = clinux_signal()
      var (signalSet, nanoseconds) = (signalSet, time?.inNanoseconds ?? -1)
      if hasBell && !atRest {
        signalsUntilBell -= 1
        if signalsUntilBell == 0 {
          signalsUntilBell = Waiter.bellTurn
          (signalSet, nanoseconds) = (Waiter.bells, 0)
        }
      }
      if clinux_wait_for_signal(signalSet.rawValue, nanoseconds, atRest, &signal),
        let arrived = ArrivedSignal(number: signal.number, code: signal.code, sender: signal.sender)
      {
        if !hasBell { take(.signal(arrived)) } else { hand(arrived, take) }
      }
      return
    }
    if signalSet != wanted, (try? signals.set(signalSet)) != nil { wanted = signalSet }
    poll.wait(for: time, atRest: atRest) { events in
      for event in events where event.data.u64 == Waiter.signalToken { signals.take { hand($0, take) } }
      for event in events where event.data.u64 != Waiter.signalToken {
        take(.descriptor(EventPoll.Event(event)))
      }
    }
  }

  /// Hands a signal over, unless it is the kernel's word of the quiet descriptor, which is ready then.
  private func hand(_ arrived: ArrivedSignal, _ take: (Wakeup) -> Void) {
    guard hasBell, Waiter.bells.contains(arrived.signal) else { return take(.signal(arrived)) }
    // The kernel's SIGIO comes to nothing where one that a process sent is pending: that one stands for both.
    if arrived.sentByProcess { take(.signal(arrived)) }
    guard let quiet, arrived.signal == .inputOutput || !arrived.sentByProcess else { return }
    // Without a descriptor for the poll, whoever takes the event has none for the connection either.
    _ = try? opened()
    take(.descriptor(EventPoll.Event(readable: quiet.token)))
  }

  /// The signals that may be the kernel's word of the quiet descriptor.
  private static var bells: SignalSet {
    var bells = SignalSet.empty
    bells.insert(bell)
    bells.insert(.inputOutput)
    return bells
  }
}
