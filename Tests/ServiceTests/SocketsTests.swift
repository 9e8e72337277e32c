import Foundation
import Testing

/// `ebb sockets`: the table summed up, and what is wrong in it.
struct SocketsTests {
  private func sockets(
    _ words: String = "", in network: PrivateNetwork, behind wrapper: [String] = [],
    environment: [String: String] = [:], ebb: String? = nil
  ) throws -> SocketsAnswer {
    try SocketsAnswer(words, in: network, behind: wrapper, environment: environment, ebb: ebb)
  }

  // MARK: - Counts

  /// How often each word comes in a column of a program's output.
  private func tally(_ text: String, _ key: ([Substring]) -> String?) -> [String: Int] {
    var counts: [String: Int] = [:]
    for line in text.split(separator: "\n") {
      if let key = key(line.split(separator: " ")) { counts[key, default: 0] += 1 }
    }
    return counts
  }

  /// ss(8)'s names, as netstat(8) has them.
  private static let names = [
    "ESTAB": "ESTABLISHED", "SYN-SENT": "SYN_SENT", "SYN-RECV": "SYN_RECV", "FIN-WAIT-1": "FIN_WAIT1",
    "FIN-WAIT-2": "FIN_WAIT2", "TIME-WAIT": "TIME_WAIT", "CLOSE-WAIT": "CLOSE_WAIT", "LAST-ACK": "LAST_ACK",
  ]

  @Test(
    .requires(.root, .namespaces, .tool("python3"), .tool("gcc"), .tool("ss"), .tool("netstat")),
    arguments: [true, false])
  func theCountsAreThoseOfSsAndOfNetstat(overNetlink: Bool) throws {
    let network = try PrivateNetwork()
    let without = try WithoutNetlink()
    let stage = try PortStage(in: network)
    func ss() throws -> [String: Int] {
      tally(try network.run("ss", "-Htan")) { words in
        let port = words[3].split(separator: ":").last ?? ""
        return "\(SocketsTests.names[String(words[0])] ?? String(words[0])) \(port)"
      }
    }
    // What the kernel ends by itself meanwhile would be nobody's fault.
    var before: [String: Int] = [:]
    var told: [String: Any] = [:]
    var netstat: [String: Int] = [:]
    var awk = ""
    repeat {
      before = try ss()
      told = try sockets("--json", in: network, behind: overNetlink ? [] : without.command).object()
      netstat = tally(try network.run("netstat", "-tan")) {
        $0[0].hasPrefix("tcp") ? $0.last.map(String.init) : nil
      }
      awk = try network.run(
        "sh", "-c", "netstat -n | awk '/^tcp/ {++S[$NF]} END {for (s in S) print s, S[s]}'")
    } while try ss() != before
    var byState: [String: Int] = [:]
    var byPort: [String: [String: Int]] = [:]
    for (key, count) in before {
      let words = key.split(separator: " ").map(String.init)
      byState[words[0], default: 0] += count
      byPort[words[1], default: [:]][words[0], default: 0] += count
    }
    #expect(byState.count == 10)
    #expect(SocketsAnswer.counts(told["states"]) == byState)
    #expect(told["total"] as? Int == byState.values.reduce(0, +))
    #expect(netstat == byState)
    // Without -a, netstat leaves out who listens.
    var connections = byState
    connections["LISTEN"] = nil
    let lines = Set(awk.split(separator: "\n").map(String.init))
    #expect(lines == Set(connections.map { "\($0.key) \($0.value)" }))
    let ports = try #require(told["ports"] as? [[String: Any]])
    for port in ports {
      let number = try #require(port["port"] as? Int)
      #expect(SocketsAnswer.counts(port["states"]) == byPort["\(number)"])
      byPort["\(number)"] = nil
    }
    // The ports that something listens on are told one by one, the rest together.
    #expect(!byPort.values.contains { $0["LISTEN"] != nil })
    let rest = byPort.values.reduce(into: [:]) { sum, counts in sum.merge(counts, uniquingKeysWith: +) }
    #expect(SocketsAnswer.counts(told["other_ports"]) == rest)
    #expect(told["source"] as? String == (overNetlink ? "netlink" : "proc"))
    withExtendedLifetime((stage, without)) {}
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func theLinesAreTheStatesThenThePortsThenTheOthers() throws {
    let network = try PrivateNetwork()
    #expect(try sockets(in: network).lines == ["  no socket"])
    let script = try SocketScript(
      "s = server(8080)\nfor _ in range(3): pair(s)", in: network)
    #expect(
      try sockets(in: network).lines == [
        "  LISTEN               1", "  ESTABLISHED          6", "  port 8080: 1 LISTEN, 3 ESTABLISHED",
        "  other ports: 3 ESTABLISHED",
      ])
    withExtendedLifetime(script) {}
  }

  // MARK: - What is wrong

  @Test(.requires(.root, .namespaces, .tool("python3"))) func nothingIsSaidOfAHealthyTable() throws {
    let network = try PrivateNetwork()
    // A service with connections, a peer that has just closed, some TIME_WAIT on both sides, an answer on its way.
    let script = try SocketScript(
      """
      s = server(8080)
      for _ in range(20): pair(s)
      for _ in range(20):
          c, a = pair(s); c.close(); settle(8080, CLOSE_WAIT); a.close()
      for _ in range(20):
          c, a = pair(s); a.close(); settle(8080, FIN_WAIT2); c.close()
      c, a = pair(s)
      c.shutdown(socket.SHUT_WR)
      settle(8080, CLOSE_WAIT)
      """, in: network)
    let told = try sockets(in: network)
    #expect(told.exit == .code(0))
    #expect(told.findings == [])
    #expect(told.output.contains("1 CLOSE_WAIT"))
    #expect(try sockets("--json", in: network).object()["findings"] as? [String] == [])
    withExtendedLifetime(script) {}
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("prlimit"), .tool("gcc")))
  func aCloseWaitThatAgesIsSaidWithTheProcessThatDoesNotClose() throws {
    let network = try PrivateNetwork()
    let without = try WithoutNetlink()
    let script = try SocketScript(
      """
      s = server(8080)
      for _ in range(12):
          c, a = pair(s); c.close(); kept.remove(c)
      settle(8080, CLOSE_WAIT, 12)
      """, in: network, descriptors: 500)
    var told = try sockets(in: network)
    #expect(told.findings == [])
    try wait(until: "they have aged") {
      told = try sockets(in: network)
      return told.output.contains("! 12 ")
    }
    let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(script.pid)/fd").count
    let process = "python3 (pid \(script.pid)) has 12, and \(open) of 500 descriptors open"
    let advice =
      "no setting of the kernel ends them: the application must close the socket when a read gives 0 (a leak, or a handler that hangs)"
    let finding = try #require(told.findings.first)
    #expect(
      finding.hasPrefix("12 connections in CLOSE_WAIT for 5.00s or more, the longest for "), "\(finding)")
    #expect(
      finding.hasSuffix(": the peer has closed, the application has not; \(process)\n\(advice)"), "\(finding)"
    )
    #expect(told.findings.count == 1)
    // /proc does not tell since when.
    #expect(
      try sockets(in: network, behind: without.command).findings == [
        "12 connections in CLOSE_WAIT (since when, only netlink tells): the peer has closed, the application has not; \(process)\n\(advice)"
      ])
    withExtendedLifetime(without) {}
  }

  @Test(.requires(.root, .namespaces, .tool("python3"))) func aCloseWaitThatGrowsIsSaidByTheWatch() throws {
    let network = try PrivateNetwork()
    let one = try SocketScript(
      "s = server(8080)\nc, a = pair(s)\nc.close()\nsettle(8080, CLOSE_WAIT)", in: network)
    let watch = try Running([try Binary.ebb.path(), "sockets", "--watch"], entering: network.entry)
    try watch.waitForLine(containing: "1 CLOSE_WAIT")
    let more = try SocketScript(
      """
      s = server(8081)
      for _ in range(3):
          c, a = pair(s); c.close()
      settle(8081, CLOSE_WAIT, 3)
      """, in: network)
    let line = try watch.waitForLine(containing: ", 3 more than when the watch began: the peer has closed")
    #expect(line.hasPrefix("! 1 connection in CLOSE_WAIT for ") || line.hasPrefix("! 4 connections in "))
    withExtendedLifetime((one, more)) {}
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func connectionsThatNobodyAcceptsAreSaidWithWhoListens() throws {
    let network = try PrivateNetwork()
    let script = try SocketScript(
      "s = server(8080)\nfor _ in range(3): connect(8080)\nsettle(8080, ESTABLISHED, 3)", in: network)
    var told = try sockets(in: network)
    #expect(told.findings == [])
    try wait(until: "all of them have waited") {
      told = try sockets(in: network)
      return told.findings.contains { $0.hasPrefix("3 connections") }
    }
    #expect(told.findings.count == 1)
    let finding = try #require(told.findings.first)
    #expect(
      finding.hasPrefix(
        "3 connections ESTABLISHED that no process has accepted for 1.00s or more, the longest for "),
      "\(finding)")
    #expect(finding.contains("; python3 (pid \(script.pid)) listens, and "), "\(finding)")
    #expect(
      finding.hasSuffix("\nthe application accepts too slowly, or no more: look at what it is doing"),
      "\(finding)")
    #expect(
      told.output.contains("  port 8080: 1 LISTEN, 3 ESTABLISHED; 3 waiting to be accepted, 128 may\n"))
  }

  @Test(.requires(.root, .namespaces, .tool("ip"))) func whatDoesNotDrainIsSaid() throws {
    let network = try PrivateNetwork()
    let other = try PrivateNetwork()
    try network.connect(to: other)
    let tide = try Running(
      [try Binary.tide.path(), "serve"], entering: network.entry)
    try tide.waitForLine(containing: "listening on")
    let client = try Client("10.77.0.1", 8080, from: other, receiveBuffer: 4096)
    // It closes behind the answer, which is larger than the client takes: FIN_WAIT1 with bytes.
    try client.request("/bytes?n=200000", closing: true)
    try wait(until: "the service has closed") {
      try !network.run("ss", "-Htn", "state", "fin-wait-1").isEmpty
    }
    #expect(try sockets(in: network).findings == [])
    try network.unplug()
    try network.run("sysctl", "-qw", "net.ipv4.tcp_orphan_retries=7")
    var told = try sockets(in: network)
    try wait(until: "the peer has gone silent") {
      told = try sockets(in: network)
      return !told.findings.isEmpty
    }
    let finding = try #require(told.findings.first)
    #expect(told.findings.count == 1)
    #expect(
      finding.hasPrefix("1 closed connection whose peer does not acknowledge, with 1")
        && finding.contains(" KiB\n"), "\(finding)")
    #expect(
      finding.hasSuffix(
        "\nthe kernel gives up by itself (net.ipv4.tcp_orphan_retries is 7); ebb sockets --destroy --state fin-wait-1,closing,last-ack does at once"
      ), "\(finding)")
    // And it does.
    #expect(
      try sockets("--destroy --state fin-wait-1,closing,last-ack", in: network).output
        == "ended 1 connection\n")
    #expect(try sockets(in: network).findings == [])
    withExtendedLifetime(client) {}
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("gcc")))
  func aListenQueueThatOverflowsIsSaid() throws {
    let network = try PrivateNetwork()
    let without = try WithoutNetlink()
    try network.run("sysctl", "-qw", "net.core.somaxconn=77")
    let script = try SocketScript(
      "s = server(8080, backlog=2)\nfor _ in range(3): connect(8080)\nsettle(8080, ESTABLISHED, 3)",
      in: network)
    let queue =
      "port 8080: 3 connections waiting to be accepted, where 2 may; python3 (pid \(script.pid)) listens\nnew ones are dropped: the application accepts too slowly, or asks for too small a backlog in listen(2) (net.core.somaxconn is 77)"
    #expect(try sockets(in: network).findings.contains(queue))
    #expect(try !sockets(in: network).output.contains("turned away"))
    let client = try SocketScript(
      """
      c = socket.socket(); kept.append(c); c.setblocking(False); c.connect_ex(("127.0.0.1", 8080))
      end = time.monotonic() + 20
      while time.monotonic() < end:
          names, values = [l.split() for l in open("/proc/net/netstat") if l.startswith("TcpExt:")]
          count = int(values[names.index("ListenOverflows")])
          if count: break
      """, in: network)
    let overflows = try sockets(in: network).findings.last ?? ""
    #expect(
      overflows.hasSuffix(
        "since this network namespace was made, a client was turned away by a full accept queue\na larger backlog in listen(2), up to net.core.somaxconn (77), or more workers"
      ), "\(overflows)")
    // It is the namespace's, and not a filter's.
    #expect(try sockets("--ports 9999", in: network).findings == [])
    #expect(try !sockets("--ports 8080", in: network).output.contains("turned away"))
    #expect(try sockets("--ports 8080", in: network).findings.contains(queue))
    // Of /proc nobody learns how many may wait.
    let blind = try sockets(in: network, behind: without.command)
    #expect(!blind.output.contains("where"))
    #expect(blind.output.contains("; 3 waiting to be accepted\n"))
    withExtendedLifetime((client, without)) {}
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func ephemeralPortsNearlyUsedUpTowardsOneDestinationAreSaid() throws {
    let network = try PrivateNetwork()
    try network.run(
      "sysctl", "-qw", "net.ipv4.ip_local_port_range=30000 30023", "net.ipv4.tcp_tw_reuse=0")
    // Four of them are nobody's.
    try network.run("sysctl", "-qw", "net.ipv4.ip_local_reserved_ports=30000-30003,40000")
    let script = try SocketScript(
      "s, t = server(8080), server(8081)\nfor _ in range(15): pair(s)\nfor _ in range(15): pair(t)",
      in: network)
    // Three quarters towards each of two is not nearly all of them towards one.
    #expect(try sockets(in: network).findings == [])
    let more = try SocketScript(
      "for _ in range(2): connect(8080)\nc = connect(8081)", in: network)
    // Those that wait to be accepted are another matter.
    func used() throws -> [String] {
      try sockets(in: network).findings.filter { $0.contains("ephemeral") }.sorted()
    }
    let advice =
      "keep connections open and use them again; net.ipv4.ip_local_port_range is 30000-30023, net.ipv4.tcp_tw_reuse 0"
    #expect(
      try used() == [
        "16 of 20 ephemeral ports are used towards 127.0.0.1:8081, 0 in TIME_WAIT\n\(advice)",
        "17 of 20 ephemeral ports are used towards 127.0.0.1:8080, 0 in TIME_WAIT\n\(advice)",
      ])
    withExtendedLifetime(more) {}
    withExtendedLifetime(script) {}
  }

  @Test(.requires(.root, .namespaces, .tool("python3")), arguments: ["server", "client"])
  func timeWaitPiledUpIsSaidByTheSideThatClosesFirst(side: String) throws {
    let network = try PrivateNetwork()
    try network.run(
      "sysctl", "-qw", "net.ipv4.tcp_fin_timeout=44", "net.ipv4.tcp_max_tw_buckets=5555",
      "net.ipv4.ip_local_port_range=10000 60000")
    let script = try SocketScript(
      """
      s = server(8080)
      for _ in range(1000):
          c, a = pair(s)
          first, second = (a, c) if "\(side)" == "server" else (c, a)
          first.close(); second.recv(1); second.close()
          del kept[1:]
      """, in: network)
    var told = try sockets(in: network)
    try wait(until: "all are in TIME_WAIT") {
      told = try sockets(in: network)
      return told.lines.contains("  TIME_WAIT         1000")
    }
    let reason =
      side == "server"
      ? "this side serves and closes first: let clients keep connections open (keep-alive); a server that sets SO_REUSEADDR is not hindered"
      : "this side opens and closes them: keep connections to a peer open and use them again"
    #expect(
      told.findings == [
        "1000 connections in TIME_WAIT, kept by the side that closes first\n\(reason); each lasts 60 s whatever net.ipv4.tcp_fin_timeout (44) says; at most net.ipv4.tcp_max_tw_buckets (5555)"
      ])
    withExtendedLifetime(script) {}
  }

  // MARK: - Filters, JSON, the watch

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("setpriv")))
  func eachFilterNarrowsIt() throws {
    let network = try PrivateNetwork()
    let one = try SocketScript(
      """
      s = server(8080)
      for _ in range(3): pair(s)
      c, a = pair(s); c.close(); settle(8080, CLOSE_WAIT); kept.remove(c)
      connect(8080); settle(8080, ESTABLISHED, 4)
      """, in: network)
    let two = try SocketScript("t = server(8081)\npair(t)", in: network)
    func counts(_ words: String) throws -> [String: Int] {
      SocketsAnswer.counts(try sockets("--json \(words)", in: network).object()["states"])
    }
    let all = ["LISTEN": 2, "ESTABLISHED": 10, "CLOSE_WAIT": 1, "FIN_WAIT2": 1]
    #expect(try counts("") == all)
    #expect(try counts("--state all") == all)
    #expect(try counts("--ports 8081") == ["LISTEN": 1, "ESTABLISHED": 1])
    #expect(try counts("--ports 8080,8081") == ["LISTEN": 2, "ESTABLISHED": 5, "CLOSE_WAIT": 1])
    #expect(try counts("--state close-wait,FIN_WAIT2") == ["CLOSE_WAIT": 1, "FIN_WAIT2": 1])
    #expect(try counts("--state listen --ports 8080") == ["LISTEN": 1])
    #expect(try counts("--pid \(two.pid)") == ["LISTEN": 1, "ESTABLISHED": 2])
    #expect(try counts("--pid \(one.pid) --state established") == ["ESTABLISHED": 7])
    // The one that waits to be accepted, and the one that has been closed.
    #expect(try counts("--orphans") == ["ESTABLISHED": 1, "FIN_WAIT2": 1])
    #expect(try counts("--orphans --state established --ports 8080") == ["ESTABLISHED": 1])
    #expect(try counts("--orphans --ports 8081") == [:])
    #expect(try counts("--pid \(getpid())") == [:])

    let gone = try sockets("--pid 999999999", in: network)
    #expect(gone.exit == .code(3) && gone.output == "")
    #expect(gone.errors.hasPrefix("ebb: --pid: the process cannot be looked into"))
    let folder = try TemporaryFolder()
    let nobody = try sockets(
      "--pid \(one.pid)", in: network,
      behind: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], ebb: folder.copyOfEbb())
    #expect(nobody.exit == .code(3) && nobody.output == "")
    #expect(nobody.errors.contains("CAP_SYS_PTRACE"))
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("prlimit")))
  func aProcessMayHoldVeryManySockets() throws {
    let network = try PrivateNetwork()
    let script = try SocketScript(
      "s = server(8080)\nfor _ in range(5000): pair(s)", in: network, descriptors: 20_000)
    let told = try sockets("--json --pid \(script.pid)", in: network).object()
    #expect(SocketsAnswer.counts(told["states"]) == ["LISTEN": 1, "ESTABLISHED": 10_000])
    #expect(try sockets("--json --pid \(getpid())", in: network).object()["total"] as? Int == 0)
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("gcc")))
  func theJSONIsValidAndItsKeysAreAlwaysTheSame() throws {
    let network = try PrivateNetwork()
    let without = try WithoutNetlink()
    let states = [
      "CLOSE", "CLOSE_WAIT", "CLOSING", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "LAST_ACK", "LISTEN",
      "SYN_RECV", "SYN_SENT", "TIME_WAIT",
    ]
    func check(_ words: String = "--json", behind wrapper: [String] = []) throws -> [String: Any] {
      let told = try sockets(words, in: network, behind: wrapper)
      #expect(told.lines.count == 1)
      let object = try told.object()
      #expect(object.keys.sorted() == ["findings", "other_ports", "ports", "source", "states", "total"])
      for counts in [object["states"], object["other_ports"]] {
        #expect((counts as? [String: Int])?.keys.sorted() == states)
      }
      for port in try #require(object["ports"] as? [[String: Any]]) {
        #expect(port.keys.sorted() == ["backlog", "port", "states", "waiting"])
        #expect((port["states"] as? [String: Int])?.keys.sorted() == states)
        #expect(port["backlog"] is NSNull == !wrapper.isEmpty)
      }
      for finding in try #require(object["findings"] as? [[String: Any]]) {
        #expect(finding.keys.sorted() == ["advice", "kind", "text"])
      }
      return object
    }
    _ = try check()
    let stage = try PortStage(in: network)
    let full = try SocketScript(
      "s = server(9000, backlog=1)\nfor _ in range(2): connect(9000)\nsettle(9000, ESTABLISHED, 2)",
      in: network)
    for words in ["--json", "--json --state time-wait", "--json --ports 9000"] { _ = try check(words) }
    let findings = try #require(try check()["findings"] as? [[String: Any]])
    #expect(findings.contains { $0["kind"] as? String == "listen_queue" })
    _ = try check(behind: without.command)
    withExtendedLifetime((stage, full, without)) {}
  }

  @Test(.requires(.root, .namespaces)) func atATerminalTheWatchDrawsInPlaceUntilItIsInterrupted() throws {
    let network = try PrivateNetwork()
    let run = try Running(
      [try Binary.ebb.path(), "sockets", "--watch"], entering: network.entry, terminal: true)
    try run.waitForText("\u{1b}[H  no socket\u{1b}[K\r\n\u{1b}[J")
    let one = try Stranger(.listening, at: "127.0.0.1", 8080, in: network)
    try run.waitForText(
      "\u{1b}[H  LISTEN               1\u{1b}[K\r\n  port 8080: 1 LISTEN\u{1b}[K\r\n\u{1b}[J")
    #expect(!run.hasEnded)
    run.type("\u{3}")
    #expect(try run.finish() == .signal(SIGINT))
    withExtendedLifetime(one) {}
  }

  @Test(.requires(.root, .namespaces)) func aWatchWithoutATerminalIsALookASecondUntilNobodyReads() throws {
    let network = try PrivateNetwork()
    let run = try Running(
      ["sh", "-c", "\"$0\" sockets --watch --json | head -n 2", try Binary.ebb.path()],
      entering: network.entry)
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines.count == 2)
    for line in run.output.lines {
      #expect(try JSONSerialization.jsonObject(with: Data(line.utf8)) is [String: Any])
    }
  }

  @Test(.requires(.root, .namespaces, .tool("python3"))) func theWatchOfAProcessSeesItsNewSockets() throws {
    let network = try PrivateNetwork()
    let script = try SocketScript(
      "signal.signal(signal.SIGUSR1, lambda *_: server(8081))\nserver(8080)",
      in: network)
    let run = try Running(
      [try Binary.ebb.path(), "sockets", "--watch", "--pid", "\(script.pid)"], entering: network.entry)
    try run.waitForLine(containing: "port 8080: 1 LISTEN")
    try script.run.signal(SIGUSR1)
    try wait(until: "the new one shows") {
      run.output.text.contains("port 8081: 1 LISTEN") || run.hasEnded
    }
    #expect(run.output.text.contains("port 8081: 1 LISTEN"))
  }

  @Test(.requires(.root, .namespaces, .tool("python3"))) func noVariableNarrowsOrEnds() throws {
    let network = try PrivateNetwork()
    let script = try SocketScript("s = server(8080)\npair(s)", in: network)
    let told = try sockets(
      in: network,
      environment: [
        "EBB_PORTS": "9999", "EBB_STATE": "listen", "EBB_DESTROY": "1", "EBB_JSON": "1", "EBB_PID": "1",
      ])
    #expect(try told.lines == sockets(in: network).lines)
    #expect(told.output.contains("port 8080: 1 LISTEN, 1 ESTABLISHED"))
    withExtendedLifetime(script) {}
  }

  @Test func wordsThatMakeNoSense() throws {
    for (words, named) in [
      ("--state nonsense", "--state nonsense"), ("--state", "--state"), ("--state established,", "--state"),
      ("--ports http", "--ports http"), ("--ports 53/udp", "--ports 53/udp"), ("--ports 0", "--ports 0"),
      ("--pid 0", "--pid 0"), ("--pid x", "--pid x"), ("--pid 4294967297", "--pid"), ("8080", "8080"),
      ("--dry-run", "--dry-run goes with --destroy"), ("--destroy", "--destroy needs a filter"),
      ("--destroy --dry-run", "--destroy needs a filter"),
      ("--destroy --ports 80 --json", "--destroy goes with neither --watch nor --json"),
      ("--nonsense", "--nonsense"),
    ] {
      let run = try Running.ebb(["sockets"] + words.split(separator: " ").map(String.init))
      #expect(try run.finish() == .code(64), "\(words)")
      #expect(run.output.text == "")
      #expect(run.errors.lines.count == 1)
      #expect(run.errors.text.hasPrefix("ebb: ") && run.errors.text.contains(named), "\(run.errors.text)")
    }
  }
}
