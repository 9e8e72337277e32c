import Foundation
@testable import Inet
import Linux
import Testing

@testable import Supervisor

private func string(_ text: Text) -> String { String(decoding: text.bytes, as: UTF8.self) }

/// A report of which all was measured.
private func report(_ change: (inout Report) -> Void = { _ in }) -> Report {
  var report = Report(exitCode: 0)
  report.duration = .milliseconds(2957)
  report.ports = [Report.PortEnd(port: 8080, state: .free)]
  report.losses.notMeasured = nil
  change(&report)
  return report
}

/// A look that has seen so many bytes of so many connections, in each of which the FIN counts one.
private func look(waiting: [UInt32] = [], silent: [UInt32] = []) -> LingerLook {
  var look = LingerLook()
  for (bytes, retransmissions) in waiting.map({ ($0, 0 as UInt8) }) + silent.map({ ($0, 3) }) {
    look.take(
      TCPSocket(
        state: .finWait1, local: Endpoint(isIPv6: false, high: 0, low: 0, port: 8080),
        remote: Endpoint(isIPv6: false, high: 0, low: 1, port: 9), cookie: 1, receiveQueue: 0,
        sendQueue: bytes + 1, timer: 1, retransmissions: retransmissions, expires: .zero, user: 0, inode: 0))
  }
  return look
}

@Suite struct `The report` {
  @Test func `of a stop that lost nothing is the line that was promised`() {
    #expect(
      string(report().text)
        == "released: 8080 free; stopped in 2.95s; 0 requests cut off, 0 connections reset, 0 bytes lost; exit 0"
    )
    #expect(!report().hasLosses)
  }

  @Test func `names every port and what became of it`() {
    let free = report { report in
      report.ports.append(Report.PortEnd(port: 53, isUDP: true, state: .free))
      report.ports.append(Report.PortEnd(port: 443, state: .notListening))
    }
    #expect(string(free.text).hasPrefix("released: 8080 free, 53/udp free, 443 not listened on; "))
    let held = report { report in
      report.ports.append(Report.PortEnd(port: 81, state: .listening))
      report.ports.append(Report.PortEnd(port: 82, state: .inUse))
      report.ports.append(Report.PortEnd(port: 83, state: .unknown))
    }
    #expect(
      string(held.text).hasPrefix(
        "not released: 8080 free, 81 still listened on, 82 still in use, 83 unknown; "))
  }

  @Test func `of a service without a port claims nothing about ports and losses`() {
    #expect(
      string(report { $0.ports = [] }.text) == "ended: no listening port; stopped in 2.95s; exit 0")
    #expect(
      string(
        report {
          $0.ports = []
          $0.blindness = "the socket table cannot be read (Operation not permitted)"
        }.text)
        == "ended: no port is known, for the socket table cannot be read (Operation not permitted); stopped in 2.95s; losses not measured; exit 0"
    )
  }

  @Test func `of a service that ended unasked tells no time`() {
    let text = string(
      report { report in
        report.duration = nil
        report.exitCode = 137
      }.text)
    #expect(text == "released: 8080 free; 0 requests cut off, 0 connections reset, 0 bytes lost; exit 137")
  }

  @Test func `counts what was lost, one as one`() {
    let one = report { report in
      report.losses.resets = 1
      report.losses.unacknowledged = 1
    }
    #expect(string(one.text).contains("; 0 requests cut off, 1 connection reset, 1 byte lost; "))
    #expect(one.hasLosses)
    let more = report { report in
      report.losses.resets = 3
      report.losses.unacknowledged = 100
      report.losses.unread = 23
    }
    #expect(string(more.text).contains("; 0 requests cut off, 3 connections reset, 123 bytes lost; "))
  }

  @Test func `counts requests that were cut off, whether or not a connection was reset`() {
    let one = report { $0.losses.cutRequests = 1 }
    #expect(string(one.text).contains("; 1 request cut off, 0 connections reset, 0 bytes lost; "))
    #expect(one.hasLosses)
    // Why, where that is known.
    let late = report {
      $0.losses.cutRequests = 2
      $0.busyMaxEnded = true
    }
    #expect(
      string(late.text).contains(
        "; 2 requests cut off (still in progress when --busy-max ended), 0 connections reset, "))
    #expect(!string(report { $0.busyMaxEnded = true }.text).contains("--busy-max"))
  }

  @Test func `tells of connections of which it is not known whether a request was cut off`() {
    let some = report {
      $0.losses.undecided = 1
      $0.losses.cutRequests = 3
    }
    #expect(
      string(some.text).contains(
        "; 3 requests cut off, 1 connection undecided, 0 connections reset, "))
    // What cannot be told is not called a loss.
    #expect(!report { $0.losses.undecided = 9 }.hasLosses)
  }

  @Test func `names a Unix socket by its path, with no byte that moves a cursor`() {
    let text = string(
      report {
        $0.ports = [Report.PortEnd(port: 0, path: Array("/run/a\u{1b}.sock".utf8), state: .notListening)]
        $0.losses.notMeasured = .unixSockets
      }.text)
    #expect(
      text
        == "released: unix:/run/a\\x1b.sock not listened on; stopped in 2.95s; losses not measured (the kernel tells of no Unix socket's end); exit 0"
    )
  }

  @Test func `never says that no byte was lost where that is not known`() {
    let thrownOut = report { report in
      report.losses.resets = 2
      report.losses.thrownOut = 2
    }
    #expect(!string(thrownOut.text).contains("0 bytes lost"))
    #expect(string(thrownOut.text).contains("2 connections reset"))
    for reason: Losses.Reason in [.notListening, .unixSockets, .refused(.notPermitted), .missed] {
      let text = string(report { $0.losses.notMeasured = reason }.text)
      #expect(text.contains("losses not measured ("))
      // What was seen of what was missed is said as that.
      if case .missed = reason { continue }
      #expect(!text.contains("lost"))
    }
    #expect(
      string(report { $0.losses.notMeasured = .refused(.notPermitted) }.text).contains(
        "losses not measured (Operation not permitted); "))
  }

  @Test func `tells what was left to the kernel`() {
    let left = report { $0.left = look(waiting: [1024 * 214], silent: [5]) }
    #expect(
      string(left.text).contains(
        "; 2 connections left with 214 KiB not acknowledged (1 peer silent); "))
    #expect(left.hasLosses)
    #expect(!string(report { $0.left = look() }.text).contains("left"))
    #expect(!report { $0.left = look() }.hasLosses)
  }

  @Test func `tells of processes that could not be ended`() {
    #expect(string(report { $0.survivors = 1 }.text).contains("; 1 process could not be ended; "))
    #expect(string(report { $0.survivors = 2 }.text).contains("; 2 processes could not be ended; "))
    #expect(report { $0.survivors = 2 }.hasLosses)
    #expect(!string(report { $0.survivors = 0 }.text).contains("could not be ended"))
  }

  @Test func `survives the largest numbers`() {
    let large = report { report in
      report.losses.resets = .max
      report.losses.cutRequests = .max
      report.losses.undecided = .max
      report.losses.unacknowledged = .max / 2
      report.losses.unread = .max / 2
      report.exitCode = 255
    }
    #expect(string(large.text).contains("connections reset, 9223372036854775807 bytes lost; exit 255"))
  }
}

@Suite struct `A line of the log` {
  private func object(_ line: Text) throws -> [String: Any] {
    #expect(line.bytes.last == UInt8(ascii: "\n"))
    #expect(line.bytes.count { $0 == UInt8(ascii: "\n") } == 1)
    return try #require(try JSONSerialization.jsonObject(with: Data(line.bytes)) as? [String: Any])
  }

  private func facts(_ add: (inout Facts) -> Void) -> Facts {
    var facts = Facts()
    add(&facts)
    return facts
  }

  private let json = Journal(format: .json, verbosity: .phases)

  @Test func `for people begins with who says it`() {
    let journal = Journal(format: .text, verbosity: .report)
    #expect(
      string(journal.line("released", "released: 8080 free", facts { $0.add("exit", 0) }))
        == "ebb: released: 8080 free\n")
  }

  @Test func `as JSON says the same in fields`() throws {
    let line = json.line(
      "stopping", "a \"line\"",
      facts {
        $0.add("pid", 7)
        $0.add("signal", Signal.terminate)
        $0.add("seconds", seconds: .milliseconds(2957))
        $0.add("none", number: nil)
        $0.add("measured", flag: true)
        $0.add("ports", numbers: [80, 443])
        $0.add("empty", numbers: [])
        $0.add("word", word: "a\tb")
        $0.add("least", number: .min)
        $0.add("name", text: [0x6e, 0xff, 0x0a, 0x22])
      })
    let object = try object(line)
    #expect(object["event"] as? String == "stopping")
    #expect(object["message"] as? String == "a \"line\"")
    #expect(object["pid"] as? Int == 7)
    #expect(object["signal"] as? String == "SIGTERM")
    #expect(object["seconds"] as? Double == 2.957)
    #expect(object["none"] is NSNull)
    #expect(object["measured"] as? Bool == true)
    #expect(object["ports"] as? [Int] == [80, 443])
    #expect(object["empty"] as? [Int] == [])
    #expect(object["word"] as? String == "a\tb")
    #expect(object["least"] as? Int64 == .min)
    #expect(object["name"] as? String == "n\u{fffd}\n\"")
    let time = try #require(object["time"] as? Double)
    #expect(abs(time - Date().timeIntervalSince1970) < 60)
  }

  @Test func `as JSON is valid whatever a process calls itself`() throws {
    for _ in 0..<500 {
      let name = (0..<Int.random(in: 0...30)).map { _ in UInt8.random(in: 1...255) }
      _ = try object(json.line("reaped", "reaped \(name)", facts { $0.add("name", text: name) }))
    }
  }

  @Test func `as JSON holds all facts of a report`() throws {
    let clean = try object(json.line("released", report().text, report().facts))
    #expect(clean["exit"] as? Int == 0)
    #expect(clean["free"] as? [Int] == [8080])
    #expect(clean["held"] as? [Int] == [])
    #expect(clean["measured"] as? Bool == true)
    #expect(clean["resets"] as? Int == 0)
    #expect(clean["cut_requests"] as? Int == 0)
    #expect(clean["undecided"] as? Int == 0)
    #expect(clean["bytes_unread"] as? Int == 0)
    #expect(clean["bytes_left"] is NSNull)
    #expect(clean["survivors"] == nil)

    let bad = report { report in
      report.duration = nil
      report.ports = [
        Report.PortEnd(port: 80, state: .listening), Report.PortEnd(port: 81, state: .inUse),
        Report.PortEnd(port: 82, isUDP: true, state: .inUse), Report.PortEnd(port: 83, state: .unknown),
        Report.PortEnd(port: 0, path: Array("/s".utf8), state: .listening),
      ]
      report.losses.notMeasured = .missed
      report.left = look(waiting: [10], silent: [20])
      report.survivors = 3
    }
    let object = try object(json.line("released", bad.text, bad.facts))
    #expect(object["seconds"] is NSNull)
    #expect(object["held"] as? [Int] == [80, 81])
    #expect(object["free"] as? [Int] == [])
    #expect(object["measured"] as? Bool == false)
    // A count of what was seen would be taken for a count of what there was.
    #expect(object["resets"] is NSNull)
    #expect(object["cut_requests"] is NSNull)
    #expect(object["undecided"] is NSNull)
    #expect(object["bytes_unacknowledged"] is NSNull)
    #expect(object["connections_left"] as? Int == 2)
    #expect(object["bytes_left"] as? Int == 30)
    #expect(object["survivors"] as? Int == 3)
  }

  @Test func `is written at its level and above`() {
    for (verbosity, written) in [
      (Verbosity.problems, [true, false, false]), (.report, [true, true, false]),
      (.phases, [true, true, true]),
    ] {
      let journal = Journal(format: .text, verbosity: verbosity)
      #expect([Verbosity.problems, .report, .phases].map { journal.writes($0) } == written)
    }
  }
}
