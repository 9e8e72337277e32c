import Foundation
import Testing

/// What ebb needs of the disk that it was started from.
struct PageCacheTests {
  /// Says of each TERM that it has come, and stays.
  private static let service = ["sh", "-c", "trap 'echo got' TERM; echo ready; while :; do sleep 0.02; done"]

  /// How often an init has to wait for the disk until a TERM, the first signal that comes, is with its service and it
  /// rests again; after everything of its program that can be forgotten has been. (What it has mapped stays.)
  private func waitsForTheDisk(_ program: String, _ options: [String]) throws -> Int {
    let file = try ColdFile(copyOf: program)
    try file.forget()
    #expect(try file.pagesInMemory() == 0)
    let run = try Running([file.path] + options + ["--"] + Self.service)
    try run.waitForLine(containing: "ready")
    try waitUntilAtRest(run)
    try file.forget()
    let faults = try majorFaults(run)
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "got")
    try waitUntilAtRest(run)
    return try majorFaults(run) - faults
  }

  /// Waits until it has slept for a third of a second without a break.
  private func waitUntilAtRest(_ run: Running) throws {
    var (switches, since) = (-1, Date())
    try wait(until: "it rests") {
      guard let look = ProcessLook(run.pid) else { throw Unusable("it has ended: \(run.errors.text)") }
      if look.state != "S" || look.voluntarySwitches != switches {
        (switches, since) = (look.voluntarySwitches, Date())
      }
      return since.timeIntervalSinceNow < -0.3
    }
  }

  /// Faults of its pages that had to be read from a disk: field 12 of /proc/PID/stat, proc(5).
  private func majorFaults(_ run: Running) throws -> Int {
    let text = try String(contentsOfFile: "/proc/\(run.pid)/stat", encoding: .utf8)
    let fields = text.components(separatedBy: ") ").last?.split(separator: " ") ?? []
    guard fields.count > 9, let faults = Int(fields[9]) else { throw Unusable("no page faults: \(text)") }
    return faults
  }

  @Test(.requires(.tool("tini-static"), .forgettingDisk))
  func theFirstSignalAfterThePageCacheHasGoneWaitsForTheDiskNoMoreThanTinis() throws {
    let ebb = try waitsForTheDisk(Binary.ebb.path(), [])
    let tini = try waitsForTheDisk(try #require(Tool.path("tini-static")), ["-s"])
    #expect(ebb <= tini)
  }
}
