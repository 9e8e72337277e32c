import Foundation
import Testing

/// One of the inits whose name ebb takes, in one of its ways, and how it is run.
struct NamedInit: CustomTestStringConvertible, Sendable {
  /// The program, as Debian has it.
  var program: String
  var options: [String] = []
  var isPID1 = false
  var hasTerminal = false
  var environment: [String: String] = [:]

  var testDescription: String {
    ([program] + options.prefix(8) + (isPID1 ? ["as PID 1"] : []) + (hasTerminal ? ["at a terminal"] : [])
      + environment.map { "\($0)=\($1)" }).joined(separator: " ")
  }

  /// The same, as PID 1 and not, with a terminal and without.
  var everywhere: [NamedInit] {
    [false, true].filter { !$0 || Requirement.isMet(.namespaces) }.flatMap { isPID1 in
      [false, true].map { hasTerminal in
        var place = self
        place.isPID1 = isPID1
        place.hasTerminal = hasTerminal
        return place
      }
    }
  }
}

/// What the real program did and what ebb did under its name: facts by their names, as scenarios.py has them.
struct Comparison {
  let real: [String: NSObject]
  let ebb: [String: NSObject]

  /// Runs a scenario of scenarios.py for both, side by side.
  init(_ scenario: String, _ named: NamedInit, more: [String: Any] = [:]) throws {
    let folder = try TemporaryFolder()
    let link = "\(folder.path)/\(named.program)"
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: try Binary.ebb.path())
    guard let program = Tool.path(named.program) else { throw Unusable("no \(named.program)") }
    let runs = try [program, link].map { path in
      var how: [String: Any] = [
        "program": path, "options": named.options, "pid1": named.isPID1, "terminal": named.hasTerminal,
        "environment": named.environment,
      ]
      how.merge(more) { $1 }
      let json = String(decoding: try JSONSerialization.data(withJSONObject: how), as: UTF8.self)
      return try Running([
        "python3", "\(Binary.packageRoot)/Tests/ServiceTests/Names/scenarios.py", scenario, json,
      ])
    }
    let facts = try runs.map { run -> [String: NSObject] in
      guard try run.finish() == .code(0),
        let facts = try JSONSerialization.jsonObject(with: Data(run.output.raw)) as? [String: NSObject]
      else { throw Unusable("\(scenario): \(run.errors.text)") }
      return facts
    }
    (real, ebb) = (facts[0], facts[1])
  }

  /// The facts in which they differ, but for those that differ on purpose: these are then as they are to be.
  func differences(onPurpose: [String: NSObject] = [:]) -> [String] {
    Set(real.keys).union(ebb.keys).sorted().compactMap { name in
      let expected = onPurpose[name] ?? real[name]
      if ebb[name] == expected { return nil }
      return
        "\(name): \(real[name].map { "\($0)" } ?? "nothing"), ebb \(ebb[name].map { "\($0)" } ?? "nothing")"
    }
  }
}
