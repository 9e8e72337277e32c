import Linux
import Testing

@testable import Supervisor

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite struct `A probe` {
  @Test(arguments: [
    ("listen", Probe.listen), ("notify", .notify), ("tcp:80", .tcp(80)), ("tcp:65535", .tcp(65535)),
    ("http:8080/health", .http(8080, path: bytes("/health"))), ("http:80", .http(80, path: bytes("/"))),
    ("http:80/a?b=c", .http(80, path: bytes("/a?b=c"))), ("unix:/run/s.sock", .unix(bytes("/run/s.sock"))),
    ("unix:@name", .unix(bytes("@name"))), ("exec:true", .exec([bytes("true")])),
    ("exec:sh -c 'a b'", .exec([bytes("sh"), bytes("-c"), bytes("a b")])),
  ])
  func `is what the user writes`(text: String, expected: Probe) {
    #expect(Probe(bytes(text)) == expected)
  }

  @Test(arguments: [
    "", "listen ", "LISTEN", "tcp", "tcp:", "tcp:0", "tcp:65536", "tcp:80/x", "tcp:-1", "http:", "http:/x",
    "http:0/", "http:80x/", "http:80/a b", "http:80/a\r\nX: y", "http:80/\u{7f}", "unix:", "unix:relative",
    "unix:/", "exec:", "exec: ", "exec:'", "exec:''", "icmp:1",
  ])
  func `is none otherwise`(text: String) {
    #expect(Probe(bytes(text)) == nil)
  }

  @Test func `has a path that fits`() {
    #expect(Probe(bytes("unix:/" + String(repeating: "x", count: 106))) != nil)
    #expect(Probe(bytes("unix:/" + String(repeating: "x", count: 107))) == nil)
    #expect(Probe(bytes("http:1/" + String(repeating: "x", count: 1023))) != nil)
    #expect(Probe(bytes("http:1/" + String(repeating: "x", count: 1024))) == nil)
  }

  @Test func `does not tell a command's arguments, which may hold a secret`() {
    let text: Text = "\(Probe.exec([bytes("curl"), bytes("secret")]))"
    #expect(text.bytes == bytes("exec:curl"))
  }
}

@Suite struct `An HTTP request` {
  private func read(_ text: String) -> HTTPRequest.Reading { HTTPRequest.read(bytes(text)) }

  private func request(_ path: String, query: String = "", isHead: Bool = false) -> HTTPRequest.Reading {
    .request(HTTPRequest(isHead: isHead, path: bytes(path), query: bytes(query)))
  }

  @Test func `is read as it was sent`() {
    #expect(read("GET / HTTP/1.1\r\nHost: x\r\n\r\n") == request("/"))
    #expect(read("GET /readyz?a=b?c HTTP/1.0\r\n\r\n") == request("/readyz", query: "a=b?c"))
    #expect(read("HEAD /livez HTTP/1.1\n\n") == request("/livez", isHead: true))
    #expect(read("GET /a%20b HTTP/1.1\r\n\r\nbehind it") == request("/a%20b"))
  }

  @Test func `is waited for until its head is whole`() {
    let whole = bytes("GET /status HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n")
    for count in 0..<whole.count { #expect(HTTPRequest.read(Array(whole[..<count])) == .incomplete) }
    #expect(HTTPRequest.read(whole) == request("/status"))
  }

  @Test(arguments: [
    ("POST / HTTP/1.1\r\n\r\n", HTTPStatus.methodNotAllowed), ("get / HTTP/1.1\r\n\r\n", .methodNotAllowed),
    ("GET / HTTP/2.0\r\n\r\n", .versionNotSupported), ("GET /\r\n\r\n", .badRequest),
    ("GET  / HTTP/1.1\r\n\r\n", .badRequest), ("GET x HTTP/1.1\r\n\r\n", .badRequest),
    ("GET http://x/ HTTP/1.1\r\n\r\n", .badRequest), ("GET / HTTP/1.1 \r\n\r\n", .badRequest),
    ("GET /\u{1} HTTP/1.1\r\n\r\n", .badRequest), ("\u{16}\u{3}\u{1}", .badRequest),
    ("\r\n\r\n", .badRequest),
    ("GET /\u{0}", .badRequest),
  ])
  func `is refused where it makes no sense`(text: String, status: HTTPStatus) {
    #expect(read(text) == .refused(status))
  }

  @Test func `is refused where its head does not end`() {
    #expect(read("GET / HTTP/1.1\r\nX: " + String(repeating: "x", count: 4096)) == .refused(.headTooLarge))
  }

  @Test func `never traps`() {
    let letters = bytes("GET /? HTTP/1.10\r\n\r\n:\u{0}x")
    for _ in 0..<20_000 {
      _ = HTTPRequest.read((0..<Int.random(in: 0...40)).map { _ in letters.randomElement() ?? 0 })
    }
  }
}

@Suite struct `A notification` {
  @Test func `says what the service said`() {
    let all = Notification(
      bytes("READY=1\nSTATUS=up and well\nMAINPID=42\nEXTEND_TIMEOUT_USEC=1500000\nSTOPPING=1\n"))
    #expect(all.isReady)
    #expect(all.isStopping)
    #expect(all.status == bytes("up and well"))
    #expect(all.mainProcess == ProcessID(42))
    #expect(all.extend == .milliseconds(1500))
  }

  @Test(arguments: [
    "", "\n\n", "READY=0", "READY=11", "READY", "READY=1 ", " READY=1", "MAINPID=0", "MAINPID=-1",
    "MAINPID=x",
    "MAINPID=99999999999", "EXTEND_TIMEOUT_USEC=", "EXTEND_TIMEOUT_USEC=-1",
    "EXTEND_TIMEOUT_USEC=99999999999999999999",
    "WATCHDOG=1", "X_READY=1",
  ])
  func `is nothing where it makes no sense`(text: String) {
    let nothing = Notification(bytes(text))
    #expect(!nothing.isReady)
    #expect(!nothing.isStopping)
    #expect(nothing.status == nil)
    #expect(nothing.mainProcess == nil)
    #expect(nothing.extend == nil)
  }

  @Test func `has a status that is cut where it is too long`() {
    #expect(Notification(bytes("STATUS=" + String(repeating: "x", count: 5000))).status?.count == 256)
  }
}

@Suite struct `The control protocol` {
  @Test func `reads back every request that it writes, and nothing else`() {
    for request: ControlRequest in [.ready, .live, .drain, .status, .statusWatch, .statusJSON] {
      #expect(ControlRequest(request.text.bytes) == request)
    }
    for text in ["", "ready ", " ready", "READY", "drain\n", "status xml", "ready\u{0}"] {
      #expect(ControlRequest(bytes(text)) == nil)
    }
  }

  @Test func `reads back every answer that it writes, and nothing else`() {
    for answer: ControlAnswer in [.yes("serving"), .no(""), .refused("a\nb"), .progress("+ x")] {
      #expect(ControlAnswer(answer.text.bytes) == answer)
    }
    for text in ["", "+", "+x", "? x", " +"] { #expect(ControlAnswer(bytes(text)) == nil) }
  }

  @Test func `has an address that fits into a socket's name`() throws {
    func address(_ text: String) -> ControlAddress? { bytes(text).withCString { ControlAddress($0) } }
    #expect(try address("off")?.name() == nil)
    #expect(try address("auto")?.name()?.hasPrefix("@ebb-") == true)
    for text in ["", "@", "/", "name", "OFF", "@" + String(repeating: "x", count: 107)] {
      #expect(address(text) == nil, "\(text)")
    }
    #expect(address("@" + String(repeating: "x", count: 106)) != nil)
  }
}

@Suite struct `An address to listen on` {
  @Test(arguments: [
    ("9100", "", 9100 as UInt16), (":9100", "", 9100), ("127.0.0.1:80", "127.0.0.1", 80),
    ("[::1]:1", "::1", 1),
    ("0.0.0.0:65535", "0.0.0.0", 65535), ("[::]:80", "::", 80),
  ])
  func `is what the user writes`(text: String, address: String, port: UInt16) throws {
    let parsed = try #require(ListenAddress(bytes(text)))
    #expect(parsed.address == bytes(address))
    #expect(parsed.port == port)
  }

  @Test(arguments: [
    "", ":", "0", "65536", "localhost:80", "127.0.0.1", "::1:80", "[::1]", "[::1]80", "127.0.0.1:",
    "1.2.3:80",
    "[127.0.0.1:80", "127.0.0.1:80 ", "256.0.0.1:80", "[]:80",
  ])
  func `is none otherwise`(text: String) {
    #expect(ListenAddress(bytes(text)) == nil)
  }
}
