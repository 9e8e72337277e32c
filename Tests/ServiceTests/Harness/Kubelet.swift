import Foundation
import Testing

/// A Kubernetes node with no control plane, `.ci/node`: a kubelet that runs the pods whose manifests are put
/// into a folder.
final class Kubelet: Sendable {
  /// The program; nil where none was given.
  static let path: String? = {
    guard let path = ProcessInfo.processInfo.environment["EBB_KUBELET"], !path.isEmpty else { return nil }
    return path
  }()

  /// A command that succeeds where pods can be reached at their addresses.
  static let sharesEnginesNetwork = ["ip", "link", "show", "docker0"]

  /// How long a pod may take to come, to go, or to change, before the test is taken for hanging.
  static let hangsAfter: TimeInterval = 90

  /// The one of the suite that runs.
  @TaskLocal static var current: Kubelet?

  private let folder: String
  private let port: UInt16
  // The kubelet is known as this one's, and goes with it.
  private let starting: Running
  // Ends the kubelet when the tests' process is gone and has not done so: it was killed. A second kubelet on
  // the same engine would end the pods of the first.
  private let guarding: Running

  fileprivate init() throws {
    var template = Array("\(NSTemporaryDirectory())/ebb-node-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { throw Unusable("no temporary folder: errno \(errno)") }
    folder = String(cString: made)
    port = try freePort()
    starting = try Kubelet.node("start", folder, port)
    let guarded = "tail --follow --pid=\(getpid()) /dev/null; [ ! -d $0 ] || { \"$@\"; rm -rf $0; }"
    guarding = try Running(
      ["sh", "-c", guarded, folder] + Kubelet.command("stop", folder, port), environment: Kubelet.environment)
    try starting.succeed("node start")
  }

  /// Ends it, and all its pods.
  fileprivate func stop() throws {
    try Kubelet.node("stop", folder, port).succeed("node stop")
    try FileManager.default.removeItem(atPath: folder)
  }

  private static func command(_ command: String, _ folder: String, _ port: UInt16) -> [String] {
    ["\(Binary.packageRoot)/.ci/node", command, folder, "\(port)"]
  }

  private static var environment: [String: String] {
    Docker.environment.merging(["EBB_KUBELET": path ?? ""]) { $1 }
  }

  private static func node(_ command: String, _ folder: String, _ port: UInt16) throws -> Running {
    try Running(Kubelet.command(command, folder, port), environment: environment)
  }

  /// Has it run a pod. It then is known as NAME-node.
  fileprivate func add(_ name: String, _ manifest: [String: Any]) throws {
    // JSON is YAML. The file comes whole, and under its name: kubelet looks at once.
    let data = try JSONSerialization.data(withJSONObject: manifest)
    try data.write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
    guard rename("\(folder)/\(name)", "\(folder)/pods/\(name).yaml") == 0 else {
      throw Unusable("rename: errno \(errno)")
    }
  }

  /// Takes a pod away.
  fileprivate func remove(_ name: String) { unlink("\(folder)/pods/\(name).yaml") }

  /// A pod as it shows it; nil where it does not.
  fileprivate func pod(_ name: String) throws -> [String: Any]? {
    let curl = try Running(["curl", "--silent", "--max-time", "10", "http://127.0.0.1:\(port)/pods"])
    try curl.succeed("curl")
    let list = try JSONSerialization.jsonObject(with: Data(curl.output.raw)) as? [String: Any]
    return (list?["items"] as? [[String: Any]])?
      .first { ($0["metadata"] as? [String: Any])?["name"] as? String == "\(name)-node" }
  }

  /// The file on this side that is /dev/termination-log in a pod's container; another for each of its starts.
  fileprivate func terminationLogs(uid: String, container: String) -> [String] {
    let path = "\(folder)/kubelet/pods/\(uid)/containers/\(container)"
    return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).map { "\(path)/\($0)" }
  }

  /// What it has logged about a pod.
  fileprivate func log(about text: String) throws -> [String] {
    try String(contentsOfFile: "\(folder)/kubelet.log", encoding: .utf8).split(separator: "\n").map(
      String.init
    )
    .filter { $0.contains(text) }
  }
}

extension Running {
  /// Waits for the end of a program that may take its time; it must be a success.
  fileprivate func succeed(_ what: String) throws {
    try wait(until: "\(what) ends", within: Kubelet.hangsAfter) { hasEnded }
    guard try finish() == .code(0) else { throw Unusable("\(what): \(errors.text)\(output.text)") }
  }
}

/// Has one kubelet run for all tests of a suite.
struct RunsKubelet: SuiteTrait, TestScoping {
  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    let kubelet = try Kubelet()
    do {
      try await Kubelet.$current.withValue(kubelet) { try await function() }
    } catch {
      try? kubelet.stop()
      throw error
    }
    try kubelet.stop()
  }
}

extension Trait where Self == RunsKubelet {
  static var runsKubelet: RunsKubelet { RunsKubelet() }
}

/// A pod of the suite's kubelet that goes with this value.
final class Pod {
  /// What the engine tells of its container.
  let events: EngineEvents

  private let name: String
  private let kubelet: Kubelet

  /// Has a pod run, of one container: as uid 65534, with a file system that it cannot write to, and without
  /// any capability.
  ///
  /// - Parameters:
  ///   - container: fields of the container: command, readinessProbe, lifecycle, …
  ///   - fields: fields of the pod's spec: terminationGracePeriodSeconds, restartPolicy, …
  convenience init(_ image: Image, container: [String: Any], fields: [String: Any] = [:]) throws {
    var service: [String: Any] = [
      "image": image.name, "imagePullPolicy": "Never",
      "securityContext": [
        "runAsUser": 65534, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        "capabilities": ["drop": ["ALL"]],
      ],
    ]
    service.merge(container) { $1 }
    try self.init(spec: ["containers": [service]].merging(fields) { $1 })
  }

  /// Has a pod run; its first container is the one that is looked at.
  init(spec: [String: Any]) throws {
    guard let kubelet = Kubelet.current else { throw Unusable("the suite has no .runsKubelet") }
    guard var containers = spec["containers"] as? [[String: Any]], !containers.isEmpty else {
      throw Unusable("a pod without a container")
    }
    self.kubelet = kubelet
    // A name of its own for the container too: that is what the kubelet's log tells of a hook.
    name = "pod-\(UUID().uuidString.lowercased())"
    containers[0]["name"] = name
    events = try EngineEvents(filter: "label=io.kubernetes.container.name=\(name)")
    try kubelet.add(
      name,
      [
        "apiVersion": "v1", "kind": "Pod", "metadata": ["name": name, "namespace": "default"],
        "spec": spec.merging(["containers": containers]) { $1 },
      ])
  }

  deinit { kubelet.remove(name) }

  /// Deletes it.
  func delete() { kubelet.remove(name) }

  // MARK: - As the kubelet shows it

  private func status() throws -> [String: Any] { try kubelet.pod(name)?["status"] as? [String: Any] ?? [:] }

  private func readyCondition() throws -> [String: Any]? {
    (try status()["conditions"] as? [[String: Any]])?.first { $0["type"] as? String == "Ready" }
  }

  /// Whether it is Ready.
  func isReady() throws -> Bool { try readyCondition()?["status"] as? String == "True" }

  /// Since when it is Ready, or is not: the beginning of that second.
  func readinessChanged() throws -> Date? {
    (try readyCondition()?["lastTransitionTime"] as? String).flatMap { ISO8601DateFormatter().date(from: $0) }
  }

  func waitUntilReady(_ wanted: Bool = true) throws {
    try wait(until: "the pod is \(wanted ? "" : "not ")Ready", within: Kubelet.hangsAfter) {
      usleep(50_000)
      return try isReady() == wanted
    }
  }

  /// The container's end, as the kubelet shows it: its exit code and its termination message.
  func waitForTermination() throws -> (exitCode: Int?, message: String?) {
    var terminated: [String: Any]?
    try wait(until: "the kubelet shows the container's end", within: Kubelet.hangsAfter) {
      usleep(50_000)
      let container = (try status()["containerStatuses"] as? [[String: Any]])?.first
      terminated = (container?["state"] as? [String: Any])?["terminated"] as? [String: Any]
      return terminated != nil
    }
    return (terminated?["exitCode"] as? Int, terminated?["message"] as? String)
  }

  /// What it has logged, before some moment, of this pod's hooks that failed.
  ///
  /// Before, since this kubelet's housekeeping goes by a list of containers that is up to some seconds old: it
  /// kills a pod once more that has ended already, and complains that its hook cannot be run.
  func failedHooks(before moment: Date) throws -> [String] {
    let format = DateFormatter()
    format.dateFormat = "MMdd HH:mm:ss.SSS"
    // "E1121 11:58:14.148247 8737 kuberuntime_container.go:526] preStop hook for container …"
    let end = format.string(from: moment)
    return try kubelet.log(about: name)
      .filter { $0.contains("hook") && $0.contains("failed") && String($0.dropFirst()) < end }
  }

  // MARK: - Its container

  /// Waits for the container to run, and gives its id.
  @discardableResult
  func container() throws -> String {
    var id = ""
    try wait(until: "the container runs", within: Kubelet.hangsAfter) {
      id = try Docker.run(
        ["ps", "--quiet", "--no-trunc", "--filter", "label=io.kubernetes.container.name=\(name)"])
      return !id.isEmpty
    }
    return id
  }

  /// The first process of the pod's pause container, as this side numbers it.
  func pause() throws -> pid_t? {
    let id = try Docker.run([
      "ps", "--quiet", "--filter", "label=io.kubernetes.container.name=POD", "--filter",
      "label=io.kubernetes.pod.name=\(name)-node",
    ])
    return pid_t(try Docker.run("inspect", "--format", "{{.State.Pid}}", id))
  }

  /// Runs a command in it.
  func exec(_ words: String...) throws -> Running { try Docker.start(["exec", container()] + words) }

  /// Its /dev/termination-log, from this side: it can be read on when the pod is gone.
  func terminationLog() throws -> FileHandle {
    let uid = (try kubelet.pod(name)?["metadata"] as? [String: Any])?["uid"] as? String ?? ""
    guard let path = kubelet.terminationLogs(uid: uid, container: name).last,
      let file = FileHandle(forUpdatingAtPath: path)
    else { throw Unusable("no termination log of \(uid)") }
    return file
  }
}
