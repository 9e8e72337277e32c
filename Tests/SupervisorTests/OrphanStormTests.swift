import Linux
import Testing

@testable import Supervisor

@Suite struct `Orphans that end` {
  private let start = Duration.seconds(100)

  @Test func `now and then are each reaped at once`() {
    var storm = OrphanStorm()
    for turn in 0..<100 {
      storm.note(1, at: start + .milliseconds(2 * turn))
      #expect(storm.pausedUntil == nil)
      #expect(storm.awaited == .all)
    }
  }

  @Test func `thick and fast wait for each other, a millisecond and no longer`() throws {
    var storm = OrphanStorm()
    var now = start
    for _ in 0..<10 where storm.pausedUntil == nil {
      now += .microseconds(50)
      storm.note(1, at: now)
    }
    #expect(storm.pausedUntil == now + .milliseconds(1))
    // All other signals are waited for.
    #expect(storm.awaited == .allBut(.child))
    #expect(!storm.awaited.contains(.child) && storm.awaited.contains(.terminate))
    #expect(!storm.isDue(at: now + .microseconds(999)))
    #expect(storm.isDue(at: now + .milliseconds(1)))
    // While there are several at a time it goes on; one alone ends it.
    now += .milliseconds(1)
    storm.note(7, at: now)
    #expect(storm.pausedUntil == now + .milliseconds(1))
    now += .milliseconds(1)
    storm.note(1, at: now)
    #expect(storm.pausedUntil == nil)
    #expect(storm.awaited == .all)
    // And the next storm begins like the first.
    storm.note(1, at: now + .microseconds(1))
    #expect(storm.pausedUntil == nil)
  }

  @Test func `are no storm where there are none`() {
    var storm = OrphanStorm()
    for turn in 0..<100 { storm.note(0, at: start + .microseconds(turn)) }
    #expect(storm.pausedUntil == nil)
  }
}
