import Glibc
import Testing

@testable import Linux

@Suite(.serialized) struct `A wait` {
  /// A pipe, closed with this value.
  private final class Pipe {
    let read: FileDescriptor
    private let write: FileDescriptor

    init() throws { (read, write) = try FileDescriptor.pipe() }

    deinit {
      read.close()
      write.close()
    }

    /// Writes a byte.
    func fill() throws {
      _ = try [UInt8(1)].withUnsafeBytes { (bytes) throws(Errno) in try write.write(bytes) }
    }
  }

  private func wakeups(_ waiter: Waiter, during time: Duration?) -> [String] {
    var came: [String] = []
    waiter.wait(for: time) { wakeup in
      switch wakeup {
      case .signal(let arrived): came.append("signal \(arrived.signal.rawValue)")
      case .descriptor(let event): came.append("descriptor \(event.token)")
      }
    }
    return came
  }

  @Test func `without a descriptor ends when its time is over`() throws {
    let waiter = try Waiter()
    let before = MonotonicClock.now
    #expect(wakeups(waiter, during: .zero) == [])
    #expect(wakeups(waiter, during: .milliseconds(5)) == [])
    #expect(MonotonicClock.now - before >= .milliseconds(5))
  }

  @Test func `tells which descriptor is ready, and ends when its time is over`() throws {
    let waiter = try Waiter()
    let pipe = try Pipe()
    try waiter.add(pipe.read, token: 7)
    #expect(wakeups(waiter, during: .zero) == [])
    let before = MonotonicClock.now
    // A fraction of a millisecond is never cut off: it would be over before its time.
    #expect(wakeups(waiter, during: .microseconds(4001)) == [])
    #expect(MonotonicClock.now - before >= .microseconds(4001))
    try pipe.fill()
    #expect(wakeups(waiter, during: nil) == ["descriptor 7"])
    waiter.remove(pipe.read)
    #expect(wakeups(waiter, during: .zero) == [])
    withExtendedLifetime(pipe) {}
  }
}
