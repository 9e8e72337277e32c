import Foundation
import Testing

/// The lame duck that ends when the traffic has gone quiet: tide under ebb, and a client that is told when the load
/// balancer stops sending.
@Suite struct `The lame duck` {
  /// ebb's log lines of an event, as JSON.
  private func lines(_ service: Supervised, _ event: String) -> [[String: Any]] {
    service.run.errors.text.split(separator: "\n").compactMap { line in
      try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
    }.filter { $0["event"] as? String == event }
  }

  private func quietLine(_ service: Supervised) throws -> [String: Any] {
    try #require(lines(service, "quiet").first)
  }

  private func seconds(_ line: [String: Any], _ key: String) throws -> Double {
    try #require((line[key] as? NSNumber)?.doubleValue)
  }

  private func load(_ words: [String], _ service: Supervised) throws -> Running {
    try Running([try Binary.tide.path(), "load", "8080"] + words, entering: service.network.entry)
  }

  private static let options = ["--log", "json", "--verbose", "--lame-duck-max", "10s"]

  @Test(.requires(.root, .namespaces))
  func `ends when new connections have ceased, and not before; no request fails`() throws {
    let service = try Supervised(Self.options)
    let clients = try load(
      [
        "--rate", "50", "--poisson", "--duration", "60s", "--path", "/slow?ms=100", "--remove-after", "2s",
        "--json",
      ], service)
    try wait(until: "there is traffic") {
      (try service.status(of: 8080)["connections"] as? Int ?? 0) > 0
    }
    try clients.signal(SIGUSR1)
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(0))
    #expect(try clients.finish() == .code(0))
    let line = try quietLine(service)
    #expect(line["quiet"] as? Bool == true)
    #expect(try seconds(line, "silent_seconds") >= seconds(line, "silence_wanted_seconds"))
    #expect(try seconds(line, "connections") > 30)
    let report = try #require(lines(service, "released").first)
    #expect(try seconds(report, "seconds") > 2)
    #expect(try seconds(report, "seconds") < 9.5)
  }

  @Test(.requires(.root, .namespaces))
  func `takes its whole time where hardly anything has come`() throws {
    let service = try Supervised(["--log", "json", "--verbose", "--lame-duck-max", "1500ms"])
    try service.waitUntilReady()
    let before = Date()
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(0))
    #expect(Date().timeIntervalSince(before) >= 1.5)
    #expect(try quietLine(service)["quiet"] as? Bool == false)
  }

  @Test(.requires(.root, .namespaces))
  func `takes its whole time where it is a fixed one, however quiet it is`() throws {
    let service = try Supervised(["--log", "json", "--verbose", "--lame-duck", "1s"])
    try service.waitUntilReady()
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(0))
    #expect(lines(service, "quiet").isEmpty)
    #expect(try seconds(#require(lines(service, "released").first), "seconds") >= 1)
  }

  @Test(.requires(.root, .namespaces), arguments: [true, false])
  func `does not count connections of peers that it is told to ignore`(isIgnored: Bool) throws {
    let service = try Supervised(
      ["--log", "json", "--verbose", "--lame-duck-max", "2s", "--lame-duck", "auto"]
        + (isIgnored ? ["--ignore-peer", "127.0.0.0/8"] : ["--ignore-peer", "10.0.0.0/8"]))
    let probes = try load(["--rate", "20", "--duration", "60s", "--until-refused"], service)
    try service.waitUntilReady()
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(0))
    // They end when they are refused.
    _ = try probes.finish()
    let line = try quietLine(service)
    #expect(line["quiet"] as? Bool == false)
    let counted = try seconds(line, "connections")
    if isIgnored { #expect(counted == 0) } else { #expect(counted > 10) }
  }

  @Test(.requires(.root, .namespaces))
  func `does not count ebb's own probes`() throws {
    let service = try Supervised(
      [
        "--log", "json", "--verbose", "--lame-duck-max", "1s", "--ready-when", "tcp:8080", "--ready-when",
        "http:8080/",
      ])
    try service.waitUntilReady()
    let asking = try service.start(["ready"])
    try service.run.signal(SIGTERM)
    _ = try service.ask("ready")
    _ = try service.ask("ready")
    #expect(try service.run.finish() == .code(0))
    _ = try asking.finish()
    #expect(try seconds(quietLine(service), "connections") == 0)
  }

  @Test(.requires(.root, .namespaces))
  func `counts requests on kept connections where there are no new ones, and ends when they have ceased`()
    throws
  {
    let service = try Supervised(Self.options)
    let pool = try load(
      ["--rate", "50", "--keep-alive", "4", "--duration", "60s", "--remove-after", "2s", "--json"], service)
    try wait(until: "the pool is there") { (try service.status(of: 8080)["connections"] as? Int ?? 0) > 0 }
    try pool.signal(SIGUSR1)
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(0))
    #expect(try pool.finish() == .code(0))
    #expect(try quietLine(service)["quiet"] as? Bool == true)
    let report = try #require(lines(service, "released").first)
    #expect(try seconds(report, "seconds") > 2)
  }

  /// How often ebb has waited: each time that it did it was woken.
  private func wakeUps(_ service: Supervised) throws -> Int {
    try service.figure("voluntary_ctxt_switches")
  }

  /// A service in Kubernetes of which nobody asks anything: no probe, no log of phases.
  private func unasked() throws -> Supervised {
    try Supervised(["--log", "json"], environment: ["KUBERNETES_SERVICE_HOST": "10.0.0.1"])
  }

  @Test(.requires(.root, .namespaces))
  func `is prepared for by nothing while there is no traffic`() throws {
    let service = try unasked()
    // Three looks, the last after some 17 s, find nothing.
    usleep(21_000_000)
    let before = try wakeUps(service)
    usleep(20_000_000)
    #expect(try wakeUps(service) == before)
    // A connection's end wakes it.
    try Client("127.0.0.1", 8080, from: service.network).close()
    try wait(until: "it has woken up") { try wakeUps(service) > before }
    try service.run.signal(SIGTERM)
    _ = try service.run.finish()
  }

  @Test(.requires(.root, .namespaces), arguments: [[], ["--keep-alive", "20"]])
  func `is prepared for with no more than a look every five seconds, though nobody asks ebb`(pool: [String])
    throws
  {
    let service = try unasked()
    let clients = try load(
      ["--rate", "50", "--poisson", "--duration", "300s", "--remove-after", "0s", "--json"] + pool, service)
    usleep(6_000_000)
    let before = try wakeUps(service)
    usleep(99_000_000)
    // One at the edge.
    #expect(try wakeUps(service) - before <= 99 / 5 + 1)
    let began = Date()
    try clients.signal(SIGUSR1)
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(0))
    #expect(try clients.finish() == .code(0))
    // With nothing known of the time before it takes ten.
    #expect(Date().timeIntervalSince(began) < 8)
  }

  @Test(.requires(.root, .namespaces))
  func `is told of by status, as it goes on`() throws {
    let service = try Supervised(["--verbose", "--lame-duck-max", "30s"])
    try service.waitUntilReady()
    try service.run.signal(SIGTERM)
    try wait(until: "it drains") { try service.phase() == "draining" }
    #expect(try service.status()["arrived"] as? Int == 0)
    let client = try Client("127.0.0.1", 8080, from: service.network)
    try wait(until: "it is counted") { try service.status()["arrived"] as? Int == 1 }
    #expect(try service.status()["silence_wanted_seconds"] is NSNull)
    #expect(
      try service.ask("status").output.contains("since the drain began: 1 new connection, nothing new for"))
    client.close()
    // A second one, a second later, says hurry.
    usleep(1_100_000)
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(0))
  }

  @Test(.requires(.root, .namespaces))
  func `lasts ten seconds at most in Kubernetes, and no time elsewhere`() throws {
    let elsewhere = try Supervised(["--log", "json", "--verbose"])
    try elsewhere.waitUntilReady()
    try elsewhere.run.signal(SIGTERM)
    #expect(try elsewhere.run.finish() == .code(0))
    #expect(lines(elsewhere, "quiet").isEmpty)
    let pod = try Supervised(
      ["--log", "json", "--verbose"], environment: ["KUBERNETES_SERVICE_HOST": "10.0.0.1"])
    try pod.waitUntilReady()
    try pod.run.signal(SIGTERM)
    #expect(try pod.run.finish() == .code(0))
    #expect(
      try quietLine(pod)["message"] as? String
        == "not quiet: 10.00s are over; nothing new was seen, which says little")
  }
}
