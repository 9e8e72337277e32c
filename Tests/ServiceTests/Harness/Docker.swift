import Foundation

/// The Docker engine that the tests are given: by DOCKER_HOST, else the machine's own.
enum Docker {
  /// What docker(1) has to know of the tests' own environment.
  static var environment: [String: String] {
    let own = ProcessInfo.processInfo.environment
    return own.filter {
      ["DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"].contains($0.key)
    }
    .merging(["DOCKER_BUILDKIT": "0"]) { $1 }
  }

  /// Starts docker(1).
  static func start(_ words: [String]) throws -> Running {
    try Running(["docker"] + words, environment: environment)
  }

  /// Runs it to its end, and gives its output without the last line end.
  @discardableResult
  static func run(_ words: String...) throws -> String { try run(words) }

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
final class Image: Sendable {
  let name: String

  /// Builds it.
  ///
  /// - Parameters:
  ///   - dockerfile: the text of its Dockerfile.
  ///   - programs: which of the programs under test the Dockerfile can copy.
  ///   - files: what else, by name.
  convenience init(_ dockerfile: String, programs: [Binary] = [], files: [String: String] = [:]) throws {
    let folder = try TemporaryFolder()
    for program in programs {
      try FileManager.default.copyItem(
        atPath: try program.path(), toPath: "\(folder.path)/\(program.rawValue)")
    }
    for (name, text) in files { try folder.write(name, text) }
    try folder.write("Dockerfile", dockerfile)
    try self.init(folder: folder.path)
  }

  /// Builds it in a folder that is there, with the Dockerfile in it and these build arguments.
  init(folder: String, dockerfile: String = "Dockerfile", arguments: [String] = []) throws {
    name = "ebb-test/\(getpid()):\(UInt32.random(in: 0 ... .max))"
    try Docker.run(
      ["build", "--quiet", "--tag", name, "--file", "\(folder)/\(dockerfile)"]
        + arguments.flatMap { ["--build-arg", $0] } + [folder])
  }

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
final class Container: @unchecked Sendable {
  /// What a container can do without, when all it has is ebb: a file system that can be written, root, its
  /// capabilities, a network.
  static let bare = [
    "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=65534", "--network=none",
  ]

  let id: String
  private let image: Image
  /// What the engine tells of it, from its beginning.
  let events: EngineEvents

  /// Starts a container of an image.
  init(_ image: Image, _ options: [String] = [], words: [String] = []) throws {
    self.image = image
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
  func terminate() throws -> Int32 {
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

extension Container {
  /// Starts one, in the words of docker run.
  convenience init(_ image: Image, options: [String] = [], command: [String] = []) throws {
    try self.init(image, options, words: command)
  }

  var name: String { id }

  /// Its own address on the bridge: behind it there is no proxy that acknowledges for a client.
  func address() throws -> String { try inspect("{{.NetworkSettings.IPAddress}}") }

  /// What it has written to standard error.
  func errors() throws -> [String] {
    let run = try Docker.start(["logs", id])
    _ = try run.finish()
    return run.errors.lines
  }

  /// Waits for a line of its standard error.
  func waitForError(containing text: String) throws {
    try wait(until: "the container says \(text)") { try errors().contains { $0.contains(text) } }
  }

  /// Its processes: number in the container's own namespace, parent's there, state and command line.
  func processes() throws -> [ProcessLook] {
    guard let first = pid_t(try inspect("{{.State.Pid}}")), first > 0 else { return [] }
    let space = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(first)/ns/pid")
    return ProcessLook.all.filter {
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\($0)/ns/pid")) == space
    }.compactMap { ProcessLook($0) }
  }

  /// Ends it as a platform does, and gives its exit code.
  func stop(within seconds: Int = 20) throws -> String {
    try Docker.run("stop", "--time", "\(seconds)", id)
    return try inspect("{{.State.ExitCode}}")
  }
}
