import Foundation
import Linux
import Testing

@testable import Inet

// MARK: - Deaths

@Suite struct `The death of a connection` {
  /// What a notice tells: D, the bytes sent but for repetitions; A, those acknowledged; the queues.
  private func death(
    sent: UInt64, repeated: UInt64 = 0, acknowledged: UInt64, receive: UInt32 = 0, send: UInt32,
    notSent: UInt32 = 0, segmentsReceived: UInt32 = 4
  ) -> Death? {
    var wire = Wire.Row()
    wire.state = 7
    wire.receiveQueue = receive
    wire.sendQueue = send
    wire.attributes = Wire.info(
      sent: sent, repeated: repeated, acknowledged: acknowledged, notSent: notSent,
      dataSegmentsReceived: segmentsReceived)
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

  @Test func `left nothing unread but the peer's FIN, where no segment with data ever came`() {
    #expect(death(sent: 0, acknowledged: 0, receive: 1, send: 1, segmentsReceived: 0)?.unread == 0)
    #expect(death(sent: 0, acknowledged: 0, receive: 1, send: 1, segmentsReceived: 1)?.unread == 1)
  }

  @Test func `counts the peer's FIN as unread until somebody knows of it`() {
    let reset = death(sent: 100, acknowledged: 100, receive: 31, send: 1)
    #expect(reset?.unread == 31)
    #expect(reset?.withoutFIN().unread == 30)
    // Nothing came but the FIN.
    #expect(death(sent: 100, acknowledged: 100, receive: 1, send: 1)?.withoutFIN().unread == 0)
    // Where all is acknowledged, it was taken off already; and below nothing there is nothing.
    #expect(death(sent: 100, acknowledged: 101, receive: 8, send: 0)?.withoutFIN().unread == 7)
    #expect(death(sent: 100, acknowledged: 100, receive: 0, send: 1)?.withoutFIN().unread == 0)
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
            #expect((death?.withoutFIN().unread ?? .max) <= UInt64(queue))
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
      guard case .missed = whole[..<count].withUnsafeBytes({ DeathNotices.read($0) }) else {
        Issue.record("\(count) bytes of it were taken")
        return
      }
    }
    let answer = whole.withUnsafeBytes { DeathNotices.read($0) }
    guard case .death(let death) = answer else {
      Issue.record("\(answer)")
      return
    }
    #expect(!death.wasReset)
    // The socket, as it was at last, comes with it.
    #expect(death.socket.cookie == row.cookie)
    #expect(death.socket.local.port == row.sourcePort)
    #expect(death.socket.remote.port == row.destinationPort)
    #expect(death.socket.history?.bytesSent == 3)
  }

  @Test func `of a listener is none`() {
    var row = Wire.Row()
    row.state = 7
    row.destinationPort = 0
    row.destination = [UInt8](repeating: 0, count: 16)
    let answer = row.message.withUnsafeBytes { DeathNotices.read($0) }
    guard case .none = answer else {
      Issue.record("\(answer)")
      return
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

  @Test func `counts no stranger at the service's port, neither as it comes nor as it dies`() throws {
    let service = ServiceSockets()
    var listener = row(.listen)
    listener.cgroup = 7
    service.note(listener, isService: true)
    listener.cgroup = 8
    service.note(listener, isService: false)
    let watch = ArrivalWatch(of: service)
    func look(_ sockets: [TCPSocket]) {
      watch.beginLook()
      for socket in sockets { watch.take(socket) }
      watch.endLook()
    }
    func client(_ cookie: UInt64, of cgroup: UInt64) -> TCPSocket {
      var socket = connection(cookie: cookie)
      socket.cgroup = cgroup
      return socket
    }
    look([])
    look([client(1, of: 7), client(2, of: 8)])
    #expect(watch.connections == 1)
    #expect(watch.open == 1)
    for cgroup: UInt64 in [7, 8] {
      var dead = connection(.close, cookie: 10 + cgroup)
      dead.cgroup = cgroup
      watch.take(try #require(Death(of: dead)))
    }
    watch.lookAtNotices()
    #expect(watch.connections == 1)
  }

  @Test func `counts no steady prober, at the port that it asks`() throws {
    var prober = connection(cookie: 7)
    prober.remote.low = 0x0a00_0009
    var uncounted = Uncounted()
    uncounted.steady = [SteadyPeers.key(prober)]
    let watch = ArrivalWatch(besides: uncounted)
    watch.beginLook()
    watch.endLook()
    var elsewhere = prober
    elsewhere.local.port += 1
    elsewhere.cookie = 8
    watch.beginLook()
    for socket in [prober, elsewhere, connection(cookie: 9)] { watch.take(socket) }
    watch.endLook()
    #expect(watch.connections == 2)
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
    #expect(RequestTracker.query(ports: [80]).states.rawValue == 1 << 1 | 1 << 8)
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

// MARK: - Probers

@Suite struct `A peer` {
  /// Whether one is steady that came at these moments, in seconds, with looks as ebb takes them.
  private func isSteady(_ moments: [Double], life: Double = 180) -> Bool {
    var peers = SteadyPeers()
    var others: UInt64 = 0
    var time = 0.0
    var next = 0
    var number = 0
    while time < life {
      while next < moments.count && moments[next] <= time {
        peers.note(connection(cookie: 1))
        next += 1
      }
      // Clients that come once, from everywhere.
      for _ in 0..<10 {
        others += 1
        var socket = connection(cookie: 2)
        socket.remote.low = 0x0b00_0000 + others
        peers.note(socket)
      }
      peers.endLook(at: .milliseconds(Int64(time * 1000)))
      time += 5 + Double(number * 927 % 1500) / 1000
      number += 1
    }
    return peers.steady.contains(SteadyPeers.key(connection(cookie: 1)))
  }

  private func even(_ period: Double, jitter: Double = 0.02) -> [Double] {
    var random = SystemRandomNumberGenerator()
    return (0..<Int(180 / period)).map { Double($0) * period + Double.random(in: 0...jitter, using: &random) }
  }

  @Test(arguments: [1.0, 2, 3, 5, 7.5, 10, 15])
  func `that comes evenly is steady`(period: Double) { #expect(isSteady(even(period))) }

  @Test func `that comes more often than once a second, or hardly ever, is none`() {
    #expect(!isSteady(even(0.5)))
    #expect(!isSteady(even(60)))
  }

  @Test(arguments: [1.5, 3, 5, 10])
  func `that comes when it likes is hardly ever taken for one`(mean: Double) {
    var random = SystemRandomNumberGenerator()
    var mistaken = 0
    for _ in 0..<1000 {
      var moments: [Double] = []
      var time = 0.0
      while time < 180 {
        time -= mean * Foundation.log(Double.random(in: 0.000001...1, using: &random))
        moments.append(time)
      }
      if isSteady(moments) { mistaken += 1 }
    }
    #expect(mistaken <= 15)
  }
}
