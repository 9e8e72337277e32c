import Foundation
import Testing

/// The pages of --http, asked over a socket that sends what is written here and nothing else.
@Suite(.requires(.root, .namespaces))
struct HTTPTests {
  private static let on = ["--http", "127.0.0.1:9100"]

  // MARK: - Pages

  @Test func livezIsYesWhileThereIsAService() throws {
    let ebb = try Supervised(Self.on + ["--ready-when", "exec:false"])
    let answer = try ebb.get("/livez")
    #expect(answer.status == 200)
    #expect(answer.body == "live: starting\n")
    #expect(answer.head.hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(answer.head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"))
    #expect(answer.head.contains("\r\nContent-Length: 15\r\n"))
    #expect(answer.head.contains("\r\nConnection: close"))
  }

  @Test func readyzAsksTheProbes() throws {
    let folder = try TemporaryFolder()
    let ebb = try Supervised(
      Self.on + ["--ready-when", "listen", "--ready-when", "exec:test -e \(folder.path)/go"])
    let before = try ebb.get("/readyz")
    #expect(before.status == 503)
    #expect(before.body == "not ready: exec:test: exited 1\n")
    let verbose = try ebb.get("/readyz?verbose")
    #expect(verbose.status == 503)
    #expect(
      verbose.body
        == "[+]listen ok\n[-]exec:test failed: exited 1\n[-]phase starting\nreadyz check failed\n")
    try folder.write("go", "")
    #expect(try ebb.get("/readyz").status == 200)
    let after = try ebb.get("/readyz?verbose=1")
    #expect(after.status == 200)
    #expect(after.body == "[+]listen ok\n[+]exec:test ok\n[+]phase serving\nreadyz check passed\n")
  }

  @Test func readyzInADrainIsAsWasSaid() throws {
    for (word, status) in [("yes", 200), ("no", 503)] {
      let ebb = try Supervised(Self.on + ["--ready-while-draining", word, "--lame-duck", "600s"])
      #expect(try ebb.get("/readyz").status == 200)
      try ebb.run.signal(SIGTERM)
      try wait(until: "it drains") { try ebb.get("/livez").body == "live: draining\n" }
      #expect(try ebb.get("/readyz").status == status)
      #expect(try ebb.get("/readyz?verbose").status == status)
    }
  }

  @Test func statusIsTheSameJSONAsOfTheCommand() throws {
    let ebb = try Supervised(Self.on)
    let answer = try ebb.get("/status")
    #expect(answer.status == 200)
    #expect(answer.head.contains("\r\nContent-Type: application/json\r\n"))
    let page = try #require(try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
    #expect(Set(page.keys) == Set(try ebb.status().keys))
    // Its own port is not the service's.
    #expect((page["ports"] as? [[String: Any]])?.map { $0["port"] as? Int } == [8080])
  }

  @Test func metricsAreInPrometheusFormat() throws {
    let ebb = try Supervised(Self.on)
    let client = try Client("127.0.0.1", 8080, from: ebb.network)
    try client.request("/hold")
    try ebb.run.signal(SIGURG)
    try wait(until: "both are counted") {
      let text = try ebb.get("/metrics").body
      return text.contains("ebb_busy_connections{port=\"8080\"} 1\n")
        && text.contains("ebb_signals_forwarded_total 1\n")
    }
    #expect(try ebb.get("/readyz").status == 200)
    let answer = try ebb.get("/metrics")
    #expect(answer.head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
    #expect(answer.body.contains("ebb_phase{phase=\"serving\"} 1\n"))
    #expect(answer.body.contains("ebb_phase{phase=\"draining\"} 0\n"))
    #expect(answer.body.contains("ebb_ready 1\n"))
    #expect(answer.body.contains("ebb_connections{port=\"8080\",state=\"established\"} 1\n"))
    #expect(answer.body.contains("ebb_listening{port=\"8080\"} 1\n"))
    #expect(!answer.body.contains("9100"))
    try checkExposition(answer.body)
    // What begins with a drain is there from then on.
    #expect(!answer.body.contains("ebb_resets_total"))
    client.close()
    #expect(try ebb.ask("drain").exit == .code(0))
    let after = try ebb.get("/metrics").body
    #expect(after.contains("\nebb_resets_total 0\n"))
    #expect(after.contains("\nebb_drains_total 1\n"))
    try checkExposition(after)
  }

  /// The text format, line by line: https://prometheus.io/docs/instrumenting/exposition_formats/.
  private func checkExposition(_ text: String) throws {
    #expect(text.hasSuffix("\n"))
    let sample =
      /([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-z_]+="[^"\\\n]*"(,[a-z_]+="[^"\\\n]*")*\})? -?[0-9]+(\.[0-9]+)?/
    var help: Set<String> = []
    var types: [String: String] = [:]
    var series: Set<String> = []
    for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
      let words = line.split(separator: " ", maxSplits: 3).map(String.init)
      if line.hasPrefix("# HELP ") {
        #expect(words.count == 4 && help.insert(words[2]).inserted, "\(line)")
      } else if line.hasPrefix("# TYPE ") {
        #expect(
          words.count == 4 && ["gauge", "counter"].contains(words[3]) && types[words[2]] == nil, "\(line)")
        types[words[2]] = words.last
      } else {
        let match = try #require(try sample.wholeMatch(in: line), "\(line)")
        let name = String(match.1)
        #expect(help.contains(name) && types[name] != nil, "\(line)")
        #expect((types[name] == "counter") == name.hasSuffix("_total"), "\(line)")
        #expect(series.insert(String(line.prefix { $0 != " " })).inserted, "twice: \(line)")
      }
    }
    #expect(series.count > 15)
  }

  // MARK: - /drain

  @Test func drainIsNotThereUnlessItIsAskedFor() throws {
    let ebb = try Supervised(Self.on)
    #expect(try ebb.get("/drain").status == 404)
    #expect(try ebb.get("/livez").body == "live: starting\n")
  }

  @Test func drainAnswersWhenItIsDrained() throws {
    let ebb = try Supervised(Self.on + ["--http-drain", "--busy-max", "600s", "--lame-duck", "0s"])
    let busy = try Client("127.0.0.1", 8080, from: ebb.network)
    try busy.request("/slow?ms=800")
    try ebb.network.waitUntilUnread(0, on: 8080)
    try ebb.network.waitUntilListening(on: 9100)
    let hook = try Client("127.0.0.1", 9100, from: ebb.network)
    try hook.request("/drain")
    try wait(until: "it drains") { try ebb.get("/livez").body == "live: draining\n" }
    #expect(busy.answer().end == .more)
    let answer = try Supervised.answer(of: hook)
    #expect(answer.status == 200)
    #expect(answer.body.hasPrefix("drained in "))
    #expect(try ebb.get("/livez").body == "live: drained\n")
    // A second hook finds it done.
    #expect(try ebb.get("/drain").status == 200)
    #expect(try ebb.run.stop().exit == .code(0))
  }

  @Test func aDrainWhoseClientHangsUpGoesOnAndEightMayWait() throws {
    let ebb = try Supervised(Self.on + ["--http-drain", "--lame-duck", "600s"])
    try ebb.network.waitUntilListening(on: 9100)
    let hooks = try (0..<8).map { _ in try Client("127.0.0.1", 9100, from: ebb.network) }
    for hook in hooks { try hook.request("/drain") }
    try wait(until: "all are waited for") { try ebb.get("/drain").status == 503 }
    #expect(try ebb.get("/readyz").status == 503)
    hooks[0].reset()
    hooks[1].close()
    for hook in hooks { hook.close() }
    #expect(try ebb.get("/livez").body == "live: draining\n")
  }

  @Test func drainMayHaveAnAddressOfItsOwn() throws {
    let ebb = try Supervised(
      Self.on + ["--http-drain", "--http-drain-address", "127.0.0.1:9101", "--lame-duck", "0s"])
    #expect(try ebb.get("/drain").status == 404)
    #expect(try ebb.get("/livez", port: 9101).status == 404)
    #expect(try ebb.get("/status", port: 9101).status == 404)
    #expect((try ebb.status()["ports"] as? [[String: Any]])?.count == 1)
    #expect(try ebb.get("/drain", port: 9101).status == 200)
    #expect(try ebb.get("/livez").body == "live: drained\n")
  }

  // MARK: - Requests

  @Test(arguments: [
    ("GET /nothing HTTP/1.1\r\n\r\n", 404), ("GET /livez/ HTTP/1.1\r\n\r\n", 404),
    ("GET /LIVEZ HTTP/1.1\r\n\r\n", 404), ("GET / HTTP/1.0\r\n\r\n", 404),
    ("GET /livez HTTP/1.0\r\n\r\n", 200), ("GET /livez HTTP/1.1\n\n", 200),
    ("GET /livez?x=y HTTP/1.1\r\nA: b\r\nC: d\r\n\r\nbehind it", 200),
    ("POST /livez HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405), ("PUT /drain HTTP/1.1\r\n\r\n", 405),
    ("GET /livez\r\n\r\n", 400), ("\u{16}\u{3}\u{1}\u{2}", 400), ("hello\n", 400), ("GET\u{0}", 400),
    ("GET /livez HTTP/2.0\r\n\r\n", 505), ("GET /livez HTTP/1.1 \r\n\r\n", 400),
  ])
  func aRequestIsAnsweredWithItsStatus(request: String, status: Int) throws {
    let ebb = try Supervised(Self.on)
    let answer = try ebb.exchange(request)
    #expect(answer.status == status)
    #expect(!answer.body.isEmpty)
    #expect(answer.head.contains("\r\nContent-Length: \(answer.body.utf8.count)\r\n"))
    if status == 405 { #expect(answer.head.contains("\r\nAllow: GET, HEAD\r\n")) }
  }

  @Test func headHasNoBody() throws {
    let ebb = try Supervised(Self.on)
    for path in ["/livez", "/readyz", "/readyz?verbose", "/status", "/metrics", "/nothing"] {
      let head = try ebb.exchange("HEAD \(path) HTTP/1.1\r\n\r\n")
      #expect(head.body == "")
      #expect(head.status == (path == "/nothing" ? 404 : 200))
      #expect(!head.head.contains("\r\nContent-Length: 0\r\n"))
    }
  }

  @Test func aHeadThatDoesNotEndIs431AndOneThatDoesNotComeIs408() throws {
    let ebb = try Supervised(Self.on)
    let long = try ebb.exchange("GET /livez HTTP/1.1\r\nX: " + String(repeating: "x", count: 4096))
    #expect(long.status == 431)
    #expect(try ebb.exchange("GET /livez HTTP/1.1\r\nX: ").status == 408)
    // Nothing at all is answered with nothing.
    let silent = try Client("127.0.0.1", 9100, from: ebb.network)
    #expect(silent.read().end == .closed)
    #expect(try ebb.get("/livez").status == 200)
  }

  @Test func aRequestMayComeInPieces() throws {
    let ebb = try Supervised(Self.on)
    try ebb.network.waitUntilListening(on: 9100)
    let client = try Client("127.0.0.1", 9100, from: ebb.network)
    for byte in "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".utf8 {
      try client.send(bytes: [byte])
      usleep(2_000)
    }
    #expect(try Supervised.answer(of: client).status == 200)
  }

  // MARK: - Addresses

  @Test(arguments: [
    ("[::1]:9100", ["::1"], ["127.0.0.1"]), ("9100", ["::1", "127.0.0.1"], []),
    (":9100", ["::1", "127.0.0.1", "127.0.0.2"], []),
    ("127.0.0.2:9100", ["127.0.0.2"], ["127.0.0.1", "::1"]),
  ])
  func itListensWhereItIsTold(place: String, reached: [String], refused: [String]) throws {
    let ebb = try Supervised(["--http", place])
    for address in reached { #expect(try ebb.get("/livez", address: address).status == 200) }
    for address in refused {
      #expect(throws: Client.Refused.self) { try Client(address, 9100, from: ebb.network) }
    }
  }

  @Test(arguments: ["127.0.0.1:9100", "10.1.2.3:9100", "9100"])
  func whereItCannotListenALineSaysSoAndTheServiceRuns(place: String) throws {
    let network = try PrivateNetwork()
    let stranger = try Stranger(.listening, at: "127.0.0.1", 9100, in: network)
    let ebb = try Supervised(["--http", place], in: network)
    let line = try ebb.run.waitForLine(containing: "", on: .errors)
    #expect(line.hasPrefix("ebb: http is off: cannot listen on port 9100: "))
    #expect(try ebb.run.stop().exit == .code(0))
    #expect(ebb.run.errors.lines.count == 2)
    withExtendedLifetime(stranger) {}
  }

  @Test func itsOwnPortIsNeverTheServices() throws {
    let ebb = try Supervised(
      ["--http", "9100", "--http-drain", "--http-drain-address", "[::1]:9101"], ["sleep", "600"])
    try ebb.waitUntilAsked()
    #expect(try ebb.ask("ready").exit == .code(1))
    #expect((try ebb.status()["ports"] as? [Any])?.isEmpty == true)
    try ebb.run.signal(SIGTERM)
    #expect(try ebb.run.finish() == .code(143))
    #expect(!ebb.run.report.contains("910"))
  }

  // MARK: - Places

  @Test func aProbeIsAnsweredWhereAllPlacesButOneWaitForAnAnswer() throws {
    let folder = try TemporaryFolder()
    let ebb = try Supervised(
      Self.on + ["--ready-when", "exec:sh -c 'until test -e \(folder.path)/go; do sleep 0.02; done'"])
    #expect(try ebb.get("/livez").status == 200)
    let before = try ebb.descriptors()
    let asking = try (0..<31).map { _ in
      let client = try Client("127.0.0.1", 9100, from: ebb.network)
      try client.send("GET /readyz HTTP/1.1\r\nHost: test\r\n\r\n")
      return client
    }
    try wait(until: "they have a place") { try ebb.descriptors() >= before + 31 }
    // Each is the last to come, and has not asked yet when it is taken.
    for _ in 0..<5 { #expect(try ebb.get("/livez").status == 200) }
    try folder.write("go", "")
    for client in asking { #expect(try Supervised.answer(of: client).status != 0) }
  }

  @Test func nobodyIsClosedForSomebodyWhoDoesNotCome() throws {
    let ebb = try Supervised(Self.on)
    let before = try descriptorsAtRest(ebb)
    let silent = try (0..<32).map { _ in try Client("127.0.0.1", 9100, from: ebb.network) }
    try wait(until: "all have a place") { try ebb.descriptors() == before + 32 }
    withExtendedLifetime(silent) {}
  }

  @Test(.requires(.tool("prlimit"))) func thePagesAreBackAfterAMomentWithoutADescriptor() throws {
    let ebb = try Supervised(Self.on)
    let before = try descriptorsAtRest(ebb)
    try ebb.limitDescriptors(to: before)
    let turns = try ebb.figure("voluntary_ctxt_switches")
    let client = try Client("127.0.0.1", 9100, from: ebb.network)
    try wait(until: "it has been woken") { try ebb.figure("voluntary_ctxt_switches") > turns }
    try ebb.limitDescriptors(to: 1024)
    client.close()
    // Nobody else wakes it.
    for _ in 0..<3 { #expect(try ebb.get("/livez").status == 200) }
  }

  /// Its three standard ones, its network namespace's counters, the launch's word, the loop's, the signals', and two
  /// listeners.
  private func descriptorsAtRest(_ ebb: Supervised) throws -> Int {
    #expect(try ebb.get("/livez").status == 200)
    try wait(until: "the connection is closed") { try ebb.descriptors() == 9 }
    return 9
  }
}
