import Foundation

/// What the engine tells of some containers, `docker events`.
final class EngineEvents {
  struct Event {
    let time: Date
    /// "start", "kill", "exec_create: /ebb ready", "health_status: healthy", …
    let action: String
    let attributes: [String: String]

    var exitCode: Int32? { attributes["exitCode"].flatMap { Int32($0) } }
  }

  /// A command that was run by exec, as a probe and a hook are.
  struct Command {
    let began: Date
    let ended: Date
    let exitCode: Int32
    /// Its place among the events.
    let end: Int
  }

  private let run: Running

  /// Listens, to what was told before too. (The engine keeps the last 256 events.)
  init(filter: String) throws {
    run = try Docker.start(["events", "--since", "1", "--filter", filter, "--format", "{{json .}}"])
  }

  /// Everything so far.
  var all: [Event] { EngineEvents.parse(run.output.text) }

  private static func parse(_ text: String) -> [Event] {
    text.split(separator: "\n").compactMap { line in
      guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
        let action = object["Action"] as? String, let nanoseconds = object["timeNano"] as? Int64
      else { return nil }
      let attributes = (object["Actor"] as? [String: Any])?["Attributes"] as? [String: String]
      let time = Date(timeIntervalSince1970: Double(nanoseconds) / 1e9)
      return Event(time: time, action: action, attributes: attributes ?? [:])
    }
  }

  /// The commands that were run by exec and have ended, in the order of their ends.
  func finished(_ words: String) -> [Command] { EngineEvents.finished(words, all) }

  private static func finished(_ words: String, _ all: [Event]) -> [Command] {
    var began: [String: Date] = [:]
    var commands: [Command] = []
    for (index, event) in all.enumerated() {
      guard let id = event.attributes["execID"] else { continue }
      if event.action == "exec_create: \(words)" { began[id] = event.time }
      if event.action == "exec_die", let start = began[id], let code = event.exitCode {
        commands.append(Command(began: start, ended: event.time, exitCode: code, end: index))
      }
    }
    return commands
  }

  /// Waits until `find` finds something in what was told.
  @discardableResult
  func wait<Found>(
    for what: String, within seconds: TimeInterval = hangsAfter, _ find: (EngineEvents) -> Found?
  ) throws -> Found {
    let end = Date() + seconds
    while true {
      if let found = find(self) { return found }
      if Date() > end {
        let seen = all.map { "\($0.action) \($0.attributes["exitCode"] ?? "")" }
        throw Hanging(
          "waited \(Int(seconds)) s in vain for \(what); the engine told: \(seen.joined(separator: ", "))")
      }
      usleep(20_000)
    }
  }

  /// Waits for an event of this name, and gives its place among all.
  @discardableResult
  func wait(forAction action: String, within seconds: TimeInterval = hangsAfter) throws -> Int {
    try wait(for: action, within: seconds) { $0.all.firstIndex { $0.action == action } }
  }
}
