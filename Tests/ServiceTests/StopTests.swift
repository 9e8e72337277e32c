import Foundation
import Testing

/// How a service ends, and all that it has started.
struct StopTests {
  /// A shell that sleeps in short pieces, so that its traps run soon.
  private static let forever = "while :; do sleep 0.02; done"

  private func start(
    _ options: [String] = [], _ script: String, namespaces: [Namespace] = []
  ) throws -> Running {
    let run = try Running.ebb(options + ["--", "sh", "-c", script], namespaces: namespaces)
    try run.waitForLine(containing: "ready")
    return run
  }

  private func errors(_ run: Running, _ text: String) -> [String] {
    run.errors.lines.filter { $0.contains(text) }
  }

  // MARK: - The main process

  @Test func withoutAGraceTheMainProcessIsNeverKilled() throws {
    let run = try start([], "trap 'echo asked' TERM; echo ready; \(Self.forever)")
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "asked")
    usleep(1_200_000)
    // Hurried as well.
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "asked", times: 2)
    usleep(500_000)
    #expect(!run.hasEnded)
    #expect(run.errors.text == "")
  }

  @Test func withAGraceItIsKilledBeforeTheGraceEnds() throws {
    let run = try start(["--grace", "5s"], "trap '' TERM; echo ready $$; \(Self.forever)")
    let pid = try run.waitForLine(containing: "ready").dropFirst(6)
    let began = Date()
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(137))
    #expect(Date().timeIntervalSince(began) > 4)
    #expect(
      errors(run, "killed: ") == [
        "ebb: killed: pid \(pid) and what is left of its tree: the grace of 5.00s is over"
      ])
    let report = try #require(run.errors.lines.last)
    #expect(report.contains("stopped in 4.") && report.hasSuffix("exit 137"), "\(report)")
  }

  @Test func atTheEndOfTheGraceItsChildrenAreKilledWithIt() throws {
    let script = "trap '' TERM; setsid sh -c '\(Self.forever)' & echo ready; \(Self.forever)"
    let run = try start(["--grace", "1s"], script)
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(137))
    #expect(run.processes().isEmpty)
  }

  @Test func aServiceThatIsStoppedBySIGSTOPEnds() throws {
    for namespaces in Requirement.isMet(.namespaces) ? [[], [.pid]] : [[]] as [[Namespace]] {
      let run = try start(
        ["--verbose"], "trap 'echo ends; exit 3' TERM; echo ready $$; \(Self.forever)", namespaces: namespaces
      )
      let inner = try #require(pid_t(try run.waitForLine(containing: "ready").dropFirst(6)))
      let service = try #require(run.process(innerPID: inner))
      kill(service.pid, SIGSTOP)
      try wait(until: "it is stopped") { ProcessLook(service.pid)?.state == "T" }
      // ebb itself is not: this was no terminal's doing.
      let ebb = try run.main()
      try wait(until: "ebb rests") { ProcessLook(ebb)?.state == "S" }
      try run.signal(SIGTERM)
      #expect(try run.finish() == .code(3))
      #expect(run.output.text.contains("ends"))
      #expect(errors(run, "SIGTERM to pid \(inner)").count == 1)
    }
  }

  @Test func aServiceThatStopsItselfAsItIsAskedToEndEnds() throws {
    for signal in ["STOP", "TSTP", "TTIN"] {
      let run = try start([], "trap 'kill -\(signal) $$; exit 3' TERM; echo ready; \(Self.forever)")
      try run.signal(SIGTERM)
      #expect(try run.finish() == .code(3), "\(signal)")
    }
  }

  // MARK: - Its descendants

  @Test func whatOutlivesTheServiceGetsTERMThenKILLAndALineEach() throws {
    let stubborn = "trap \"echo asked\" TERM; echo ready \\$\\$; while :; do sleep 0.02; done"
    let run = try start(
      ["--verbose"],
      "trap 'exit 5' TERM; sh -c '\(stubborn.replacingOccurrences(of: "\\$", with: "$"))' & \(Self.forever)")
    let child = try run.waitForLine(containing: "ready").dropFirst(6)
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(5))
    #expect(run.output.text.contains("asked"))
    let term = try #require(errors(run, "left behind: SIGTERM to ").first)
    #expect(term.contains("(pid \(child), sh"), "\(term)")
    let killed = try #require(errors(run, "left behind: SIGKILL to ").first)
    #expect(killed.contains("(pid \(child), sh"), "\(killed)")
    #expect(run.processes().isEmpty)
  }

  @Test func theKillIsSaidByDefaultAndTheTERMIsNot() throws {
    // Ended unasked: what is left has a second.
    let run = try start([], "sh -c 'trap \"\" TERM; echo ready; exec sleep 60' & sleep 0.2; exit 4")
    #expect(try run.finish() == .code(4))
    let lines = run.errors.lines
    #expect(lines.count == 1)
    #expect(lines.first?.hasPrefix("ebb: left behind: SIGKILL to 1 process (pid ") == true)
    #expect(lines.first?.hasSuffix(", sleep)") == true)
    #expect(run.processes().isEmpty)
  }

  @Test func childrenAreAskedOnlyWhenTheMainProcessHasEnded() throws {
    let run = try start(
      [],
      """
      sh -c 'trap "echo child ends; exit" TERM; echo ready; \(Self.forever)' &
      trap 'echo asked; sleep 0.3; echo ends; exit 0' TERM; \(Self.forever)
      """)
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines == ["ready", "asked", "ends", "child ends"])
  }

  @Test func nothingIsLeftBehindByAServiceWithSessionsAndOrphansOfItsOwn() throws {
    let run = try start(
      [],
      """
      setsid sh -c 'sleep 61 & exec sleep 62' & (sleep 63 & (setsid sleep 64 &)) ; nohup sleep 65 >/dev/null 2>&1 &
      echo ready; exec sleep 66
      """)
    try wait(until: "all run") { run.processes().filter { $0.name == "sleep" }.count == 6 }
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(143))
    #expect(run.processes().isEmpty)
  }

  @Test func aSuspendedChildEnds() throws {
    let run = try start([], "sh -c 'echo ready $$; kill -STOP $$; sleep 60' & exec sleep 60")
    let child = try #require(pid_t(try run.waitForLine(containing: "ready").dropFirst(6)))
    try wait(until: "it is stopped") { ProcessLook(child)?.state == "T" }
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(143))
    // By TERM: no KILL was needed.
    #expect(errors(run, "SIGKILL").isEmpty)
    #expect(run.processes().isEmpty)
  }

  @Test(.requires(.tool("perl")), arguments: ["", "setsid"])
  func whatForksAsItIsKilledEnds(session: String) throws {
    // Each process forks the next and ends: none lives long enough to be found in /proc and killed by number.
    let comet =
      "$SIG{TERM} = q(IGNORE); $| = 1; print qq(ready\\n); while (1) { my $p = fork; exit if $p; select(undef, undef, undef, 0.0005) }"
    let run = try start([], "\(session) perl -e '\(comet)' & sleep 0.3; exit 6")
    #expect(try run.finish() == .code(6))
    #expect(run.processes().isEmpty)
    #expect(errors(run, "left behind: SIGKILL").count == 1)
  }

  @Test(.requires(.tool("perl")))
  func aTreeThatGrowsAsItIsKilledEnds() throws {
    // Every process starts another whenever one of its children is gone; 30 of them at once at the most.
    let hydra = """
      $SIG{TERM} = q(IGNORE); $| = 1; print qq(ready\\n);
      sub head { my $depth = shift; while (1) { if ($depth < 4 && !fork) { setpgrp; head($depth + 1) } wait } }
      head(0);
      """
    let run = try start([], "setsid perl -e '\(hydra)' & sleep 0.3; exit 6")
    #expect(try run.finish() == .code(6))
    #expect(run.processes().isEmpty)
  }

  // MARK: - Who is no descendant

  @Test(.requires(.root, .namespaces, .tool("nsenter")))
  func aShellExecdIntoTheContainerIsLeftAlone() throws {
    let run = try start(
      ["--verbose"],
      "sh -c 'trap \"\" TERM; echo ready; exec sleep 60' & trap 'exit 0' TERM; \(Self.forever)",
      namespaces: [.pid])
    let inside = try Running([
      "nsenter", "--target", "\(try run.main())", "--pid", "--mount", "--", "sh", "-c",
      "trap 'echo asked' TERM HUP INT; echo inside; cd /; \(Self.forever)",
    ])
    try inside.waitForLine(containing: "inside")
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "left behind: SIGTERM to 1 process (pid ", on: .errors)
    try run.waitForLine(containing: "left behind: SIGKILL to 1 process (pid ", on: .errors)
    #expect(try run.finish() == .code(0))
    // It ends with its namespace, not before: nobody asked it to.
    _ = try inside.waitForExit()
    #expect(inside.output.text == "inside\n")
  }

  @Test func siblingsOfEbbAreLeftAlone() throws {
    let script = "sleep 61 & \"$@\"; echo ended; exec sleep 62"
    let run = try Running([
      "sh", "-c", script, "sh", try Binary.ebb.path(), "--", "sh", "-c", "echo ready; sleep 60 & exit 0",
    ])
    try run.waitForLine(containing: "ended")
    #expect(run.processes().map(\.commandLine).sorted() == ["sleep 61 ", "sleep 62 "])
  }

  // MARK: - ebb's own parent

  @Test func withAParentDeathSignalEbbEndsWithItsParent() throws {
    let run = try Running([
      "sh", "-c", "\"$@\" & echo parent; wait", "sh", try Binary.ebb.path(), "--parent-death-signal", "TERM",
      "--", "sh",
      "-c", "echo ready; exec sleep 60",
    ])
    try run.waitForLine(containing: "ready")
    try run.signal(SIGKILL)
    #expect(try run.waitForExit() == .signal(SIGKILL))
    try run.errors.waitForEnd()
    #expect(run.errors.text.contains("exit 143"))
    try wait(until: "all have ended") { run.processes().isEmpty }
  }

  @Test func withoutOneItServesOn() throws {
    let run = try Running([
      "sh", "-c", "\"$@\" & wait", "sh", try Binary.ebb.path(), "--", "sh", "-c", "echo ready; exec sleep 60",
    ])
    try run.waitForLine(containing: "ready")
    try run.signal(SIGKILL)
    _ = try run.waitForExit()
    usleep(200_000)
    #expect(run.processes().map(\.name).sorted() == ["ebb", "sleep"])
  }

  // MARK: - The command of --on-drain

  @Test func theOnDrainCommandHoldsOffTheStopSignal() throws {
    let folder = try TemporaryFolder()
    let hook = try folder.write(
      "hook",
      "#!/bin/sh\necho hook begins\nwhile [ ! -e \(folder.path)/go ]; do sleep 0.02; done\necho hook ends\n",
      executable: true)
    let run = try start(["--on-drain", hook], "trap 'echo asked; exit 0' TERM; echo ready; \(Self.forever)")
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "hook begins")
    usleep(300_000)
    #expect(!run.output.text.contains("asked"))
    try folder.write("go", "")
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines == ["ready", "hook begins", "hook ends", "asked"])
    #expect(run.errors.lines.count == 1)
  }

  @Test func theOnDrainCommandHoldsItOffNoLongerThanBusyMax() throws {
    let run = try start(
      ["--on-drain", "sh -c 'echo \"hook \"begins; exec sleep 60'", "--busy-max", "200ms"],
      "trap 'echo asked; exit 0' TERM; echo ready; \(Self.forever)")
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines == ["ready", "hook begins", "asked"])
    #expect(run.processes().isEmpty)
  }

  @Test(arguments: [
    ("sh -c 'exit 3'", "the command exited 3"), ("sh -c 'kill -9 $$'", "the command was killed by SIGKILL"),
    ("/no/such/hook now", "cannot run the command: No such file or directory"),
  ])
  func anOnDrainCommandThatFailsIsReportedAndHoldsNothingOff(command: String, line: String) throws {
    let run = try start(
      ["--quiet"], "trap 'exit 0' TERM; echo ready; \(Self.forever)", environment: ["EBB_ON_DRAIN": command])
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(0))
    #expect(run.errors.text == "ebb: --on-drain: \(line)\n")
  }

  private func start(_ options: [String], _ script: String, environment: [String: String]) throws -> Running {
    let run = try Running.ebb(options + ["--", "sh", "-c", script], environment: environment)
    try run.waitForLine(containing: "ready")
    return run
  }
}
