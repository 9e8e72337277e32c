import CLinux
import Linux

/// Processes that tide makes on request: what an init has to reap, to signal, or to end.
enum Forks {
  /// The longest that one of them lives: longer than any test, and not for ever.
  private static var longest: Duration { .seconds(600) }

  /// Makes processes that lose their parent (a child that exits at once) and sleep for a while: how many there
  /// are, which is fewer where the kernel has no more to give.
  static func makeOrphans(_ count: Int, lifetime: Duration) -> Int {
    guard let made = try? FileDescriptor.pipe() else { return 0 }
    defer { made.read.close() }
    let parent = fork()
    if parent == 0 {
      closeAll(but: made.write)
      for _ in 0..<count {
        let orphan = fork()
        if orphan < 0 { break }
        if orphan == 0 {
          made.write.close()
          sleep(lifetime)
        }
        withUnsafeBytes(of: UInt8(1)) { _ = try? made.write.write($0) }
      }
      _exit(0)
    }
    made.write.close()
    guard parent > 0 else { return 0 }
    // One byte for each; the end comes when the parent has exited.
    var total = 0
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
      while let count = try? made.read.read(into: buffer), count > 0 { total += count }
    }
    _ = waitpid(parent, nil, 0)
    return total
  }

  /// Makes children that sleep, and hold one of our descriptors open (the listening socket, so that the port
  /// outlives us).
  static func makeChildren(_ count: Int, holding kept: FileDescriptor?, ignoringTerm: Bool) -> Int {
    for made in 0..<count {
      let child = fork()
      if child < 0 { return made }
      if child == 0 {
        closeAll(but: kept)
        if ignoringTerm { clinux_ignore_signal(SIGTERM) }
        SignalSet.empty.setAsMask()
        sleep(longest)
      }
    }
    return count
  }

  /// Makes two children that ignore SIGTERM and keep forking short chains, which die within a moment: who
  /// ends all processes that are there now has missed some.
  ///
  /// They fork `total` times together, then sleep.
  static func makeForkers(total: Int) {
    for number in 0..<2 {
      guard fork() == 0 else { continue }
      closeAll(but: nil)
      clinux_ignore_signal(SIGTERM)
      clinux_ignore_signal(SIGCHLD)
      SignalSet.empty.setAsMask()
      var left = (total + number) / 2
      while left > 0 {
        let length = min(3, left)
        left -= length
        chain(length)
        pause(.milliseconds(50))
      }
      sleep(longest)
    }
  }

  /// A process that forks the next one and outlives it not for long.
  private static func chain(_ length: Int) {
    guard length > 0, fork() == 0 else { return }
    pause(.milliseconds(10))
    chain(length - 1)
    pause(.milliseconds(40))
    _exit(0)
  }

  /// Takes the exit status of every child that has ended.
  static func reap() {
    while case .change = ChildChange.next() {}
  }

  /// Closes what a child has inherited: a connection that it held open would never end, and a reader of our
  /// standard output would wait for it.
  private static func closeAll(but kept: FileDescriptor?) {
    let kept = UInt32(bitPattern: kept?.rawValue ?? -1)
    if kept > 0 { close(from: 0, to: min(kept, UInt32(Int32.max)) - 1) }
    if kept < UInt32(Int32.max) { close(from: kept + 1, to: UInt32(Int32.max)) }
  }

  private static func close(from first: UInt32, to last: UInt32) {
    if first > last || clinux_close_range(first, last) == 0 { return }
    // Before Linux 5.9: one by one, as many as a service here is likely to have.
    for number in first...min(last, max(first, 65535)) { FileDescriptor(Int32(bitPattern: number)).close() }
  }

  private static func sleep(_ time: Duration) -> Never {
    SignalSet.empty.setAsMask()
    pause(time)
    _exit(0)
  }

  private static func pause(_ time: Duration) {
    var rest = timespec(time)
    // Interrupted, the rest is slept as well.
    while withUnsafeMutablePointer(to: &rest, { nanosleep($0, $0) }) != 0 && clinux_errno() == EINTR {}
  }
}
