import Inet
import Linux
import Testing

@testable import Supervisor

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite struct `A probe` {
  @Test(arguments: [
    ("listen", Probe.listen), ("notify", .notify), ("tcp:80", .tcp(80)), ("tcp:65535", .tcp(65535)),
    ("unix:/run/s.sock", .unix(bytes("/run/s.sock"))), ("unix:@name", .unix(bytes("@name"))),
    ("exec:true", .exec([bytes("true")])),
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
    #expect(Probe(bytes("http:1/" + String(repeating: "x", count: 1017))) != nil)
    #expect(Probe(bytes("http:1/" + String(repeating: "x", count: 1018))) == nil)
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

@Suite struct `A request` {
  @Test(arguments: [
    ("http:8080/health", "GET /health HTTP/1.1\r\nHost: localhost:8080\r\n", HTTPTarget.Place.loopback(8080)),
    ("http:80", "GET / HTTP/1.1\r\nHost: localhost:80\r\n", .loopback(80)),
    ("http:80/a?b=c", "GET /a?b=c HTTP/1.1\r\nHost: localhost:80\r\n", .loopback(80)),
    ("http:80?b", "GET /?b HTTP/1.1\r\nHost: localhost:80\r\n", .loopback(80)),
    ("http://localhost/x", "GET /x HTTP/1.1\r\nHost: localhost\r\n", .loopback(80)),
    (
      "POST http://127.0.0.1:9901/drain_listeners?graceful",
      "POST /drain_listeners?graceful HTTP/1.1\r\nHost: 127.0.0.1:9901\r\n",
      .address(Endpoint(isIPv6: false, high: 0, low: 0x7f00_0001, port: 9901))
    ),
    (
      "http://[::1]:8080", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n",
      .address(Endpoint(isIPv6: true, high: 0, low: 1, port: 8080))
    ),
    (
      "PUT --unix-socket /run/app.sock http://app/drain", "PUT /drain HTTP/1.1\r\nHost: app\r\n",
      .unix(bytes("/run/app.sock"))
    ),
  ])
  func `is what the user writes`(text: String, head: String, place: HTTPTarget.Place) throws {
    #expect(HTTPTarget.isMeant(by: bytes(text)))
    let target = try #require(HTTPTarget(bytes(text)))
    #expect(target.place == place)
    let request = String(decoding: target.request, as: UTF8.self)
    #expect(request.hasPrefix(head))
    #expect(request.hasSuffix("Connection: close\r\n\r\n"))
    #expect(request.contains("Content-Length: 0\r\n") == !request.hasPrefix("GET"))
  }

  @Test(arguments: [
    "http:", "http:/x", "http:0/", "http:80x/", "http:80/a b", "http:80/a\r\nX: y", "http:80/\u{7f}",
    "http://",
    "http:///x", "http://example.org/", "https://127.0.0.1/", "http://127.0.0.1:/", "http://127.0.0.1:x/",
    "http://127.0.0.1:0/", "http://::1/", "http://[127.0.0.1]/", "http://[::1/", "http://a@127.0.0.1/",
    "http:80/#here", "POST  http:80/", "--unix-socket run/s http://a/", "--unix-socket /run/s",
    "--unix-socket /run/s http:80/", "--unix-socket / http://a/",
  ])
  func `is refused otherwise, and no command`(text: String) {
    #expect(HTTPTarget.isMeant(by: bytes(text)) || text.hasPrefix("POST  "))
    #expect(HTTPTarget(bytes(text)) == nil)
  }

  @Test func `is told from a command`() {
    for command in ["curl http://127.0.0.1/", "sh -c 'GET http://x'", "POST", "./http:80", "post http:80/"] {
      #expect(!HTTPTarget.isMeant(by: bytes(command)))
    }
  }

  @Test func `is shown without its query, which may hold a secret`() throws {
    let text: Text = "\(try #require(HTTPTarget(bytes("POST http:80/stop?token=secret"))))"
    #expect(text.bytes == bytes("POST http:80/stop"))
  }
}

@Suite struct `An answer` {
  /// The status, and whether it was over at the end of these pieces and not before.
  private func read(_ pieces: [String]) -> (status: UInt16?, isOver: Bool, isForeign: Bool) {
    var answer = HTTPAnswer()
    for (number, piece) in pieces.enumerated() {
      answer.take(bytes(piece))
      if answer.isOver && number < pieces.count - 1 { return (nil, true, answer.isForeign) }
    }
    return (answer.status, answer.isOver, answer.isForeign)
  }

  private let heads: [(String, UInt16, Bool)] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, true),
    ("HTTP/1.1 200 OK\r\ncontent-LENGTH:5\r\n\r\nhello", 200, true),
    ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", 200, false),
    ("HTTP/1.0 503 no\n\nsorry", 503, false),
    ("HTTP/1.1 204 \r\n\r\n", 204, true),
    (
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n",
      404, true
    ),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, true),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, true),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 200, false),
  ]

  @Test func `is over when it is whole, however it comes in`() {
    for (head, status, isOver) in heads {
      let whole = read([head])
      #expect(whole == (status, isOver, false), "\(head)")
      let single = read(head.map { String($0) })
      #expect(single == (status, isOver, false), "\(head)")
    }
  }

  @Test func `is none where it is another protocol's`() {
    for other in ["SSH-2.0-x\r\n", "\0\0", "HTTPS", "+OK\r\n", "HTTP/1.1 xyz\r\n\r\n", "HTTP/1.1 99\r\n\r\n"]
    {
      #expect(read([other]).isForeign, "\(other)")
    }
    #expect(read([String(repeating: "HTTP/1.1 200 OK\r\nX: y\r\n", count: 1000)]).isForeign)
    #expect(!read(["HT"]).isForeign)
  }

  @Test func `is read no further than a bound`() {
    let head = "HTTP/1.1 200 OK\r\n\r\n"
    #expect(!read([head, String(repeating: "x", count: 1000)]).isOver)
    #expect(read([head, String(repeating: "x", count: 70_000)]) == (200, true, false))
  }
}
