import CLinux

/// The one wait of a program that nothing may keep from its signals: epoll(7), with the signals as a file among its
/// descriptors, signalfd(2).
///
/// All signals must be blocked, ``SignalSet/blockAll()``.
public struct Waiter {
  /// What has come.
  public enum Wakeup {
    /// A signal. Those that are pending come before all descriptors.
    case signal(ArrivedSignal)
    /// A descriptor is ready.
    case descriptor(EventPoll.Event)
  }

  /// The token of the signals' own descriptor: none that is added may have it.
  private static var signalToken: UInt64 { .max }

  private let poll: EventPoll
  private let signals: SignalDescriptor

  /// One for signals alone.
  public init() throws(Errno) {
    poll = try EventPoll()
    signals = try SignalDescriptor()
    try poll.add(signals.descriptor, token: Waiter.signalToken)
  }

  /// Begins to wait for a descriptor: to be readable, to be writable, both, or (neither) to fail.
  public func add(
    _ file: FileDescriptor, token: UInt64, readable: Bool = true, writable: Bool = false
  ) throws(Errno) {
    try poll.add(file, token: token, readable: readable, writable: writable)
  }

  /// Changes what is waited for.
  public func modify(
    _ file: FileDescriptor, token: UInt64, readable: Bool = true, writable: Bool
  ) throws(Errno) {
    try poll.modify(file, token: token, readable: readable, writable: writable)
  }

  /// Ends the wait for a descriptor.
  public func remove(_ file: FileDescriptor) { poll.remove(file) }

  /// Waits for a signal, for a descriptor, or for so long (nil: without an end), and hands over what has come; nothing,
  /// where a stop and its SIGCONT interrupted the wait. Whatever is pending and not handed over comes with the next
  /// wait.
  public func wait(for time: Duration?, _ take: (Wakeup) -> Void) {
    poll.wait(for: time) { events in
      for event in events where event.data.u64 == Waiter.signalToken { signals.take { take(.signal($0)) } }
      for event in events where event.data.u64 != Waiter.signalToken {
        take(.descriptor(EventPoll.Event(event)))
      }
    }
  }
}
