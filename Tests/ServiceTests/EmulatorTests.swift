import Foundation
import Testing

/// The emulator of this machine's own processor.
#if arch(arm64)
  private let emulator = "qemu-aarch64-static"
#else
  private let emulator = "qemu-x86_64-static"
#endif

/// ebb under QEMU's user-mode emulation, as an image for another processor is run. The kernel's answers are QEMU's
/// there: it knows no PR_SET_CHILD_SUBREAPER and no netlink. The service is the machine's own.
@Suite(.requires(.tool(emulator)))
struct EmulatorTests {
  private func emulated(
    _ words: [String], entering: [String] = [], namespaces: [Namespace] = [], named name: String? = nil
  ) throws -> Running {
    let named = name.map { ["-0", $0] } ?? []
    return try Running(
      [emulator] + named + [try Binary.ebb.path()] + words, entering: entering, namespaces: namespaces)
  }

  /// A service's words, what it prints, and the code that ebb then exits with.
  struct Ending: CustomTestStringConvertible, Sendable {
    var words: [String]
    var output = ""
    var code: Int32
    var testDescription: String { words.joined(separator: " ") }
  }

  static let endings = [
    Ending(words: ["sh", "-c", "echo ran"], output: "ran\n", code: 0),
    Ending(words: ["sh", "-c", "echo ran; exit 7"], output: "ran\n", code: 7),
    Ending(words: ["sh", "-c", "kill -TERM $$"], code: 143),
    Ending(words: ["sh", "-c", "kill -KILL $$"], code: 137),
    Ending(words: ["/no/such/program"], code: 127),
    Ending(words: ["no-such-program"], code: 127),
    Ending(words: ["/etc/passwd"], code: 126),
  ]

  // MARK: - As PID 1

  @Test(.requires(.namespaces), arguments: endings)
  func asPID1TheExitCodeIsPassedOn(ending: Ending) throws {
    let run = try emulated(["--"] + ending.words, namespaces: [.pid])
    #expect(try run.finish() == .code(ending.code), "\(run.errors.text)")
    #expect(run.output.text == ending.output)
    // PID 1 has nothing to ask for, and so nothing to say.
    #expect(!run.errors.text.contains("subreaper"))
  }

  @Test(.requires(.namespaces, .tool("python3")))
  func asPID1SignalsAreHandedOn() throws {
    let run = try emulated(["--"] + CountingService.words(), namespaces: [.pid])
    try run.waitForLine(containing: "counting")
    for signal in [SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH] {
      try run.signal(signal)
      try run.waitForLine(containing: "got \(signal)")
    }
  }

  @Test(.requires(.namespaces)) func asPID1OrphansAreReaped() throws {
    let run = try emulated(
      ["--", "sh", "-c", "(for i in 1 2 3 4 5; do sleep 0.01 & done); echo ready; exec sleep 60"],
      namespaces: [.pid])
    try run.waitForLine(containing: "ready")
    let first = try run.main()
    try wait(until: "only the service is left") {
      ProcessLook.all.compactMap { ProcessLook($0) }.filter { $0.parent == first }.map(\.name) == ["sleep"]
    }
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(143))
  }

  @Test(.requires(.root, .namespaces))
  func aWholeStopByTERMEndsWithItsReport() throws {
    let network = try PrivateNetwork()
    let run = try emulated(
      ["--", try Binary.tide.path(), "serve"], entering: network.entry, namespaces: [.pid])
    try run.waitForLine(containing: "listening on")
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines.contains { $0.hasPrefix("tide: stopped: ") })
    let report = try #require(run.errors.lines.last)
    #expect(
      report.hasPrefix("ebb: released: 8080 free; stopped in ") && report.hasSuffix("; exit 0"), "\(report)")
  }

  // MARK: - Where it is not PID 1

  @Test(arguments: endings)
  func whereItIsNotPID1OneLineSaysThatOrphansAreNotItsAndTheServiceRuns(ending: Ending) throws {
    let run = try emulated(["--"] + ending.words)
    #expect(try run.finish() == .code(ending.code), "\(run.errors.text)")
    #expect(run.output.text == ending.output)
    #expect(run.errors.lines.filter { $0.contains("subreaper") }.count == 1, "\(run.errors.text)")
    let isLaunched = ![126, 127].contains(ending.code)
    #expect(run.errors.lines.count == (isLaunched ? 1 : 2), "\(run.errors.text)")
  }

  @Test func whereOrphansAreLeftToOthersThereIsNothingToSay() throws {
    let run = try emulated(["--no-subreaper", "--", "sh", "-c", "exit 7"])
    #expect(try run.finish() == .code(7))
    #expect(run.errors.text == "")
  }

  @Test func aSubreaperThatWasAskedForAndIsNotToBeHadIs125() throws {
    for run in [
      try emulated(["--subreaper", "--", "echo", "ran"]),
      try emulated(["-s", "--", "echo", "ran"], named: "tini"),
    ] {
      #expect(try run.finish() == .code(125))
      #expect(run.output.text == "")
      #expect(run.errors.lines.count == 1, "\(run.errors.text)")
    }
  }
}

/// ebb run by the tools that look into programs.
struct ToolTests {
  // valgrind without a tool, as glibc itself has memcheck say something before main.
  static let tools = [["strace", "-f", "-o", "/dev/null"], ["valgrind", "--quiet", "--tool=none"]]

  @Test(
    .requires(.tool("strace"), .tool("valgrind")), arguments: tools,
    [("echo ran", 0), ("echo ran; exit 7", 7), ("echo ran; kill -TERM $$", 143)] as [(String, Int32)])
  func whoLooksIntoItChangesNothing(tool: [String], service: (script: String, code: Int32)) throws {
    let run = try Running(tool + [try Binary.ebb.path(), "--", "sh", "-c", service.script])
    #expect(try run.finish() == .code(service.code))
    #expect(run.output.text == "ran\n")
    #expect(run.errors.text == "")
  }
}
