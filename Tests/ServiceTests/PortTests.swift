import Foundation
import Testing

/// `ebb port`: whether a port is free, and who or what holds it.
struct PortTests {
  private static let asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

  /// Runs `ebb port` in a network to its end.
  @discardableResult
  private func port(
    _ words: String, in network: PrivateNetwork, behind wrapper: [String] = [],
    namespaces: [Namespace] = [], ebb: String? = nil
  ) throws -> (code: Exit, lines: [String], errors: String) {
    let run = try Running(
      wrapper + [try ebb ?? Binary.ebb.path(), "port"] + words.split(separator: " ").map(String.init),
      entering: network.entry, namespaces: namespaces)
    return (try run.finish(), run.output.lines, run.errors.text)
  }

  // MARK: - The verdict

  /// The exit codes of `ebb port` in some scenes: in every manner with --quiet, and in some without.
  private func codes(
    _ scenes: ArraySlice<PortStage.Scene>, in network: PrivateNetwork, behind wrapper: [String]
  ) throws -> [String: String] {
    var script = ""
    for scene in scenes {
      for manner in PortStage.manners + ["--listening"] {
        script += """
          "$@" port \(scene.word) \(manner) --quiet; echo "\(scene.word)|\(manner)|$?"

          """
      }
      for manner in ["", "--strict", "--address 127.0.0.1"] {
        script += """
          "$@" port \(scene.word) \(manner) >/dev/null; echo "\(scene.word)|loud \(manner)|$?"

          """
      }
    }
    let run = try Running(
      ["sh", "-c", script, "sh"] + wrapper + [try Binary.ebb.path()], entering: network.entry)
    #expect(try run.finish() == .code(0))
    #expect(run.errors.text == "")
    var codes: [String: String] = [:]
    for line in run.output.lines {
      let parts = line.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
      codes["\(parts[0])|\(parts[1])"] = parts[2]
    }
    return codes
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("gcc")), arguments: [true, false])
  func theVerdictIsThatOfBind(overNetlink: Bool) throws {
    let network = try PrivateNetwork()
    let without = try WithoutNetlink()
    // The same twice, so that who asks first does not change what the other is told.
    let other = try PrivateNetwork()
    let expected = try PortStage(in: other).oracle()
    let stage = try PortStage(in: network)
    #expect(stage.scenes.count == 66)
    // TIME_WAIT, which does not last, is among the last.
    var rest = Array(stage.scenes.reversed())[...]
    while !rest.isEmpty {
      let scenes = rest.prefix(11)
      rest = rest.dropFirst(11)
      let codes = try codes(scenes, in: network, behind: overNetlink ? [] : without.command)
      for scene in scenes {
        let what = "\(scene.name), reuses: \(scene.reuses), \(scene.word)"
        for manner in PortStage.manners {
          let key = "\(scene.word)|\(manner)"
          let code = expected[key].map { $0 ? "0" : "1" }
          #expect(codes[key] == code, "\(what) \(manner)")
          if let loud = codes["\(scene.word)|loud \(manner)"] { #expect(loud == code, "\(what) \(manner)") }
        }
        #expect(codes["\(scene.word)|--listening"] == (scene.listens ? "0" : "1"), "\(what)")
      }
    }
    withExtendedLifetime(without) {}
  }

  @Test(
    .requires(.root, .namespaces),
    arguments: [[], ["--no-reuseaddr"]], ["while it runs", "after it closed first", "after its client did"])
  func theVerdictIsWhetherARestartedServerStarts(options: [String], when: String) throws {
    let network = try PrivateNetwork()
    let tide = [try Binary.tide.path(), "serve", "--listen", "127.0.0.1:8080"] + options
    let old = try Running(tide, entering: network.entry)
    try old.waitForLine(containing: "listening on")
    let client = try Client(from: network, 8080)
    try client.request("/", closing: when == "after it closed first")
    #expect(client.answer().end == .more)
    if when != "while it runs" {
      if when == "after it closed first" { #expect(client.read().end == .closed) }
      client.close()
      try old.signal(SIGTERM)
      #expect(try old.finish() == .code(0))
    }
    let verdict = try port(
      options.isEmpty ? "8080 --address 127.0.0.1" : "8080 --strict --address 127.0.0.1", in: network)
    let new = try Running(tide, entering: network.entry)
    let starts = (try? new.waitForLine(containing: "listening on")) != nil
    #expect(verdict.code == .code(starts ? 0 : 1))
    #expect(starts == (when == "after its client did" || (options.isEmpty && when != "while it runs")))
  }

  @Test(.requires(.root, .namespaces, .tool("nginx")), arguments: [true, false])
  func theVerdictIsWhetherARestartedNginxStarts(whileItRuns: Bool) throws {
    let network = try PrivateNetwork()
    let folder = try TemporaryFolder()
    let configuration = try folder.write(
      "nginx.conf",
      """
      daemon off;
      pid \(folder.path)/pid;
      error_log stderr notice;
      events {}
      http {
        access_log off;
        server { listen 8080; return 200 "hello\\n"; }
      }
      """)
    func start() throws -> Running {
      try Running(["nginx", "-e", "stderr", "-c", configuration], entering: network.entry)
    }
    let old = try start()
    try network.waitUntilListening(on: 8080)
    if !whileItRuns {
      let client = try Client(from: network, 8080)
      try client.request("/", closing: true)
      #expect(client.answer().end == .more)
      #expect(client.read().end == .closed)
      client.close()
      try old.signal(SIGQUIT)
      #expect(try old.finish() == .code(0))
      #expect(try !network.connections(of: 8080).isEmpty)
    }
    let verdict = try port("8080", in: network)
    let new = try start()
    let starts = (try? new.waitForLine(containing: "start worker process", on: .errors)) != nil
    #expect(verdict.code == .code(starts ? 0 : 1))
    #expect(starts == !whileItRuns)
    if whileItRuns {
      // The master made the listener, its worker inherited it.
      #expect(verdict.lines.line(1).contains(": nginx (pid \(old.pid), descriptor "))
      #expect(verdict.lines.line(1).contains("; inherited by nginx (pid "))
    }
  }

  // MARK: - Who and why

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func everySceneIsExplained() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage(in: network)
    func lines(_ name: String, reuses: Bool = false, _ options: String = "") throws -> [String] {
      let scene = try stage.scene(name, reuses: reuses)
      return try port("\(scene.word) \(options)", in: network).lines.map {
        $0.replacingOccurrences(of: "\(scene.port)", with: "PORT")
          .replacingOccurrences(of: "pid \(scene.pid)", with: "pid PID")
          .replacingOccurrences(of: "descriptor [0-9]+", with: "descriptor N", options: .regularExpression)
          .replacingOccurrences(of: "to 127.0.0.1:[0-9]+", with: "to PEER", options: .regularExpression)
      }
    }
    let server = "a server that sets SO_REUSEADDR"
    #expect(try lines("nothing") == ["PORT: free"])
    #expect(
      try lines("listening") == [
        "PORT: not free: something listens", "  LISTEN 127.0.0.1:PORT: python3 (pid PID, descriptor N)",
        "  to do: stop python3 (pid PID)",
      ])
    #expect(try lines("everywhere").line(1) == "  LISTEN [::]:PORT: python3 (pid PID, descriptor N)")
    #expect(try lines("both").filter { $0.contains("LISTEN") }.count == 2)
    #expect(try lines("only6", "--address 127.0.0.1") == ["127.0.0.1:PORT: free"])
    #expect(
      try lines("loopback6", "--address ::1").line(1).hasPrefix("  LISTEN [::1]:PORT: python3 (pid PID"))
    #expect(
      try lines("shared", "--reuseport").line(0)
        == "PORT: not free for a server that sets SO_REUSEPORT: something listens"
        || lines("shared", "--reuseport").line(0)
          == "PORT: free for a server that sets SO_REUSEPORT, beside what listens"
    )
    #expect(try lines("syn_received").line(2) == "  1 SYN_RECV")
    #expect(
      try lines("established") == [
        "PORT: not free for \(server): old connections are left", "  1 ESTABLISHED",
        "  ESTABLISHED 127.0.0.1:PORT to PEER: python3 (pid PID, descriptor N)",
        "  to do: stop python3 (pid PID), or end its connections (ebb sockets --destroy --ports PORT); TIME_WAIT may follow, for 60s; for the next time, set SO_REUSEADDR in the server: the old one did not",
      ])
    #expect(
      try lines("established", reuses: true) == [
        "PORT: free for \(server), whatever is left of old connections", "  1 ESTABLISHED",
      ])
    for (name, state) in [
      ("fin_wait1", "FIN_WAIT1"), ("closing", "CLOSING"), ("fin_wait2", "FIN_WAIT2"),
      ("last_ack", "LAST_ACK"),
    ] {
      let lines = try lines(name)
      #expect(lines.prefix(2) == ["PORT: not free for \(server): old connections are left", "  1 \(state)"])
      #expect(lines.line(2).hasPrefix("  to do: wait until the old connections have ended, or end them ("))
    }
    #expect(try lines("close_wait").line(1) == "  1 CLOSE_WAIT")
    #expect(
      try lines("close_wait").line(2)
        == "  CLOSE_WAIT 127.0.0.1:PORT to PEER: python3 (pid PID, descriptor N)")
    #expect(
      try lines("close_wait").line(3).hasPrefix("  to do: stop python3 (pid PID), or end its connections"))
    #expect(
      try lines("outgoing").line(2)
        == "  ESTABLISHED 127.0.0.1:PORT to PEER: python3 (pid PID, descriptor N)")
    #expect(
      try lines("bound") == [
        "PORT: not free for \(server): a socket is bound to it and does not listen",
        "  bound, not listening, 127.0.0.1:PORT: python3 (pid PID, descriptor N)",
        "  to do: stop python3 (pid PID)",
      ])
    #expect(
      try lines("bound", reuses: true, "--strict").line(1)
        == "  bound, not listening, 127.0.0.1:PORT: python3 (pid PID, descriptor N)")
    #expect(
      try lines("bound6").line(1) == "  bound, not listening, [::]:PORT: python3 (pid PID, descriptor N)")
    #expect(
      try lines("datagrams") == [
        "PORT/udp: not free: something listens", "  UDP 127.0.0.1:PORT: python3 (pid PID, descriptor N)",
        "  to do: stop python3 (pid PID)",
      ])
    #expect(
      try lines("inherited").dropFirst() == [
        "  LISTEN 127.0.0.1:PORT: python3 (pid PID, descriptor N)", "  to do: stop python3 (pid PID)",
      ])
    let heir = try stage.child(of: stage.scene("shared_with_child", reuses: false))
    #expect(
      try lines("shared_with_child").dropFirst() == [
        "  LISTEN 127.0.0.1:PORT: python3 (pid PID, descriptor N); inherited by python3 (pid \(heir))",
        "  to do: stop python3 (pid PID), and python3 (pid \(heir)), which inherited the socket",
      ])
    #expect(
      try lines("stopped").dropFirst() == [
        "  LISTEN 127.0.0.1:PORT: python3 (pid PID, descriptor N), which is stopped",
        "  to do: stop python3 (pid PID), which must be continued first (kill -CONT \(stage.scene("stopped", reuses: false).pid))",
      ])
  }

  @Test(.requires(.root, .namespaces, .tool("python3"))) func timeWaitIsSaidInSeconds() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage("time_wait", in: network)
    let scene = try stage.scene("time_wait", reuses: false)
    let lines = try port(scene.word, in: network).lines
    let seconds = try #require(
      lines.line(1).components(separatedBy: "ends in ").last?.split(separator: "s").first)
    #expect((1...60).contains(Int(seconds) ?? 0))
    #expect(lines.line(1) == "  1 TIME_WAIT (the last ends in \(seconds)s; no process owns one)")
    #expect(
      lines.line(2).hasPrefix("  to do: wait \(seconds)s; for the next time, set SO_REUSEADDR in the server"))
    // Old server with, new server without.
    let other = try stage.scene("time_wait", reuses: true)
    let strict = try port("\(other.word) --strict", in: network)
    #expect(strict.code == .code(1))
    #expect(
      strict.lines.line(2).hasPrefix(
        "  to do: set SO_REUSEADDR in the new server, which may bind now; or wait "))
    #expect(try port(other.word, in: network).lines.count == 2)
  }

  @Test(.requires(.root, .namespaces)) func theServiceItsChildrenAndStrangersAreToldApart() throws {
    let network = try PrivateNetwork()
    let run = try Running(
      [try Binary.ebb.path(), "--ports", "8080", "--", try Binary.tide.path(), "serve"],
      environment: ["EBB_CONTROL": "auto"], entering: network.entry)
    try run.waitForLine(containing: "listening on")
    let stranger = try Running(
      [try Binary.tide.path(), "serve", "--listen", "8081"], entering: network.entry)
    try stranger.waitForLine(containing: "listening on")
    #expect(try port("8080", in: network).lines.line(1).hasSuffix("), the service"))
    #expect(try port("8081", in: network).lines.line(1).hasSuffix("), not of the service"))
    #expect(try port("8081 --json", in: network).lines.line(0).contains("\"relation\":\"stranger\""))
    #expect(try port("8080 --json", in: network).lines.line(0).contains("\"relation\":\"service\""))
    #expect(try run.stop().exit == .code(0))

    let shell = try Running(
      [
        try Binary.ebb.path(), "--ports", "8080", "--", "sh", "-c", "\"$@\" & wait", "sh",
        try Binary.tide.path(), "serve",
      ], environment: ["EBB_CONTROL": "auto"], entering: network.entry)
    try shell.waitForLine(containing: "listening on")
    #expect(try port("8080", in: network).lines.line(1).hasSuffix("), a child of the service"))
    #expect(try port("8080 --json", in: network).lines.line(0).contains("\"relation\":\"child\""))
  }

  @Test(.requires(.root, .namespaces, .tool("setpriv"), .tool("python3")))
  func anotherUsersProcessIsNotNamedAndTheReasonIs() throws {
    let network = try PrivateNetwork()
    let folder = try TemporaryFolder()
    let stage = try PortStage("listening", "bound", in: network)
    let ebb = try folder.copyOfEbb()
    for name in ["listening", "bound"] {
      let scene = try stage.scene(name, reuses: false)
      let answer = try port(scene.word, in: network, behind: PortTests.asNobody, ebb: ebb)
      #expect(answer.code == .code(1))
      #expect(answer.lines.line(1).contains(": owner not visible: user 0's, and "))
      #expect(answer.lines.line(1).hasSuffix(" may not be looked into (CAP_SYS_PTRACE)"))
      #expect(
        answer.lines.line(2)
          == "  to do: ask again as its user, or with CAP_SYS_PTRACE, to see which process it is")
    }
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func aProcessOfAnotherContainerIsNotNamedAndTheReasonIs() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage("listening", in: network)
    let answer = try port(stage.scenes[0].word, in: network, namespaces: [.pid])
    #expect(answer.code == .code(1))
    #expect(
      answer.lines.line(1)
        == "  LISTEN 127.0.0.1:8001: owner not visible: user 0's, in no process that shows here (another container's, hidden by hidepid, or the kernel's own)"
    )
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("gcc")))
  func withoutNetlinkTheLinesAreTheSame() throws {
    let network = try PrivateNetwork()
    let without = try WithoutNetlink()
    let stage = try PortStage(in: network)
    for scene in stage.scenes where scene.name != "time_wait" {
      let (one, other) = (
        try port(scene.word, in: network), try port(scene.word, in: network, behind: without.command)
      )
      #expect(one.lines.sorted() == other.lines.sorted(), "\(scene.name)")
    }
    // Who is bound and no more is in no table that is left, and who may not be looked into is not found.
    let folder = try TemporaryFolder()
    let bound = try stage.scene("bound", reuses: false)
    let answer = try port(
      bound.word, in: network, behind: without.command + PortTests.asNobody, ebb: folder.copyOfEbb())
    #expect(answer.code == .code(1))
    #expect(
      answer.lines.line(0)
        == "\(bound.port): not free for a server that sets SO_REUSEADDR: no table shows what is on it")
    withExtendedLifetime(without) {}
  }

  // MARK: - Where it cannot be asked

  @Test(.requires(.root, .namespaces, .tool("setpriv"), .tool("python3")))
  func below1024WithoutThePrivilegeTheTablesTell() throws {
    let network = try PrivateNetwork()
    let folder = try TemporaryFolder()
    let ebb = try folder.copyOfEbb()
    let stage = try PortStage("nothing", "listening", "time_wait", "bound", from: 501, in: network)
    func ask(_ name: String) throws -> (Exit, String) {
      let word = try stage.scene(name).word
      let answer = try port(word, in: network, behind: PortTests.asNobody, ebb: ebb)
      #expect(
        try port("\(word) --quiet", in: network, behind: PortTests.asNobody, ebb: ebb).code == answer.code)
      return (answer.code, String(answer.lines.line(0).drop { $0 != ":" }.dropFirst(2)))
    }
    #expect(
      try ask("nothing")
        == (.code(0), "free, as far as the tables tell (no bind could be tried: Permission denied)"))
    #expect(try ask("listening") == (.code(1), "not free: something listens"))
    for name in ["time_wait", "bound"] {
      #expect(
        try ask(name)
          == (
            .code(3), "cannot tell: no bind could be tried (Permission denied), and something is on the port"
          ))
    }
    // Whoever has the privilege is told.
    #expect(try port(stage.scene("time_wait").word, in: network).code == .code(0))
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("gcc")))
  func withoutIPv6TheAnswerIsIPv4s() throws {
    let network = try PrivateNetwork()
    try network.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    let stage = try PortStage("nothing", "listening", "established", "bound", in: network)
    let without = try WithoutNetlink(refusing: "AF_INET6", with: "EAFNOSUPPORT")
    for wrapper in [[], without.command] {
      func code(_ name: String, reuses: Bool = false) throws -> Exit {
        try port(stage.scene(name, reuses: reuses).word, in: network, behind: wrapper).code
      }
      #expect(try code("nothing") == .code(0))
      #expect(try code("listening") == .code(1))
      #expect(try code("established") == .code(1))
      #expect(try code("established", reuses: true) == .code(0))
      #expect(try code("bound") == .code(1))
    }
    withExtendedLifetime(without) {}
  }

  @Test(.requires(.root, .namespaces)) func anAddressThatIsNotOursCannotBeTold() throws {
    let network = try PrivateNetwork()
    let answer = try port("8080 --address 10.9.9.9", in: network)
    #expect(answer.code == .code(3))
    #expect(
      answer.lines == [
        "10.9.9.9:8080: cannot tell: no bind could be tried (Cannot assign requested address)",
        "  to do: ask for an address of this network namespace",
      ])
  }

  // MARK: - Several ports, another namespace, the notes

  @Test(.requires(.root, .namespaces, .tool("python3"))) func severalPortsAreFreeWhenAllAre() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage("listening", from: 8001, in: network)
    #expect(try port("9001 9002,9003/udp", in: network).code == .code(0))
    let answer = try port("9001 8001 --strict 9002/udp,9001", in: network)
    #expect(answer.code == .code(1))
    #expect(
      answer.lines.filter { !$0.hasPrefix(" ") } == [
        "9001: free", "8001: not free: something listens", "9002/udp: free",
      ])
    #expect(try port("8001 8002 --listening", in: network).code == .code(0))
    #expect(try port("8001 9001 --listening", in: network).code == .code(1))
    // One that cannot be told outweighs a no.
    #expect(try port("9001 8001 --address 10.9.9.9", in: network).code == .code(3))
    withExtendedLifetime(stage) {}
  }

  @Test(.requires(.root, .namespaces, .tool("python3"))) func anotherNamespaceIsLookedInto() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage("listening", from: 18_001, in: network)
    for place in ["\(stage.scenes[0].pid)", network.path] {
      let run = try Running.ebb(["port", "18001", "--netns", place])
      #expect(try run.finish() == .code(1))
      #expect(
        run.output.lines.line(1).hasPrefix("  LISTEN 127.0.0.1:18001: python3 (pid \(stage.scenes[0].pid), "))
    }
    #expect(try Running.ebb(["port", "18001", "--listening", "--quiet"]).finish() == .code(1))
    for (place, reason) in [
      ("999999999", "there is no such process"), ("/dev/null", "this is no network namespace"),
      ("/no/such/file", "No such file or directory"), ("", "No such file or directory"),
    ] {
      let run = try Running.ebb(["port", "18001", "--netns", place])
      #expect(try run.finish() == .code(3))
      #expect(run.errors.lines == ["ebb: --netns \(place): \(reason)"])
      #expect(run.output.text == "")
    }
  }

  @Test(.requires(.root, .namespaces, .tool("setpriv")))
  func withoutThePrivilegeNoOtherNamespaceIsEntered() throws {
    let network = try PrivateNetwork()
    let folder = try TemporaryFolder()
    let run = try Running(
      PortTests.asNobody + [try folder.copyOfEbb(), "port", "80", "--netns", network.path])
    #expect(try run.finish() == .code(3))
    #expect(
      run.errors.lines == [
        "ebb: --netns \(network.path): Permission denied (CAP_SYS_ADMIN is needed, and CAP_SYS_PTRACE for another user's process)"
      ])
  }

  @Test(.requires(.root, .namespaces)) func aPortForOutgoingConnectionsIsNoted() throws {
    let network = try PrivateNetwork()
    func isNoted(_ word: String) throws -> Bool {
      try port(word, in: network).lines.contains {
        $0.hasPrefix("  note: \(word.prefix { $0 != "/" }) is in ")
      }
    }
    try network.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=20000 30000")
    #expect(try !isNoted("19999"))
    #expect(try isNoted("20000"))
    #expect(try isNoted("30000/udp"))
    #expect(try !isNoted("30001"))
    try network.run("sysctl", "-qw", "net.ipv4.ip_local_reserved_ports=20000,25000-25010")
    #expect(try !isNoted("20000"))
    #expect(try !isNoted("25010"))
    #expect(try isNoted("25011"))
    #expect(try port("20001 --json", in: network).lines.line(0).hasSuffix("\"ephemeral\":true}"))
    #expect(try port("20000 --json", in: network).lines.line(0).hasSuffix("\"ephemeral\":false}"))
  }

  @Test(.requires(.root, .namespaces, .tool("python3"))) func theJSONIsValidAndItsKeysAreAlwaysTheSame()
    throws
  {
    let network = try PrivateNetwork()
    let stage = try PortStage(in: network)
    let keys = [
      "address", "advice", "answer", "bind", "ephemeral", "listening", "not_accepted", "port", "protocol",
      "question", "reuseaddr", "reuseport", "sockets", "states", "summary", "time_wait_seconds",
    ]
    // At most 64 ports at a time.
    let scenes = stage.scenes.prefix(64)
    let words = scenes.map(\.word)
    for options in ["", "--listening", "--strict", "--address ::1"] {
      let answer = try port("--json \(options) \(words.joined(separator: " "))", in: network)
      #expect(answer.lines.count == scenes.count)
      for (line, scene) in zip(answer.lines, scenes) {
        let object = try #require(
          try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
        #expect(object.keys.sorted() == keys)
        #expect(object["port"] as? Int == Int(scene.port))
        #expect(object["protocol"] as? String == (scene.isUDP ? "udp" : "tcp"))
        for socket in try #require(object["sockets"] as? [[String: Any]]) {
          #expect(socket.keys.sorted() == ["address", "holders", "peer", "state", "user"])
          for holder in try #require(socket["holders"] as? [[String: Any]]) {
            #expect(holder.keys.sorted() == ["descriptor", "name", "pid", "relation", "stopped"])
          }
        }
      }
    }
  }

  // MARK: - Waiting

  /// Starts `ebb port` and waits until it sleeps.
  private func waiting(_ words: String, in network: PrivateNetwork) throws -> Running {
    let run = try Running(
      [
        "strace", "-qq", "-e", "trace=ppoll,poll,clock_nanosleep,bind", "-e", "signal=none",
        try Binary.ebb.path(), "port",
      ]
        + words.split(separator: " ").map(String.init), entering: network.entry)
    try wait(until: "it waits") {
      run.hasEnded || run.errors.text.contains("poll(") || run.errors.text.contains("clock_nanosleep(")
    }
    return run
  }

  /// How often it went to sleep, and how often it asked the kernel for the port.
  private func calls(_ run: Running) -> (sleeps: Int, binds: Int) {
    let lines = run.errors.lines
    return (
      lines.filter { $0.contains("poll(") || $0.contains("clock_nanosleep(") }.count,
      lines.filter { $0.hasPrefix("bind(") && !$0.contains("AF_NETLINK") && !$0.contains("AF_UNIX") }.count
    )
  }

  @Test(
    .requires(.root, .namespaces, .tool("python3"), .tool("strace")),
    arguments: ["listening", "bound", "close_wait", "datagrams"])
  func theWaitIsOverWhenTheOwnerGoes(name: String) throws {
    let network = try PrivateNetwork()
    let stage = try PortStage(name, in: network)
    let scene = try stage.scene(name, reuses: name == "listening")
    let run = try waiting("\(scene.word) --wait 60s", in: network)
    try stage.end()
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines.first == "\(scene.word): free")
    // For each family: before the wait where nothing listens, and once they are gone.
    #expect(calls(run).binds <= 4)
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("strace")))
  func aWaitThatRunsOutIsANoAndSleepsAsLongAsNothingHappens() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage("listening", "time_wait", in: network)
    let listening = try stage.scene("listening")
    let run = try waiting("\(listening.word) --wait 3s", in: network)
    #expect(try run.finish() == .code(1))
    #expect(run.output.lines.line(0) == "\(listening.port): not free: something listens")
    // A look a second, and the pause before it that a storm of notices would meet.
    #expect(calls(run).sleeps <= 8, "\(run.errors.text)")
    #expect(calls(run).binds == 0)
    // Until the end of TIME_WAIT nothing is to be seen.
    let held = try stage.scene("time_wait", reuses: false)
    let other = try waiting("\(held.word) --wait 2s", in: network)
    #expect(try other.finish() == .code(1))
    #expect(calls(other).sleeps <= 2, "\(other.errors.text)")
    #expect(calls(other).binds <= 4)
    #expect(try port("\(held.word) --wait 0", in: network).code == .code(1))
  }

  @Test(.requires(.root, .namespaces, .tool("strace"))) func theWaitForAListenerIsOverWhenItComes() throws {
    let network = try PrivateNetwork()
    let run = try waiting("8080 8081/udp --listening --wait 60s", in: network)
    let one = try Stranger(.listening, at: "127.0.0.1", 8080, in: network)
    let other = try Stranger(.datagrams, at: "127.0.0.1", 8081, in: network)
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines.line(0) == "8080: listening")
    #expect(calls(run).binds == 0)
    withExtendedLifetime((one, other)) {}
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("strace")))
  func theWaitIsOverWhenTheKernelHasForgottenAnOldConnection() throws {
    let network = try PrivateNetwork()
    // How long FIN_WAIT2 without an owner lasts, of which no notice tells.
    try network.run("sysctl", "-qw", "net.ipv4.tcp_fin_timeout=3")
    let stage = try PortStage("fin_wait2", in: network)
    let scene = try stage.scene("fin_wait2", reuses: false)
    let run = try waiting("\(scene.word) --wait 60s", in: network)
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines == ["\(scene.port): free"])
    #expect(calls(run).binds <= 4)
  }

  /// Takes the sixty seconds that it takes.
  @Test(.requires(.root, .namespaces, .tool("python3"))) func theWaitIsOverAtTheEndOfTimeWait() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage("time_wait", in: network)
    let scene = try stage.scene("time_wait", reuses: false)
    let run = try Running(
      [try Binary.ebb.path(), "port", scene.word, "--wait", "2m"], entering: network.entry)
    try wait(until: "TIME_WAIT is over", within: 90) { run.hasEnded }
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines == ["\(scene.port): free"])
  }

  @Test(.requires(.root, .namespaces, .tool("python3"))) func atATerminalItSaysWhatItWaitsFor() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage("listening", in: network)
    let run = try Running(
      [try Binary.ebb.path(), "port", "8001", "--wait", "60s"], entering: network.entry, terminal: true)
    try run.waitForText("ebb: waiting for 8001: not free: something listens")
    try stage.end()
    #expect(try run.finish() == .code(0))
    #expect(run.output.text.hasSuffix("\u{1b}[K8001: free\r\n"))
  }

  // MARK: - Words

  @Test func wordsThatMakeNoSense() throws {
    for (words, named) in [
      ("", "a port is missing"), ("0", "0"), ("65536", "65536"), ("80/sctp", "80/sctp"), ("http", "http"),
      ("80 --nonsense", "--nonsense"), ("80 --wait", "--wait"), ("80 --wait 5", "--wait 5"),
      ("80 --wait -1s", "--wait -1s"), ("80 --address localhost", "--address localhost"),
      ("80 --address 127.0.0.1:80", "--address 127.0.0.1:80"), ("80 --strict=1", "--strict=1"),
      ("-- 80 --strict", "--strict"),
      ((1...65).map(String.init).joined(separator: " "), "65 ports are too many"),
    ] {
      let run = try Running.ebb(["port"] + words.split(separator: " ").map(String.init))
      #expect(try run.finish() == .code(64), "\(words)")
      #expect(run.output.text == "")
      #expect(run.errors.lines.count == 1)
      #expect(run.errors.text.hasPrefix("ebb: ") && run.errors.text.contains(named), "\(run.errors.text)")
    }
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func theCommandLineBeatsTheEnvironmentWhereverItStands()
    throws
  {
    let network = try PrivateNetwork()
    let stage = try PortStage("established", from: 8001, in: network)
    func code(_ words: String, _ environment: [String: String]) throws -> Exit {
      try Running(
        [try Binary.ebb.path(), "port"] + words.split(separator: " ").map(String.init),
        environment: environment, entering: network.entry
      ).finish()
    }
    #expect(try code("8001", [:]) == .code(0))
    #expect(try code("8001", ["EBB_STRICT": "1"]) == .code(1))
    #expect(try code("8001", ["EBB_LISTENING": "1"]) == .code(1))
    #expect(try code("--released 8001", ["EBB_LISTENING": "1"]) == .code(0))
    #expect(try code("8001 --address 127.0.0.1 8001", ["EBB_ADDRESS": "10.9.9.9"]) == .code(0))
    // EBB_QUIET is for `run`.
    let run = try Running(
      [try Binary.ebb.path(), "port", "8001"], environment: ["EBB_QUIET": "1"], entering: network.entry)
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines.count == 2)
    #expect(try port("8001 --quiet", in: network).lines == [])
    withExtendedLifetime(stage) {}
  }

  // MARK: - Docker

  @Test(.requires(.docker), arguments: [[], ["--user", "65534", "--cap-drop", "ALL", "--read-only"]])
  func itWorksInAContainerWithNothingElseInIt(options: [String]) throws {
    let container = try Container(DockerTests.scratch(), options: options)
    try container.waitForError(containing: "serving: tide (pid ")
    func ask(_ words: String...) throws -> (Exit, [String]) {
      let run = try Docker.start(["exec", container.name, "/ebb", "port"] + words)
      return (try run.finish(), run.output.lines)
    }
    let (code, lines) = try ask("8080")
    #expect(code == .code(1))
    #expect(lines.line(0) == "8080: not free: something listens")
    #expect(lines.line(1).hasPrefix("  LISTEN [::]:8080: tide (pid "))
    #expect(lines.line(1).hasSuffix("), the service"))
    #expect(try ask("8080", "--listening", "--quiet") == (.code(0), []))
    #expect(try ask("9090") == (.code(0), ["9090: free"]))
    #expect(try ask("9090", "53/udp", "--quiet") == (.code(0), []))
    #expect(try ask("9090", "--listening", "--wait", "100ms").0 == .code(1))
    #expect(try container.stop() == "0")
  }
}

extension [String] {
  /// A line; empty where there are fewer.
  fileprivate func line(_ index: Int) -> String { index < count ? self[index] : "" }
}
