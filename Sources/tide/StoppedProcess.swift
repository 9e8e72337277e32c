import CLinux
import Linux

/// The process that the load client stops, and whose end it sees: its own child or not, pidfd_open(2).
struct StoppedProcess {
  private let process: ProcessID
  private let pin: FileDescriptor
  /// When the signal was sent.
  private(set) var signalled: Duration?
  /// When it had ended.
  private(set) var ended: Duration?

  /// Pins the process.
  init(_ process: ProcessID) throws(Errno) {
    self.process = process
    pin = FileDescriptor(try checked { clinux_pidfd_open(process.rawValue) })
  }

  /// Has the loop tell of its end.
  func watch(in loop: Loop, as token: Token) throws(Errno) { try loop.watch(pin, token) }

  /// Sends SIGTERM, once.
  mutating func terminate(at now: Duration) {
    if signalled != nil { return }
    signalled = now
    _ = clinux_pidfd_send_signal(pin.rawValue, SIGTERM)
  }

  /// The loop has told of its end.
  mutating func end(at now: Duration, in loop: Loop) {
    if ended != nil { return }
    ended = now
    loop.forget(pin)
  }
}
