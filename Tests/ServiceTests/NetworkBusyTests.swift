import Foundation
import Testing

/// What is in progress when the stop signal is due. tide dies here of a TERM, like a service that has no
/// graceful stop: only ebb's waiting can save an answer.
struct NetworkBusyTests {
  private static let abrupt = ["--on-term", "exit"]

  @Test(.requires(.root, .namespaces), arguments: ["127.0.0.1", "::1", "mapped"])
  func aRequestInProgressHoldsOffTheStopSignalUntilItIsAnswered(address: String) throws {
    let network = try PrivateNetwork()
    // The one that listens on both families has IPv4 clients as ::ffff:127.0.0.1.
    let place = ["127.0.0.1": "127.0.0.1:8080", "::1": "[::1]:8080"][address] ?? "8080"
    let run = try Running.ebb(
      ["--busy-max", "60s", "--verbose"], tide: NetworkBusyTests.abrupt + ["--listen", place], in: network)
    let client = try Client(address == "mapped" ? "127.0.0.1" : address, 8080, from: network)
    try client.request("/slow?ms=700&n=100000")
    try network.waitUntilUnread(0, on: 8080)
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "draining: SIGTERM; 1 connection, 1 busy", on: .errors)
    let answer = client.answer()
    #expect(answer.body == 100_000)
    // Kept open, it is not waited for once it has been answered.
    #expect(try run.finish() == .code(143))
    #expect(run.errors.text.contains("ebb: stopping: SIGTERM to pid"))
    #expect(run.report.contains("8080 free"))
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func pythonsServerWhichHasNoGracefulStopAnswersItsLastRequest() throws {
    let network = try PrivateNetwork()
    let script = """
      import http.server, time
      class Handler(http.server.BaseHTTPRequestHandler):
          def do_GET(self):
              time.sleep(1)
              self.send_response(200)
              self.send_header("Content-Length", "5")
              self.end_headers()
              self.wfile.write(b"done\\n")
      http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
      """
    let run = try Running(
      [try Binary.ebb.path(), "--", "python3", "-c", script], entering: network.entry)
    try network.waitUntilListening(on: 8080)
    let client = try Client(from: network, 8080)
    try client.request("/")
    try network.waitUntilUnread(0, on: 8080)
    try run.signal(SIGTERM)
    #expect(client.answer().body == 5)
    #expect(try run.finish() == .code(143))
    #expect(run.report.contains(", 0 connections reset, 0 bytes lost; exit 143"))
  }

  @Test(.requires(.root, .namespaces)) func anIdleKeptConnectionHoldsOffNothing() throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb(
      ["--busy-max", "60s", "--verbose"], tide: NetworkBusyTests.abrupt, in: network)
    let clients = try (0..<3).map { _ in try Client(from: network, 8080) }
    for client in clients {
      try client.request("/")
      #expect(client.answer().end == .more)
    }
    let end = try run.stop()
    #expect(end.exit == .code(143))
    // It has just sent: a second look, a moment later, tells that this was the end of an answer.
    #expect(end.seconds < 10)
    #expect(run.errors.text.contains("ebb: stopping: SIGTERM to pid"))
  }

  @Test(.requires(.root, .namespaces)) func aNewcomerDoesNotProlongTheWait() throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb(
      ["--busy-max", "60s", "--verbose"], tide: NetworkBusyTests.abrupt, in: network)
    let first = try Client(from: network, 8080)
    try first.request("/slow?ms=800")
    try network.waitUntilUnread(0, on: 8080)
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "draining: SIGTERM; 1 connection, 1 busy", on: .errors)
    // The kept connection's next request is a newcomer as well.
    let newcomer = try Client(from: network, 8080)
    try newcomer.request("/hold")
    #expect(first.answer().end == .more)
    try first.request("/hold")
    #expect(try run.finish() == .code(143))
    #expect(newcomer.answer().end != .more)
  }

  @Test(
    .requires(.root, .namespaces),
    arguments: ["/hold", "/stream?pieces=1000000&ms=20&n=1000"])
  func whatDoesNotEndHoldsOffTheStopSignalUntilBusyMax(path: String) throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb(
      ["--busy-max", "1500ms", "--verbose"], tide: NetworkBusyTests.abrupt, in: network)
    let client = try Client(from: network, 8080)
    try client.request(path)
    try network.waitUntilUnread(0, on: 8080)
    if path != "/hold" { #expect(client.read().end == .more) }
    let end = try run.stop()
    #expect(end.exit == .code(143))
    #expect(end.seconds >= 1.5)
    #expect(run.errors.text.contains("ebb: stopping: 1 still busy; SIGTERM to pid"))
  }

  @Test(.requires(.root, .namespaces, .tool("gcc")), arguments: [true, false])
  func whereNetlinkIsRefusedTheQueuesTellWhoIsBusyAndOfNobodyElseCanItBeTold(isUnread: Bool) throws {
    let without = try WithoutNetlink()
    let network = try PrivateNetwork()
    let run = try Running.ebb(
      ["--busy-max", "1500ms", "--undecided-max", "600ms", "--verbose"], tide: NetworkBusyTests.abrupt,
      in: network,
      behind: without.command)
    let client = try Client(from: network, 8080)
    try client.request("/unread")
    try network.waitUntilUnread(0, on: 8080)
    if isUnread { try client.send("more") }
    let end = try run.stop()
    #expect(end.exit == .code(143))
    #expect(
      run.errors.text.contains(
        "draining: SIGTERM; 1 connection, \(isUnread ? "1 busy" : "0 busy, 1 undecided")"))
    #expect(end.seconds >= (isUnread ? 1.5 : 0.6))
    #expect(run.errors.text.contains("1 still busy") == isUnread)
  }

  @Test(.requires(.root, .namespaces)) func aStopThatLastsHasSaidWhoIsWaitedFor() throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb(["--busy-max", "60s"], tide: NetworkBusyTests.abrupt, in: network)
    let client = try Client(from: network, 8080)
    try client.request("/hold")
    try network.waitUntilUnread(0, on: 8080)
    try run.signal(SIGTERM)
    let line = try run.waitForLine(containing: "still draining after 5", on: .errors)
    #expect(line.contains("1 connection waited for (one is "))
    #expect(line.contains("requests in progress on 1"))
    #expect(
      line.contains(" more at most; Docker kills after 10 s, Kubernetes after 30 s, unless told otherwise"))
    client.close()
    #expect(try run.finish() == .code(143))
    #expect(run.errors.lines.filter { !$0.isEmpty }.count == 2)
  }

  // MARK: - The lame duck

  @Test(.requires(.root, .namespaces)) func duringTheLameDuckNewConnectionsAreServed() throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb(
      ["--lame-duck", "1500ms", "--verbose"], tide: NetworkBusyTests.abrupt, in: network)
    let began = Date()
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "draining", on: .errors)
    for _ in 0..<20 {
      let client = try Client(from: network, 8080)
      try client.request("/", closing: true)
      #expect(client.answer().end == .more)
    }
    #expect(!run.errors.text.contains("stopping"))
    #expect(try run.finish() == .code(143))
    #expect(Date().timeIntervalSince(began) >= 1.5)
  }

  @Test(.requires(.root, .namespaces)) func onlyInKubernetesIsThereALameDuckByDefault() throws {
    for environment in [[:], ["KUBERNETES_SERVICE_HOST": "10.0.0.1"]] {
      let network = try PrivateNetwork()
      let run = try Running.ebb(
        ["--grace", "4s", "--verbose"], tide: NetworkBusyTests.abrupt, in: network, environment: environment)
      let end = try run.stop()
      #expect(end.exit == .code(143))
      // 10 s, but no more than half of the grace.
      #expect((end.seconds >= 2) == !environment.isEmpty)
    }
  }

  // MARK: - At rest

  @Test(.requires(.root, .namespaces)) func trafficDoesNotWakeEbb() throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb([], in: network)
    func switches() throws -> Int {
      let look = try #require(ProcessLook(run.pid))
      return look.voluntarySwitches + (look.status["nonvoluntary_ctxt_switches"].flatMap { Int($0) } ?? 0)
    }
    let kept = try (0..<10).map { _ in try Client(from: network, 8080) }
    var before = -1
    try wait(until: "ebb has come to rest") {
      defer { before = (try? switches()) ?? -1 }
      usleep(50_000)
      return try switches() == before
    }
    for _ in 0..<50 {
      for client in kept {
        try client.request("/bytes?n=2000")
        #expect(client.answer().body == 2000)
      }
      try Client(from: network, 8080).close()
    }
    #expect(try switches() == before)
  }
}
