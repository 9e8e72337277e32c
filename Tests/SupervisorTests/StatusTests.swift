import Foundation
@testable import Inet
import Lifecycle
import Linux
import Testing

@testable import Supervisor

private func string(_ text: Text) -> String { String(decoding: text.bytes, as: UTF8.self) }
private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// A service that serves on 8080.
private func status(_ change: (inout Status) -> Void = { _ in }) -> Status {
  var port = PortTraffic(port: 8080)
  port.isListening = true
  for _ in 0..<5 { port.count(.established) }
  port.connections = 5
  port.busy = 1
  var status = Status(
    phase: .serving, inPhase: .milliseconds(1500), uptime: .seconds(62), isReady: true,
    probes: [ProbeRecord(.listen, .holds)], sinceProbed: .milliseconds(250), process: ProcessID(7),
    name: bytes("nginx"),
    processes: 3, says: nil, origin: .cgroup, ports: [port], datagrams: [], unix: [], arrivals: nil,
    losses: Losses(), counters: Counters())
  change(&status)
  return status
}

private func object(_ status: Status) throws -> [String: Any] {
  try #require(try JSONSerialization.jsonObject(with: Data(status.json.bytes)) as? [String: Any])
}

@Suite struct `The status` {
  // MARK: - For a person

  @Test func `for a person is a line each`() {
    #expect(
      string(status().text) == """
        serving for 1.50s; ready; nginx (pid 7, 3 processes), launched 62.00s ago
          listen: holds (0.25s ago)
          port 8080: listening, 5 connections, 1 busy

        """)
  }

  @Test func `for a person says what is not known`() {
    let text = string(
      status {
        $0.phase = .starting
        $0.isReady = nil
        $0.sinceProbed = nil
        $0.processes = nil
        $0.probes = [ProbeRecord(.tcp(80)), ProbeRecord(.notify)]
        $0.ports = []
      }.text)
    #expect(
      text == """
        starting for 1.50s; readiness not asked yet; nginx (pid 7), launched 62.00s ago
          tcp:80: not asked yet
          notify: not asked yet
          no port found yet

        """)
  }

  @Test func `for a person tells of losses once the drain has begun`() {
    let text = string(
      status {
        $0.phase = .drained
        $0.isReady = false
        $0.processes = 1
        $0.probes = [ProbeRecord(.exec([bytes("check"), bytes("secret")]), .fails("exited 1"))]
        $0.says = bytes("a\nb\u{1b}[2J")
        $0.ports[0].isListening = false
        $0.ports[0].count(.finWait1)
        $0.ports[0].unacknowledged = 219_136
        $0.arrivals = Rate(count: 98, in: .seconds(10))
        $0.ports[0].undecided = 2
        $0.losses.notMeasured = nil
        $0.losses.resets = 1
        $0.losses.unread = 3
        $0.losses.unacknowledged = 4
      }.text)
    #expect(
      text == """
        drained for 1.50s; not ready; nginx (pid 7, 1 process), launched 62.00s ago
          says: a\\x0ab\\x1b[2J
          exec:check: exited 1 (0.25s ago)
          port 8080: not listening, 5 connections, 1 busy, 2 undecided, 1 closing, 214 KiB not acknowledged
          9.8 new connections a second
          since the drain began: 1 connection reset, 7 bytes lost

        """)
  }

  @Test func `for a person tells what the lame duck has seen, and what it would take for quiet`() {
    var quiet = Quiet(began: .zero, longest: .seconds(10), chance: .standard)
    func lame(_ quiet: Quiet) -> String {
      string(
        status {
          $0.phase = .draining
          $0.quiet = quiet
          $0.silent = .milliseconds(400)
          $0.arrived = 12
        }.text)
    }
    #expect(
      lame(quiet).hasSuffix(
        "since the drain began: 12 new connections, nothing new for 0.40s; not enough has come to tell what would be quiet\n"
      ))
    for look in 1...20 { _ = quiet.take(Arrivals(connections: 1), at: .milliseconds(look * 100)) }
    #expect(lame(quiet).hasSuffix("12 new connections, nothing new for 0.40s; 4.00s would be quiet\n"))
  }

  @Test func `for a person has a line for each Unix socket`() {
    let text = string(
      status {
        $0.ports = []
        var listener = UnixConnections(given: [bytes("/run/a\n.sock")]).listeners[0]
        listener.connections = 1
        $0.unix = [listener]
        listener.isListening = true
        $0.unix.append(listener)
      }.text)
    #expect(
      text.hasSuffix(
        """
        (0.25s ago)
          unix:/run/a\\x0a.sock: not listening, 1 connection
          unix:/run/a\\x0a.sock: listening, 1 connection

        """))
    #expect(!text.contains("no port found yet"))
  }

  // MARK: - JSON

  @Test func `as JSON has the keys that are a contract`() throws {
    let object = try object(status())
    #expect(
      object.keys.sorted() == [
        "arrivals_per_second", "arrived", "children_reaped", "cut_requests", "drains", "lost_bytes", "name",
        "phase",
        "phase_seconds", "pid", "ports", "ports_from", "probed_seconds_ago", "probes", "processes", "ready",
        "resets", "says", "signals_forwarded", "silence_wanted_seconds", "silent_seconds", "udp",
        "undecided", "unix", "uptime_seconds",
      ])
    let ports = try #require(object["ports"] as? [[String: Any]])
    #expect(
      ports[0].keys.sorted() == [
        "busy", "closing", "connections", "listening", "port", "unacknowledged_bytes", "undecided",
      ])
    let listener = UnixConnections(given: [bytes("/run/a.sock")]).listeners[0]
    let unix = try #require(
      try SupervisorTests.object(status { $0.unix = [listener] })["unix"] as? [[String: Any]])
    #expect(unix[0].keys.sorted() == ["connections", "listening", "path"])
    let probes = try #require(object["probes"] as? [[String: Any]])
    #expect(probes[0].keys.sorted() == ["holds", "probe"])
    #expect(object["ready"] as? Bool == true)
    #expect(object["phase_seconds"] as? Double == 1.5)
    #expect(object["ports_from"] as? String == "cgroup")
  }

  @Test func `as JSON is null where it is not known, and never a number that was not measured`() throws {
    let object = try object(
      status {
        $0.isReady = nil
        $0.sinceProbed = nil
        $0.processes = nil
        $0.origin = nil
        $0.probes = [ProbeRecord(.listen), ProbeRecord(.notify, .fails("no"))]
      })
    for key in [
      "ready", "probed_seconds_ago", "processes", "says", "ports_from", "arrivals_per_second", "resets",
      "lost_bytes", "cut_requests", "undecided",
    ] {
      #expect(object[key] is NSNull, "\(key)")
    }
    let probes = try #require(object["probes"] as? [[String: Any]])
    #expect(probes[0]["holds"] is NSNull)
    #expect(probes[1]["holds"] as? Bool == false)
    #expect(probes[1]["reason"] as? String == "no")
  }

  @Test func `as JSON is valid whatever bytes are in it`() throws {
    for _ in 0..<500 {
      func any() -> [UInt8] { (0..<Int.random(in: 0...12)).map { _ in UInt8.random(in: 0...255) } }
      let one = status {
        $0.name = any()
        $0.says = any()
        $0.probes = [
          ProbeRecord(.unix(any()), .fails(Text(bytes: any()))), ProbeRecord(.exec([any()])),
          ProbeRecord(.exec([]), .holds),
        ]
      }
      _ = try object(one)
    }
  }

  @Test func `survives the largest numbers`() throws {
    let largest = status {
      $0.inPhase = .seconds(1 << 40)
      $0.losses.notMeasured = nil
      $0.losses.resets = .max
      $0.losses.unread = .max
      $0.losses.unacknowledged = .max
      $0.counters = Counters(signalsForwarded: .max, childrenReaped: .max, drains: .max)
      $0.ports[0].unacknowledged = .max
      $0.ports[0].lingering = .max
      $0.processes = .max
      $0.phase = .lingering
    }
    _ = try object(largest)
    #expect(!largest.text.isEmpty)
    #expect(string(largest.metrics).contains("ebb_drains_total 18446744073709551615\n"))
  }

  // MARK: - Metrics

  @Test func `as metrics has one phase, and a series for each port and state`() {
    let text = string(
      status {
        $0.ports.append(PortTraffic(port: 443))
        $0.ports[0].count(.lastAck)
        $0.ports[0].lingering = 12
        $0.counters = Counters(signalsForwarded: 1, childrenReaped: 2, drains: 3)
      }.metrics)
    let phases = text.split(separator: "\n").filter { $0.hasPrefix("ebb_phase{") }
    #expect(phases.count == 7)
    #expect(phases.filter { $0.hasSuffix(" 1") } == ["ebb_phase{phase=\"serving\"} 1"])
    for line in [
      "ebb_ready 1", "ebb_uptime_seconds 62.000", "ebb_listening{port=\"8080\"} 1",
      "ebb_listening{port=\"443\"} 0",
      "ebb_connections{port=\"8080\",state=\"established\"} 5",
      "ebb_connections{port=\"8080\",state=\"last_ack\"} 1",
      "ebb_connections{port=\"443\",state=\"fin_wait1\"} 0", "ebb_busy_connections{port=\"8080\"} 1",
      "ebb_unacknowledged_bytes{port=\"443\"} 0", "ebb_lingering_bytes{port=\"8080\"} 12",
      "ebb_drains_total 3",
      "ebb_signals_forwarded_total 1", "ebb_children_reaped_total 2",
    ] {
      #expect(text.contains("\n\(line)\n"), "\(line)")
    }
    #expect(!text.contains("ebb_resets_total") && !text.contains("ebb_lost_bytes_total"))
  }

  @Test func `as metrics is not ready while that is not known`() {
    #expect(string(status { $0.isReady = nil }.metrics).contains("\nebb_ready 0\n"))
  }
}
