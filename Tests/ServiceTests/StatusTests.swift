import Foundation
import Testing

/// What others build on: the keys of `ebb status --json` and `/status`, the names of `/metrics`.
struct StatusTests {
  /// ebb with a service that has a request in progress once it is asked for, and addresses to ask at.
  private struct Service {
    let run: Running
    let port: UInt16
    let pages: String
    private let folder: TemporaryFolder
    private let control: [String]

    init(_ options: String...) throws {
      folder = try TemporaryFolder()
      port = try freePort()
      let http = try freePort()
      pages = "http://127.0.0.1:\(http)"
      control = ["--control", "\(folder.path)/control"]
      run = try Running.ebb(
        control + ["--http", "127.0.0.1:\(http)", "--lame-duck", "0s"] + options
          + ["--", Binary.tide.path(), "serve", "--listen", "127.0.0.1:\(port)"])
      try run.waitForLine(containing: "listening on \(port)")
    }

    func ask(_ command: String, _ options: String...) throws -> (exit: Exit, text: String) {
      let asked = try Running.ebb([command] + control + options)
      return (try asked.finish(), asked.output.text)
    }

    func json() throws -> [String: Any] {
      let text = try ask("status", "--json").text
      return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    /// A page: its head, and its body.
    func get(_ path: String) throws -> (head: String, body: String) {
      let curl = try Running(["curl", "--silent", "--include", "--max-time", "10", pages + path])
      guard try curl.finish() == .code(0) else { throw Unusable("curl \(path): \(curl.errors.text)") }
      let text = curl.output.text
      let end = try #require(text.range(of: "\r\n\r\n"))
      return (String(text[..<end.lowerBound]), String(text[end.upperBound...]))
    }

    /// A client whose request is in progress for as long as the value lives.
    func request() throws -> Running {
      let client = try Running([
        Binary.tide.path(), "load", "127.0.0.1:\(port)", "--requests", "1", "--path", "/hold",
      ])
      try wait(until: "the request is in progress") {
        (try json()["ports"] as? [[String: Any]])?.first?["busy"] as? Int == 1
      }
      return client
    }
  }

  // MARK: - JSON

  /// Each key with what it holds; "null" where it can.
  private static let keys: [String: Set<String>] = [
    "phase": ["text"], "phase_seconds": ["number"], "uptime_seconds": ["number"], "ready": ["flag", "null"],
    "probes": ["list"], "probed_seconds_ago": ["number", "null"], "pid": ["number"], "name": ["text"],
    "processes": ["number", "null"], "says": ["text", "null"], "ports_from": ["text", "null"],
    "ports": ["list"], "arrivals_per_second": ["number", "null"], "arrived": ["number", "null"],
    "silent_seconds": ["number", "null"], "silence_wanted_seconds": ["number", "null"],
    "udp": ["list"], "unix": ["list"], "cut_requests": ["number", "null"], "undecided": ["number", "null"],
    "resets": ["number", "null"], "lost_bytes": ["number", "null"], "signals_forwarded": ["number"],
    "children_reaped": ["number"],
    "drains": ["number"],
  ]
  private static let probeKeys: [String: Set<String>] = [
    "probe": ["text"], "holds": ["flag", "null"], "reason": ["text"],
  ]
  private static let portKeys: [String: Set<String>] = [
    "port": ["number"], "listening": ["flag"], "connections": ["number"], "busy": ["number"],
    "undecided": ["number"],
    "closing": ["number"], "unacknowledged_bytes": ["number"],
  ]

  private func kind(_ value: Any) -> String {
    switch value {
    case is NSNull: "null"
    case is String: "text"
    case is [Any]: "list"
    case let number as NSNumber: ["c", "B"].contains(String(cString: number.objCType)) ? "flag" : "number"
    default: "?"
    }
  }

  private func check(_ object: [String: Any], _ keys: [String: Set<String>], but missing: Set<String> = []) {
    #expect(Set(object.keys) == Set(keys.keys).subtracting(missing))
    for (key, value) in object { #expect(keys[key]?.contains(kind(value)) == true, "\(key): \(value)") }
  }

  @Test func theKeysOfTheStatusAreStable() throws {
    let service = try Service("--ready-when", "listen", "--ready-when", "tcp:\(try freePort())")
    let starting = try service.json()
    check(starting, StatusTests.keys)
    #expect(starting["phase"] as? String == "starting")
    for probe in try #require(starting["probes"] as? [[String: Any]]) {
      check(probe, StatusTests.probeKeys, but: ["reason"])
      #expect(probe["holds"] is NSNull)
    }

    #expect(try service.ask("ready").exit == .code(1))
    let client = try service.request()
    let asked = try service.json()
    check(asked, StatusTests.keys)
    #expect(asked["ready"] as? Bool == false)
    let probes = try #require(asked["probes"] as? [[String: Any]])
    #expect(probes.map { $0["holds"] as? Bool } == [true, false])
    check(probes[0], StatusTests.probeKeys, but: ["reason"])
    check(probes[1], StatusTests.probeKeys)
    let ports = try #require(asked["ports"] as? [[String: Any]])
    #expect(ports.map { $0["port"] as? Int } == [Int(service.port)])
    check(ports[0], StatusTests.portKeys)
    #expect(ports[0]["connections"] as? Int == 1)

    // The page says the same.
    let page = try JSONSerialization.jsonObject(with: Data(try service.get("/status").body.utf8))
    check(try #require(page as? [String: Any]), StatusTests.keys)
    #expect(!client.hasEnded)
  }

  @Test func aReaderFindsEveryKeyInTheReadme() throws {
    let readme = try String(contentsOfFile: "\(Binary.packageRoot)/README.md", encoding: .utf8)
    for key in StatusTests.keys.keys {
      #expect(readme.contains("`\(key)`") || readme.contains("`\(key)[]."), "\(key)")
    }
    for key in [StatusTests.probeKeys, StatusTests.portKeys].flatMap(\.keys) {
      #expect(readme.contains("`.\(key)`") || readme.contains("[].\(key)`"), "\(key)")
    }
  }

  // MARK: - Metrics

  /// A metric as Prometheus' own parser reads it.
  private struct Family: Decodable {
    struct Sample: Decodable {
      let name: String
      let labels: [String: String]
      let value: Double
    }
    let name: String
    let type: String
    let documentation: String
    let samples: [Sample]
  }

  private func metrics(_ service: Service) throws -> [Family] {
    let page = try service.get("/metrics")
    #expect(page.head.hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(page.head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
    // The parser adds the ending to a counter without one.
    let counters = page.body.matches(of: /# TYPE (\S+) counter\n/).map(\.output.1)
    #expect(counters.count >= 3 && counters.allSatisfy { $0.hasSuffix("_total") })
    let parser = """
      import json, sys
      from prometheus_client.parser import text_string_to_metric_families
      print(json.dumps([
          {"name": f.name, "type": f.type, "documentation": f.documentation, "samples": [
              {"name": s.name, "labels": s.labels, "value": s.value} for s in f.samples]}
          for f in text_string_to_metric_families(sys.argv[1])]))
      """
    let python = try Running(["python3", "-c", parser, page.body])
    guard try python.finish() == .code(0) else { throw Unusable("the parser: \(python.errors.text)") }
    return try JSONDecoder().decode([Family].self, from: Data(python.output.raw))
  }

  /// The metrics with their types, as the parser names them: a counter without its _total.
  private static let families = [
    "ebb_phase": "gauge", "ebb_ready": "gauge", "ebb_uptime_seconds": "gauge", "ebb_listening": "gauge",
    "ebb_connections": "gauge", "ebb_busy_connections": "gauge", "ebb_unacknowledged_bytes": "gauge",
    "ebb_lingering_bytes": "gauge", "ebb_drains": "counter", "ebb_signals_forwarded": "counter",
    "ebb_children_reaped": "counter", "ebb_resets": "counter", "ebb_lost_bytes": "counter",
  ]
  /// Those that are there only when there is a measure: from the drain on.
  private static let measured: Set = ["ebb_resets", "ebb_lost_bytes"]

  @Test(.requires(.tool("curl"), .pythonModule("prometheus_client")))
  func prometheusReadsTheMetrics() throws {
    let service = try Service("--busy-max", "0s")
    #expect(try service.ask("ready").exit == .code(0))
    let client = try service.request()
    func value(_ families: [Family], _ name: String, _ labels: [String: String] = [:]) -> Double? {
      let found = families.flatMap(\.samples).filter { $0.name == name && $0.labels == labels }
      return found.count == 1 ? found[0].value : nil
    }
    let port = ["port": "\(service.port)"]

    for phase in ["serving", "drained"] {
      let families = try metrics(service)
      let names = families.map(\.name)
      #expect(Set(names).count == names.count)
      #expect(Set(names).union(StatusTests.measured) == Set(StatusTests.families.keys), "\(phase)")
      for family in families {
        #expect(family.type == StatusTests.families[family.name], "\(family.name)")
        #expect(family.documentation.hasSuffix("."), "\(family.name)")
        let ending = family.type == "counter" ? "_total" : ""
        #expect(family.samples.allSatisfy { $0.name == family.name + ending }, "\(family.name)")
        #expect(Set(family.samples.map(\.labels)).count == family.samples.count, "\(family.name)")
        #expect(family.samples.allSatisfy { $0.value >= 0 }, "\(family.name)")
      }
      let phases = families.flatMap(\.samples).filter { $0.name == "ebb_phase" && $0.value == 1 }
      #expect(phases.map { $0.labels["phase"] } == [phase])
      #expect(value(families, "ebb_ready") == (phase == "serving" ? 1 : 0))
      #expect(value(families, "ebb_listening", port) == 1)
      #expect(value(families, "ebb_busy_connections", port) == 1)
      #expect(value(families, "ebb_connections", port.merging(["state": "established"]) { $1 }) == 1)
      #expect(value(families, "ebb_drains_total") == (phase == "serving" ? 0 : 1))
      if phase == "serving" { #expect(try service.ask("drain").exit == .code(0)) }
    }
    #expect(!client.hasEnded)
  }
}
