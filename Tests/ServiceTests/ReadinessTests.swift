import Foundation
import Testing

/// `ebb ready`: what each probe of --ready-when looks at, and what a drain makes of the answer.
@Suite(.requires(.root, .namespaces))
struct ReadinessTests {
  /// A shell line that goes on when a file is there.
  private static func gate(_ folder: TemporaryFolder) -> String {
    "while [ ! -e \(folder.path)/go ]; do sleep 0.02; done"
  }

  private func open(_ folder: TemporaryFolder) throws { try folder.write("go", "") }

  /// A service in Python that answers every connection to 8080 in one way.
  private static func answering(_ statements: String) -> [String] {
    [
      "python3", "-c",
      """
      import socket, struct, time
      listener = socket.create_server(("127.0.0.1", 8080))
      print("listening on 8080", flush=True)
      kept = []
      while True:
          peer = listener.accept()[0]
          kept.append(peer)
          try: \(statements)
          except OSError: pass
      """,
    ]
  }

  // MARK: - listen

  @Test func listenHoldsOnceTheServiceListens() throws {
    let folder = try TemporaryFolder()
    let ebb = try Supervised(
      [], ["sh", "-c", "\(Self.gate(folder)); exec \(try Binary.tide.path()) serve"])
    let before = try ebb.ready()
    #expect(before.exit == .code(1))
    #expect(
      before.errors.hasPrefix("ebb: not ready: listen: the service listens on no port that could be found"))
    #expect(try ebb.phase() == "starting")
    try open(folder)
    try ebb.waitUntilReady()
    #expect(try ebb.phase() == "serving")
    #expect(try ebb.ask("ready").errors == "")
  }

  @Test func listenWantsEveryPortThatWasNamed() throws {
    let ebb = try Supervised(["--ports", "8080,8081"])
    let told = try ebb.ready()
    #expect(told.exit == .code(1))
    #expect(told.errors == "ebb: not ready: listen: nothing listens on 8081\n")
  }

  @Test func listenIsNotSatisfiedByAStranger() throws {
    let network = try PrivateNetwork()
    let stranger = try Stranger(.listening, at: "127.0.0.1", 8080, in: network)
    let ebb = try Supervised(["--ports", "8080"], ["sleep", "600"], in: network)
    let told = try ebb.ready()
    #expect(told.exit == .code(1))
    #expect(told.errors == "ebb: not ready: listen: a stranger listens on 8080\n")
    withExtendedLifetime(stranger) {}
  }

  @Test(.requires(.tool("python3"))) func listenFailsAgainWhenTheServiceClosesAndAStrangerTakesThePort()
    throws
  {
    let service = """
      import signal, socket
      listener = socket.create_server(("127.0.0.1", 8080))
      signal.signal(signal.SIGUSR1, lambda *_: (listener.close(), print("closed", flush=True)))
      print("listening on 8080", flush=True)
      while True: signal.pause()
      """
    let ebb = try Supervised(["--ports", "8080"], ["python3", "-c", service])
    try ebb.run.waitForLine(containing: "listening on")
    try ebb.waitUntilReady()
    try ebb.run.signal(SIGUSR1)
    try ebb.run.waitForLine(containing: "closed")
    #expect(try ebb.ask("ready").errors == "ebb: not ready: listen: nothing listens on 8080\n")
    let stranger = try Stranger(.listening, at: "127.0.0.1", 8080, in: ebb.network)
    #expect(try ebb.ask("ready").errors == "ebb: not ready: listen: a stranger listens on 8080\n")
    withExtendedLifetime(stranger) {}
  }

  // MARK: - tcp

  @Test(arguments: ["127.0.0.1:8080", "[::1]:8080", "8080"])
  func tcpHoldsWhereALoopbackConnectionSucceeds(place: String) throws {
    let tide = try Binary.tide.path()
    let ebb = try Supervised(["--ready-when", "tcp:8080"], [tide, "serve", "--listen", place])
    try ebb.run.waitForLine(containing: "listening on")
    #expect(try ebb.ready().exit == .code(0))
  }

  @Test func tcpFailsWhereItIsRefused() throws {
    let ebb = try Supervised(["--ready-when", "tcp:8081"])
    let told = try ebb.ready()
    #expect(told.exit == .code(1))
    #expect(told.errors == "ebb: not ready: tcp:8081: Connection refused\n")
  }

  // MARK: - http

  @Test(
    .requires(.tool("python3")),
    arguments: [
      (#"peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")"#, nil),
      (#"peer.sendall(b"HTTP/1.0 302 Found\r\n\r\n")"#, nil),
      (#"peer.sendall(b"HTTP/1.1 399 X\r\n\r\n" + b"x" * 1000000)"#, nil),
      (#"[(peer.sendall(bytes([b])), time.sleep(0.01)) for b in b"HTTP/1.1 204 No Content\r\n\r\n"]"#, nil),
      (#"peer.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")"#, "answered 404"),
      (#"peer.sendall(b"HTTP/1.1 500 Oh\r\n\r\n")"#, "answered 500"),
      (
        #"peer.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")"#, nil
      ),
      (#"peer.sendall(b"HTTP/1.1 199 Oh\r\n\r\n")"#, "no answer within 0.70s"),
      (#"peer.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00")"#, "the answer is not HTTP"),
      (#"peer.sendall(b"HTTP/1.1 2x0 OK\r\n\r\n")"#, "the answer is not HTTP"),
      ("pass", "no answer within 0.70s"),
      (#"peer.sendall(b"HTTP/1.1 ")"#, "no answer within 0.70s"),
      ("kept.pop().close()", "no answer: Connection reset by peer"),
      (#"peer.sendall(b"HTTP/1"); peer.shutdown(socket.SHUT_WR)"#, "no answer: Connection reset by peer"),
      (
        "peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); kept.pop().close()",
        "Connection reset by peer"
      ),
    ] as [(String, String?)])
  func httpHoldsWith2xxAnd3xxAlone(statements: String, failure: String?) throws {
    let ebb = try Supervised(["--ready-when", "http:8080/health?x=1"], Self.answering(statements))
    try ebb.run.waitForLine(containing: "listening on")
    let told = try ebb.ready()
    if let failure {
      #expect(told.exit == .code(1))
      #expect(told.errors.hasPrefix("ebb: not ready: http:8080/health: "))
      #expect(told.errors.hasSuffix("\(failure)\n"), "\(told.errors)")
    } else {
      #expect(told.exit == .code(0), "\(told.errors)")
    }
    // Whatever it met, it keeps nothing of it: signals and the like, its ends of the loop, the launch's word, the control socket.
    try wait(until: "its descriptors are closed") { try ebb.descriptors() == 8 }
  }

  @Test(.requires(.tool("python3")))
  func `an answer is read to its end, so that no server meets a reset`() throws {
    let server = """
      import http.server, sys
      class Handler(http.server.SimpleHTTPRequestHandler):
          def do_GET(self):
              self.send_response(200)
              self.send_header("Content-Length", "60000")
              self.end_headers()
              self.wfile.write(b"x" * 30000)
              self.wfile.write(b"x" * 30000)
              # Nothing but the end: a reset would be an error.
              print("then", self.rfile.read(1), flush=True)
          def log_message(self, *words): pass
      http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
      """
    let ebb = try Supervised(["--ready-when", "GET http://127.0.0.1:8080/"], ["python3", "-c", server])
    try ebb.network.waitUntilListening(on: 8080)
    for count in 1...10 {
      #expect(try ebb.ask("ready").exit == .code(0))
      try wait(until: "the server has met its end") {
        ebb.run.output.lines.filter { $0 == "then b''" }.count == count
      }
    }
    #expect(!ebb.run.errors.text.contains("Traceback"))
  }

  @Test(.requires(.tool("python3")))
  func `a request can go to another address, or to a Unix socket`() throws {
    let folder = try TemporaryFolder()
    let server = """
      import http.server, socketserver, threading
      class Handler(http.server.BaseHTTPRequestHandler):
          def do_HEAD(self):
              self.send_response(200 if self.headers["Host"] in ("app", "127.0.0.2:8080") else 400)
              self.end_headers()
          def address_string(self): return ""
          def log_message(self, *words): pass
      class Unix(socketserver.ThreadingUnixStreamServer):
          server_name, server_port = "", 0
      threading.Thread(target=Unix("\(folder.path)/s", Handler).serve_forever, daemon=True).start()
      http.server.ThreadingHTTPServer(("127.0.0.2", 8080), Handler).serve_forever()
      """
    let ebb = try Supervised(
      [
        "--ready-when", "HEAD --unix-socket \(folder.path)/s http://app/health", "--ready-when",
        "HEAD http://127.0.0.2:8080/health",
      ], ["python3", "-c", server])
    try ebb.network.waitUntilListening(on: 8080)
    let told = try ebb.ready()
    #expect(told.exit == .code(0), "\(told.errors)")
  }

  @Test(.requires(.tool("python3"))) func aServerThatSaysNothingCostsNoProcessorTime() throws {
    let ebb = try Supervised(["--ready-when", "http:8080/"], Self.answering("pass"))
    try ebb.run.waitForLine(containing: "listening on")
    #expect(try ebb.ready().exit == .code(1))
    let before = try ebb.ticks()
    for _ in 0..<3 { #expect(try ebb.ask("ready").exit == .code(1)) }
    // Two seconds of waiting are 200 ticks: a loop that spins would use them.
    #expect(try ebb.ticks() - before < 50)
  }

  // MARK: - unix

  @Test(.requires(.tool("python3"))) func unixHoldsWhereAConnectionSucceeds() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/s"
    let service = """
      import os, socket, time
      while not os.path.exists("\(folder.path)/go"): time.sleep(0.02)
      listeners = [socket.socket(socket.AF_UNIX) for _ in range(2)]
      listeners[0].bind("\(path)"); listeners[1].bind("\\0ebb test")
      for one in listeners: one.listen()
      time.sleep(600)
      """
    let ebb = try Supervised(
      ["--ready-when", "unix:\(path)", "--ready-when", "unix:@ebb test"], ["python3", "-c", service])
    let told = try ebb.ready()
    #expect(
      told.errors
        == "ebb: not ready: unix:\(path): No such file or directory: unix:@ebb test: Connection refused\n")
    try open(folder)
    try ebb.waitUntilReady()
  }

  // MARK: - exec

  @Test func execHoldsWhereTheCommandExitsWithZero() throws {
    let folder = try TemporaryFolder()
    let ebb = try Supervised(["--ready-when", "exec:test -e \(folder.path)/go"])
    let told = try ebb.ready()
    #expect(told.exit == .code(1))
    #expect(told.errors == "ebb: not ready: exec:test: exited 1\n")
    try open(folder)
    #expect(try ebb.ask("ready").exit == .code(0))
  }

  @Test(arguments: [
    ("exec:sh -c 'exit 7'", "exec:sh: exited 7"),
    ("exec:sh -c 'kill -9 $$'", "exec:sh: was killed by SIGKILL"),
    ("exec:no-such-program secret", "exec:no-such-program: cannot be run: No such file or directory"),
    ("exec:/etc", "exec:/etc: cannot be run: Permission denied"),
  ])
  func execFailsWithWhatTheCommandCameTo(probe: String, why: String) throws {
    let ebb = try Supervised(["--ready-when", probe])
    #expect(try ebb.ready().errors == "ebb: not ready: \(why)\n")
  }

  @Test func aCommandThatHangsIsKilledWithItsChildrenAndReaped() throws {
    let ebb = try Supervised(
      ["--ready-when", "exec:sh -c 'trap \"\" TERM; sleep 601 & sleep 602 & sleep 603; :'"], ["sleep", "600"])
    let told = try ebb.ready()
    #expect(told.exit == .code(1))
    #expect(told.errors == "ebb: not ready: exec:sh: not finished within 0.70s\n")
    try wait(until: "the service is the only child, zombies included") {
      ProcessLook.all.compactMap { ProcessLook($0) }.filter { $0.parent == ebb.run.pid }.count == 1
    }
    #expect(
      !ebb.run.processes().contains { $0.commandLine.hasPrefix("sleep 60") && $0.commandLine != "sleep 600 " }
    )
    #expect(try ebb.descriptors() == 8)
  }

  // MARK: - notify

  /// Python that says something to $NOTIFY_SOCKET.
  private static let say = """
    import os, signal, socket, sys, time
    def say(text):
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        peer.sendto(text.encode(), os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))

    """

  @Test(.requires(.tool("python3"))) func notifyHoldsOnceTheServiceSaysSo() throws {
    let service =
      Self.say + """
        print(os.environ["NOTIFY_SOCKET"], flush=True)
        signal.signal(signal.SIGUSR1, lambda *_: say("READY=1\\nSTATUS=up \\x1b[2J and well"))
        signal.signal(signal.SIGUSR2, lambda *_: say("STOPPING=1\\nSTATUS=going"))
        signal.signal(signal.SIGHUP, lambda *_: (say("x" * 5000), say("READY=0\\nREADY=2\\n\\nMAINPID=x\\nMAINPID=1"), say("")))
        while True: signal.pause()
        """
    let ebb = try Supervised(["--ready-when", "notify", "--verbose"], ["python3", "-c", service])
    let name = try ebb.run.waitForLine(containing: "@")
    let told = try ebb.ready()
    #expect(told.exit == .code(1))
    #expect(told.errors == "ebb: not ready: notify: the service has not said READY=1\n")

    // A stranger, root though it is, is no process of the service.
    let stranger = try Running(
      [
        "python3", "-c",
        Self.say + "for _ in range(3000): say('READY=1\\nSTATUS=lies\\nMAINPID=%d' % os.getpid())",
      ],
      environment: ["NOTIFY_SOCKET": name], entering: ebb.network.entry)
    #expect(try stranger.finish() == .code(0))
    try ebb.run.signal(SIGHUP)
    #expect(try ebb.ask("ready").exit == .code(1))
    #expect(try ebb.status()["says"] is NSNull)

    try ebb.run.signal(SIGUSR1)
    try ebb.run.waitForLine(containing: "ebb: serving: python3 (pid", on: .errors)
    #expect(try ebb.ask("ready").exit == .code(0))
    #expect(try ebb.status()["says"] as? String == "up \u{1b}[2J and well")
    // On a terminal nothing of it moves the cursor.
    #expect(try ebb.ask("status").output.contains("says: up \\x1b[2J and well\n"))

    try ebb.run.signal(SIGUSR2)
    try wait(until: "it is heard") { try ebb.status()["says"] as? String == "going" }
    let after = try ebb.ask("ready")
    #expect(after.exit == .code(1))
    #expect(after.errors == "ebb: not ready: the service says that it is stopping\n")
    #expect(try ebb.ask("live").exit == .code(0))
  }

  @Test(.requires(.tool("python3"))) func descriptorsThatAreSentAlongAreNotKept() throws {
    let service =
      Self.say + """
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1)
        for count in (1, 3, 16, 17, 64, 250):
            socket.send_fds(peer, [b"STATUS=%d" % count], [0] * count, 0, name) if False else peer.sendmsg(
                [b"STATUS=%d" % count], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, (0).to_bytes(4, "little") * count)], 0, name)
        say("READY=1")
        time.sleep(600)
        """
    let ebb = try Supervised(["--ready-when", "notify"], ["python3", "-c", service])
    try ebb.waitUntilReady()
    #expect(try ebb.status()["says"] as? String == "250")
    try wait(until: "only what it has at rest is open") { try ebb.descriptors() == 10 }
  }

  @Test(.requires(.tool("python3"))) func aProcessThatIsNamedAsTheMainOneIsSupervised() throws {
    // The launched process hands over to a child of its child, and goes.
    let service =
      Self.say + """
        import os
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, lambda *_: os._exit(42))
            say("MAINPID=%d\\nREADY=1" % os.getpid())
            print("main %d" % os.getpid(), flush=True)
            while True: signal.pause()
        signal.pause() if "stay" in sys.argv else time.sleep(0.5)
        """
    for argument in ["go", "stay"] {
      let ebb = try Supervised(["--ready-when", "notify"], ["python3", "-c", service, argument])
      let line = try ebb.run.waitForLine(containing: "main ")
      try ebb.waitUntilReady()
      let status = try ebb.status()
      #expect(status["pid"] as? Int == Int(line.dropFirst(5)))
      if argument == "go" {
        try wait(until: "the launched process has gone") { try ebb.status()["processes"] as? Int == 1 }
        #expect(try ebb.ask("live").exit == .code(0))
        try ebb.run.signal(SIGTERM)
        #expect(try ebb.run.finish() == .code(42))
      } else {
        // Its parent, which is told of its end, does not pass that on. ebb then ends what is left.
        try ebb.run.signal(SIGTERM)
        try wait(until: "the heir has ended") { ProcessLook(pid_t(line.dropFirst(5)) ?? 0)?.isAlive != true }
        #expect(try ebb.ask("live").exit == .code(0))
        kill(pid_t(try #require(ebb.run.processes().first { $0.parent == ebb.run.pid }).pid), SIGKILL)
        #expect(try ebb.run.waitForExit() != .code(0))
      }
    }
  }

  // MARK: - Together

  @Test func allProbesMustHold() throws {
    let folder = try TemporaryFolder()
    let ebb = try Supervised([
      "--ready-when", "listen", "--ready-when", "tcp:8080", "--ready-when", "http:8080/",
      "--ready-when", "exec:test -e \(folder.path)/go",
    ])
    let told = try ebb.ready()
    #expect(told.exit == .code(1))
    #expect(told.errors == "ebb: not ready: exec:test: exited 1\n")
    try open(folder)
    #expect(try ebb.ask("ready").exit == .code(0))
    // And each time anew.
    try FileManager.default.removeItem(atPath: "\(folder.path)/go")
    #expect(try ebb.ask("ready").exit == .code(1))
    let status = try ebb.status()
    let probes = try #require(status["probes"] as? [[String: Any]])
    #expect(probes.map { $0["probe"] as? String } == ["listen", "tcp:8080", "http:8080/", "exec:test"])
    #expect(probes.map { $0["holds"] as? Bool } == [true, true, true, false])
    #expect(probes.last?["reason"] as? String == "exited 1")
    #expect(status["ready"] as? Bool == false)
    let text = try ebb.ask("status").output
    #expect(text.contains("\n  http:8080/: holds ("))
    #expect(text.contains("\n  exec:test: exited 1 ("))
  }

  @Test func manyWhoAskAtOnceShareOneCheck() throws {
    let folder = try TemporaryFolder()
    let ebb = try Supervised([
      "--ready-when",
      "exec:sh -c 'echo x >>\(folder.path)/asked; until test -e \(folder.path)/go; do sleep 0.02; done'",
    ])
    try ebb.waitUntilAsked()
    let asking = try (0..<8).map { _ in try ebb.start(["ready"]) }
    try wait(until: "the check runs") { !folder.read("asked").isEmpty }
    for one in asking {
      try wait(until: "it has asked") { one.hasEnded || ProcessLook(one.pid)?.state == "S" }
    }
    try open(folder)
    for one in asking { #expect(try one.finish() == .code(0)) }
    #expect(folder.read("asked").count < 16)
  }

  // MARK: - In a drain

  @Test(
    arguments: [
      ([], [:], 1), ([], ["KUBERNETES_SERVICE_HOST": "10.0.0.1"], 0),
      (["--ready-while-draining", "yes"], [:], 0),
      (["--ready-while-draining", "no"], ["KUBERNETES_SERVICE_HOST": "10.0.0.1"], 1),
      (["--ready-while-draining", "auto"], [:], 1),
    ] as [([String], [String: String], Int32)])
  func aDrainAnswersAsWasSaidWhateverTheServiceSays(
    options: [String], environment: [String: String], code: Int32
  )
    throws
  {
    let folder = try TemporaryFolder()
    try open(folder)
    let ebb = try Supervised(
      options + ["--lame-duck", "600s", "--ready-when", "exec:test -e \(folder.path)/go"],
      environment: environment)
    #expect(try ebb.ready().exit == .code(0))
    try ebb.run.signal(SIGTERM)
    try wait(until: "it drains") { try ebb.phase() == "draining" }
    try FileManager.default.removeItem(atPath: "\(folder.path)/go")
    let told = try ebb.ask("ready")
    #expect(told.exit == .code(code))
    #expect(told.errors == (code == 0 ? "" : "ebb: not ready: draining\n"))
    #expect(try ebb.status()["ready"] as? Bool == (code == 0))
  }

  @Test func aServiceThatNeverWasReadyIsNotMadeSoByADrain() throws {
    let ebb = try Supervised(
      ["--ready-while-draining", "yes", "--lame-duck", "600s", "--ready-when", "exec:false"])
    #expect(try ebb.ready().exit == .code(1))
    try ebb.run.signal(SIGTERM)
    try wait(until: "it drains") { try ebb.phase() == "draining" }
    #expect(try ebb.ask("ready").exit == .code(1))
  }

  @Test func drainedAnswersAsTheDrainDid() throws {
    for (word, code) in [("yes", 0), ("no", 1)] as [(String, Int32)] {
      let ebb = try Supervised(["--ready-while-draining", word, "--lame-duck", "0s"])
      #expect(try ebb.ready().exit == .code(0))
      #expect(try ebb.ask("drain").exit == .code(0))
      #expect(try ebb.phase() == "drained")
      #expect(try ebb.ask("ready").exit == .code(code))
    }
  }

  @Test func aPortThatNobodyListensOnIsNotReadyThoughTCPCanConnectToItself() throws {
    let network = try PrivateNetwork()
    // Of two ports to connect from, one is the probe's own.
    try network.run("sh", "-c", "echo 40000 40001 > /proc/sys/net/ipv4/ip_local_port_range")
    let ebb = try Supervised(["--ready-when", "tcp:40000"], ["sleep", "60"], in: network)
    for _ in 0..<20 {
      let told = try ebb.ready()
      #expect(told.exit == .code(1))
      #expect(told.errors == "ebb: not ready: tcp:40000: Connection refused\n")
    }
  }
}
