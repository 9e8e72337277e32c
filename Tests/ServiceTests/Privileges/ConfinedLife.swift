import Foundation

/// One ebb with tide as its service, in a confinement of its own, and those who ask it there.
final class ConfinedLife {
  let confinement: Confinement
  /// ebb, as this side numbers it.
  let process: pid_t
  /// Where its service listens.
  let network: PrivateNetwork
  private let programs: Confinement.Programs
  private let run: Running
  private let container: String?
  private var others: [Running] = []
  private var memory: OwnMemory?

  /// Starts it, and waits until the service listens.
  init(_ confinement: Confinement, _ options: [String], service: [String]) throws {
    self.confinement = confinement
    programs = try Confinement.programs.get()
    let serve = ["serve"] + service
    if let docker = try confinement.dockerOptions() {
      let name = "ebb-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
      container = name
      run = try Docker.start(
        ["run", "--rm", "--network=none", "--name", name] + docker + [try Confinement.image.get().name]
          + options + ["--", "/tide"] + serve)
      try run.waitForLine(containing: "listening on")
      guard let first = pid_t(try Docker.run("inspect", "--format", "{{.State.Pid}}", name)) else {
        throw Unusable("no container")
      }
      process = first
    } else {
      container = nil
      let words =
        try confinement.wrapper(programs) + [programs.ebb] + options + ["--"] + confinement.servicesWrapper
        + [programs.tide] + serve
      let environment = ["EBB_CONTROL": "auto"]
      switch confinement {
      case .userNamespace:
        run = try Running(
          Confinement.become(Confinement.someUser) + [
            "unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc",
            "--net",
            "--mount", "--", "sh", "-c", "ip link set lo up\n\(confinement.preparation)\nexec \"$@\"", "sh",
          ] + words, environment: environment)
      case .sharedPIDs:
        let pause = try Running(["sleep", "600"], namespaces: [.pid, .network, .mount])
        let first = try pause.main()
        let entry = ["nsenter", "--target", "\(first)", "--pid", "--net", "--mount", "--"]
        // Another container of the pod, with a service of its own.
        let neighbour = try Running(
          [programs.tide, "serve", "--listen", "7070"], entering: entry, namespaces: [.mount])
        try neighbour.waitForLine(containing: "listening on")
        others = [pause, neighbour]
        run = try Running(
          words, environment: environment, entering: entry, namespaces: [.mount],
          prepare: confinement.preparation)
      default:
        if confinement == .memory { memory = try OwnMemory() }
        run = try Running(
          words, environment: environment, entering: memory?.entry ?? [],
          namespaces: (confinement.isPID1 ? [.pid] : []) + [.network, .mount],
          prepare: confinement.preparation)
      }
      try run.waitForLine(containing: "listening on")
      let all = [run.pid] + ProcessLook.descendants(of: run.pid)
      guard let found = all.first(where: { ProcessLook($0)?.name == "ebb" }) else {
        throw Unusable("no process is ebb's")
      }
      process = found
    }
    network = PrivateNetwork(of: process)
    // Then a socket takes what the service writes whole, whatever its peer reads.
    try network.widen()
  }

  deinit { if let container { _ = try? Docker.run("rm", "--force", "--volumes", container) } }

  // MARK: - Asking

  /// What a command of ebb's came to.
  struct Told {
    var exit: Exit
    var output: String
    var errors: String
    var seconds: TimeInterval

    /// The one line that says why.
    var why: String { (errors.isEmpty ? output : errors).split(separator: "\n").first.map(String.init) ?? "" }
  }

  /// Runs a command of ebb's to its end, in the same place.
  func ask(_ words: String...) throws -> Told {
    let began = Date()
    let command: Running
    if let container {
      command = try Docker.start(["exec", container, "/ebb"] + words)
    } else {
      command = try Running(
        entry + confinement.askersWrapper(programs) + [programs.ebb] + words,
        environment: ["EBB_CONTROL": "auto"])
    }
    let exit = try command.finish()
    return Told(
      exit: exit, output: command.output.text, errors: command.errors.text,
      seconds: Date().timeIntervalSince(began))
  }

  /// The words that go to where ebb is.
  private var entry: [String] {
    let namespaces =
      confinement == .userNamespace
      ? ["--user", "--pid", "--net", "--mount"] : ["--pid", "--net", "--mount"]
    return (memory?.entry ?? []) + ["nsenter", "--target", "\(process)"] + namespaces + ["--"]
  }

  /// Whether the confinement is what its title says.
  func isProved() throws -> String? {
    guard let look = ProcessLook(process) else { return "ebb is gone" }
    switch confinement {
    case .docker:
      if look.status["Seccomp"] != "2" || look.status["CapEff"] == "0000000000000000" {
        return "\(look.status)"
      }
    case .restricted, .strict:
      if look.status["Seccomp"] != "2" || look.status["CapEff"] != "0000000000000000"
        || look.status["NoNewPrivs"] != "1" || look.status["Uid"]?.hasPrefix("0") != false
      {
        return "\(look.status)"
      }
    default: break
    }
    guard let proof = confinement.proof else { return nil }
    let shell = try Running(
      entry + confinement.askersWrapper(programs) + ["sh", "-c", proof],
      environment: ["EBB": "\(confinement == .notFirst ? process : look.innerPID)"])
    return try shell.finish() == .code(0) ? nil : "\(proof): \(shell.errors.text)"
  }

  // MARK: - Its life

  /// Sends ebb a signal.
  func signal(_ number: Int32) throws {
    guard kill(process, number) == 0 else { throw Unusable("kill: errno \(errno)") }
  }

  /// What the service prints.
  func waitForLine(_ text: String) throws { try run.waitForLine(containing: text) }

  /// What ebb prints.
  func waitForError(_ text: String) throws { try run.waitForLine(containing: text, on: .errors) }

  var errors: [String] { run.errors.lines }

  /// The lines of ebb's log, by event.
  func event(_ name: String) -> [String: Any]? {
    run.errors.lines.lazy.compactMap {
      try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
    }.last { $0["event"] as? String == name }
  }

  /// Whether ebb is there still.
  var isAlive: Bool { ProcessLook(process)?.isAlive == true }

  /// Its children, zombies among them.
  var children: [ProcessLook] {
    ProcessLook.all.compactMap { ProcessLook($0) }.filter { $0.parent == process }
  }

  /// Whether a neighbour has ended, which nobody had asked to.
  var hasHarmed: Bool { others.contains { $0.hasEnded } }

  func finish() throws -> Exit { try run.finish() }
}

extension Confinement {
  static let image = Result { try Image(scratch: "ENTRYPOINT [\"/ebb\"]") }
}
