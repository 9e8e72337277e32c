import Glibc
import Linux
import Testing

@testable import Inet

/// Whether this machine has NETLINK_SOCK_DIAG, and lets us.
private let hasNetlink: Bool = {
  guard var diagnostics = try? SocketDiagnostics() else { return false }
  defer { diagnostics.close() }
  let rows = Rows()
  return (try? diagnostics.dump(Listeners.query(), into: rows)) != nil
}()

/// What needs it runs wherever it is, and says so where it is not.
private let whereNetlinkIs = ConditionTrait.enabled(
  if: hasNetlink, "NETLINK_SOCK_DIAG is not there, or refused")

/// The kernel of this machine, and real sockets of this process on loopback.
@Suite struct `On this machine` {
  private func overNetlink(_ query: SocketQuery) throws -> [TCPSocket] {
    var diagnostics = try SocketDiagnostics()
    defer { diagnostics.close() }
    let rows = Rows()
    try diagnostics.dump(query, into: rows)
    return rows.sockets
  }

  private func overProc(_ query: SocketQuery) throws -> [TCPSocket] {
    let rows = Rows()
    try ProcNetTCP.read(query, into: rows)
    return rows.sockets
  }

  @Test(whereNetlinkIs) func `netlink and proc show the same sockets`() throws {
    let server = try Loopback.listen()
    defer { server.close() }
    var open: [Loopback] = []
    defer { for socket in open { socket.close() } }
    for unread in [0, 5, 1000] {
      let client = try Loopback.connect(server.port)
      let accepted = try server.accept()
      client.write(unread)
      open += [client, accepted]
    }
    // One that waits to be accepted.
    open.append(try Loopback.connect(server.port))
    let query = SocketQuery(
      states: [.listening, .open, .delivering], ports: [server.port], wantsHistory: true)
    let netlink = try overNetlink(query).sorted { $0.remote.port < $1.remote.port }
    let proc = try overProc(query).sorted { $0.remote.port < $1.remote.port }
    #expect(netlink.count == 5)
    #expect(proc.count == netlink.count)
    for (one, other) in zip(netlink, proc) {
      #expect(one.state == other.state)
      #expect(one.local == other.local)
      #expect(one.remote == other.remote)
      #expect(one.receiveQueue == other.receiveQueue)
      #expect(one.inode == other.inode)
      #expect(one.user == other.user)
      #expect(one.endsHash == other.cookie)
      // Of a listener, /proc does not tell how many may wait.
      if one.state != .listen { #expect(one.sendQueue == other.sendQueue) }
    }
    #expect(netlink.first { $0.state == .listen }?.inode == server.inode)
    #expect(netlink.first { $0.state == .listen }?.receiveQueue == 1)
    #expect(netlink.map { $0.receiveQueue }.contains(1000))
    #expect(netlink.first { $0.receiveQueue == 1000 }?.history?.bytesReceived == 1000)
    #expect(Set(netlink.map { $0.cookie }).count == 5)
  }

  @Test(whereNetlinkIs) func `the kernel's filter gives the ports asked for, and no other`() throws {
    var servers: [Loopback] = []
    defer { for server in servers { server.close() } }
    for _ in 0..<12 { servers.append(try Loopback.listen()) }
    let ports = servers.map { $0.port }
    for count in [1, 2, 3, 11, 12] {
      let asked = Array(ports.prefix(count))
      let found = try overNetlink(Listeners.query(ports: asked)).map { $0.local.port }
      #expect(found.sorted() == asked.sorted())
    }
    // As many as are ever asked for.
    let many = ports + (0..<52).map { _ in UInt16.random(in: 1...1000) }
    #expect(Set(try overNetlink(Listeners.query(ports: many)).map { $0.local.port }).isSuperset(of: ports))
  }

  @Test func `a table reads what there is, by whichever way`() throws {
    let server = try Loopback.listen()
    defer { server.close() }
    var table = SocketTable()
    for _ in 0..<2 {
      let listeners = Listeners()
      try table.read(Listeners.query(ports: [server.port]), into: listeners)
      #expect(listeners.sockets.map { $0.local.port } == [server.port])
    }
    #expect(table.source == (hasNetlink ? .netlink : .proc))
  }

  @Test func `a process holds the sockets that it opened, and no others`() throws {
    let server = try Loopback.listen()
    let owners = SocketOwners([.own])
    #expect(owners.isComplete)
    #expect(owners.hold(server.inode))
    #expect(!owners.hold(1))
    server.close()
    #expect(!SocketOwners([ProcessID(-5)]).isComplete)
  }

  @Test func `not more descriptors are looked at than may be, a share of each process`() throws {
    let server = try Loopback.listen()
    defer { server.close() }
    let many = (0..<200).map { _ in dup(0) }
    defer { for descriptor in many { close(descriptor) } }
    // 64 of each at the least: the listener is among the lowest.
    let owners = SocketOwners([.own, .own], atMost: 100)
    #expect(!owners.isComplete)
    #expect(owners.hold(server.inode))
    #expect(SocketOwners([.own, .own], atMost: 10_000).isComplete)
  }

  @Test func `a port is in use while somebody listens on it, and free afterwards`() throws {
    let server = try Loopback.listen()
    #expect(BindTest.ask(server.port) == .inUse)
    server.close()
    #expect(BindTest.ask(server.port) == .free)
  }

  @Test func `a request is in progress until it is answered, by the figures of this kernel`() throws {
    let server = try Loopback.listen()
    defer { server.close() }
    let client = try Loopback.connect(server.port)
    defer { client.close() }
    let accepted = try server.accept()
    defer { accepted.close() }
    var table = SocketTable()
    let tracker = RequestTracker()
    func look() throws -> (inProgress: Int, undecided: Int) {
      try table.read(tracker, ports: [server.port], at: MonotonicClock.now)
      #expect(tracker.connections == 1)
      return (tracker.inProgress, tracker.undecided)
    }
    #expect(try look() == (0, hasNetlink ? 0 : 1))
    client.write(100)
    #expect(try look() == (1, 0))
    accepted.read(100)
    // Worked on for longer than an acknowledgement is held back.
    usleep(260_000)
    if hasNetlink { #expect(try look() == (1, 0)) }
    accepted.write(200)
    client.read(200)
    usleep(20_000)
    if hasNetlink { #expect(try look() == (0, 0)) }
    // The next one is answered within a tick. The mode in /proc tells.
    client.write(100)
    accepted.read(100)
    accepted.write(200)
    client.read(200)
    usleep(400_000)
    if hasNetlink { #expect(try look() == (0, 0)) }
    client.write(100)
    accepted.read(100)
    usleep(400_000)
    if hasNetlink { #expect(try look() == (1, 0)) }
  }

  // MARK: - Deaths

  /// The death of the one connection that the body makes and ends.
  private func death(_ body: (Loopback) throws -> Void) throws -> Death? {
    let server = try Loopback.listen()
    defer { server.close() }
    let notices = try DeathNotices(ports: [server.port])
    defer { notices.close() }
    try body(server)
    for _ in 0..<200 {
      switch notices.next() {
      case .death(let death): return death
      case .missed:
        Issue.record("a notice was missed")
        return nil
      case .none: usleep(10_000)
      }
    }
    return nil
  }

  @Test(whereNetlinkIs) func `a connection that was closed in peace died clean`() throws {
    let death = try death { server in
      let client = try Loopback.connect(server.port)
      let accepted = try server.accept()
      client.write(10)
      accepted.read(10)
      accepted.write(20)
      client.read(20)
      accepted.close()
      client.close()
    }
    #expect(death?.wasReset == false)
    #expect(death?.isMeasured == true)
  }

  @Test(whereNetlinkIs)
  func `a connection that was closed with bytes unread was reset, and says how many`() throws {
    let death = try death { server in
      let client = try Loopback.connect(server.port)
      let accepted = try server.accept()
      client.write(4321)
      // They are there once they can be peeked at.
      var bytes = [UInt8](repeating: 0, count: 4321)
      _ = recv(accepted.descriptor, &bytes, 4321, Int32(MSG_WAITALL | MSG_PEEK))
      accepted.close()
      client.close()
    }
    #expect(death?.wasReset == true)
    #expect(death?.unread == 4321)
    #expect(death?.unacknowledged == 0)
  }

  @Test(whereNetlinkIs)
  func `a connection thrown out of the accept queue was reset, and not measured`() throws {
    let server = try Loopback.listen()
    let notices = try DeathNotices(ports: [server.port])
    defer { notices.close() }
    let client = try Loopback.connect(server.port)
    defer { client.close() }
    server.close()
    var found: Death?
    for _ in 0..<200 where found == nil {
      if case .death(let death) = notices.next() { found = death } else { usleep(10_000) }
    }
    #expect(found?.wasReset == true)
    #expect(found?.isMeasured == false)
  }
}
