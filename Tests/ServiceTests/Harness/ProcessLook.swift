import Foundation

/// A process as /proc shows it, seen from outside of its namespaces.
struct ProcessLook {
  let pid: pid_t
  /// The fields of /proc/PID/status.
  let status: [String: String]

  /// nil where it is gone.
  init?(_ pid: pid_t) {
    guard let text = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else { return nil }
    self.pid = pid
    var status: [String: String] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 { status[String(parts[0])] = parts[1].trimmingCharacters(in: .whitespaces) }
    }
    self.status = status
  }

  var name: String { status["Name"] ?? "" }
  /// R, S, T (stopped), Z (a zombie), …
  var state: Character { status["State"]?.first ?? "?" }
  var parent: pid_t { status["PPid"].flatMap { pid_t($0) } ?? 0 }
  /// Its number in the innermost pid namespace that it is in.
  var innerPID: pid_t { status["NSpid"]?.split(separator: "\t").last.flatMap { pid_t($0) } ?? pid }
  var group: pid_t { getpgid(pid) }
  var session: pid_t { getsid(pid) }
  /// Times that it went to sleep of its own accord.
  var voluntarySwitches: Int { status["voluntary_ctxt_switches"].flatMap { Int($0) } ?? 0 }
  /// The words of its command line.
  var commandLine: String {
    let data = (try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(pid)/cmdline"))) ?? Data()
    return String(decoding: data, as: UTF8.self).replacingOccurrences(of: "\0", with: " ")
  }

  var isAlive: Bool { state != "Z" && state != "X" }

  /// The bytes of the program that a process runs.
  static func program(of pid: pid_t) throws -> Data? {
    try FileHandle(forReadingAtPath: "/proc/\(pid)/exe")?.readToEnd()
  }

  /// Every process that there is.
  static var all: [pid_t] {
    ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { pid_t($0) }
  }

  /// The processes with this variable, "NAME=value", in the environment that they were started with.
  static func marked(_ mark: String) -> [pid_t] {
    let wanted = Data(mark.utf8 + [0])
    return all.filter { pid in
      guard let file = FileHandle(forReadingAtPath: "/proc/\(pid)/environ"),
        let environment = try? file.readToEnd()
      else { return false }
      return environment.range(of: wanted) != nil
    }
  }

  /// The living children of a process, their children, and so on.
  static func descendants(of pid: pid_t) -> [pid_t] {
    var found: [pid_t] = []
    let looks = all.compactMap { ProcessLook($0) }
    var generation = [pid]
    while !generation.isEmpty {
      generation = looks.filter { generation.contains($0.parent) }.map(\.pid)
      found += generation
    }
    return found
  }
}
