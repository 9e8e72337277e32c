import Glibc
import Linux
import Testing

@testable import Inet

/// A socket as the kernel would describe it.
private func socket(
  _ state: UInt8, port: UInt16 = 8080, at address: [UInt8] = [127, 0, 0, 1], inode: UInt32 = 77,
  to peer: UInt16 = 0, expires: UInt32 = 0, user: UInt32 = 0, only6: Bool? = nil
) -> TCPSocket {
  let row = row(
    state, port: port, at: address, inode: inode, to: peer, expires: expires, user: user, only6: only6)
  guard let socket = row.payload.withUnsafeBytes({ TCPSocket(inetDiagnostic: $0) }) else {
    fatalError("the test's own row makes no sense")
  }
  return socket
}

private func row(
  _ state: UInt8, port: UInt16 = 8080, at address: [UInt8] = [127, 0, 0, 1], inode: UInt32 = 77,
  to peer: UInt16 = 0, expires: UInt32 = 0, user: UInt32 = 0, only6: Bool? = nil
) -> Wire.Row {
  var row = Wire.Row()
  row.isIPv6 = address.count == 16
  row.state = state
  row.source = address + [UInt8](repeating: 0, count: 16 - address.count)
  row.sourcePort = port
  row.destinationPort = peer
  row.inode = inode
  row.expires = expires
  row.user = user
  if let only6 { row.attributes = Wire.attribute(11, [only6 ? 1 : 0]) }
  return row
}

private let any4: [UInt8] = [0, 0, 0, 0]
private let any6 = [UInt8](repeating: 0, count: 16)
private let one6 = [UInt8](repeating: 0, count: 15) + [1]
private let mapped = [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 127, 0, 0, 1]

private func address(_ text: StaticString, port: UInt16 = 8080) -> Endpoint {
  guard var address = Endpoint(address: CString(text)) else { fatalError("no address: \(text)") }
  address.port = port
  return address
}

private func string(_ text: Text?) -> String? { text.map { String(decoding: $0.bytes, as: UTF8.self) } }

@Suite struct `A census of a port` {
  /// Takes rows as netlink gives them: counted where that will do, whole otherwise.
  private func census(_ rows: [Wire.Row], address: Endpoint? = nil) -> PortCensus {
    let census = PortCensus(port: 8080, address: address)
    var reply = DumpReply(to: 1)
    for row in rows {
      row.message.withUnsafeBytes { message in
        #expect(throws: Never.self) { try reply.take(message, into: census) }
      }
    }
    return census
  }

  @Test(arguments: [nil, address("127.0.0.1")])
  func `counts every state, and no other port`(address: Endpoint?) {
    var rows: [Wire.Row] = []
    for state: UInt8 in 1...12 {
      for _ in 0..<Int(state) { rows.append(row(state, inode: 100)) }
      rows.append(row(state, port: 8081))
    }
    let census = census(rows, address: address)
    for state in TCPState.all { #expect(census.count(state) == Int(state.rawValue), "\(state)") }
    #expect(census.connections == (1...12).reduce(0, +) - 10)
    #expect(census.listeners.count == 10)
    #expect(TCPState.all.count == 12)
  }

  @Test func `is the same whether rows are counted or taken whole`() {
    for _ in 0..<200 {
      let rows = (0..<300).map { _ in
        row(
          .random(in: 1...12), port: 8080 + .random(in: 0...1), inode: .random(in: 0...3),
          expires: .random(in: 0...60_000))
      }
      let counted = census(rows)
      let whole = PortCensus(port: 8080)
      for row in rows {
        row.payload.withUnsafeBytes { payload in
          if let socket = TCPSocket(inetDiagnostic: payload) { whole.take(socket) }
        }
      }
      for state in TCPState.all { #expect(counted.count(state) == whole.count(state)) }
      #expect(counted.notAccepted == whole.notAccepted)
      #expect(counted.longestTimeWait == whole.longestTimeWait)
      #expect(counted.listeners.map { $0.inode } == whole.listeners.map { $0.inode })
      #expect(counted.established.map { $0.inode } == whole.established.map { $0.inode })
      #expect(counted.closeWaits.map { $0.inode } == whole.closeWaits.map { $0.inode })
    }
  }

  @Test func `keeps a few rows, however many there are`() {
    let census = census((0..<1000).flatMap { _ in [row(1), row(8), row(10)] })
    #expect(census.count(.established) == 1000)
    #expect(census.established.count == PortCensus.keptConnections)
    #expect(census.closeWaits.count == PortCensus.keptConnections)
    #expect(census.listeners.count == PortCensus.kept)
    #expect(census.count(.listen) == 1000)
  }

  @Test func `knows when the last TIME_WAIT ends`() {
    let census = census([row(6, expires: 12_001), row(6, expires: 41_700), row(6, expires: 3)])
    #expect(census.longestTimeWait == .milliseconds(41_700))
    #expect(census.longestTimeWait.wholeSeconds == 42)
  }

  @Test func `forgets everything when the reading begins again`() {
    let census = census([row(6, expires: 9), row(10), row(1, inode: 0), row(8)])
    census.restart()
    #expect(census.connections == 0)
    #expect(census.listeners.isEmpty && census.established.isEmpty && census.closeWaits.isEmpty)
    #expect(census.notAccepted == 0)
    #expect(census.longestTimeWait == .zero)
    #expect(census.port == 8080)
  }

  @Test func `counts what no process has as not accepted`() {
    #expect(census([row(1, inode: 0), row(8, inode: 0), row(1), row(4, inode: 0)]).notAccepted == 2)
  }

  @Test func `of one address leaves out what is not in its way`() {
    let rows = [
      row(10, at: [127, 0, 0, 1], inode: 1), row(10, at: [10, 0, 0, 1], inode: 2),
      row(10, at: any4, inode: 3),
      row(10, at: any6, inode: 4, only6: false), row(10, at: any6, inode: 5, only6: true),
      row(10, at: one6, inode: 6), row(10, at: mapped, inode: 7), row(10, at: any6, inode: 8),
    ]
    func inodes(_ text: StaticString) -> [UInt64] {
      census(rows, address: address(text)).listeners.map { $0.inode }
    }
    #expect(inodes("127.0.0.1") == [1, 3, 4, 7, 8])
    #expect(inodes("::ffff:127.0.0.1") == [1, 3, 4, 7, 8])
    #expect(inodes("0.0.0.0") == [1, 2, 3, 4, 7, 8])
    #expect(inodes("::1") == [4, 5, 6, 8])
    #expect(inodes("::2") == [4, 5, 8])
  }
}

@Suite struct `Two addresses` {
  @Test(
    arguments: [
      ("0.0.0.0", "0.0.0.0", true), ("0.0.0.0", "10.0.0.1", true), ("10.0.0.1", "10.0.0.2", false),
      ("10.0.0.1", "10.0.0.1", true), ("::", "0.0.0.0", true), ("::", "10.0.0.1", true), ("::", "::1", true),
      ("::1", "::1", true), ("::1", "::2", false), ("0.0.0.0", "::1", false), ("127.0.0.1", "::1", false),
      ("::ffff:127.0.0.1", "127.0.0.1", true), ("::ffff:127.0.0.1", "0.0.0.0", true),
      ("::ffff:0.0.0.0", "10.0.0.1", true), ("::ffff:127.0.0.1", "::1", false),
      // The numbers of 0.0.0.1 and ::1 are the same.
      ("0.0.0.1", "::1", false),
    ] as [(StaticString, StaticString, Bool)])
  func `are in each other's way or not`(one: StaticString, other: StaticString, expected: Bool) {
    #expect(address(one).overlaps(address(other)) == expected)
    #expect(address(other, port: 1).overlaps(address(one)) == expected)
  }
}

@Suite struct `Sockets that are only bound` {
  @Test func `are those of the port, whatever the kernel gives, and a bounded number`() {
    let bound = BoundSockets(port: 8080, address: address("127.0.0.1"))
    for _ in 0..<100 {
      bound.take(socket(7, port: 8081))
      bound.take(socket(7, at: [10, 0, 0, 1]))
      bound.take(socket(7, at: any4, inode: 5))
    }
    #expect(bound.sockets.count == PortCensus.kept)
    #expect(bound.sockets.allSatisfy { $0.inode == 5 })
    bound.restart()
    #expect(bound.sockets.isEmpty)
    #expect(bound.query.states.rawValue == 1 << 13)
  }
}

@Suite struct `The list of reserved ports` {
  @Test(arguments: [
    ("8080\n", true), ("8080,9000-9010\n", true), ("1,8000-8100", true), ("8080-8080", true),
    ("\n", false), ("", false), ("8081\n", false), ("808,80800\n", false), ("8000-8079,8081-9000", false),
    ("x,8080", true), ("-8080", true), ("8081-8079", false), ("8080-", true), ("-", false),
    ("99999999999999999999-8080", false),
  ])
  func `has a port or not`(list: String, expected: Bool) {
    #expect(EphemeralPorts.isListed(8080, in: Array(list.utf8)) == expected)
  }
}

@Suite struct `What was found on a port` {
  private func finding(
    _ sockets: [TCPSocket] = [], bound: [TCPSocket] = [], _ verdict: BindTest.Verdict? = nil,
    withReuse: BindTest.Verdict? = nil, holders: SocketHolders? = SocketHolders([]),
    manner: BindTest.Manner = BindTest.Manner(), isReadable: Bool = true
  ) -> PortFinding {
    var finding = PortFinding(port: 8080, isUDP: manner.isUDP, question: .released(manner))
    finding.bound = bound
    finding.verdict = verdict
    finding.verdictWithReuse = withReuse
    finding.holders = holders
    if isReadable {
      let census = PortCensus(port: 8080, address: manner.address)
      for socket in sockets { census.take(socket) }
      finding.census = census
    }
    return finding
  }

  private func holder(
    _ pid: Int32, _ name: String, inode: UInt64 = 77, start: UInt64 = 1, stopped: Bool = false,
    _ relation: SocketHolder.Relation? = nil
  ) -> SocketHolder {
    SocketHolder(
      process: ProcessID(pid), descriptor: 6, inode: inode, name: Array(name.utf8), startTime: start,
      isStopped: stopped, relation: relation)
  }

  private var strict: BindTest.Manner {
    var manner = BindTest.Manner()
    manner.reusesAddress = false
    return manner
  }

  private func lines(_ finding: PortFinding) -> [String] {
    (string(finding.text) ?? "").split(separator: "\n").map(String.init)
  }

  @Test func `is free where the kernel takes the bind`() {
    let finding = finding([], .free)
    #expect(finding.answer == .yes)
    #expect(lines(finding) == ["8080: free"])
    #expect(finding.advice == nil)
  }

  @Test func `is free, whatever is left, where the kernel takes the bind`() {
    let finding = finding([socket(6, inode: 0, expires: 40_100), socket(6, inode: 0, expires: 2)], .free)
    #expect(finding.answer == .yes)
    #expect(
      lines(finding) == [
        "8080: free for a server that sets SO_REUSEADDR, whatever is left of old connections",
        "  2 TIME_WAIT (the last ends in 41s; no process owns one)",
      ])
  }

  @Test func `is not free while something listens, and that is named`() {
    let holders = SocketHolders([holder(7, "nginx", .service), holder(9, "nginx", start: 2, .child)])
    let finding = finding([socket(10), socket(1, inode: 5), socket(1, inode: 0)], holders: holders)
    #expect(finding.answer == .no)
    #expect(
      lines(finding) == [
        "8080: not free: something listens",
        "  LISTEN 127.0.0.1:8080: nginx (pid 7, descriptor 6), the service; inherited by nginx (pid 9)",
        "  2 ESTABLISHED; 1 not accepted yet",
        "  to do: stop nginx (pid 7), and nginx (pid 9), which inherited the socket",
      ])
  }

  @Test func `names each listener's process where they are several`() {
    let holders = SocketHolders([holder(7, "a", inode: 1), holder(8, "b", inode: 2, start: 2)])
    let finding = finding([socket(10, inode: 1), socket(10, inode: 2)], holders: holders)
    #expect(lines(finding).last == "  to do: stop a (pid 7), and b (pid 8)")
  }

  @Test func `says that a stopped process has to go on first`() {
    let holders = SocketHolders([holder(7, "python3", stopped: true)])
    let finding = finding([socket(10)], holders: holders)
    #expect(lines(finding)[1] == "  LISTEN 127.0.0.1:8080: python3 (pid 7, descriptor 6), which is stopped")
    #expect(
      string(finding.advice)
        == "to do: stop python3 (pid 7), which must be continued first (kill -CONT 7)")
  }

  @Test func `says why nobody can be named`() {
    func owner(_ holders: SocketHolders?, inode: UInt32 = 77) -> String {
      let line = lines(finding([socket(10, inode: inode, user: 101)], holders: holders))[1]
      return String(line.dropFirst("  LISTEN 127.0.0.1:8080: ".count))
    }
    #expect(
      owner(SocketHolders([], refused: 1))
        == "owner not visible: user 101's, and 1 process may not be looked into (CAP_SYS_PTRACE)")
    #expect(
      owner(SocketHolders([], refused: 2))
        == "owner not visible: user 101's, and 2 processes may not be looked into (CAP_SYS_PTRACE)")
    #expect(
      owner(SocketHolders([]))
        == "owner not visible: user 101's, in no process that shows here (another container's, hidden by hidepid, or the kernel's own)"
    )
    #expect(owner(SocketHolders([], isReadable: false)) == "owner not known: there is no /proc")
    #expect(owner(nil) == "owner not known: there is no /proc")
    #expect(owner(SocketHolders([]), inode: 0) == "no process has it any more")
    #expect(
      string(finding([socket(10)], holders: SocketHolders([])).advice)
        == "to do: ask in the pod's other containers, or on the host with --netns, to see which process it is"
    )
    #expect(
      string(finding([socket(10)], holders: SocketHolders([], refused: 1)).advice)
        == "to do: ask again as its user, or with CAP_SYS_PTRACE, to see which process it is")
  }

  @Test func `is held by TIME_WAIT for some seconds`() {
    let sockets = [socket(6, inode: 0, expires: 40_100)]
    let plain = finding(sockets, .inUse)
    #expect(plain.answer == .no)
    #expect(
      lines(plain) == [
        "8080: not free for a server that sets SO_REUSEADDR: old connections are left",
        "  1 TIME_WAIT (the last ends in 41s; no process owns one)",
        "  to do: wait 41s; for the next time, set SO_REUSEADDR in the server before it binds: the old one did not",
      ])
    let strict = finding(sockets, .inUse, withReuse: .free, manner: strict)
    #expect(
      string(strict.summary) == "not free for a server that sets no SO_REUSEADDR: old connections are left")
    #expect(
      string(strict.advice)
        == "to do: set SO_REUSEADDR in the new server, which may bind now; or wait 41s")
    let refused = finding(sockets, .inUse, withReuse: .inUse, manner: self.strict)
    #expect(string(refused.advice)?.hasPrefix("to do: wait 41s; ") == true)
  }

  @Test func `is held by connections, whose process is named`() {
    let sockets = [socket(1, to: 443), socket(5, inode: 0, to: 5)]
    let holders = SocketHolders([holder(12, "curl")])
    let finding = finding(sockets, .inUse, holders: holders)
    #expect(
      lines(finding) == [
        "8080: not free for a server that sets SO_REUSEADDR: old connections are left",
        "  1 ESTABLISHED, 1 FIN_WAIT2",
        "  ESTABLISHED 127.0.0.1:8080 to 10.1.2.3:443: curl (pid 12, descriptor 6)",
        "  to do: stop curl (pid 12), or end its connections (ebb sockets --destroy --ports 8080); TIME_WAIT may follow, for 60s; for the next time, set SO_REUSEADDR in the server: the old one did not",
      ])
    let nobody = self.finding([socket(5, inode: 0)], .inUse)
    #expect(
      string(nobody.advice)?.hasPrefix("to do: wait until the old connections have ended, or end them (")
        == true)
    let strict = self.finding(sockets, .inUse, withReuse: .free, holders: holders, manner: strict)
    #expect(
      string(strict.advice)
        == "to do: set SO_REUSEADDR in the new server, which may bind now; or wait until the connections have ended"
    )
  }

  @Test func `shows whose connections nobody closes`() {
    let finding = finding(
      [socket(8, to: 5), socket(8, to: 6)], .free, holders: SocketHolders([holder(3, "java")]))
    #expect(lines(finding)[1] == "  2 CLOSE_WAIT")
    #expect(lines(finding)[2] == "  CLOSE_WAIT 127.0.0.1:8080 to 10.1.2.3:5: java (pid 3, descriptor 6)")
    #expect(lines(finding).count == 3)
  }

  @Test func `is held by a socket that is bound and does not listen`() {
    let finding = finding(bound: [socket(7)], .inUse, holders: SocketHolders([holder(3, "java")]))
    #expect(
      lines(finding) == [
        "8080: not free for a server that sets SO_REUSEADDR: a socket is bound to it and does not listen",
        "  bound, not listening, 127.0.0.1:8080: java (pid 3, descriptor 6)",
        "  to do: stop java (pid 3)",
      ])
  }

  @Test func `is not free where the kernel says so and nothing shows why`() {
    let finding = finding([], .inUse)
    #expect(finding.answer == .no)
    #expect(
      lines(finding) == [
        "8080: not free for a server that sets SO_REUSEADDR: no table shows what is on it",
        "  to do: look for a socket that is bound and does not listen (Linux 6.8 and later list them)",
      ])
  }

  @Test func `below 1024 is free as far as the tables tell`() {
    let nothing = finding([], .cannotTell(.permissionDenied))
    #expect(nothing.answer == .yes)
    #expect(
      lines(nothing) == [
        "8080: free, as far as the tables tell (no bind could be tried: Permission denied)"
      ])
    for something in [
      finding([socket(6, inode: 0)], .cannotTell(.permissionDenied)),
      finding([], bound: [socket(7)], .cannotTell(.permissionDenied)),
    ] {
      #expect(something.answer == .cannotTell)
      #expect(
        string(something.summary)
          == "cannot tell: no bind could be tried (Permission denied), and something is on the port")
      #expect(string(something.advice) == "to do: ask again with CAP_NET_BIND_SERVICE")
    }
    // Without the tables, nothing is known.
    #expect(finding([], .cannotTell(.permissionDenied), isReadable: false).answer == .cannotTell)
  }

  @Test func `is not known where there is no such address`() {
    var manner = BindTest.Manner()
    manner.address = address("10.9.9.9")
    let finding = finding([], .cannotTell(.addressNotAvailable), manner: manner)
    #expect(finding.answer == .cannotTell)
    #expect(
      lines(finding) == [
        "10.9.9.9:8080: cannot tell: no bind could be tried (Cannot assign requested address)",
        "  to do: ask for an address of this network namespace",
      ])
  }

  @Test func `is the kernel's word where the table cannot be read`() {
    #expect(finding([], .free, isReadable: false).answer == .yes)
    let refused = finding([], .inUse, isReadable: false)
    #expect(refused.answer == .no)
    #expect(
      string(refused.summary)
        == "not free for a server that sets SO_REUSEADDR: by whom cannot be told, for the socket table cannot be read"
    )
    var listening = PortFinding(port: 1, isUDP: false, question: .listening(nil))
    #expect(listening.answer == .cannotTell)
    #expect(string(listening.summary) == "cannot tell: the socket table cannot be read")
    listening.census = PortCensus(port: 1)
    #expect(listening.answer == .no)
  }

  @Test func `with SO_REUSEPORT may be free beside a listener`() {
    var manner = BindTest.Manner()
    manner.reusesPort = true
    let free = finding([socket(10)], .free, manner: manner)
    #expect(free.needsBind)
    #expect(free.answer == .yes)
    #expect(string(free.summary) == "free for a server that sets SO_REUSEPORT, beside what listens")
    let refused = finding([socket(10)], .inUse, manner: manner)
    #expect(refused.answer == .no)
    #expect(string(refused.summary) == "not free for a server that sets SO_REUSEPORT: something listens")
  }

  @Test func `is answered by the tables alone while something listens for certain`() {
    #expect(finding([]).needsBind)
    #expect(finding([socket(1)]).needsBind)
    #expect(finding([], isReadable: false).needsBind)
    #expect(!finding([socket(10)]).needsBind)
    #expect(!finding([socket(10, at: any6)]).needsBind)
    var manner = BindTest.Manner()
    manner.address = address("127.0.0.1")
    #expect(!finding([socket(10, at: any6, only6: false)], manner: manner).needsBind)
    #expect(finding([socket(10, at: any6, only6: true)], manner: manner).needsBind)
    // /proc does not tell.
    #expect(finding([socket(10, at: any6)], manner: manner).needsBind)
    #expect(!finding([socket(10, at: any6), socket(10)], manner: manner).needsBind)
  }

  @Test func `tells what listens, where that was asked`() {
    var finding = finding([socket(1)])
    finding.question = .listening(nil)
    #expect(finding.answer == .no)
    #expect(string(finding.summary) == "not listening (connections are left)")
    #expect(finding.advice == nil)
    finding.census?.take(socket(10))
    #expect(finding.answer == .yes)
    #expect(string(finding.summary) == "listening")
    #expect(finding.advice == nil)
  }

  @Test func `warns of a port that an outgoing connection may take`() {
    var finding = finding([], .free)
    finding.isEphemeral = true
    #expect(
      lines(finding).last
        == "  note: 8080 is in net.ipv4.ip_local_port_range and not in ip_local_reserved_ports: an outgoing connection may take it"
    )
  }

  @Test func `of UDP is said in UDP's words`() {
    let finding = finding([socket(10)], holders: SocketHolders([holder(5, "dnsmasq")]), manner: .udp)
    #expect(
      lines(finding) == [
        "8080/udp: not free: something listens", "  UDP 127.0.0.1:8080: dnsmasq (pid 5, descriptor 6)",
        "  to do: stop dnsmasq (pid 5)",
      ])
  }

  @Test func `in JSON always has the same keys`() {
    let keys =
      "port,protocol,address,question,reuseaddr,reuseport,answer,summary,advice,listening,bind,states,not_accepted,time_wait_seconds,sockets,ephemeral"
    var listening = finding([socket(10)])
    listening.question = .listening(address("127.0.0.1"))
    for finding in [
      finding([], .free), finding([socket(10)]),
      finding([], .cannotTell(.permissionDenied), isReadable: false),
      listening, finding(manner: .udp),
    ] {
      let json = string(finding.json) ?? ""
      #expect(json.hasSuffix("}\n"))
      var places: [String.Index] = []
      for key in keys.split(separator: ",") {
        let place = json.range(of: "\"\(key)\":")
        #expect(place != nil, "\(key) in \(json)")
        if let place { places.append(place) }
      }
      #expect(places == places.sorted())
    }
  }

  @Test func `in JSON has all that the lines have`() {
    let holders = SocketHolders([holder(7, "ng\"x", stopped: true, .service)])
    let finding = finding(
      [socket(10), socket(8, to: 5), socket(6, inode: 0, expires: 1001)], holders: holders)
    #expect(
      string(finding.json)
        == #"{"port":8080,"protocol":"tcp","address":null,"question":"released","reuseaddr":true,"reuseport":false,"answer":"no","summary":"not free: something listens","advice":"to do: stop ng\"x (pid 7), which must be continued first (kill -CONT 7)","listening":true,"bind":null,"states":{"LISTEN":1,"TIME_WAIT":1,"CLOSE_WAIT":1},"not_accepted":0,"time_wait_seconds":2,"sockets":[{"state":"LISTEN","address":"127.0.0.1:8080","peer":null,"user":0,"holders":[{"pid":7,"descriptor":6,"name":"ng\"x","stopped":true,"relation":"service"}]},{"state":"CLOSE_WAIT","address":"127.0.0.1:8080","peer":"10.1.2.3:5","user":0,"holders":[{"pid":7,"descriptor":6,"name":"ng\"x","stopped":true,"relation":"service"}]}],"ephemeral":false}"#
        + "\n")
  }
}

extension String {
  /// Where a text begins; without Foundation.
  fileprivate func range(of text: String) -> String.Index? {
    indices.first { self[$0...].hasPrefix(text) }
  }
}
