import Foundation
import Testing

/// Services to which nobody connects.
@Suite struct `A worker` {
  private static let kubernetes = ["KUBERNETES_SERVICE_HOST": "10.0.0.1"]

  /// Ends by TERM, and says so.
  private static let worker = [
    "python3", "-c",
    "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); print('at work', flush=True); signal.pause()",
  ]

  private func seconds(_ service: Supervised) throws -> Double {
    let line = try #require(service.run.errors.lines.last { $0.contains("\"released\"") })
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    return try #require((object["seconds"] as? NSNumber)?.doubleValue)
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func `is told to stop at once, so that it takes no new work`() throws {
    let service = try Supervised(["--log", "json"], Self.worker, environment: Self.kubernetes)
    try service.run.waitForLine(containing: "at work")
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(0))
    // In Kubernetes a server has up to ten seconds in which traffic leaves.
    #expect(try seconds(service) < 5)
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func `with a port for its metrics says that it is one`() throws {
    let server = "import http.server as h; h.HTTPServer(('', 9100), h.BaseHTTPRequestHandler).serve_forever()"
    let service = try Supervised(
      ["--log", "json", "--ready-when", "alive"], ["python3", "-c", server], environment: Self.kubernetes)
    try service.network.waitUntilListening(on: 9100)
    #expect(try service.ask("ready").exit == .code(0))
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(143))
    #expect(try seconds(service) < 5)
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func `that did not say so is told how to`() throws {
    let service = try Supervised([], Self.worker)
    try service.run.waitForLine(containing: "at work")
    let told = try service.ask("ready")
    #expect(told.exit == .code(1))
    #expect(told.errors.contains("a worker has --ready-when alive"))
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func `has no port because of a resolver's or a metrics client's socket`() throws {
    let script = """
      import signal, socket, sys
      signal.signal(15, lambda *_: sys.exit(0))
      asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); asked.sendto(b"x", ("127.0.0.1", 53))
      statsd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); statsd.connect(("127.0.0.1", 8125))
      private = socket.socket(socket.AF_UNIX); private.bind("\\0worker"); private.listen()
      print("at work", flush=True)
      signal.pause()
      """
    let service = try Supervised(["--log", "json"], ["python3", "-c", script], environment: Self.kubernetes)
    try service.run.waitForLine(containing: "at work")
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(0))
    #expect(try seconds(service) < 5)
  }
}
