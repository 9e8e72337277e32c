import Foundation
import Testing

/// `tide load` does what its options say, and `tide serve` takes it: what other tests measure with these two is as
/// untidy as it is meant to be.
@Suite struct LoadClientTests {
  // MARK: - Shapes, as the other side sees them

  @Test(.requires(.tool("python3")), arguments: [("plain", 1), ("two-writes", 2)])
  func aHeadAndABodyComeInAsManySegmentsAsWrites(shape: String, segments: Int) throws {
    let witness = try Witness(
      """
      c = Connection()
      c.head()
      c.body(500)
      say("segments", c.segments())
      c.send(ANSWER)
      """)
    let load = try witness.load("--shape", shape, "--body", "500", "--requests", "1")
    #expect(load.exit == .code(0), "\(load.text)")
    try witness.run.waitForLine(containing: "segments \(segments)")
  }

  @Test(.requires(.tool("python3")))
  func theBodyComesWhenTheServiceHasSaidContinue() throws {
    let witness = try Witness(
      """
      c = Connection()
      say("expects", "Expect: 100-continue" in c.head())
      c.send("HTTP/1.1 102 Processing\\r\\n\\r\\n")
      say("unasked", c.more(within=0.2))
      c.send("HTTP/1.1 100 Continue\\r\\n\\r\\n")
      c.body(1000)
      c.send(ANSWER)
      say("answered")
      """)
    let load = try witness.load("--shape", "expect", "--requests", "1")
    #expect(load.exit == .code(0), "\(load.text)")
    try witness.run.waitForLine(containing: "answered")
    #expect(witness.run.output.lines.suffix(3) == ["expects True", "unasked ''", "answered"])
  }

  @Test(.requires(.tool("python3")))
  func aServiceThatNeverSaysContinueGetsTheBodyAfterASecond() throws {
    let witness = try Witness(
      """
      c = Connection()
      c.head()
      began = time.monotonic()
      c.body(1000)
      say("in time", time.monotonic() - began > 0.8)
      c.send(ANSWER)
      """)
    let load = try witness.load("--shape", "expect", "--requests", "1")
    #expect(load.exit == .code(0), "\(load.text)")
    try witness.run.waitForLine(containing: "in time True")
  }

  @Test(.requires(.tool("python3")))
  func anAnswerInsteadOfContinueIsTheAnswerAndTheConnectionIsNotUsedAgain() throws {
    let witness = try Witness(
      """
      for _ in range(2):
          c = Connection()
          c.head()
          c.send(ANSWER)
          say("body", repr(c.rest()))
      """)
    let load = try witness.load(
      "--shape", "expect", "--closed-loop", "--keep-alive", "1", "--requests", "2")
    #expect(load.exit == .code(0), "\(load.text)")
    try witness.run.waitForLine(containing: "body ''", times: 2)
  }

  @Test(.requires(.tool("python3")))
  func aHalfClosingClientSendsItsEndBeforeItHasItsAnswer() throws {
    let witness = try Witness(
      """
      c = Connection()
      c.head()
      say("rest", repr(c.rest()))
      c.send(ANSWER)
      """)
    let load = try witness.load("--shape", "half-close", "--requests", "1")
    #expect(load.exit == .code(0), "\(load.text)")
    #expect(load.text.contains("1 request: 1 answered, 0 failed"), "\(load.text)")
    try witness.run.waitForLine(containing: "rest ''")
  }

  @Test(.requires(.tool("python3")))
  func interimAnswersAreReadOverHoweverTheyComeInPieces() throws {
    let witness = try Witness(
      """
      c = Connection()
      c.head()
      for byte in "HTTP/1.1 103 Early Hints\\r\\nLink: </a>\\r\\n\\r\\nHTTP/1.1 100 Continue\\r\\n\\r\\n" + ANSWER:
          c.send(byte)
      """)
    let load = try witness.load("--requests", "1")
    #expect(load.exit == .code(0), "\(load.text)")
  }

  @Test(.requires(.tool("python3")))
  func anInterimAnswerAloneIsNone() throws {
    let witness = try Witness(
      """
      c = Connection()
      c.head()
      c.send("HTTP/1.1 100 Continue\\r\\n\\r\\n")
      c.body(1000)
      c.close()
      """)
    let load = try witness.load("--shape", "expect", "--requests", "1")
    #expect(load.exit == .code(1))
    #expect(load.text.contains("1 unanswered"), "\(load.text)")
  }

  // MARK: - Closed loops

  @Test func aClosedLoopMakesItsRequestsOnTheConnectionsThatItKeeps() throws {
    let service = try Service.tide()
    let load = try service.load(
      "--closed-loop", "--keep-alive", "3", "--requests", "30", "--path", "/slow?ms=5")
    #expect(load.exit == .code(0), "\(load.text)")
    #expect(load.text.contains("30 requests: 30 answered, 0 failed"), "\(load.text)")
    #expect(try service.stop().contains("30 answers on 3 connections, 0 still open"))
  }

  @Test func aClosedLoopThinksBeforeItAsksAgainOverTheSameConnection() throws {
    let service = try Service.tide()
    let load = try service.load(
      "--closed-loop", "--keep-alive", "2", "--requests", "6", "--think", "200ms", "--ramp", "10ms", "--json")
    #expect(load.exit == .code(0), "\(load.text)")
    let result = try #require(
      try JSONSerialization.jsonObject(with: Data(load.text.utf8)) as? [String: Any])
    #expect(result["answered"] as? Int == 6)
    // Three requests each, and so two times to think.
    #expect(try #require(result["last_sent"] as? Double) >= 0.4)
    #expect(try service.stop().contains("6 answers on 2 connections"))
  }

  @Test func aConnectionThatTheServiceClosesMeanwhileIsReplaced() throws {
    let service = try Service.tide("--idle-timeout", "20ms")
    let load = try service.load("--closed-loop", "--keep-alive", "1", "--requests", "3", "--think", "500ms")
    #expect(load.exit == .code(0), "\(load.text)")
    #expect(try service.stop().contains("3 answers on 3 connections"))
  }

  @Test(.requires(.tool("python3")))
  func aFailureOpensANewConnection() throws {
    let witness = try Witness(
      """
      for _ in range(3):
          c = Connection()
          c.head()
          c.send(ANSWER)
          c.head()
          c.close()
      say("served")
      """)
    let load = try witness.load("--closed-loop", "--keep-alive", "1", "--requests", "6")
    #expect(load.exit == .code(1))
    #expect(
      load.text.contains("6 requests: 3 answered, 3 failed (0 refused, 0 reset, 3 unanswered"),
      "\(load.text)")
    try witness.run.waitForLine(containing: "served")
  }

  // MARK: - What takes it

  private static let shapes = [
    ["--shape", "plain"], ["--shape", "plain", "--body", "100000", "--keep-alive", "2"],
    ["--shape", "two-writes"], ["--shape", "two-writes", "--closed-loop", "--keep-alive", "2"],
    ["--shape", "two-writes", "--body", "300000", "--keep-alive", "2"],
    ["--shape", "expect"], ["--shape", "expect", "--closed-loop", "--keep-alive", "2"],
    ["--shape", "half-close"], ["--shape", "half-close", "--body", "1000"],
  ]

  @Test(arguments: ["/slow?ms=20", "/stream?pieces=3&ms=5&n=50"])
  func tideServeAnswersEveryShape(path: String) throws {
    try answersEveryShape(try Service.tide(), path: path)
  }

  @Test(.requires(.tool("python3"))) func pythonsServerAnswersEveryShape() throws {
    try answersEveryShape(try Service.python(), path: "/")
  }

  @Test(.requires(.root, .tool("nginx"))) func nginxAnswersEveryShape() throws {
    try answersEveryShape(try Service.nginx(), path: "/")
  }

  private func answersEveryShape(_ service: Service, path: String) throws {
    for shape in LoadClientTests.shapes {
      let load = try service.load(arguments: shape + ["--requests", "10", "--path", path, "--verbose"])
      #expect(load.exit == .code(0), "\(shape): \(load.text)")
      #expect(load.text.contains("10 requests: 10 answered, 0 failed"), "\(shape): \(load.text)")
    }
  }

  @Test func tideServeSaysContinueAndWaitsForTheBodyInAStopToo() throws {
    let service = try Service.tide()
    let client = try Client("127.0.0.1", service.port)
    func read() -> String { String(decoding: client.read().bytes, as: UTF8.self) }
    try client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    #expect(read() == "HTTP/1.1 100 Continue\r\n\r\n")
    try client.send("he")
    try service.run.signal(SIGTERM)
    try wait(until: "it takes nobody any more") { (try? Client("127.0.0.1", service.port)) == nil }
    try client.send("llo")
    let answer = read()
    #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.contains("Connection: close\r\n"), "\(answer)")
    #expect(try service.run.finish() == .code(0))
  }

  // MARK: - Words that cannot be meant

  @Test(arguments: [
    ["--shape", "crooked"], ["--shape", "half-close", "--keep-alive", "2"], ["--closed-loop"],
    ["--closed-loop", "--keep-alive", "2", "--rate", "5"], ["--rate", "5", "--think", "1s"], ["--body", "0"],
    ["--keep-alive", "2", "--connections", "3"],
  ])
  func wordsThatCannotBeMeantAreRefused(words: [String]) throws {
    let load = try Running([try Binary.tide.path(), "load", "1"] + words)
    #expect(try load.finish() == .code(64))
    #expect(load.errors.lines.count == 1, "\(load.errors.text)")
  }
}

// MARK: - Services

/// A service on a port of the loopback interface, which it tells with "listening on"; stopped with this value.
private struct Service {
  let run: Running
  let port: UInt16
  private let folder: TemporaryFolder?

  /// Starts it, and waits until it listens.
  init(_ words: [String]) throws {
    run = try Running(words)
    let line = try run.waitForLine(containing: "listening on ")
    guard let port = line.split(separator: " ").last.flatMap({ UInt16($0) }) else { throw Unusable(line) }
    self.port = port
    folder = nil
  }

  private init(_ run: Running, port: UInt16, folder: TemporaryFolder) {
    self.run = run
    self.port = port
    self.folder = folder
  }

  static func tide(_ words: String...) throws -> Service {
    try Service([try Binary.tide.path(), "serve", "--listen", "127.0.0.1:0"] + words)
  }

  /// Python's own server, which reads the bodies of POST.
  static func python() throws -> Service {
    let program = #"""
      import http.server
      class Handler(http.server.BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          def do_GET(self):
              self.send_response(200)
              self.send_header("Content-Length", "5")
              self.end_headers()
              self.wfile.write(b"done\n")
          def do_POST(self):
              self.rfile.read(int(self.headers["Content-Length"]))
              self.do_GET()
          def log_message(self, *words): pass
      server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
      print("listening on", server.server_port, flush=True)
      server.serve_forever()
      """#
    return try Service(["python3", "-I", "-S", "-c", program])
  }

  /// nginx, which answers at once and throws bodies away.
  static func nginx() throws -> Service {
    let folder = try TemporaryFolder()
    let port = try freePort()
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
      "\($0)_temp_path \(folder.path)/\($0); "
    }
    let file = try folder.write(
      "nginx.conf",
      """
      daemon off;
      worker_processes 1;
      pid \(folder.path)/nginx.pid;
      error_log stderr error;
      events { worker_connections 64; }
      http {
        access_log off;
        \(temporary.joined())
        server { listen 127.0.0.1:\(port); location / { return 200 "done\\n"; } }
      }
      """)
    let run = try Running(["nginx", "-e", "stderr", "-p", folder.path, "-c", file])
    try wait(until: "nginx listens") { (try? Client("127.0.0.1", port)) != nil }
    return Service(run, port: port, folder: folder)
  }

  /// What came of a load: its exit, and what it has written.
  func load(_ words: String...) throws -> Load { try load(arguments: words) }

  func load(arguments words: [String]) throws -> Load {
    let run = try Running([try Binary.tide.path(), "load", "\(port)"] + words)
    return Load(exit: try run.finish(), text: run.output.text + run.errors.text)
  }

  struct Load {
    let exit: Exit
    let text: String
  }

  /// Stops `tide serve`, and gives what it says of its clients.
  func stop() throws -> String {
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(0))
    return run.output.text
  }
}

/// A service that sees what a client sends, step by step, in python: a test's lines are what it does.
private struct Witness {
  private let service: Service
  var run: Running { service.run }

  init(_ lines: String) throws {
    service = try Service(["python3", "-I", "-S", "-c", "\(Witness.functions)\n\(lines)"])
  }

  func load(_ words: String...) throws -> Service.Load { try service.load(arguments: words) }

  private static let functions = #"""
    import socket, struct, time
    ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ndone\n"
    def say(*words): print(*words, flush=True)
    server = socket.create_server(("127.0.0.1", 0))
    say("listening on", server.getsockname()[1])
    class Connection:
        def __init__(self):
            self.socket = server.accept()[0]
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.left = b""
        def read(self):
            piece = self.socket.recv(65536)
            if not piece: raise SystemExit("the client has closed")
            self.left += piece
        def head(self):
            while b"\r\n\r\n" not in self.left: self.read()
            head, self.left = self.left.split(b"\r\n\r\n", 1)
            return head.decode()
        def body(self, size):
            while len(self.left) < size: self.read()
            self.left = self.left[size:]
        # What else has come, or does within this time.
        def more(self, within):
            self.socket.settimeout(within)
            try: self.left += self.socket.recv(65536)
            except TimeoutError: pass
            self.socket.settimeout(None)
            return repr(self.left.decode())
        # All to the client's end.
        def rest(self):
            while piece := self.socket.recv(65536): self.left += piece
            return self.left.decode()
        # How many segments with data have come, tcp_info of linux/tcp.h.
        def segments(self):
            return struct.unpack_from("I", self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 152)[0]
        def send(self, text): self.socket.sendall(text.encode())
        def close(self): self.socket.close()
    """#
}
