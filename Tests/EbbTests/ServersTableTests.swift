import Foundation
import Linux
import Supervisor
import Testing

@testable import ebb

/// What is said of known servers: docker/SERVERS.md, `ebb help signals`, the README. All of it is what the code does.
@Suite struct `The table of servers` {
  private struct Row {
    var name: String
    var knownBy: String
    var signal: String
    var test: String
  }

  private static let root: URL = {
    var url = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { url.deleteLastPathComponent() }
    return url
  }()

  private func text(_ path: String) throws -> String {
    try String(contentsOf: Self.root.appendingPathComponent(path), encoding: .utf8)
  }

  private func rows() throws -> [Row] {
    let lines = try text("docker/SERVERS.md").split(separator: "\n").map(String.init)
    let table = lines.drop { $0 != "<!-- servers -->" }.prefix { $0 != "<!-- end of servers -->" }
    return try table.dropFirst(3).map { line in
      let cells = line.components(separatedBy: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      try #require(cells.count == 9, "\(line)")
      return Row(name: cells[1], knownBy: cells[2], signal: cells[3], test: cells[7])
    }
  }

  /// The words between backticks.
  private func names(_ cell: String) -> [String] {
    cell.components(separatedBy: "`").enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
  }

  private func name(_ signal: Signal) -> String {
    let text: Text = "\(signal)"
    return String(decoding: text.bytes, as: UTF8.self)
  }

  /// Name and signal, a line of `ebb help signals` each.
  private func help() throws -> [(name: String, signal: String)] {
    let text = try Help.text(arguments(["signals"]))
    return String(decoding: text.bytes, as: UTF8.self).split(separator: "\n").filter { $0.hasPrefix("  ") }
      .map { line in
        let name = line.dropFirst(2).prefix(14).trimmingCharacters(in: .whitespaces)
        return (name, String(line.dropFirst(16).prefix { $0 != " " }))
      }
  }

  @Test func `has a row for each that ebb knows, as ebb help signals has`() throws {
    let known = try rows().filter { $0.knownBy != "–" }
    let help = try help()
    #expect(known.count == KnownServer.allCases.count && help.count == known.count)
    for ((row, line), server) in zip(zip(known, help), KnownServer.allCases) {
      #expect(row.name == line.name)
      #expect(
        "SIG\(row.signal)" == name(server.stopSignal) && line.signal == name(server.stopSignal), "\(row)")
      if server == .uwsgiWithTerm { continue }
      for name in names(row.knownBy) {
        let bytes = Array(name.utf8)
        #expect(
          KnownServer(comm: bytes, firstArgument: []) == server
            || KnownServer(comm: Array("ruby".utf8), firstArgument: bytes) == server, "\(name)")
      }
    }
  }

  @Test func `says of those that ebb does not know how to name their signal`() throws {
    let rows = try rows()
    #expect(rows.count >= 25)
    for row in rows where row.knownBy == "–" {
      let name = Array(row.name.lowercased().utf8)
      #expect(KnownServer(comm: name, firstArgument: []) == nil, "\(row.name)")
      #expect(row.signal == "TERM" || row.signal.hasSuffix("`--stop-signal`"), "\(row)")
    }
  }

  @Test func `names tests that there are`() throws {
    let folder = "Tests/ServiceTests/Servers"
    let files = try FileManager.default.contentsOfDirectory(
      atPath: Self.root.appendingPathComponent(folder).path)
    let tests = try files.filter { $0.hasSuffix(".swift") }.map { try text("\(folder)/\($0)") }.joined()
    for row in try rows() where row.test != "manual" {
      #expect(tests.contains("func `\(row.test)`("), "\(row.name): \(row.test)")
    }
  }

  @Test func `is summed up in the README, by signal`() throws {
    let readme = try text("README.md")
    for row in try rows() where row.knownBy != "–" {
      let line = try #require(
        readme.split(separator: "\n").first { $0.hasPrefix("| \(row.signal) |") }, "\(row)")
      #expect(line.contains(row.name), "\(row)")
    }
  }
}
