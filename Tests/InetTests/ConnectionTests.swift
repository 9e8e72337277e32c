import Linux
import Testing

@testable import Inet

/// A connection as a notice or a row tells of it.
private func connection(
  _ state: TCPState = .established, cookie: UInt64 = 1, unread: UInt32 = 0, unacknowledged: UInt32 = 0,
  received: UInt64 = 0, sent: UInt64 = 0, sinceReceived: Int = 0, sinceSent: Int = 0
) -> TCPSocket {
  var socket = row(state, cookie: cookie)
  socket.receiveQueue = unread
  socket.sendQueue = unacknowledged
  socket.history = TCPSocket.History(
    bytesReceived: received, bytesSent: sent, sinceReceived: .milliseconds(sinceReceived),
    sinceSent: .milliseconds(sinceSent))
  return socket
}

private func row(_ state: TCPState, cookie: UInt64 = 1, port: UInt16 = 8080) -> TCPSocket {
  var wire = Wire.Row()
  wire.state = state.rawValue
  wire.cookie = cookie
  wire.sourcePort = port
  guard let socket = wire.payload.withUnsafeBytes({ TCPSocket(inetDiagnostic: $0) }) else {
    fatalError("a row that the parser refuses")
  }
  return socket
}

// MARK: - Deaths

@Suite struct `The death of a connection` {
  /// What a notice tells: D, the bytes sent but for repetitions; A, those acknowledged; the queues.
  private func death(
    sent: UInt64, repeated: UInt64 = 0, acknowledged: UInt64, receive: UInt32 = 0, send: UInt32,
    notSent: UInt32 = 0
  ) -> Death? {
    var wire = Wire.Row()
    wire.state = 7
    wire.receiveQueue = receive
    wire.sendQueue = send
    wire.attributes = Wire.info(sent: sent, repeated: repeated, acknowledged: acknowledged, notSent: notSent)
    return wire.payload.withUnsafeBytes { TCPSocket(inetDiagnostic: $0) }.flatMap { Death(of: $0) }
  }

  @Test func `is no connection's where no peer is known`() {
    var wire = Wire.Row()
    wire.state = 7
    wire.destinationPort = 0
    wire.destination = [UInt8](repeating: 0, count: 16)
    let socket = wire.payload.withUnsafeBytes { TCPSocket(inetDiagnostic: $0) }
    #expect(socket != nil)
    #expect(socket.flatMap { Death(of: $0) } == nil)
  }

  @Test func `is our own abort, of unknown size, where the peer's port is forgotten`() throws {
    var wire = Wire.Row()
    wire.state = 7
    wire.destinationPort = 0
    wire.sendQueue = 4_000_000_000
    wire.attributes = Wire.info(sent: 10, acknowledged: 5)
    let death = try #require(
      wire.payload.withUnsafeBytes { TCPSocket(inetDiagnostic: $0) }.flatMap { Death(of: $0) })
    #expect(death.wasReset)
    #expect(!death.isMeasured)
    #expect(death.unacknowledged == 0)
    #expect(death.unread == 0)
  }

  @Test func `is clean where all of it and our FIN are acknowledged`() {
    for (sent, receive) in [(0 as UInt64, 0 as UInt32), (0, 1), (5000, 0), (5000, 1)] {
      let death = death(sent: sent, acknowledged: sent + 1, receive: receive, send: 0)
      #expect(death?.wasReset == false)
      #expect(death?.isMeasured == true)
      #expect(death?.unacknowledged == 0)
      #expect(death?.unread == 0)
    }
    // What was sent twice was written once.
    #expect(death(sent: 6000, repeated: 1000, acknowledged: 5001, send: 0)?.wasReset == false)
  }

  @Test func `is a reset of what came behind our FIN and found no reader`() {
    let death = death(sent: 100, acknowledged: 101, receive: 8, send: 0)
    #expect(death?.wasReset == true)
    #expect(death?.unread == 7)
    #expect(death?.unacknowledged == 0)
  }

  @Test func `is a reset that cost none of our bytes, where all but the FIN is acknowledged`() {
    let death = death(sent: 100, acknowledged: 100, receive: 30, send: 0)
    #expect(death?.wasReset == true)
    #expect(death?.unacknowledged == 0)
    #expect(death?.unread == 30)
  }

  @Test func `is a reset that cost nothing, where only the FIN is not acknowledged`() {
    let death = death(sent: 100, acknowledged: 100, send: 1)
    #expect(death?.wasReset == true)
    #expect(death?.unacknowledged == 0)
  }

  @Test func `lost what was in flight, without the FIN`() {
    #expect(death(sent: 5000, acknowledged: 2000, send: 3001)?.unacknowledged == 3000)
    #expect(death(sent: 5000, acknowledged: 2000, send: 3000)?.unacknowledged == 3000)
    #expect(death(sent: 5000, repeated: 1000, acknowledged: 2000, send: 2001)?.unacknowledged == 2000)
    // A queue that is shorter than what the counters say is the truth.
    #expect(death(sent: 5000, acknowledged: 2000, send: 10)?.unacknowledged == 10)
    #expect(death(sent: 1, acknowledged: 0, send: 1)?.unacknowledged == 1)
  }

  @Test func `lost what had never been sent, too`() {
    #expect(death(sent: 5000, acknowledged: 2000, send: 63_000, notSent: 60_000)?.unacknowledged == 63_000)
  }

  @Test func `never traps on counters that contradict each other`() {
    let values: [UInt64] = [0, 1, 2, 100, .max - 1, .max]
    for sent in values {
      for repeated in values {
        for acknowledged in values {
          for queue: UInt32 in [0, 1, .max] {
            let death = death(
              sent: sent, repeated: repeated, acknowledged: acknowledged, receive: queue, send: queue)
            #expect((death?.unacknowledged ?? .max) <= UInt64(queue))
            #expect((death?.unread ?? .max) <= UInt64(queue))
          }
        }
      }
    }
  }

  @Test func `is not measured without a history`() {
    var wire = Wire.Row()
    wire.state = 7
    let death = wire.payload.withUnsafeBytes { TCPSocket(inetDiagnostic: $0) }.flatMap { Death(of: $0) }
    #expect(death?.isMeasured == false)
    #expect(death?.wasReset == true)
  }
}

@Suite struct `A notice of a death` {
  @Test func `that cannot be read is a missed one`() {
    var row = Wire.Row()
    row.state = 7
    row.attributes = Wire.info(sent: 3, acknowledged: 4)
    let whole = row.message
    for count in 0..<whole.count {
      #expect(whole[..<count].withUnsafeBytes { DeathNotices.read($0) } == .missed)
    }
    let answer = whole.withUnsafeBytes { DeathNotices.read($0) }
    guard case .death(let death) = answer else {
      Issue.record("\(answer)")
      return
    }
    #expect(!death.wasReset)
  }

  @Test func `of a listener is none`() {
    var row = Wire.Row()
    row.state = 7
    row.destinationPort = 0
    row.destination = [UInt8](repeating: 0, count: 16)
    #expect(row.message.withUnsafeBytes { DeathNotices.read($0) } == .none)
  }
}

// MARK: - Activity

@Suite struct `A connection's activity` {
  /// The figures of real connections, as they were measured.
  @Test func `is told right at every moment of two requests`() {
    func activity(
      _ received: UInt64, _ sent: UInt64, _ sinceReceived: Int, _ sinceSent: Int, unread: UInt32 = 0
    )
      -> Activity
    {
      Activity(
        of: connection(
          unread: unread, received: received, sent: sent, sinceReceived: sinceReceived, sinceSent: sinceSent))
    }
    // Accepted, nothing said for 300 ms: about to speak.
    #expect(activity(0, 0, 304, 304) == .busy)
    // The request has arrived, nobody has read it.
    #expect(activity(3, 0, 204, 508, unread: 3) == .busy)
    // It is being worked on.
    #expect(activity(3, 0, 408, 712) == .busy)
    // Answered 200 ms ago.
    #expect(activity(3, 6, 612, 204) == .idle)
    // The second request, in progress since 100 ms.
    #expect(activity(7, 6, 100, 808) == .busy)
    // Answered just now: perhaps not the end of it.
    #expect(activity(7, 12, 200, 20) == .justSent)
  }

  @Test func `is nothing where a connection was accepted a second ago and has said nothing`() {
    #expect(Activity(of: connection(sinceReceived: 999, sinceSent: 999)) == .busy)
    #expect(Activity(of: connection(sinceReceived: 1000, sinceSent: 1000)) == .idle)
    #expect(Activity(of: connection(.closeWait, received: 1, sinceReceived: 5, sinceSent: 5)) == .idle)
  }

  @Test func `is work as long as a first request has no answer, however long that takes`() {
    #expect(Activity(of: connection(received: 1, sinceReceived: 3_600_000, sinceSent: 3_600_100)) == .busy)
    // Half closed by a client that waits for its answer: the FIN counts one, and is no request.
    #expect(
      Activity(of: connection(.closeWait, received: 2, sinceReceived: 9_000, sinceSent: 9_100)) == .busy)
    #expect(
      Activity(of: connection(.closeWait, received: 1, sinceReceived: 9_000, sinceSent: 9_100)) == .idle)
  }

  @Test func `is none after five seconds without a byte either way`() {
    #expect(Activity(of: connection(received: 9, sent: 9, sinceReceived: 4_999, sinceSent: 6_000)) == .busy)
    #expect(Activity(of: connection(received: 9, sent: 9, sinceReceived: 5_000, sinceSent: 6_000)) == .idle)
  }

  @Test func `is work while bytes wait, on either side`() {
    #expect(Activity(of: connection(unread: 1, received: 9, sent: 9, sinceReceived: 60_000)) == .busy)
    #expect(Activity(of: connection(unacknowledged: 1, received: 9, sent: 9, sinceSent: 60_000)) == .busy)
    // The peer's FIN alone is no byte.
    #expect(
      Activity(
        of: connection(.closeWait, unread: 1, received: 9, sent: 9, sinceReceived: 6_000, sinceSent: 6_000))
        == .idle)
    #expect(
      Activity(
        of: connection(.closeWait, unread: 2, received: 9, sent: 9, sinceReceived: 6_000, sinceSent: 6_000))
        == .busy)
  }

  @Test func `is not told by times that lie within one tick of the kernel's clock`() {
    #expect(Activity(of: connection(received: 9, sent: 9, sinceReceived: 100, sinceSent: 110)) == .justSent)
    #expect(Activity(of: connection(received: 9, sent: 9, sinceReceived: 100, sinceSent: 111)) == .busy)
  }

  @Test func `is told by the queues alone where there is no history`() {
    var socket = row(.established)
    #expect(Activity(of: socket) == .idle)
    socket.receiveQueue = 1
    #expect(Activity(of: socket) == .busy)
  }
}

// MARK: - Busy connections

@Suite struct `The watch of busy connections` {
  private func look(_ watch: BusyWatch, _ sockets: [TCPSocket]) -> Int {
    watch.beginLook()
    for socket in sockets { watch.take(socket) }
    watch.endLook()
    return watch.busy
  }

  private func working(_ cookie: UInt64) -> TCPSocket {
    connection(cookie: cookie, received: 100, sent: 0, sinceReceived: 500, sinceSent: 900)
  }

  private func resting(_ cookie: UInt64) -> TCPSocket {
    connection(cookie: cookie, received: 100, sent: 900, sinceReceived: 9_000, sinceSent: 8_000)
  }

  @Test func `counts the busy ones among all`() {
    let watch = BusyWatch()
    #expect(look(watch, [working(1), resting(2), working(3)]) == 2)
    #expect(watch.connections == 3)
  }

  @Test func `takes no probe of ebb's own for work, and tells those that nobody has accepted`() {
    let watch = BusyWatch(probePorts: [40_000])
    var accepted = working(1)
    accepted.remote = loopback(40_000)
    accepted.inode = 77
    var waiting = working(2)
    waiting.remote = loopback(40_000)
    waiting.inode = 0
    #expect(look(watch, [accepted, waiting, working(3)]) == 1)
    #expect(watch.connections == 1)
    #expect(watch.unacceptedProbes == [2])
  }

  private func loopback(_ port: UInt16) -> Endpoint {
    Endpoint(isIPv6: false, high: 0, low: 0x7f00_0001, port: port)
  }

  @Test func `lets go of one that has answered`() {
    let watch = BusyWatch()
    #expect(look(watch, [working(1)]) == 1)
    #expect(look(watch, [working(1)]) == 1)
    let answered = connection(cookie: 1, received: 100, sent: 900, sinceReceived: 700, sinceSent: 200)
    #expect(look(watch, [answered]) == 0)
    #expect(watch.connections == 1)
  }

  @Test func `waits for the rest of an answer that is being sent`() {
    let watch = BusyWatch()
    #expect(look(watch, [working(1)]) == 1)
    let sending = connection(cookie: 1, received: 100, sent: 900, sinceReceived: 700, sinceSent: 20)
    #expect(look(watch, [sending]) == 1)
    let queued = connection(
      cookie: 1, unacknowledged: 5, received: 100, sent: 9900, sinceReceived: 900, sinceSent: 300)
    #expect(look(watch, [queued]) == 1)
    let sent = connection(cookie: 1, received: 100, sent: 9900, sinceReceived: 1900, sinceSent: 400)
    #expect(look(watch, [sent]) == 0)
  }

  @Test func `lets go of one that has answered once and is at its next request`() {
    let watch = BusyWatch()
    #expect(look(watch, [working(1)]) == 1)
    let next = connection(cookie: 1, received: 180, sent: 900, sinceReceived: 10, sinceSent: 60)
    #expect(look(watch, [next]) == 0)
    // And never takes it in again.
    #expect(look(watch, [working(1)]) == 0)
  }

  @Test func `lets go of one that is gone`() {
    let watch = BusyWatch()
    #expect(look(watch, [working(1), working(2)]) == 2)
    #expect(look(watch, [working(2)]) == 1)
    #expect(look(watch, []) == 0)
  }

  @Test func `never waits for newcomers`() {
    let watch = BusyWatch()
    #expect(look(watch, [resting(1)]) == 0)
    #expect(look(watch, [working(1), working(2), working(3)]) == 0)
    #expect(watch.connections == 3)
  }

  @Test func `keeps a stream that was being sent as the drain began`() {
    let watch = BusyWatch()
    let streaming = connection(cookie: 1, received: 10, sent: 5000, sinceReceived: 60_000, sinceSent: 30)
    #expect(look(watch, [streaming]) == 1)
    let on = connection(cookie: 1, received: 10, sent: 9000, sinceReceived: 60_050, sinceSent: 20)
    #expect(look(watch, [on]) == 1)
    let over = connection(cookie: 1, received: 10, sent: 9000, sinceReceived: 60_300, sinceSent: 250)
    #expect(look(watch, [over]) == 0)
  }

  @Test func `begins a look anew where the table changed under it`() {
    let watch = BusyWatch()
    watch.beginLook()
    watch.take(working(1))
    watch.take(working(2))
    watch.restart()
    watch.take(working(2))
    watch.endLook()
    #expect(watch.busy == 1)
    #expect(watch.connections == 1)
    // The first one was not seen by the look that counted.
    #expect(look(watch, [working(1), working(2)]) == 1)
    watch.beginLook()
    watch.take(working(2))
    watch.restart()
    watch.take(working(2))
    watch.endLook()
    #expect(watch.busy == 1)
  }

  @Test func `follows no more than there is room for, and waits for whoever is busy then`() {
    let watch = BusyWatch()
    watch.beginLook()
    var socket = working(0)
    for cookie in 0..<UInt64(BusyWatch.capacity + 500) {
      socket.cookie = cookie
      watch.take(socket)
    }
    watch.endLook()
    #expect(watch.connections == BusyWatch.capacity + 500)
    #expect(watch.busy == BusyWatch.capacity + 500)
    #expect(watch.notFollowed == 500)
    socket.cookie = UInt64(BusyWatch.capacity + 1)
    #expect(look(watch, [socket, resting(1)]) == 1)
    socket.cookie = 0
    #expect(look(watch, [socket]) == 1)
  }

  @Test func `finds fifty thousand again, whatever their cookies look like`() {
    // One after the other, far apart, and alike in all of the bits that the index might use.
    for cookie: (UInt64) -> UInt64 in [{ $0 }, { $0 << 32 }, { $0 &* 0x9e37_79b9_7f4a_7c15 }] {
      let watch = BusyWatch()
      var socket = working(0)
      watch.beginLook()
      for number in 1...50_000 {
        socket.cookie = cookie(UInt64(number))
        watch.take(socket)
      }
      watch.endLook()
      #expect(watch.busy == 50_000)
      watch.beginLook()
      for number in (1...50_000).reversed() {
        socket.cookie = cookie(UInt64(number))
        watch.take(socket)
      }
      watch.endLook()
      #expect(watch.busy == 50_000)
    }
  }
}

// MARK: - Arrivals

@Suite struct `The watch of arrivals` {
  private let watch = ArrivalWatch()

  /// A look that finds these connections.
  private func look(_ cookies: ClosedRange<UInt64>, after elapsed: Duration? = nil, received: UInt64 = 0) {
    watch.beginLook(after: elapsed)
    for cookie in cookies { watch.take(connection(cookie: cookie, received: received, sinceReceived: 50)) }
    watch.endLook()
  }

  private func notice(of cookie: UInt64) throws {
    watch.take(try #require(Death(of: connection(.closing, cookie: cookie))))
  }

  @Test func `counts whom the first look did not find, once`() {
    look(1...3)
    #expect(watch.connections == 0)
    #expect(watch.open == 3)
    look(1...5)
    #expect(watch.connections == 2)
    look(1...5)
    #expect(watch.connections == 0)
  }

  @Test func `counts who came and went between two looks`() throws {
    look(1...1)
    try notice(of: 2)
    watch.lookAtNotices()
    #expect(watch.connections == 1)
    try notice(of: 3)
    look(4...4)
    #expect(watch.connections == 2)
  }

  @Test func `counts nobody twice whose end is told of a look later`() throws {
    look(1...1)
    look(1...2)
    #expect(watch.connections == 1)
    // It has died by now; the notice is on its way.
    look(1...1)
    try notice(of: 2)
    watch.lookAtNotices()
    #expect(watch.connections == 0)
  }

  @Test func `counts what has been received since on a connection that was kept`() {
    look(1...2)
    look(1...3, after: .milliseconds(100), received: 10)
    #expect(watch.connections == 1)
    #expect(watch.requests == 2)
    look(1...3, after: .milliseconds(20), received: 10)
    #expect(watch.requests == 0)
  }

  @Test func `says so where there are more than it can remember`() {
    look(1...UInt64(ArrivalWatch.capacity))
    #expect(!watch.isOverfull)
    look(1...UInt64(ArrivalWatch.capacity + 1))
    #expect(watch.isOverfull)
  }
}

// MARK: - Lingering

@Suite struct `A look at lingering connections` {
  private func look(_ sockets: [TCPSocket], cgroup: UInt64? = nil) -> LingerLook {
    var look = LingerLook(cgroup: cgroup)
    for socket in sockets { look.take(socket) }
    return look
  }

  private func closed(
    _ state: TCPState, queue: UInt32, retransmissions: UInt8 = 0, cgroup: UInt64? = nil
  ) -> TCPSocket {
    var socket = row(state)
    socket.sendQueue = queue
    socket.retransmissions = retransmissions
    socket.cgroup = cgroup
    return socket
  }

  @Test func `waits for bytes that nobody has acknowledged, FINs not counted`() {
    for state: TCPState in [.finWait1, .closing, .lastAck] {
      let look = look([closed(state, queue: 1001), closed(state, queue: 1), closed(state, queue: 0)])
      #expect(look.waiting == 1)
      #expect(look.waitingBytes == 1000)
      #expect(look.silent == 0)
    }
  }

  @Test func `does not wait for a peer that has gone silent`() {
    let look = look([
      closed(.finWait1, queue: 11, retransmissions: 2), closed(.finWait1, queue: 101, retransmissions: 3),
      closed(.lastAck, queue: 1, retransmissions: 9),
    ])
    #expect(look.waiting == 1)
    #expect(look.waitingBytes == 10)
    #expect(look.silent == 1)
    #expect(look.silentBytes == 100)
  }

  @Test func `may look at one cgroup's alone, also after a restart, and where none is told at all`() {
    var look = look(
      [
        closed(.finWait1, queue: 11, cgroup: 33), closed(.finWait1, queue: 11, cgroup: 34),
        closed(.finWait1, queue: 11),
      ], cgroup: 33)
    #expect(look.waiting == 2)
    look.restart()
    #expect(look == LingerLook(cgroup: 33))
    look.take(closed(.finWait1, queue: 11, cgroup: 34))
    #expect(look.waiting == 0)
  }

  @Test func `asks for the states in which the kernel delivers alone`() {
    #expect(LingerLook.query(ports: [80]).states.rawValue == 1 << 4 | 1 << 11 | 1 << 9)
    #expect(BusyWatch.query(ports: [80]).states.rawValue == 1 << 1 | 1 << 8)
    #expect(Listeners.query().states.rawValue == 1 << 10)
  }
}

// MARK: - Whose ports

@Suite struct `The service's ports` {
  private func listener(
    _ port: UInt16, cookie: UInt64 = 0, cgroup: UInt64? = nil, inode: UInt64 = 0, user: UInt32 = 4_000_000
  ) -> TCPSocket {
    var socket = row(.listen, cookie: cookie, port: port)
    socket.cgroup = cgroup
    socket.inode = inode
    socket.user = user
    return socket
  }

  private let nobody = ProcessID(-5)

  @Test func `are those of its cgroup first, in order, each once`() {
    let found = ServicePorts.find(
      among: [
        listener(8443, cgroup: 7), listener(8080, cgroup: 7), listener(8080, cgroup: 7),
        listener(22, cgroup: 1),
        listener(23), listener(24, user: ProcessControl.effectiveUser),
      ], cgroup: 7, before: [], family: [nobody])
    #expect(found == ServicePorts(ports: [8080, 8443], origin: .cgroup))
  }

  @Test func `are those that its processes hold next`() throws {
    let server = try Loopback.listen()
    defer { server.close() }
    let found = ServicePorts.find(
      among: [
        listener(server.port, cgroup: 1, inode: server.inode), listener(22, cgroup: 1, inode: 1),
        listener(24, user: ProcessControl.effectiveUser), listener(25, inode: 0),
      ], cgroup: 7, before: [], family: [.own])
    #expect(found == ServicePorts(ports: [server.port], origin: .descriptors))
  }

  @Test func `are none where all of its descriptors are seen, and none is a listener`() {
    let found = ServicePorts.find(
      among: [listener(24, user: ProcessControl.effectiveUser)], cgroup: nil, before: [], family: [.own])
    #expect(found == ServicePorts(ports: [], origin: nil))
  }

  @Test func `are those of its user last, but for the ones that were there before`() {
    let user = ProcessControl.effectiveUser
    let found = ServicePorts.find(
      among: [
        listener(24, cookie: 1, user: user), listener(25, cookie: 2, user: user), listener(26, cookie: 3),
      ], cgroup: 7, before: [1], family: [nobody])
    #expect(found == ServicePorts(ports: [25], origin: .user))
    let none = ServicePorts.find(
      among: [listener(24, cookie: 1, user: user)], cgroup: nil, before: [1], family: [nobody])
    #expect(none.origin == nil)
  }

  @Test func `are followed up to a limit`() {
    let many = (1...200).map { listener(UInt16($0), cgroup: 7) }
    let found = ServicePorts.find(among: many, cgroup: 7, before: [], family: [])
    #expect(found.ports.count == ServicePorts.limit)
    #expect(found.ports == found.ports.sorted())
  }

  @Test func `listeners are kept up to a limit`() {
    let listeners = Listeners()
    for port in 1...3000 { listeners.take(listener(UInt16(port))) }
    #expect(listeners.sockets.count == Listeners.limit)
    listeners.restart()
    #expect(listeners.sockets.isEmpty)
  }
}
