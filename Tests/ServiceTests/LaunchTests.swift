import Foundation
import Testing

/// What a service finds when it starts, and what becomes of its exit code.
struct LaunchTests {
  @Test func everyExitCodeOfTheServiceIsPassedOn() throws {
    for code in stride(from: Int32(0), through: 255, by: 1) {
      let run = try Running.ebb(["--", "sh", "-c", "exit \(code)"])
      #expect(try run.waitForExit() == .code(code))
    }
  }

  @Test(.requires(.namespaces)) func asPID1TheServiceIsItsChild() throws {
    let run = try Running.ebb(["--", "sh", "-c", "echo parent $PPID; exec sleep 60"], namespaces: [.pid])
    #expect(try run.waitForLine(containing: "parent") == "parent 1")
    try run.signal(SIGTERM)
    #expect(try run.waitForExit() == .code(143))
  }
}
