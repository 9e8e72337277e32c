import CLinux

/// The one wait of a program that nothing may keep from its signals: for them, for descriptors, and for a moment.
///
/// While there is no descriptor, signals are taken from the kernel as they are waited for, sigtimedwait(2): one system
/// call. The first descriptor makes it epoll(7), with the signals as a file beside it, signalfd(2).
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

  private var poll: EventPoll?
  private var signals: SignalDescriptor?
  /// Which signals the descriptor tells of.
  private var wanted = SignalSet.all

  /// One for signals alone.
  public init() {}

  /// Begins to wait for a descriptor: to be readable, to be writable, both, or (neither) to fail.
  public func add(
    _ file: FileDescriptor, token: UInt64, readable: Bool = true, writable: Bool = false
  ) throws(Errno) {
    try opened().add(file, token: token, readable: readable, writable: writable)
  }

  /// Changes what is waited for.
  public func modify(
    _ file: FileDescriptor, token: UInt64, readable: Bool = true, writable: Bool
  ) throws(Errno) {
    try poll?.modify(file, token: token, readable: readable, writable: writable)
  }

  /// Ends the wait for a descriptor.
  public func remove(_ file: FileDescriptor) { poll?.remove(file) }

  @inline(never)
  private func opened() throws(Errno) -> EventPoll {
    if let poll { return poll }
    let poll = try EventPoll()
    do throws(Errno) {
      let signals = try SignalDescriptor(wanted)
      do throws(Errno) {
        try poll.add(signals.descriptor, token: Waiter.signalToken)
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
      if clinux_wait_for_signal(signalSet.rawValue, time?.inNanoseconds ?? -1, atRest, &signal),
        let arrived = ArrivedSignal(number: signal.number, code: signal.code, sender: signal.sender)
      {
        take(.signal(arrived))
      }
      return
    }
    if signalSet != wanted, (try? signals.set(signalSet)) != nil { wanted = signalSet }
    poll.wait(for: time, atRest: atRest) { events in
      for event in events where event.data.u64 == Waiter.signalToken { signals.take { take(.signal($0)) } }
      for event in events where event.data.u64 != Waiter.signalToken {
        take(.descriptor(EventPoll.Event(event)))
      }
    }
  }
}
