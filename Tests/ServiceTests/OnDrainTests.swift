import Foundation
import Testing

/// Requests that ebb makes as the drain begins, for images that have neither a shell nor curl.
@Suite struct `A request of --on-drain` {
  /// Answers every request with the status that its path says, after as many seconds, and tells of it.
  private static let server = """
    import http.server, socketserver, sys, threading, time
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def answer(self):
            print(self.command, self.path, self.headers["Host"], flush=True)
            status, _, pause = self.path.partition("?")[0].strip("/").partition("/")
            time.sleep(float(pause or 0))
            self.send_response(int(status))
            self.send_header("Content-Length", "0")
            self.end_headers()
        do_GET = do_POST = do_PUT = answer
        def address_string(self): return ""
        def log_message(self, *words): pass
    class Unix(socketserver.ThreadingUnixStreamServer):
        server_name, server_port = "", 0
    threading.Thread(target=Unix(sys.argv[1], Handler).serve_forever, daemon=True).start()
    http.server.ThreadingHTTPServer(("127.0.0.1", 9901), Handler).serve_forever()
    """

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func start(_ steps: [String], options: [String] = ["--verbose"]) throws -> Supervised {
    let path = "\(folder.path)/s"
    let ebb = try Supervised(
      options + steps.flatMap { ["--on-drain", $0.replacingOccurrences(of: "SOCKET", with: path)] },
      ["python3", "-c", Self.server, path])
    try ebb.network.waitUntilListening(on: 9901)
    return ebb
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func `is made in its turn, one after the other, with commands between`() throws {
    let ebb = try start([
      "POST http://127.0.0.1:9901/200?graceful", "sh -c 'echo a command'", "http:9901/204/0.3",
      "PUT --unix-socket SOCKET http://app/201", "sh -c 'echo the last'",
    ])
    try ebb.run.signal(SIGTERM)
    #expect(try ebb.run.finish() == .code(143))
    #expect(
      ebb.run.output.lines == [
        "POST /200?graceful 127.0.0.1:9901", "a command", "GET /204/0.3 localhost:9901", "PUT /201 app",
        "the last",
      ])
    let told = ebb.run.errors.lines.filter { $0.contains("--on-drain") }
    #expect(told.count == 3, "\(told)")
    #expect(told.first == "ebb: --on-drain: POST http://127.0.0.1:9901/200: answered 200")
    #expect(ebb.run.report.contains("0 requests cut off, 0 connections reset"), "\(ebb.run.report)")
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func `holds off the stop signal until it is answered`() throws {
    let ebb = try start(["http:9901/200/1"])
    try ebb.run.signal(SIGTERM)
    #expect(try ebb.run.finish() == .code(143))
    let lines = ebb.run.errors.lines
    let answered = try #require(lines.firstIndex { $0.contains("answered 200") })
    let stopping = try #require(lines.firstIndex { $0.contains("stopping: ") })
    #expect(answered < stopping)
  }

  @Test(
    .requires(.root, .namespaces, .tool("python3")),
    arguments: [
      ("POST http:9901/503", "POST http:9901/503: answered 503"),
      ("http:9902/", "http:9902/: Connection refused"),
      (
        "GET --unix-socket /no/such http://a/",
        "GET --unix-socket /no/such http://a/: No such file or directory"
      ),
      ("http:9901/200/20", "http:9901/200/20: no answer within 5.00s"),
    ])
  func `that fails is told in a line, and what follows is done all the same`(step: String, line: String)
    throws
  {
    let ebb = try start([step, "sh -c 'echo the next'"], options: ["--quiet"])
    try ebb.run.signal(SIGTERM)
    #expect(try ebb.run.finish() == .code(143))
    #expect(ebb.run.errors.lines.first == "ebb: --on-drain: \(line)", "\(ebb.run.errors.text)")
    #expect(ebb.run.output.lines.last == "the next")
  }
}
