import Linux

/// When orphans end thick and fast, they are reaped together, a thousand times a second at most: woken for each of
/// them, an init costs more than they do. As network cards hold their interrupts back, and for no longer.
struct OrphanStorm {
  /// How long they wait for each other; and so the end of the main process among them.
  static var pause: Duration { .milliseconds(1) }
  /// So many turns, each within a pause of the one before, are a storm.
  static var turns: Int { 4 }

  private var turns = 0
  private var last = Duration.zero
  /// When the next are reaped; nil while each is at once.
  private(set) var pausedUntil: Duration?

  /// Which signals the loop waits for.
  var awaited: SignalSet { pausedUntil == nil ? .all : .allBut(.child) }

  /// Whether it is time to reap.
  func isDue(at now: Duration) -> Bool { pausedUntil.map { $0 <= now } ?? false }

  /// Takes in that so many were reaped at once.
  mutating func note(_ count: Int, at now: Duration) {
    if pausedUntil != nil {
      // It is worth it while there are several at a time.
      if count > 1 {
        pausedUntil = now + OrphanStorm.pause
        return
      }
      pausedUntil = nil
      turns = 0
    } else if count > 0 {
      turns = now - last < OrphanStorm.pause ? turns + 1 : 0
      if turns >= OrphanStorm.turns { pausedUntil = now + OrphanStorm.pause }
    }
    last = now
  }
}
