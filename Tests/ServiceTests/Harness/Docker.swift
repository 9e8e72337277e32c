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

/// An image of the test's own. Removed with this value.
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

  /// Builds one FROM scratch: ebb, tide, and what these instructions say.
  convenience init(scratch instructions: String...) throws {
    try self.init(
      "FROM scratch\nCOPY ebb tide /\n\(instructions.joined(separator: "\n"))\n", programs: [.ebb, .tide])
  }

  /// Builds it in a folder that is there, with the Dockerfile in it and these build arguments.
  init(folder: String, dockerfile: String = "Dockerfile", arguments: [String] = [], target: String? = nil)
    throws
  {
    name = "ebb-test/\(getpid()):\(UInt32.random(in: 0 ... .max))"
    // Of the same files two tests would make the same image, and one would remove it before the other has its name on it:
    // so each has a label of its own, and what they share stays.
    try Docker.run(
      ["build", "--quiet", "--tag", name, "--label", "of=\(name)", "--file", "\(folder)/\(dockerfile)"]
        + arguments.flatMap { ["--build-arg", $0] } + (target.map { ["--target", $0] } ?? []) + [folder])
  }

  deinit { _ = try? Docker.run("image", "rm", "--force", "--no-prune", name) }
}

/// A container that runs. Removed with this value.
final class Container: Sendable {
  let name: String
  private let image: Image
  private let turn = Turn()

  /// The options of one that has to do without nearly everything: a file system that it can write to, root,
  /// its capabilities, a network.
  static let bare = [
    "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=65534", "--network=none",
  ]

  /// Starts one.
  init(_ image: Image, options: [String] = [], command: [String] = []) throws {
    self.image = image
    name = "ebb-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    try Docker.run(["run", "--detach", "--name", name] + options + [image.name] + command)
  }

  deinit { _ = try? Docker.run("rm", "--force", "--volumes", name) }

  /// Something that docker(1) tells of it.
  func inspect(_ format: String) throws -> String { try Docker.run("inspect", "--format", format, name) }

  /// Its own address on the bridge: behind it there is no proxy that acknowledges for a client.
  func address() throws -> String { try inspect("{{.NetworkSettings.IPAddress}}") }

  /// Its first process, as this side numbers it.
  func process() throws -> pid_t {
    guard let pid = pid_t(try inspect("{{.State.Pid}}")), pid > 0 else {
      throw Unusable("the container does not run")
    }
    return pid
  }

  /// Runs a command in it, and waits for its end.
  func exec(_ command: String..., options: [String] = []) throws -> (exit: Exit, run: Running) {
    let run = try Docker.start(["exec"] + options + [name] + command)
    return (try run.finish(), run)
  }

  /// What the engine tells of it.
  func events() throws -> EngineEvents { try EngineEvents(filter: "container=\(name)") }

  /// Connects to it. Its interface may be up a moment after its processes: until then there is no route.
  func connect(_ port: UInt16, receiveBuffer: Int32? = nil) throws -> Client {
    let address = try address()
    var client: Client?
    try wait(until: "there is a route to \(address)") {
      do {
        client = try Client(address, port, receiveBuffer: receiveBuffer)
      } catch let refused as Client.Refused where refused.number == EHOSTUNREACH {}
      return client != nil
    }
    guard let client else { throw Unusable("no connection to \(address)") }
    return client
  }

  /// What it has written to standard error.
  func errors() throws -> [String] {
    let run = try Docker.start(["logs", name])
    _ = try run.finish()
    return run.errors.lines
  }

  /// Waits for a line of its standard error.
  func waitForError(containing text: String) throws {
    try wait(until: "the container says \(text)") { try errors().contains { $0.contains(text) } }
  }

  /// Its processes: number in the container's own namespace, parent's there, state and command line.
  func processes() throws -> [ProcessLook] {
    guard let first = try? process() else { return [] }
    let space = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(first)/ns/pid")
    return ProcessLook.all.filter {
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\($0)/ns/pid")) == space
    }.compactMap { ProcessLook($0) }
  }

  /// Ends it as a platform does, and gives its exit code.
  func stop(within seconds: Int = 20) throws -> String {
    try Docker.run("stop", "--time", "\(seconds)", name)
    return try inspect("{{.State.ExitCode}}")
  }
}
