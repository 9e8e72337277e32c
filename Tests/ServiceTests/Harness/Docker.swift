import Foundation

/// The Docker engine of DOCKER_HOST.
enum Docker {
  /// What its client needs of the tests' own environment.
  static let environment = ProcessInfo.processInfo.environment.filter { $0.key == "DOCKER_HOST" }

  /// Starts a command of the client.
  static func start(_ words: [String]) throws -> Running {
    try Running(["docker"] + words, environment: environment)
  }

  /// Runs a command of the client, which must succeed; gives what it printed, without the last newline.
  @discardableResult
  static func run(_ words: [String]) throws -> String {
    let run = try start(words)
    guard try run.finish() == .code(0) else {
      throw Unusable("docker \(words.joined(separator: " ")): \(run.errors.text)")
    }
    return run.output.text.trimmingCharacters(in: .newlines)
  }
}

/// An image that goes with this value.
final class Image {
  let name: String

  /// An image FROM scratch, of ebb and tide alone.
  ///
  /// - Parameter instructions: those of a Dockerfile that change no file: ENTRYPOINT, HEALTHCHECK, USER, …
  convenience init(scratch instructions: String...) throws {
    let folder = try TemporaryFolder()
    for binary in [Binary.ebb, .tide] {
      try FileManager.default.copyItem(atPath: binary.path(), toPath: "\(folder.path)/\(binary.rawValue)")
    }
    try self.init(
      tree: folder, files: ["ebb", "tide"], instructions: instructions)
  }

  private init(tree: TemporaryFolder, files: [String], instructions: [String]) throws {
    name = "ebb-test/scratch:\(UUID().uuidString.lowercased())"
    let tarball = "\(tree.path)/tarball"
    let tar = try Running(
      ["tar", "--create", "--owner=0", "--group=0", "--file", tarball, "--directory", tree.path] + files)
    guard try tar.finish() == .code(0) else { throw Unusable("tar: \(tar.errors.text)") }
    try Docker.run(["import"] + instructions.flatMap { ["--change", $0] } + [tarball, name])
  }

  deinit { _ = try? Docker.run(["image", "rm", "--force", name]) }
}

/// A container that goes with this value.
final class Container {
  /// What a container can do without, when all it has is ebb: a file system that can be written, root, its
  /// capabilities, a network.
  static let bare = [
    "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=65534", "--network=none",
  ]

  let id: String
  /// What the engine tells of it, from its beginning.
  let events: EngineEvents

  /// Starts a container of an image.
  init(_ image: Image, _ options: [String] = [], words: [String] = []) throws {
    id = try Docker.run(["create"] + options + [image.name] + words)
    events = try EngineEvents(filter: "container=\(id)")
    try Docker.run(["start", id])
  }

  deinit { _ = try? Docker.run(["rm", "--force", "--volumes", id]) }

  /// Runs a command in it, and waits for its end.
  func exec(_ words: String..., options: [String] = []) throws -> (exit: Exit, run: Running) {
    let run = try Docker.start(["exec"] + options + [id] + words)
    return (try run.finish(), run)
  }

  /// One thing that the engine knows of it, as a template of Go.
  func inspect(_ template: String) throws -> String { try Docker.run(["inspect", "--format", template, id]) }

  /// Its first process, as this side numbers it.
  func process() throws -> pid_t {
    guard let pid = pid_t(try inspect("{{.State.Pid}}")), pid > 0 else {
      throw Unusable("the container does not run")
    }
    return pid
  }

  /// Sends TERM, as `docker stop` does, and gives the code that it then exits with.
  func stop() throws -> Int32 {
    try Docker.run(["kill", "--signal=TERM", id])
    return try waitForExit()
  }

  /// Waits for its end.
  func waitForExit() throws -> Int32 {
    guard let code = Int32(try Docker.run(["wait", id])) else { throw Unusable("docker wait tells no code") }
    return code
  }

  /// What it has written so far.
  func log() throws -> (output: String, errors: String) {
    let run = try Docker.start(["logs", id])
    guard try run.finish() == .code(0) else { throw Unusable("docker logs: \(run.errors.text)") }
    return (run.output.text, run.errors.text)
  }
}

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
