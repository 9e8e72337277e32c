import CLinux

/// What the loop waits on: epoll(7), level-triggered.
public struct EventPoll {
  /// What a descriptor has become ready for.
  public struct Event {
    /// What the descriptor was added with.
    public let token: UInt64
    /// Something to read, or the end, or an error that a read will tell.
    public let isReadable: Bool
    /// Room to write.
    public let isWritable: Bool

    init(_ event: epoll_event) {
      token = event.data.u64
      isReadable =
        event.events & (CLINUX_EPOLLIN.rawValue | CLINUX_EPOLLHUP.rawValue | CLINUX_EPOLLERR.rawValue) != 0
      isWritable = event.events & CLINUX_EPOLLOUT.rawValue != 0
    }
  }

  private let descriptor: FileDescriptor

  /// An empty set; the corresponding C function is `epoll_create1`.
  public init() throws(Errno) {
    descriptor = FileDescriptor(try checked(epoll_create1(Int32(EPOLL_CLOEXEC))))
  }

  /// Begins to wait for a descriptor: to be readable, to be writable, both, or (neither) to fail.
  public func add(
    _ file: FileDescriptor, token: UInt64, readable: Bool = true, writable: Bool = false
  ) throws(Errno) {
    try control(EPOLL_CTL_ADD, file, token, readable, writable)
  }

  /// Changes what is waited for.
  public func modify(
    _ file: FileDescriptor, token: UInt64, readable: Bool = true, writable: Bool
  ) throws(Errno) {
    try control(EPOLL_CTL_MOD, file, token, readable, writable)
  }

  /// Ends the wait for it.
  public func remove(_ file: FileDescriptor) { try? control(EPOLL_CTL_DEL, file, 0, false, false) }

  private func control(
    _ operation: Int32, _ file: FileDescriptor, _ token: UInt64, _ readable: Bool, _ writable: Bool
  ) throws(Errno) {
    var event = epoll_event()
    event.events =
      (readable ? CLINUX_EPOLLIN.rawValue : 0) | (writable ? CLINUX_EPOLLOUT.rawValue : 0)
    event.data.u64 = token
    try checked(epoll_ctl(descriptor.rawValue, operation, file.rawValue, &event))
  }

  /// Waits, without an end or for a time, in whole milliseconds and never less than it, and hands over what is ready,
  /// up to 16 at once. A signal that interrupts the wait (SIGCONT after a stop) counts as nothing ready.
  func wait(for time: Duration?, _ handle: (UnsafeMutableBufferPointer<epoll_event>) -> Void) {
    let milliseconds = time.map { Int32(clamping: ($0.inNanoseconds &+ 999_999) / 1_000_000) } ?? -1
    withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 16) { events in
      let count = epoll_wait(descriptor.rawValue, events.baseAddress, 16, milliseconds)
      if count > 0 { handle(UnsafeMutableBufferPointer(rebasing: events[..<min(Int(count), 16)])) }
    }
  }

  /// The same; hands over one after the other.
  public func wait(for time: Duration?, _ handle: (Event) -> Void) {
    wait(for: time) { events in
      for event in events { handle(Event(event)) }
    }
  }
}
