import Foundation
import Testing

/// What people do about a port that is taken, and what it really shows: a test for each row of the table in
/// README.md's "Is my port free?", which runs the recipe itself, and ebb beside it.
struct PortRecipeTests {
  private static let asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

  /// Runs a recipe to its end; what it finds may be nothing.
  private func recipe(
    _ words: String, in network: PrivateNetwork, behind wrapper: [String] = [], namespaces: [Namespace] = []
  ) throws -> (exit: Exit, output: String, errors: String) {
    let run = try Running(
      wrapper + ["sh", "-c", words], entering: network.entry, namespaces: namespaces)
    return (try run.finish(), run.output.text, run.errors.text)
  }

  /// Runs `ebb port`.
  private func port(
    _ words: String, in network: PrivateNetwork, behind wrapper: [String] = [], ebb: String? = nil
  ) throws -> (exit: Exit, output: String) {
    let run = try Running(
      wrapper + [try ebb ?? Binary.ebb.path(), "port"] + words.split(separator: " ").map(String.init),
      entering: network.entry)
    return (try run.finish(), run.output.text)
  }

  private func tide(_ words: String..., in network: PrivateNetwork) throws -> Running {
    try Running(
      [try Binary.tide.path(), "serve", "--listen", "127.0.0.1:8080"] + words, entering: network.entry)
  }

  /// The seconds that netstat(8) says are left of the sockets of a local port in a state.
  private func secondsLeft(_ state: String, of port: UInt16, in network: PrivateNetwork) throws -> [Double] {
    try recipe("netstat -tano", in: network).output.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      guard words.count > 7, words[3].hasSuffix(":\(port)"), words[5] == state, words[6] == "timewait" else {
        return nil
      }
      return Double(words[7].dropFirst().split(separator: "/")[0])
    }
  }

  @Test(.requires(.root, .namespaces, .tool("lsof"), .tool("python3"), .tool("setpriv")))
  func lsofShowsWhatAVisibleProcessHoldsAndNoTimeWait() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage("listening", "time_wait", in: network)
    let folder = try TemporaryFolder()
    let ebb = try folder.copyOfEbb()
    let listening = try stage.scene("listening")
    let found = try recipe("lsof -nP -i:\(listening.port)", in: network).output
    #expect(found.contains(" \(listening.pid) ") && found.contains("(LISTEN)"))
    #expect(
      try recipe("lsof -nP -i:\(listening.port)", in: network, behind: PortRecipeTests.asNobody).output == "")
    let told = try port(listening.word, in: network, behind: PortRecipeTests.asNobody, ebb: ebb)
    #expect(told.exit == .code(1))
    #expect(told.output.contains("  LISTEN 127.0.0.1:\(listening.port): owner not visible"))

    let left = try stage.scene("time_wait", reuses: false)
    #expect(try recipe("lsof -nP -i:\(left.port)", in: network).output == "")
    #expect(try port(left.word, in: network).exit == .code(1))
    #expect(try port(left.word, in: network).output.contains("  1 TIME_WAIT (the last ends in "))
  }

  @Test(.requires(.root, .namespaces, .tool("netstat"), .tool("python3"), .tool("setpriv")))
  func netstatShowsTheOwnerBehindPAsRoot() throws {
    let network = try PrivateNetwork()
    let scene = try PortStage("listening", in: network)
    let (number, pid) = (scene.scenes[0].port, scene.scenes[0].pid)
    #expect(try recipe("netstat -ano | grep \(number)", in: network).output.contains("LISTEN"))
    #expect(try !recipe("netstat -ano | grep \(number)", in: network).output.contains("python3"))
    #expect(try recipe("netstat -anop | grep \(number)", in: network).output.contains(" \(pid)/python3"))
    #expect(
      try !recipe("netstat -anop | grep \(number)", in: network, behind: PortRecipeTests.asNobody).output
        .contains("python3"))
    #expect(
      try port("\(number)", in: network).output.contains(": python3 (pid \(pid), descriptor "))
  }

  @Test(.requires(.root, .namespaces, .tool("netstat"), .tool("ss"), .tool("python3")))
  func netstatAndSsShowEveryStateAndNoSocketThatIsOnlyBound() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage(
      "listening", "established", "close_wait", "fin_wait2", "time_wait", "bound", in: network)
    for scene in stage.scenes {
      let netstat = try recipe("netstat -anl | grep :\(scene.port)", in: network).output
      let ss = try recipe("ss -Htan sport = :\(scene.port)", in: network).output
      #expect(netstat.isEmpty == (scene.name == "bound"), "\(scene.name)")
      #expect(ss.isEmpty == (scene.name == "bound"), "\(scene.name)")
    }
    let bound = try stage.scene("bound", reuses: false)
    let told = try port(bound.word, in: network)
    #expect(told.exit == .code(1))
    #expect(
      told.output.contains("  bound, not listening, 127.0.0.1:\(bound.port): python3 (pid \(bound.pid), "))
  }

  @Test(.requires(.root, .namespaces, .tool("netstat"), .tool("python3")))
  func netstatAndAwkCountAllButWhatListens() throws {
    let network = try PrivateNetwork()
    let script = try SocketScript(
      "s = server(8080)\nfor _ in range(3): pair(s)\nc, a = pair(s)\na.close()\nsettle(8080, FIN_WAIT2)",
      in: network)
    let counted = try recipe(
      "netstat -n | awk '/^tcp/ {++S[$NF]} END {for (s in S) print s, S[s]}' | sort", in: network)
    #expect(counted.output == "CLOSE_WAIT 1\nESTABLISHED 6\nFIN_WAIT2 1\n")
    let told = try SocketsAnswer("", in: network)
    #expect(
      told.lines.prefix(4) == [
        "  LISTEN               1", "  ESTABLISHED          6", "  FIN_WAIT2            1",
        "  CLOSE_WAIT           1",
      ])
    #expect(told.lines.contains("  port 8080: 1 LISTEN, 3 ESTABLISHED, 1 FIN_WAIT2"))
    withExtendedLifetime(script) {}
  }

  @Test(.requires(.root, .namespaces, .tool("ss"), .tool("python3"), .tool("setpriv")))
  func ssShowsNoProcessWhereItFoundNoneAndEbbWhereThereIsNone() throws {
    let network = try PrivateNetwork()
    let folder = try TemporaryFolder()
    let ebb = try folder.copyOfEbb()
    // Three in a process, one that is on its way from a process to another, one that nobody has accepted.
    let script = try SocketScript(
      """
      s = server(8080)
      c, a = pair(s)
      b = connect(8080); p = s.accept()[0]
      one, other = socket.socketpair(); kept += [one, other]
      socket.send_fds(one, [b"x"], [p.fileno()]); p.close()
      connect(8080); settle(8080, ESTABLISHED, 3)
      """, in: network)
    let words = "ss -Htunp state established | grep -v pid= | grep -c ."
    #expect(try recipe(words, in: network).output == "2\n")
    #expect(try recipe(words, in: network, behind: PortRecipeTests.asNobody).output == "6\n")
    #expect(try recipe(words, in: network, namespaces: [.pid]).output == "6\n")
    for wrapper in [[], PortRecipeTests.asNobody, Namespace.command([.pid])] {
      let told = try SocketsAnswer("--orphans --json", in: network, behind: wrapper, ebb: ebb)
      #expect(SocketsAnswer.counts(try told.object()["states"]) == ["ESTABLISHED": 1])
    }
    withExtendedLifetime(script) {}
  }

  @Test(.requires(.root, .namespaces, .tool("ss"), .tool("python3")))
  func noListenerIsNotYetAFreePort() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage("listening", "time_wait", "bound", in: network)
    func listeners(_ scene: PortStage.Scene) throws -> String {
      try recipe("ss -Htuln sport = :\(scene.port)", in: network).output
    }
    let listening = try stage.scene("listening")
    #expect(try !listeners(listening).isEmpty)
    #expect(try port("--listening \(listening.word)", in: network).exit == .code(0))
    for name in ["time_wait", "bound"] {
      let scene = try stage.scene(name, reuses: false)
      #expect(try listeners(scene).isEmpty)
      #expect(try port("--listening \(scene.word)", in: network).exit == .code(1))
      #expect(try port(scene.word, in: network).exit == .code(1))
    }
  }

  @Test(.requires(.root, .namespaces, .tool("ss"), .tool("python3"), .tool("setpriv")))
  func ssKEndsTheConnectionsOfAPeersPortAndIsContentEitherWay() throws {
    let network = try PrivateNetwork()
    let folder = try TemporaryFolder()
    let ebb = try folder.copyOfEbb()
    let (server, client) = (try PrivateNetwork(), network)
    try client.connect(to: server)
    let script = try SocketScript("s = server(8080, address='::')", in: server)
    let connections = try (0..<3).map { _ in try Client("10.77.0.2", 8080, from: client) }
    func count() throws -> Int { try client.run("ss", "-Htn", "dport = :8080").split(separator: "\n").count }
    #expect(try count() == 3)
    // On the server, where it is the local port, it means nothing.
    #expect(try recipe("ss -HK dport = :8080", in: server).output == "")
    #expect(try count() == 3)
    // Without the capability its exit code is that of success.
    let refused = try recipe("ss -HK dport = :8080", in: client, behind: PortRecipeTests.asNobody)
    #expect(refused.exit == .code(0))
    #expect(refused.errors.contains("Operation not permitted"))
    #expect(try count() == 3)
    let told = try SocketsAnswer(
      "--destroy --state established", in: client, behind: PortRecipeTests.asNobody, ebb: ebb)
    #expect(told.exit == .code(3))
    #expect(told.errors == "ebb: --destroy: CAP_NET_ADMIN is missing; ended 0 of 3\n")
    #expect(try recipe("ss -HK dport = :8080", in: client).exit == .code(0))
    #expect(try count() == 0)
    // ebb's ports are local ones: for the server.
    let more = try Client("10.77.0.2", 8080, from: client)
    try wait(until: "it is there") {
      try SocketsAnswer("--destroy --dry-run --ports 8080", in: server).lines.first
        == "would end 1 connection"
    }
    #expect(try SocketsAnswer("--destroy --ports 8080", in: server).output == "ended 1 connection\n")
    #expect(more.read().end == .reset)
    withExtendedLifetime((script, connections)) {}
  }

  @Test(.requires(.root, .namespaces, .tool("netstat")))
  func afterKill9TimeWaitHindersOnlyWhereTheServerHadNotSetReuseaddr() throws {
    for options in [[], ["--no-reuseaddr"]] {
      let network = try PrivateNetwork()
      let old = try Running(
        [try Binary.tide.path(), "serve", "--listen", "127.0.0.1:8080"] + options, entering: network.entry)
      try old.waitForLine(containing: "listening on")
      let client = try Client(from: network, 8080)
      try client.request("/")
      #expect(client.answer().end == .more)
      try old.signal(SIGKILL)
      #expect(try old.finish() == .signal(SIGKILL))
      #expect(client.read().end == .closed)
      client.close()
      try wait(until: "it is in TIME_WAIT") {
        try !secondsLeft("TIME_WAIT", of: 8080, in: network).isEmpty
      }
      let left = try secondsLeft("TIME_WAIT", of: 8080, in: network)
      #expect(left.count == 1 && left.allSatisfy { $0 > 30 && $0 <= 60 }, "\(left)")
      #expect(try port("--address 127.0.0.1 8080", in: network).exit == .code(options.isEmpty ? 0 : 1))
      if options.isEmpty {
        let new = try tide(in: network)
        try new.waitForLine(containing: "listening on")
      } else {
        let new = try tide(in: network)
        #expect(try new.finish() != .code(0))
        // How long `ebb port --wait` then waits, PortTests shows.
        #expect(try port("--wait 100ms 8080", in: network).exit == .code(1))
      }
    }
  }

  @Test(.requires(.root, .namespaces, .tool("netstat"), .tool("python3")))
  func tcpFinTimeoutEndsFinWait2AndNoTimeWait() throws {
    let network = try PrivateNetwork()
    try network.run("sysctl", "-qw", "net.ipv4.tcp_fin_timeout=7")
    let stage = try PortStage("fin_wait2", "time_wait", in: network)
    let half = try secondsLeft("FIN_WAIT2", of: try stage.scene("fin_wait2").port, in: network)
    #expect(half.count == 1 && half.allSatisfy { $0 <= 7 }, "\(half)")
    let scene = try stage.scene("time_wait", reuses: false)
    let whole = try secondsLeft("TIME_WAIT", of: scene.port, in: network)
    #expect(whole.count == 1 && whole.allSatisfy { $0 > 30 && $0 <= 60 }, "\(whole)")
    #expect(try port(scene.word, in: network).exit == .code(1))
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func tcpTwReuseIsForOutgoingConnectionsAndNothingForABind() throws {
    let network = try PrivateNetwork()
    // One port for outgoing connections, and it is in TIME_WAIT.
    let script = try SocketScript(
      """
      sysctl("ip_local_port_range", "30000 30000")
      s = server(8080)
      def use():
          c = socket.create_connection(("127.0.0.1", 8080)); a = s.accept()[0]
          c.close(); a.recv(1); a.close(); settle(30000, TIME_WAIT)
      def binds():
          try: b = socket.socket(); b.bind(("127.0.0.1", 30000)); b.close(); return "accepted"
          except OSError as error: return errno.errorcode[error.errno]
      sysctl("tcp_tw_reuse", 0)
      use()
      end = time.monotonic() + 3
      while time.monotonic() < end:
          try: use(); say("connected"); break
          except OSError as error: last = errno.errorcode[error.errno]
          time.sleep(0.05)
      say(last + " " + binds())
      sysctl("tcp_tw_reuse", 1)
      say(binds())
      while True:
          # It may once the clock of its time stamps has gone on, which it does once a second.
          try: use(); say("connected"); break
          except OSError as error: time.sleep(0.05)
      say(binds())
      """, in: network)
    #expect(script.said == ["EADDRNOTAVAIL EADDRINUSE", "EADDRINUSE", "connected", "EADDRINUSE"])
    #expect(try port("--strict 30000", in: network).exit == .code(1))
  }

  @Test(.requires(.root, .namespaces, .tool("python3")), arguments: [0, 1])
  func tcpAbortOnOverflowResetsWhoWasHalfWayInAndNobodyElse(value: Int) throws {
    let network = try PrivateNetwork()
    // A server that is shown a connection when it has data, so that the half-way can be kept.
    let script = try SocketScript(
      """
      sysctl("tcp_abort_on_overflow", \(value))
      s = server(8080, backlog=4, defer=True)
      half = connect(8080)
      for count in range(1, 6):
          connect(8080).send(b"x"); settle(8080, ESTABLISHED, count)
      half.send(b"x")
      new = socket.socket(); kept.append(new)
      for name, one, call in [("half", half, lambda: half.recv(1)), ("new", new, lambda: new.connect(("127.0.0.1", 8080)))]:
          one.settimeout(2)
          try: call(); say(name + " ok")
          except OSError as error: say(name + " " + type(error).__name__)
      """, in: network)
    #expect(
      script.said == [value == 1 ? "half ConnectionResetError" : "half TimeoutError", "new TimeoutError"])
    #expect(
      try SocketsAnswer("--ports 8080", in: network).findings.contains {
        $0.hasPrefix("port 8080: 5 connections waiting to be accepted, where 4 may")
      })
    // For whoever wants to bind, it is the same.
    #expect(try port("8080", in: network).exit == .code(1))
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("ss")), arguments: [true, false])
  func aLingerOf0LeavesNoTimeWaitAndCostsTheClientItsAnswer(lingers: Bool) throws {
    let network = try PrivateNetwork()
    try network.widen()
    let script = try SocketScript(
      """
      s = server(8080, reuse=False)
      c = socket.socket(); c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
      c.connect(("127.0.0.1", 8080)); a = s.accept()[0]
      a.sendall(bytes(1000000))
      if \(lingers ? "True" : "False"): a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
      a.close(); s.close()
      got = 0
      try:
          while True:
              piece = c.recv(65536)
              if not piece: break
              got += len(piece)
      except ConnectionResetError: say("reset")
      say("whole" if got == 1000000 else "cut")
      c.close()
      if not \(lingers ? "True" : "False"): settle(8080, TIME_WAIT)
      """, in: network)
    #expect(script.said == (lingers ? ["reset", "cut"] : ["whole"]))
    #expect(try network.run("ss", "-Htan", "sport = :8080").isEmpty == lingers)
    #expect(try port("--strict 8080", in: network).exit == .code(lingers ? 0 : 1))
  }

  /// Takes the ten seconds that `docker stop` gives.
  @Test(.requires(.docker)) func dockerStopIsQuickWhereThePID1Forwards() throws {
    let image = try Image(
      """
      FROM debian:bookworm-slim
      COPY ebb tide /
      """, programs: [.ebb, .tide])
    func stop(_ command: String...) throws -> (code: String, seconds: Double) {
      let container = try Container(image, command: command)
      try wait(until: "it listens") {
        try container.exec("/ebb", "port", "--listening", "--quiet", "8080").exit == .code(0)
      }
      let began = Date()
      try Docker.run("stop", container.name)
      return (try container.inspect("{{.State.ExitCode}}"), Date().timeIntervalSince(began))
    }
    let shell = try stop("sh", "-c", "/tide serve; echo")
    #expect(shell.code == "137")
    #expect(shell.seconds >= 10)
    // What ends by its own hand has not been killed.
    #expect(try stop("/ebb", "--", "sh", "-c", "/tide serve & wait").code == "143")
    #expect(try stop("/ebb", "--", "/tide", "serve").code == "0")
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func insideTheEphemeralRangeAnOutgoingConnectionMayHaveThePortFirst() throws {
    let network = try PrivateNetwork()
    let script = try SocketScript(
      """
      s = server(9000)
      sysctl("ip_local_port_range", "8080 8080")
      c, a = pair(s)
      say(str(c.getsockname()[1]))
      try: server(8080)
      except OSError as error: say(errno.errorcode[error.errno])
      """, in: network)
    #expect(script.said == ["8080", "EADDRINUSE"])
    let told = try port("8080", in: network)
    #expect(told.exit == .code(1))
    #expect(told.output.contains("  note: 8080 is in "))
    #expect(
      told.output.contains("  ESTABLISHED 127.0.0.1:8080 to 127.0.0.1:9000: python3 (pid \(script.pid), "))
    try network.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=30000 40000")
    #expect(try !port("8080", in: network).output.contains("note:"))
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("ss")), arguments: ["server", "client"])
  func theSideThatClosesFirstKeepsTheTimeWait(first: String) throws {
    let network = try PrivateNetwork()
    let script = try SocketScript(
      """
      s = server(8080, reuse=False)
      c, a = pair(s)
      local = c.getsockname()[1]
      one, other = (a, c) if "\(first)" == "server" else (c, a)
      one.close(); other.recv(1); other.close(); s.close()
      settle(8080 if "\(first)" == "server" else local, TIME_WAIT)
      """, in: network)
    #expect(
      try network.run("ss", "-Htan", "sport = :8080").contains("TIME-WAIT") == (first == "server"))
    #expect(try port("8080", in: network).exit == .code(first == "server" ? 1 : 0))
    withExtendedLifetime(script) {}
  }
}
