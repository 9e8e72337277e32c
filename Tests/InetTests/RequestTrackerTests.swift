import Linux
import Testing

@testable import Inet

/// A request in progress since 100 ms before the first moment.
private func asking(_ cookie: UInt64 = 1, _ bytes: UInt64 = 200) -> Conversation {
  var one = Conversation(cookie, at: -1000)
  one.asks(bytes, at: -100)
  return one
}

/// One request and its answer, long ago.
private func resting(_ cookie: UInt64 = 1) -> Conversation {
  var one = Conversation(cookie, at: -60_000)
  one.asks(at: -50_000)
  one.answers(at: -49_000)
  return one
}

@Suite struct `The requests in progress` {
  private let tracker = RequestTracker.ticking()

  @Test func `are counted among all connections`() {
    tracker.look(at: 0, asking(1), resting(2), asking(3))
    #expect(tracker.connections == 3)
    #expect(tracker.inProgress == 2)
    #expect(tracker.undecided == 0)
    // Before the waiting they hold nothing off.
    #expect(tracker.waitedFor == 0)
  }

  @Test func `are waited for however old they are, until they are answered`() {
    tracker.wait(from: 0)
    for moment in [0, 20, 5000, 60_000, 3_600_000] { #expect(tracker.look(at: moment, asking()) == 1) }
    #expect(tracker.example == asking().row(at: 0).remote)
    #expect(tracker.inDoubt == 0)
    var one = asking()
    one.answers(at: 3_600_500)
    #expect(tracker.look(at: 3_600_520, one) == 1)
    #expect(tracker.look(at: 3_602_000, one) == 0)
    #expect(tracker.connections == 1)
    #expect(tracker.example == nil)
  }

  @Test func `are let go when their connection is gone`() {
    tracker.wait(from: 0)
    #expect(tracker.look(at: 0, asking(1), asking(2)) == 2)
    #expect(tracker.look(at: 20, asking(2)) == 1)
    #expect(tracker.look(at: 40, []) == 0)
  }

  @Test func `are waited for while their bytes are under way`() {
    tracker.wait(from: 0)
    var one = asking()
    #expect(tracker.look(at: 0, one) == 1)
    one.answers(100_000, at: 100)
    one.unacknowledged = 50_000
    #expect(tracker.look(at: 60_000, one) == 1)
    one.unacknowledged = 0
    #expect(tracker.look(at: 60_020, one) == 0)
  }

  @Test func `are waited for where the client has closed its half`() {
    tracker.wait(from: 0)
    var one = asking()
    one.closes(at: -50)
    #expect(tracker.look(at: 0, one) == 1)
    #expect(tracker.look(at: 60_000, one) == 1)
  }

  @Test func `are none of newcomers', whatever these ask`() {
    tracker.wait(from: 0)
    #expect(tracker.look(at: 0, resting(1)) == 0)
    #expect(tracker.look(at: 20, resting(1), asking(2), asking(3)) == 0)
    #expect(tracker.inProgress == 2)
    // One that had been let go is a newcomer, too.
    var next = resting(1)
    next.asks(at: 10)
    #expect(tracker.look(at: 40, next) == 0)
  }

  @Test func `are about to come on a connection that has just been accepted`() {
    tracker.wait(from: 0)
    let fresh = Conversation(at: -500)
    #expect(tracker.look(at: 0, fresh) == 1)
    #expect(tracker.look(at: 499, fresh) == 1)
    #expect(tracker.look(at: 500, fresh) == 0)
    var closed = Conversation(2, at: -500)
    closed.closes(at: -400)
    let other = RequestTracker.ticking()
    other.wait(from: 0)
    #expect(other.look(at: 0, closed) == 0)
  }

  // MARK: - What cannot be told

  @Test func `that cannot be told are waited for no longer than undecided-max, and then counted`() {
    // Without a history nothing can be told of empty queues.
    tracker.wait(from: 0, undecidedMax: 3000)
    for moment in [0, 20, 2980] {
      #expect(tracker.look(at: moment, [row(.established)]) == 1)
      #expect(tracker.undecided == 1)
    }
    #expect(tracker.inDoubt == 0)
    #expect(tracker.look(at: 3000, [row(.established)]) == 0)
    #expect(tracker.look(at: 3020, [row(.established)]) == 0)
    #expect(tracker.inDoubt == 1)
  }

  @Test func `are looked up by the pingpong mode where both sides spoke at one moment`() {
    var one = Conversation(at: -5000)
    one.asks(at: -1000)
    one.answers(at: -1000)
    one.alone = 5
    // Its acknowledgement answers a keepalive probe.
    let tie = { (moment: Int) in
      var socket = one.row(at: moment)
      socket.history?.sinceAcknowledged = .milliseconds(moment)
      return socket
    }
    for (mode, verdict, waits) in [
      (false as Bool?, Activity.Verdict.inProgress, 1), (true, .undecided, 1), (nil, .undecided, 1),
    ] {
      let tracker = RequestTracker.ticking()
      tracker.wait(from: 0, undecidedMax: 3000)
      let modes = mode.map { [1 as UInt64: $0] } ?? [:]
      #expect(tracker.look(at: 0, [tie(0)], isPingpong: modes) == waits)
      #expect(tracker.inProgress == (verdict == .inProgress ? 1 : 0))
      #expect(tracker.undecided == (verdict == .undecided ? 1 : 0))
      // What is known of it is not asked again: the mode of a connection on which nothing moves does not change.
      #expect(tracker.look(at: 3000, [tie(3000)]) == (mode == false ? 1 : 0))
      #expect(tracker.inDoubt == (mode == false ? 0 : 1))
    }
    one.alone = 0
    let answered = RequestTracker.ticking()
    answered.wait(from: 0)
    #expect(answered.look(at: 0, [tie(0)], isPingpong: [1: true]) == 1)
    #expect(answered.undecided == 0)
    #expect(answered.look(at: 500, [tie(500)]) == 0)
  }

  @Test func `are looked up again where something has moved since`() {
    var one = Conversation(at: -5000)
    one.asks(at: -1000)
    one.answers(at: -1000)
    tracker.look(at: 0, [one.row(at: 0)], isPingpong: [1: false])
    #expect(tracker.inProgress == 1)
    one.asks(at: 100)
    one.answers(at: 100)
    tracker.look(at: 1000, [one.row(at: 1000)], isPingpong: [1: true])
    #expect(tracker.inProgress == 0)
  }

  // MARK: - Answers

  @Test func `whose answer has begun half a second ago are waited for until it was silent for 1.1 s`() {
    var one = asking()
    one.answers(200, at: 0)
    tracker.wait(from: 500)
    for moment in [500, 800, 1099] { #expect(tracker.look(at: moment, one) == 1, "\(moment)") }
    #expect(tracker.look(at: 1100, one) == 0)
  }

  @Test(arguments: [200, 1000, 2000])
  func `whose answer comes in pieces are waited for until the silence is clearly longer than its pauses`(
    pause: Int
  ) throws {
    // Looked at in a lame duck of six seconds: pieces have been seen by then.
    var one = asking()
    for moment in stride(from: 0, through: 6000, by: 500) {
      for piece in stride(from: moment - 500, to: moment, by: 100) where piece >= 0 && piece % pause == 0 {
        one.answers(100, at: piece)
      }
      tracker.look(at: moment, one)
    }
    let last = 12_000
    tracker.wait(from: 6000)
    let end = try #require(
      tracker.looks(from: 6000, until: 30_000) { moment in
        if moment <= last && moment % pause == 0 { one.answers(100, at: moment) }
        return [one.row(at: moment)]
      })
    // At the earliest when a piece more would have been due, and not much later.
    #expect(end > last + pause)
    #expect(end >= last + 1100)
    #expect(end <= last + max(1100, pause * 3 / 2 + 200))
  }

  @Test func `whose answer comes in pieces are waited for where the drain finds them with it`() throws {
    // No lame duck: the pauses show while it is waited for.
    var one = asking()
    tracker.wait(from: 0)
    let end = try #require(
      tracker.looks(from: 0, until: 30_000) { moment in
        if moment <= 8000 && moment % 1000 == 0 { one.answers(100, at: moment) }
        return [one.row(at: moment)]
      })
    #expect(end >= 9400 && end <= 9800)
  }

  @Test func `are waited for once: an answer and the next request at once let the connection go`() {
    var one = asking()
    tracker.wait(from: 0)
    #expect(tracker.look(at: 0, one) == 1)
    one.answers(at: 100)
    one.asks(at: 110)
    #expect(tracker.look(at: 120, one) == 0)
    #expect(tracker.inProgress == 1)
    // And never are they waited for again.
    #expect(tracker.look(at: 60_000, one) == 0)
  }

  @Test func `are not answered by 100 Continue`() {
    var one = asking(1, 300)
    tracker.wait(from: 0)
    #expect(tracker.look(at: 0, one) == 1)
    one.answers(25, at: 100)
    one.asks(50_000, at: 110)
    for moment in [120, 5000, 60_000] { #expect(tracker.look(at: moment, one) == 1) }
    one.answers(1000, at: 60_100)
    #expect(tracker.look(at: 60_120, one) == 1)
    #expect(tracker.look(at: 61_300, one) == 0)
  }

  @Test func `are not answered by the window updates of a large upload`() {
    var one = asking(1, 300)
    tracker.wait(from: 0)
    var moment = 0
    while moment < 5000 {
      #expect(tracker.look(at: moment, one) == 1, "\(moment)")
      if tracker.waitedFor == 0 { return }
      moment += 20
      // HTTP/2 over TLS: 13 bytes and a record's 22 for each 64 KiB.
      one.answers(35, at: moment - 15)
      one.asks(65_536, at: moment - 9)
    }
  }

  @Test func `of a client that asks again and again are waited for no longer than the one of then`() throws {
    // One kept connection, a request every 300 ms, each answered in 2 ms: no look meets one in progress.
    var one = Conversation(at: -60_000)
    one.asks(at: -200)
    one.answers(at: -190)
    tracker.wait(from: 0)
    let end = tracker.looks(from: 0, until: 10_000) { moment in
      if moment % 300 == 0 {
        one.asks(at: moment - 18)
        one.answers(at: moment - 12)
      }
      return [one.row(at: moment)]
    }
    #expect(try #require(end) <= 1500)
  }

  @Test func `of a client that asks without a pause are waited for no longer than the one of then`() throws {
    // Each answer within a tick, and the next request at once: both spoke just now at every look.
    var one = Conversation(at: -60_000)
    tracker.wait(from: 0)
    let end = tracker.looks(from: 0, until: 10_000) { moment in
      one.asks(at: moment - 1)
      one.answers(at: moment - 1)
      return [one.row(at: moment)]
    }
    #expect(try #require(end) <= 1500)
  }

  @Test func `alone are waited for where the server finishes by itself what it has begun`() {
    var answered = Conversation(2, at: -1000)
    answered.asks(at: -200)
    answered.answers(at: -100)
    tracker.serverFinishes = true
    tracker.wait(from: 0)
    // Neither who may say more, nor who is about to speak, nor who cannot be told.
    let found = [answered.row(at: 0), Conversation(3, at: -100).row(at: 0), row(.established, cookie: 4)]
    #expect(tracker.look(at: 0, [asking().row(at: 0)] + found) == 1)
    #expect(tracker.look(at: 20, [asking().row(at: 20)]) == 1)
    #expect(tracker.look(at: 40, found) == 0)
    #expect(tracker.inDoubt == 0)
  }

  @Test func `may follow a TLS handshake whose tickets look like an answer`() {
    // 300 bytes of ClientHello, a certificate of 3 kB, Finished, and two tickets at once; the request came with it.
    var one = Conversation(at: -300)
    one.asks(300, at: -200)
    one.answers(3000, at: -190)
    one.asks(280, at: -100)
    one.answers(500, at: -90)
    tracker.wait(from: 0)
    for moment in [0, 1200, 2900] { #expect(tracker.look(at: moment, one) == 1, "\(moment)") }
    #expect(tracker.look(at: 2920, one) == 0)
  }

  // MARK: - Heartbeats

  /// A client that says six bytes every second, and a service that says six in return.
  private func heartbeats(_ moment: Int, _ one: inout Conversation) -> [TCPSocket] {
    if moment % 1000 == 0 {
      one.asks(6, at: moment)
      one.answers(6, at: moment + 2)
    }
    return [one.row(at: moment + 2)]
  }

  @Test func `are no heartbeats: seen twice in the lame duck, these are waited for two seconds at most`()
    throws
  {
    var one = Conversation(at: -60_000)
    one.asks(500, at: -59_000)
    one.answers(500, at: -58_990)
    for moment in stride(from: 0, through: 3000, by: 500) {
      tracker.look(at: moment, heartbeats(moment, &one))
    }
    tracker.wait(from: 3000)
    let end = try #require(tracker.looks(from: 3000, until: 30_000) { heartbeats($0, &one) })
    #expect(end <= 5000)
  }

  @Test func `are what comes after heartbeats, where it is large`() {
    var one = Conversation(at: -60_000)
    for moment in stride(from: 0, through: 3000, by: 500) {
      tracker.look(at: moment, heartbeats(moment, &one))
    }
    one.asks(500, at: 3100)
    tracker.wait(from: 3200)
    for moment in [3200, 5300, 60_000] { #expect(tracker.look(at: moment, one) == 1) }
  }

  // MARK: - Looks

  @Test func `are told again where the table changed under a look`() {
    tracker.wait(from: 0)
    tracker.beginLook(at: .zero)
    tracker.take(asking(1).row(at: 0))
    tracker.take(asking(2).row(at: 0))
    tracker.restart()
    #expect(tracker.connections == 0 && tracker.inProgress == 0 && tracker.waitedFor == 0)
    tracker.take(asking(2).row(at: 0))
    tracker.endLook()
    #expect(tracker.connections == 1)
    #expect(tracker.inProgress == 1)
    #expect(tracker.waitedFor == 1)
    // Of a later look, too; and a tie of the first try is none of the second.
    var tie = Conversation(3, at: -5000)
    tie.asks(at: -1000)
    tie.answers(at: -1000)
    tracker.beginLook(at: .milliseconds(20))
    tracker.take(asking(2).row(at: 20))
    tracker.take(tie.row(at: 20))
    #expect(tracker.ties.count == 1)
    tracker.restart()
    #expect(tracker.ties.isEmpty)
    tracker.take(asking(2).row(at: 20))
    tracker.endLook()
    #expect(tracker.connections == 1)
    #expect(tracker.waitedFor == 1)
  }

  @Test func `teach nothing twice where a look is begun anew`() {
    var one = asking()
    tracker.wait(from: 0)
    tracker.look(at: 0, one)
    one.answers(100, at: 10)
    tracker.beginLook(at: .milliseconds(20))
    for _ in 0..<5 {
      tracker.take(one.row(at: 20))
      tracker.restart()
    }
    tracker.take(one.row(at: 20))
    tracker.endLook()
    #expect(tracker.waitedFor == 1)
    // No pieces were seen: the silence is that of one answer.
    #expect(tracker.look(at: 1090, one) == 1)
    #expect(tracker.look(at: 1110, one) == 0)
  }

  @Test func `that are given up undecided are counted once, however often a look begins anew`() {
    tracker.wait(from: 0, undecidedMax: 0)
    tracker.beginLook(at: .zero)
    tracker.take(row(.established))
    tracker.restart()
    tracker.take(row(.established))
    tracker.endLook()
    #expect(tracker.waitedFor == 0)
    #expect(tracker.inDoubt == 1)
  }

  @Test func `are those of the first look after the waiting began, which begins once`() {
    tracker.wait(from: 0, undecidedMax: 500)
    tracker.look(at: 0, asking(1))
    tracker.wait(from: 400, undecidedMax: 60_000)
    #expect(tracker.look(at: 400, asking(1), asking(2)) == 1)
    #expect(tracker.look(at: 500, [row(.established, cookie: 1)]) == 0)
  }

  @Test func `are a service's alone`() {
    let service = ServiceSockets()
    let probe = asking(2).row(at: 0)
    service.noteProbe(local: probe.local, remote: probe.remote)
    let tracker = RequestTracker.ticking(of: service)
    tracker.wait(from: 0)
    #expect(tracker.look(at: 0, asking(1), asking(2)) == 1)
    #expect(tracker.connections == 1)
    #expect(tracker.look(at: 20, asking(2)) == 0)
    #expect(tracker.connections == 0)
    // The look did not meet it.
    #expect(tracker.look(at: 40, []) == 0)
    tracker.look(at: 60, asking(2))
    #expect(tracker.connections == 1)
  }

  // MARK: - Many

  @Test func `are followed as far as there is room, and whoever is busy then is waited for`() {
    tracker.wait(from: 0)
    tracker.beginLook(at: .zero)
    var socket = asking().row(at: 0)
    for cookie in 0..<UInt64(RequestTracker.capacity + 500) {
      socket.cookie = cookie
      tracker.take(socket)
    }
    tracker.endLook()
    #expect(tracker.connections == RequestTracker.capacity + 500)
    #expect(tracker.waitedFor == RequestTracker.capacity + 500)
    #expect(tracker.notFollowed == 500)
    var last = resting(1).row(at: 20)
    last.cookie = UInt64(RequestTracker.capacity + 2)
    socket.cookie = UInt64(RequestTracker.capacity + 1)
    #expect(tracker.look(at: 20, [socket, last, resting(1).row(at: 20)]) == 1)
    socket.cookie = 0
    #expect(tracker.look(at: 40, [socket]) == 1)
  }

  @Test func `of newcomers are not waited for either where there have been more than can be remembered`() {
    // 500 new ones at every look for six seconds: none of them was there when the waiting began.
    tracker.wait(from: 0)
    #expect(tracker.look(at: 0, asking(1)) == 1)
    var socket = asking().row(at: 0)
    for look in 1...300 {
      tracker.beginLook(at: .milliseconds(20 * look))
      tracker.take(asking(1).row(at: 20 * look))
      for number in 0..<500 {
        socket.cookie = UInt64(1000 * look + number)
        tracker.take(socket)
      }
      tracker.endLook()
    }
    #expect(tracker.waitedFor == 1)
  }

  @Test func `are found again among fifty thousand, whatever their cookies look like`() {
    // One after the other, far apart, and alike in all of the bits that the index might use.
    for cookie: (UInt64) -> UInt64 in [{ $0 }, { $0 << 32 }, { $0 &* 0x9e37_79b9_7f4a_7c15 }] {
      let tracker = RequestTracker.ticking()
      tracker.wait(from: 0)
      var socket = asking().row(at: 0)
      for order in [Array(1...50_000), Array((1...50_000).reversed())] {
        tracker.beginLook(at: .zero)
        for number in order {
          socket.cookie = cookie(UInt64(number))
          tracker.take(socket)
        }
        tracker.endLook()
        #expect(tracker.waitedFor == 50_000)
        #expect(tracker.notFollowed == 0)
      }
    }
  }

  @Test func `break no promise in random histories`() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<300 {
      let tracker = RequestTracker.ticking()
      var now = Int.random(in: 0...5000)
      var isWaiting = false
      var known: [UInt64] = []
      for _ in 0..<Int.random(in: 1...40) {
        now += [0, 1, 20, 500, 5000, 100_000].randomElement(using: &random) ?? 0
        if Int.random(in: 0..<6) == 0 {
          tracker.wait(from: now, undecidedMax: [0, 100, 3000].randomElement(using: &random) ?? 0)
          isWaiting = true
        }
        var sockets: [TCPSocket] = []
        for cookie in 1...UInt64(8) where Int.random(in: 0..<3) > 0 { sockets.append(Self.any(cookie)) }
        var modes: [UInt64: Bool] = [:]
        for cookie in 1...UInt64(8) where Bool.random() { modes[cookie] = Bool.random() }
        if Int.random(in: 0..<5) == 0 {
          tracker.beginLook(at: .milliseconds(now))
          for socket in sockets.prefix(3) { tracker.take(socket) }
          tracker.restart()
          for socket in sockets { tracker.take(socket) }
          tracker.endLook()
        } else {
          tracker.look(at: now, sockets, isPingpong: modes)
        }
        known += sockets.map { $0.cookie }
        #expect(tracker.connections == sockets.count)
        #expect(tracker.waitedFor <= tracker.connections)
        #expect(tracker.inProgress + tracker.undecided <= tracker.connections)
        #expect(isWaiting || tracker.waitedFor == 0)
        #expect((tracker.example == nil) == (tracker.waitedFor == 0))
        if Int.random(in: 0..<4) == 0 { _ = tracker.judge(Self.any(UInt64.random(in: 1...9))) }
      }
      // Whoever was idle for long by the end is let go, whatever was seen before.
      tracker.wait(from: now)
      let idle = Set(known).map { cookie in
        connection(
          cookie: cookie, received: 100, sent: 5_000_000, sinceReceived: 1_000_000_000, sinceSent: 900_000_000
        )
      }
      tracker.look(at: now, idle)
      #expect(tracker.look(at: now + 10, idle) == 0)
      #expect(tracker.look(at: now + 20, idle) == 0)
    }
  }

  /// A row of a connection, with any figures.
  private static func any(_ cookie: UInt64) -> TCPSocket {
    func count() -> UInt64 { [0, 1, 5, 64, 65, 300, 10_000, .max - 1].randomElement() ?? 0 }
    func age() -> Int { [0, 1, 5, 6, 150, 220, 900, 1100, 4000, 60_000].randomElement() ?? 0 }
    let state: TCPState =
      [.established, .established, .closeWait, .lastAck, .close].randomElement() ?? .close
    var socket = connection(
      state, cookie: cookie, unread: Int.random(in: 0..<6) == 0 ? UInt32.random(in: 0...200) : 0,
      unacknowledged: Int.random(in: 0..<8) == 0 ? 5 : 0, received: count(), sent: count(),
      sinceReceived: age(),
      sinceSent: age(), sinceAcknowledged: age())
    if Bool.random(), let received = socket.history?.sinceReceived { socket.history?.sinceSent = received }
    socket.history?.segmentsSent = UInt32.random(in: 0...8)
    socket.history?.dataSegmentsReceived = UInt32.random(in: 0...4)
    socket.history?.dataSegmentsSent = UInt32.random(in: 0...8)
    if Int.random(in: 0..<10) == 0 { socket.history = nil }
    if Int.random(in: 0..<10) == 0 { socket.inode = 0 }
    if Int.random(in: 0..<10) == 0 { socket.remote.port = 0 }
    return socket
  }
}

// MARK: - The end of a connection

@Suite struct `The end of a tracked connection` {
  private let tracker = RequestTracker.ticking()

  @Test func `cuts off a request that has no answer, looked at or not`() {
    tracker.look(at: 0, asking())
    #expect(tracker.judge(asking().death(at: 100)) == .cut)
    // The next one after an answer.
    var next = resting(2)
    next.asks(at: 50)
    tracker.look(at: 100, next)
    #expect(tracker.judge(next.death(at: 200)) == .cut)
    #expect(tracker.judge(asking(3).death(at: 100)) == .cut)
    var unread = asking(4)
    unread.unread = 200
    #expect(tracker.judge(unread.death(at: 100)) == .cut)
  }

  @Test func `cuts off nothing where the last request was answered and it was quiet`() {
    tracker.look(at: 0, resting())
    #expect(tracker.judge(resting().death(at: 100)) == .none)
    var answered = asking(2)
    tracker.look(at: 0, answered)
    answered.answers(at: 50)
    #expect(tracker.judge(answered.death(at: 150)) == .none)
  }

  @Test func `cannot tell an answer from a parting word`() {
    for (finishes, aborts, expected) in [
      (false, false, RequestTracker.Ending.undecided), (true, false, .none), (false, true, .cut),
    ] {
      let tracker = RequestTracker.ticking()
      tracker.serverFinishes = finishes
      tracker.serverAborts = aborts
      var told = asking(2)
      tracker.look(at: 0, told)
      told.answers(at: 50)
      #expect(tracker.judge(told.death(at: 60)) == expected)
    }
  }

  @Test func `closed before the stop signal is nobody's loss, whenever its notice comes`() {
    tracker.look(at: 0, asking(), asking(2))
    tracker.look(at: 100, asking(2))
    tracker.beginStop()
    #expect(tracker.judge(asking().death(at: 150)) == .none)
    #expect(tracker.judge(asking(2).death(at: 150)) == .cut)
  }

  @Test func `of which no end was seen is as it was seen last`() {
    tracker.look(at: 0, asking(), resting(2), asking(3))
    tracker.beginStop()
    #expect(tracker.judge(asking(3).death(at: 100)) == .cut)
    var endings: [RequestTracker.Ending] = []
    tracker.judgeRest { endings.append($0) }
    #expect(endings == [.cut, .none])
    tracker.judgeRest { _ in Issue.record("a connection was judged twice") }
  }

  @Test func `cuts off nothing where nothing was asked`() {
    let fresh = Conversation(at: -100)
    tracker.look(at: 0, fresh)
    #expect(tracker.judge(fresh.death(at: 100)) == .none)
    // A FIN is no request.
    var closed = Conversation(2, at: -100)
    closed.closes(at: -50)
    tracker.look(at: 0, closed)
    #expect(tracker.judge(closed.death(at: 100)) == .none)
    #expect(tracker.judge(Conversation(3, at: -100).death(at: 100)) == .none)
  }

  @Test func `cannot be told where the client may have closed with a last word: TLS's close_notify`() {
    var one = resting()
    tracker.look(at: 0, one)
    one.asks(31, at: 100)
    one.closes(at: 100)
    var dead = one.death(at: 110)
    #expect(tracker.judge(dead) == .undecided)
    // Nobody has read it.
    var other = resting(2)
    tracker.look(at: 120, other)
    other.asks(31, at: 150)
    other.closes(at: 150)
    dead = other.death(at: 160)
    dead.receiveQueue = 32
    #expect(tracker.judge(dead) == .undecided)
  }

  @Test func `cuts off nothing where the answer of the last look has been delivered since`() {
    func delivered(_ cookie: UInt64, after took: Int) -> RequestTracker.Ending {
      var one = Conversation(cookie, at: -2000)
      one.asks(at: -10 - took)
      one.answers(5000, at: -10)
      one.unacknowledged = 5000
      tracker.look(at: 0, one)
      #expect(tracker.inProgress == 1)
      one.unacknowledged = 0
      return tracker.judge(one.death(at: 500))
    }
    #expect(delivered(1, after: 300) == .none)
    // What came at once may have been a head.
    #expect(delivered(2, after: 50) == .undecided)
  }

  // MARK: - Both at one moment

  private func tie(_ cookie: UInt64 = 1) -> Conversation {
    var one = Conversation(cookie, at: -60_000)
    one.asks(at: -10_000)
    one.answers(at: -10_000)
    return one
  }

  @Test func `is what the last look told, where both spoke at one moment and nothing has moved since`() {
    tracker.look(at: 0, [tie().row(at: 0)], isPingpong: [1: false])
    #expect(tracker.judge(tie().death(at: 100)) == .cut)
    tracker.look(at: 0, [tie(2).row(at: 0)], isPingpong: [2: true])
    #expect(tracker.judge(tie(2).death(at: 100)) == .none)
    // Of that look it could not be told.
    tracker.look(at: 0, [tie(3).row(at: 0)])
    #expect(tracker.judge(tie(3).death(at: 100)) == .undecided)
    // The client's FIN is no move.
    tracker.look(at: 0, [tie(4).row(at: 0)], isPingpong: [4: false])
    var closed = tie(4)
    closed.closes(at: 50)
    #expect(tracker.judge(closed.death(at: 100)) == .cut)
  }

  @Test func `cannot be told where both spoke at one moment after the last look`() {
    var one = tie()
    tracker.look(at: 0, [one.row(at: 0)], isPingpong: [1: true])
    one.asks(at: 50)
    one.answers(at: 50)
    #expect(tracker.judge(one.death(at: 400)) == .undecided)
  }

  // MARK: - Never seen

  @Test func `of one that no look has seen is told by what it says itself`() {
    func death(_ cookie: UInt64, _ answeredAfter: Int, at moment: Int) -> TCPSocket {
      var one = Conversation(cookie, at: 0)
      one.asks(at: 100)
      one.answers(at: 100 + answeredAfter)
      return one.death(at: moment)
    }
    // Closed as it had answered.
    #expect(tracker.judge(death(1, 100, at: 210)) == .none)
    #expect(tracker.judge(death(2, 100, at: 250)) == .none)
    // Later: that may have been the beginning of its answer.
    #expect(tracker.judge(death(3, 100, at: 251)) == .undecided)
    #expect(tracker.judge(death(4, 0, at: 400)) == .undecided)
    tracker.serverFinishes = true
    #expect(tracker.judge(death(5, 100, at: 5000)) == .none)
  }

  @Test func `of one that was aborted is told by the last look`() {
    func aborted(_ one: Conversation) -> TCPSocket {
      var socket = one.death(at: 100)
      socket.remote.port = 0
      return socket
    }
    tracker.look(at: 0, asking(1), resting(2), Conversation(3, at: -100))
    #expect(tracker.judge(aborted(asking(1))) == .cut)
    #expect(tracker.judge(aborted(resting(2))) == .none)
    #expect(tracker.judge(aborted(Conversation(3, at: -100))) == .none)
    #expect(tracker.judge(aborted(asking(4))) == .undecided)
    // Where the kernel tells no history, too.
    tracker.look(at: 200, asking(5))
    #expect(tracker.judge(row(.close, cookie: 5)) == .cut)
  }

  // MARK: - Answers in pieces

  /// A piece every 300 ms, seen for three seconds; the last one is at 3,000 ms.
  private func stream(_ cookie: UInt64 = 1) -> Conversation {
    var one = asking(cookie)
    for moment in stride(from: 0, through: 3000, by: 100) {
      if moment % 300 == 0 { one.answers(100, at: moment) }
      tracker.look(at: moment, one)
    }
    return one
  }

  @Test func `in the middle of an answer in pieces cuts it off`() {
    #expect(tracker.judge(stream().death(at: 3200)) == .cut)
    // As it had spoken: perhaps that was the end of it.
    #expect(tracker.judge(stream(2).death(at: 3040)) == .undecided)
    // Silent for far longer than its pauses.
    #expect(tracker.judge(stream(3).death(at: 8000)) == .none)
  }

  @Test
  func `in the middle of an answer in pieces is its end, where the server finishes or the client has closed`()
  {
    let one = stream()
    var closed = stream(2)
    closed.closes(at: 3050)
    tracker.look(at: 3100, closed)
    #expect(tracker.judge(closed.death(at: 3200)) == .none)
    tracker.serverFinishes = true
    #expect(tracker.judge(one.death(at: 3200)) == .none)
    // But no server finishes what it has not begun.
    #expect(tracker.judge(asking(3).death(at: 3200)) == .cut)
  }

  @Test func `of heartbeats cuts off nothing`() {
    var one = Conversation(at: -5000)
    for moment in stride(from: 0, through: 4000, by: 500) {
      if moment % 1000 == 0 {
        one.asks(6, at: moment)
        one.answers(6, at: moment)
      }
      tracker.look(at: moment, one)
    }
    one.asks(6, at: 5000)
    #expect(tracker.judge(one.death(at: 5100)) == .none)
  }

  // MARK: - Once

  @Test func `is judged once`() {
    tracker.look(at: 0, asking())
    #expect(tracker.judge(asking().row(at: 50, in: .lastAck)) == .cut)
    #expect(tracker.judge(asking().death(at: 100)) == .none)
  }

  @Test func `is judged once where no look has seen it, too`() {
    // The service has closed it, and the kernel's notice comes behind.
    #expect(tracker.judge(asking().row(at: 50, in: .lastAck)) == .cut)
    #expect(tracker.judge(asking().death(at: 100)) == .none)
  }

  @Test func `of those that the kernel still delivers is judged by their rows`() {
    let service = ServiceSockets()
    let tracker = RequestTracker.ticking(of: service)
    let probe = asking(4).row(at: 0)
    service.noteProbe(local: probe.local, remote: probe.remote)
    tracker.look(at: 0, asking(1), resting(2), asking(4))
    let closing = ClosingConnections(of: service, tracker)
    #expect(closing.query(ports: [80]).states == .delivering)
    func judged() -> [RequestTracker.Ending] {
      var endings: [RequestTracker.Ending] = []
      closing.judge { endings.append($0) }
      return endings
    }
    closing.take(asking(3).row(at: 100, in: .finWait1))
    closing.restart()
    #expect(judged().isEmpty)
    for (number, state) in [TCPState.finWait1, .closing, .lastAck].enumerated() {
      let cookie = UInt64(number == 2 ? 4 : number + 1)
      let one = number == 1 ? resting(cookie) : asking(cookie)
      var socket = one.row(at: 100, in: state)
      // Our FIN.
      socket.sendQueue = 1
      closing.take(socket)
    }
    #expect(judged() == [.cut, .none])
    #expect(judged() == [.none, .none])
  }

  @Test func `is known by what the last look saw of it`() {
    #expect(tracker.lastSeen(1) == nil)
    var one = asking().row(at: 0)
    one.inode = 0
    one.receiveQueue = 200
    tracker.look(at: 0, [one])
    #expect(tracker.lastSeen(1)?.unread == 200)
    #expect(tracker.lastSeen(1)?.isAccepted == false)
    #expect(tracker.lastSeen(1)?.peerHasClosed == false)
    var closed = asking()
    closed.closes(at: 10)
    tracker.look(at: 20, closed)
    #expect(tracker.lastSeen(1)?.unread == 0)
    #expect(tracker.lastSeen(1)?.isAccepted == true)
    #expect(tracker.lastSeen(1)?.peerHasClosed == true)
  }
}
