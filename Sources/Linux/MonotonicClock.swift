import CLinux

/// The clock that only goes forward, and that nobody can set: CLOCK_MONOTONIC, clock_gettime(2).
public enum MonotonicClock {
  /// The time since an unspecified start (on Linux: the boot, suspended time not counted).
  public static var now: Duration {
    var time = timespec()
    _ = clock_gettime(CLOCK_MONOTONIC, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
}

extension timespec {
  /// A length of time, 0 at least.
  public init(_ time: Duration) {
    let nanoseconds = max(0, time.inNanoseconds)
    self.init(tv_sec: time_t(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }
}

extension MonotonicClock {
  /// Sleeps until a moment of this clock, clock_nanosleep(2). For commands; the supervisor never sleeps but in
  /// its one wait.
  public static func sleep(until moment: Duration) {
    var time = timespec(moment)
    while clock_nanosleep(CLOCK_MONOTONIC, Int32(TIMER_ABSTIME), &time, nil) == EINTR {}
  }
}

/// The clock on the wall, for the time stamps of JSON lines and nothing else: it can be set at any time.
public enum WallClock {
  /// Milliseconds since 1970-01-01 00:00 UTC.
  public static var millisecondsSinceEpoch: Int64 {
    var time = timespec()
    _ = clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000
  }
}

/// A timer that can be waited for like a file: timerfd_create(2), one shot, absolute, monotonic.
public struct TimerDescriptor {
  /// Readable once the time has come.
  public let descriptor: FileDescriptor

  /// A timer that is not set.
  public init() throws(Errno) {
    descriptor = FileDescriptor(
      try checked(timerfd_create(Int32(CLOCK_MONOTONIC), Int32(TFD_CLOEXEC) | Int32(TFD_NONBLOCK))))
  }

  /// Sets it to a moment of ``MonotonicClock``, a past one included, or, with nil, to never.
  public func set(to moment: Duration?) {
    var setting = itimerspec()
    if let moment {
      // All zero would disarm: the earliest moment that can be asked for is one nanosecond.
      setting.it_value = timespec(max(moment, .nanoseconds(1)))
    }
    _ = timerfd_settime(descriptor.rawValue, Int32(TFD_TIMER_ABSTIME), &setting, nil)
  }

  /// Takes the expiry, so that the descriptor is not readable any more.
  public func acknowledge() {
    var expirations: UInt64 = 0
    withUnsafeMutableBytes(of: &expirations) { raw in
      _ = try? descriptor.read(into: raw)
    }
  }
}

/// The time that processors have spent on this process, clock_gettime(2) CLOCK_PROCESS_CPUTIME_ID: what else the machine
/// does is not in it.
public enum ProcessorClock {
  /// So much until now.
  public static var used: Duration {
    var time = timespec()
    _ = clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
}
