import Foundation
import Testing

/// What a test needs of the machine. Where that is missing the test is skipped and says why; with
/// EBB_TEST_REQUIRE_ALL=1, as in CI, it fails.
enum Requirement: Hashable, Sendable {
  /// uid 0, with the right to become others.
  case root
  /// Namespaces of one's own: by root, or by a user namespace where the kernel permits those.
  case namespaces
  /// A program in PATH.
  case tool(String)
  /// Cgroups of one's own, in the unified hierarchy (v2).
  case cgroups
  /// Memory cgroups of one's own.
  case memoryLimit
  /// A disk for temporary files, whose pages in memory can be forgotten and read again.
  case forgettingDisk
  /// A Docker engine that answers.
  case docker
  /// The kubelet that EBB_KUBELET names, and to be in the engine's network, as its probes have to be.
  case kubelet
  /// An engine whose own init, that of `docker run --init`, is the ebb under test.
  case engineInit
  /// A module of python3's.
  case pythonModule(String)

  /// What is wanted, for a reader.
  var text: String {
    switch self {
    case .root: "root"
    case .namespaces: "namespaces of its own (root, or unshare -Ur permitted)"
    case .tool(let name): "the program \(name)"
    case .cgroups: "cgroups of its own (version 2, writable)"
    case .memoryLimit: "memory cgroups of its own"
    case .forgettingDisk: "a temporary folder on a disk (TMPDIR)"
    case .docker: "a Docker engine (DOCKER_HOST)"
    case .engineInit: "a Docker engine whose init is this ebb (dockerd --init-path)"
    case .kubelet:
      "a kubelet (.ci/kubelet builds one; EBB_KUBELET is its path), in the engine's network (.ci/engine exec)"
    case .pythonModule(let name): "python3 with \(name)"
    }
  }

  private var isMet: Bool {
    switch self {
    case .root: geteuid() == 0
    case .namespaces:
      succeeds(Namespace.command([.pid, .network, .mount]) + ["true"])
    case .tool(let name): Tool.path(name) != nil
    case .cgroups: OwnCgroup.root != nil && (try? OwnCgroup()) != nil
    case .memoryLimit: OwnMemory.root != nil && (try? OwnMemory()) != nil
    case .forgettingDisk: (try? ColdFile.canForget()) == true
    case .docker: Tool.path("docker") != nil && succeeds(["docker", "info"])
    case .kubelet:
      Kubelet.path.map { access($0, X_OK) == 0 } == true && succeeds(Kubelet.sharesEnginesNetwork)
    case .engineInit:
      Requirement.docker.isMet
        && (try? Docker.run("info", "--format", "{{.InitBinary}}")).flatMap { realpath($0, nil) }
          .map { String(cString: $0) }
          == (try? Binary.ebb.path()).flatMap { realpath($0, nil) }.map { String(cString: $0) }
    case .pythonModule(let name): succeeds(["python3", "-c", "import \(name)"])
    }
  }

  /// Whether it is known to be missing by choice, which is never a failure: nobody has to build a kubelet.
  private var isLeftOut: Bool { self == .kubelet && Kubelet.path == nil }

  /// What to do where it is missing: skip the test, or, in CI, fail.
  var isSkippedWhereMissing: Bool {
    isLeftOut || ProcessInfo.processInfo.environment["EBB_TEST_REQUIRE_ALL"] != "1"
  }

  private func succeeds(_ words: [String]) -> Bool {
    guard let probe = try? Running(words, environment: Docker.environment),
      let exit = try? probe.waitForExit()
    else { return false }
    return exit == .code(0)
  }

  /// Asked once: an engine does not come and go while tests run.
  static func isMet(_ requirement: Requirement) -> Bool {
    answers.lock.lock()
    defer { answers.lock.unlock() }
    if let known = answers.known[requirement] { return known }
    let answer = requirement.isMet
    answers.known[requirement] = answer
    return answer
  }

  private final class Answers: @unchecked Sendable {
    let lock = NSLock()
    var known: [Requirement: Bool] = [:]
  }
  private static let answers = Answers()
}

extension Trait where Self == ConditionTrait {
  /// Runs the test only where all of this is there.
  static func requires(
    _ requirements: Requirement..., sourceLocation: SourceLocation = #_sourceLocation
  ) -> ConditionTrait {
    let list = requirements.map(\.text).joined(separator: ", ")
    return .enabled("needs \(list)", sourceLocation: sourceLocation) {
      guard let missing = requirements.first(where: { !Requirement.isMet($0) }) else { return true }
      if !missing.isSkippedWhereMissing {
        throw Unusable("EBB_TEST_REQUIRE_ALL is set, and \(missing.text) is missing")
      }
      return false
    }
  }
}

/// Programs in the PATH that the tests' processes get.
enum Tool {
  /// The usual folders first: what a user's version manager puts before them are scripts that start slowly.
  static let searchPath: String = {
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    guard let own = ProcessInfo.processInfo.environment["PATH"], !own.isEmpty else { return usual }
    return "\(usual):\(own)"
  }()

  /// A program's path; nil where there is none.
  static func path(_ name: String) -> String? {
    if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
    for folder in searchPath.split(separator: ":") where access("\(folder)/\(name)", X_OK) == 0 {
      return "\(folder)/\(name)"
    }
    return nil
  }
}

/// A namespace that a process gets for itself, namespaces(7).
enum Namespace: Sendable {
  /// Process numbers: the program is PID 1, with a /proc to match, and all end with it.
  case pid
  /// The network: nothing but a loopback interface, which is up.
  case network
  /// Mounts: what is mounted there is seen by nobody else.
  case mount

  /// The words before a command that give it these namespaces.
  static func command(_ namespaces: [Namespace]) -> [String] {
    if namespaces.isEmpty { return [] }
    var words = ["unshare"]
    if geteuid() != 0 { words.append("--map-root-user") }
    for namespace in namespaces {
      switch namespace {
      case .pid: words += ["--pid", "--fork", "--mount-proc", "--kill-child"]
      case .network: words.append("--net")
      case .mount: words.append("--mount")
      }
    }
    return words + ["--"]
  }
}
