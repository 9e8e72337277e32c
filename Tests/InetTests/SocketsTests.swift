import Glibc
import Linux
import Testing

@testable import Inet

private func socket(
  _ state: TCPState, local: UInt16 = 8080, peer: UInt64 = 1, port: UInt16 = 40_000, inode: UInt64 = 7,
  acknowledged: Duration? = nil, sent: Duration = .zero
) -> TCPSocket {
  var row = Wire.Row()
  row.state = state.rawValue
  guard var socket = row.payload.withUnsafeBytes({ TCPSocket(inetDiagnostic: $0) }) else {
    preconditionFailure("a row that is none")
  }
  socket.local.port = local
  socket.remote = Endpoint(isIPv6: false, high: 0, low: peer, port: port)
  socket.inode = inode
  if let acknowledged {
    var history = TCPSocket.History(bytesReceived: 0, bytesSent: 0, sinceReceived: .zero, sinceSent: sent)
    history.sinceAcknowledged = acknowledged
    socket.history = history
  }
  return socket
}

@Suite struct `A summary of the table` {
  private func summary(_ sockets: [TCPSocket], listeners: [TCPSocket] = []) -> SocketSummary {
    let summary = SocketSummary(SocketFilter(), listeners: listeners)
    for socket in sockets { summary.take(socket) }
    return summary
  }

  private func text(_ text: Text) -> String { String(decoding: text.bytes, as: UTF8.self) }

  private func kinds(_ summary: SocketSummary, _ settings: SocketSettings = SocketSettings()) -> [String] {
    summary.findings(settings).map { "\($0.kind)" }
  }

  @Test func `has nothing to say of sockets that pass through a state`() {
    let fresh = [
      socket(.closeWait, acknowledged: .milliseconds(4999)),
      socket(.established, inode: 0, acknowledged: .seconds(9), sent: .milliseconds(999)),
    ]
    #expect(kinds(summary(fresh)) == [])
    #expect(summary(fresh).doubtful.rawValue == 0)
    // As long as it is not known, it is doubtful.
    let unknown = summary([socket(.closeWait), socket(.established, inode: 0), socket(.established)])
    #expect(unknown.doubtful == [TCPStates(.closeWait), TCPStates(.established)])
    let judged = unknown
    judged.judge(by: summary(fresh))
    #expect(kinds(judged) == [])
    #expect(judged.all.count(.closeWait) == 1)
  }

  @Test func `tells what has been there for too long, and for how long at most`() throws {
    let old = summary([
      socket(.closeWait, acknowledged: .seconds(5)), socket(.closeWait, acknowledged: .seconds(65)),
      socket(.closeWait, acknowledged: .seconds(1)),
      socket(.established, inode: 0, acknowledged: .zero, sent: .seconds(1)),
    ])
    #expect(old.notClosed.count == 2)
    #expect(old.notClosed.longest == .seconds(65))
    #expect(old.notAccepted.count == 1)
    #expect(kinds(old) == ["close_wait", "without_process"])
    let finding = try #require(old.findings(SocketSettings(), closeWaitsBefore: 1).first)
    #expect(text(finding.text).contains(", 2 more than when the watch began"))
  }

  @Test func `counts destinations exactly while there are few`() {
    var settings = SocketSettings()
    settings.ephemeralPorts = 30_000...30_009
    settings.ephemeralCount = 10
    let seven = (0..<7).map { socket(.established, local: 30_000 + $0, port: 443) }
    #expect(kinds(summary(seven), settings) == [])
    let eight = seven + [socket(.timeWait, local: 30_007, port: 443)]
    let findings = summary(eight).findings(settings)
    #expect(
      findings.map { text($0.text) } == [
        "8 of 10 ephemeral ports are used towards 0.0.0.1:443, 1 in TIME_WAIT"
      ])
    // Another one's connections to a port that is listened on here are not ours.
    #expect(
      kinds(
        summary(
          (0..<10).map { _ in socket(.established, local: 443) }, listeners: [socket(.listen, local: 443)]),
        settings) == [])
  }

  @Test func `misses no destination that has many, however many there are, and then says at least`() throws {
    var settings = SocketSettings()
    settings.ephemeralPorts = 1...1000
    settings.ephemeralCount = 1000
    // One that comes late, behind 5,000 others.
    var sockets = (0..<5000).map { socket(.established, local: 30_000, peer: UInt64(1000 + $0)) }
    sockets += (0..<900).map { _ in socket(.established, local: 30_000, peer: 1) }
    let busy = summary(sockets)
    #expect(busy.areDestinationsLeast)
    #expect(busy.destinations.count <= SocketSummary.destinationLimit)
    let finding = try #require(busy.findings(settings).first)
    let words = text(finding.text).split(separator: " ")
    #expect(words.prefix(2) == ["at", "least"])
    let least = try #require(Int(words[2]))
    #expect(least <= 900 && least >= 800)
  }

  @Test func `begins again when the table changed under it`() {
    let one = summary(
      [socket(.closeWait), socket(.finWait1), socket(.established, local: 5, inode: 0)],
      listeners: [socket(.listen)])
    one.restart()
    #expect(one.all.total == 0 && one.others.total == 0 && one.ports[0].counts.total == 0)
    #expect(one.notClosed.count == 0 && one.notAccepted.count == 0 && one.notClosedInodes.isEmpty)
    #expect(one.destinations.isEmpty)
  }

  @Test func `calls no listener full where nobody tells how many may wait`() {
    var listener = socket(.listen)
    listener.receiveQueue = 6
    listener.sendQueue = 5
    func queues(tellsBacklog: Bool) -> [String] {
      let summary = SocketSummary(SocketFilter(), listeners: [listener], tellsBacklog: tellsBacklog)
      summary.take(listener)
      return kinds(summary)
    }
    #expect(queues(tellsBacklog: true) == ["listen_queue"])
    #expect(queues(tellsBacklog: false) == [])
  }
}

@Suite struct `The states that a user names` {
  @Test func `are those of ss, of netstat and of the RFC`() {
    func states(_ text: String) -> TCPStates? { TCPStates(named: Array(text.utf8)) }
    for name in ["fin-wait-1", "FIN_WAIT1", "finwait1", "FIN-WAIT-1", "fin_wait_1"] {
      #expect(states(name) == TCPStates(.finWait1))
    }
    #expect(states("listening,time-wait") == [.listening, TCPStates(.timeWait)])
    #expect(states("syn-recv") == [TCPStates(.synReceived), TCPStates(.newSynReceived)])
    #expect(states("all") == .all)
    for name in ["", ",", "estab lished", "established,", "fin-wait-3", "\u{0}"] {
      #expect(states(name) == nil)
    }
  }
}

@Suite struct `The end of a connection` {
  /// Lets the test be the kernel, which answers this.
  private func answer(_ answers: [[UInt8]], _ socket: TCPSocket = socket(.established)) throws -> (
    Bool?, Errno?, request: [UInt8]
  ) {
    var ends: [Int32] = [0, 0]
    // Type 5 is SOCK_SEQPACKET.
    try #require(socketpair(AF_UNIX, 5, 0, &ends) == 0)
    for answer in answers { try #require(send(ends[1], answer, answer.count, 0) == answer.count) }
    shutdown(ends[1], Int32(SHUT_WR))
    var destroyer = SocketDestroyer(FileDescriptor(ends[0]))
    var result: Bool?
    var failure: Errno?
    do throws(Errno) { result = try destroyer.destroy(socket) } catch { failure = error }
    var request = [UInt8](repeating: 0, count: 4096)
    let count = recv(ends[1], &request, request.count, 0)
    destroyer.close()
    close(ends[1])
    return (result, failure, Array(request.prefix(max(0, count))))
  }

  private func error(_ number: Int32, sequence: UInt32 = 1) -> [UInt8] {
    Wire.message(Wire.error, flags: 0, sequence: sequence, Wire.bytes(number))
  }

  @Test func `is done, was done already, or is refused, as the kernel says`() throws {
    #expect(try answer([error(0)]).0 == true)
    #expect(try answer([error(-2)]).0 == false)
    #expect(try answer([error(-1)]).1 == .notPermitted)
    #expect(try answer([error(-95)]).1 == .notSupported)
  }

  @Test func `is not believed of an answer that makes no sense`() throws {
    for bytes in [
      error(0, sequence: 2), Wire.message(Wire.done, []), Wire.message(Wire.error, []), [1, 2, 3],
      Wire.message(Wire.error, length: 999, Wire.bytes(0 as Int32)), error(.min),
    ] {
      #expect(try answer([bytes]).1 == .protocolError)
    }
    #expect(try answer([]).0 == nil)
  }

  @Test func `is asked for this very socket`() throws {
    var row = Wire.Row()
    row.isIPv6 = true
    row.source = [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1]
    row.destination = [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [2]
    row.cookie = 0x0102_0304_0506_0708
    row.interface = 9
    let socket = try #require(row.payload.withUnsafeBytes { TCPSocket(inetDiagnostic: $0) })
    let request = try answer([error(0)], socket).request
    // struct inet_diag_req_v2: family, protocol, extensions, padding, states, id.
    var expected: [UInt8] = Wire.bytes(72 as UInt32)
    expected += [21, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    expected += [10, 6, 0, 0]
    expected += Wire.bytes(TCPStates.all.rawValue)
    expected += Wire.network(8080 as UInt16)
    expected += Wire.network(40_000 as UInt16)
    expected += row.source
    expected += row.destination
    expected += Wire.bytes(9 as UInt32)
    expected += Wire.bytes(row.cookie)
    #expect(request == expected)
  }
}
