import CLinux
import Linux

/// `tide orphans`: a process that leaves many orphans to its init, and may stay to count its signals.
final class Orphans {
  private enum Source {
    static var clock: UInt8 { 1 }
  }

  /// As many at once, so that a limit on processes is not met, and signals are read in between.
  private static var batch: Int { 20 }

  /// The command line.
  struct Options {
    var count = 0
    /// Stays after the last one, until SIGTERM, SIGINT or SIGQUIT.
    var holds = false

    init(_ words: inout Words) throws(UsageError) {
      var count: Int?
      while let word = try words.next() {
        if word == "--hold" {
          holds = true
        } else if count == nil, let number = decimal(word), number <= 1_000_000 {
          count = Int(number)
        } else {
          throw words.complaint("expected a number of orphans, up to 1000000, and --hold")
        }
      }
      guard let count else { throw UsageError(text: "orphans: expected a number of orphans") }
      self.count = count
    }
  }

  private let options: Options
  private let loop: Loop
  private var made = 0
  private var retries = 0
  private var signals = SignalLog()
  private var isAskedToStop = false

  init(_ options: Options) throws(Errno) {
    self.options = options
    loop = try Loop(catching: .all)
  }

  /// Makes them, and stays where that is wanted; gives the exit code.
  func run() -> Int32 {
    loop.wake(Token(source: Source.clock), at: loop.now)
    loop.run { occurrence in
      switch occurrence {
      case .signal(let arrived): take(arrived)
      case .due: makeSome()
      case .ready: break
      }
      if made == options.count && (isAskedToStop || !options.holds) { loop.stop() }
    }
    say("made \(made, "orphan"); signals: \(signals.summary)")
    return made == options.count ? 0 : 1
  }

  private func take(_ arrived: ArrivedSignal) {
    if arrived.signal == .child && !arrived.sentByProcess { return Forks.reap() }
    signals.add(arrived.signal)
    if SignalSet.stop.contains(arrived.signal) { isAskedToStop = true }
  }

  private func makeSome() {
    let wanted = min(Orphans.batch, options.count - made)
    let some = wanted > 0 ? Forks.makeOrphans(wanted, lifetime: .zero) : 0
    made += some
    if made == options.count {
      if options.holds { say("made \(made, "orphan")") }
      return
    }
    // The kernel had no process to give: those that the init has reaped make room.
    retries = some == 0 ? retries + 1 : 0
    if retries == 1000 {
      complain("gave up: no orphan could be made in 1000 attempts")
      loop.stop()
    }
    loop.wake(Token(source: Source.clock), at: loop.now + (some == 0 ? .milliseconds(10) : .zero))
  }
}
