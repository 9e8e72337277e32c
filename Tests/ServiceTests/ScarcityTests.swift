import Foundation
import Testing

/// Where something is missing that ebb would like to have: a line that says so, never a crash, never a hang.
struct ScarcityTests {
  /// A process that ignores TERM, in the service's process group, and outlives it.
  private static let withAStubbornChild =
    "sh -c 'trap \"\" TERM; echo ready; exec sleep 60' & trap 'exit 3' TERM; while :; do sleep 0.02; done"

  @Test(.requires(.namespaces), arguments: [[Namespace.mount], [.pid]])
  func withoutProcTheServiceIsSupervisedAndItsChildrenAreEndedAsAGroup(namespaces: [Namespace]) throws {
    let run = try Running.ebb(
      ["--verbose", "--", "sh", "-c", Self.withAStubbornChild], namespaces: namespaces + [.mount],
      prepare: "mount -t tmpfs tmpfs /proc")
    try run.waitForLine(containing: "ready")
    // Told at once, and twice a second apart, so that the test need not wait for the five.
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "left behind: SIGTERM to process group ", on: .errors)
    try run.waitForLine(containing: "left behind: SIGKILL to process group ", on: .errors)
    #expect(try run.finish() == .code(3))
    #expect(run.processes().isEmpty)
  }

  @Test(.requires(.root, .namespaces)) func aProcOfAnotherPIDNamespaceIsAsGoodAsNone() throws {
    // There ebb would be the first process of the whole machine, and everything its descendant.
    let run = try Running(
      [
        "unshare", "--pid", "--fork", "--kill-child", "--", try Binary.ebb.path(), "--verbose", "--", "sh",
        "-c",
        "sh -c 'echo ready $$; exec sleep 60' & trap 'exit 3' TERM; kill -TERM 1; while :; do sleep 0.02; done",
      ])
    #expect(try run.finish() == .code(3))
    let lines = run.errors.lines.filter { $0.contains("left behind") }
    #expect(lines == ["ebb: left behind: SIGTERM to process group 2"])
  }

  @Test(.requires(.namespaces)) func withoutProcSignalsAndCodesPassAndOrphansAreReaped() throws {
    let run = try Running.ebb(
      ["--", "sh", "-c", "(sleep 0.01 &); trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done"],
      namespaces: [.pid, .mount], prepare: "mount -t tmpfs tmpfs /proc")
    try run.waitForLine(containing: "ready")
    try run.signal(SIGUSR1)
    #expect(try run.finish() == .code(9))
    #expect(run.errors.text == "")
  }

  @Test(.requires(.tool("prlimit")))
  func whereTheKernelHasNoMemoryLeftEbbAnswersAndStopsOnItsReserve() throws {
    let control = "@ebb-test-memory-\(getpid())"
    let run = try Running.ebb(
      [
        "--control", control, "--", "sh", "-c",
        "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done",
      ])
    try run.waitForLine(containing: "ready")
    // Whatever it asks for from here on is refused, RLIMIT_AS.
    #expect(try Running(["prlimit", "--pid", "\(run.pid)", "--as=4096:4096"]).finish() == .code(0))
    for command in ["status", "live", "status", "drain"] {
      for _ in 0..<8 {
        let ask = try Running.ebb([command, "--control", control])
        #expect(try ask.finish() == .code(0), "\(command): \(ask.errors.text)")
        if command == "drain" { break }
      }
    }
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(7))
    #expect(run.errors.text.contains("exit 7\n"), "\(run.errors.text)")
  }

  @Test(.requires(.root, .namespaces, .tool("prlimit")), arguments: [true, false])
  func whoeverIsBusyIsWaitedForWhereThereIsNoMemoryAndAfterwardsNothingIsMissing(isOver: Bool) throws {
    let ebb = try Supervised(["--verbose", "--busy-max", "60s"])
    let busy = try (0..<300).map { _ in try Client("127.0.0.1", 8080, from: ebb.network) }
    for client in busy { try client.request("/hold") }
    try wait(until: "all are busy") { try ebb.status(of: 8080)["busy"] as? Int == 300 }
    let limit = { (bytes: String) in
      let exit = try Running(["prlimit", "--pid", "\(ebb.run.pid)", "--as=\(bytes)"]).finish()
      #expect(exit == .code(0))
    }
    try limit("4096:unlimited")
    #expect(try ebb.status(of: 8080)["busy"] as? Int == 300)
    if isOver { try limit("unlimited:unlimited") }
    try ebb.run.signal(SIGTERM)
    try ebb.run.waitForLine(containing: "draining: SIGTERM; 300 connections, 300 busy", on: .errors)
    for client in busy.dropLast() { client.close() }
    // Who is left still holds the stop, followed or not.
    try wait(until: "one is left") { try ebb.status(of: 8080)["busy"] as? Int == 1 }
    #expect(!ebb.run.errors.text.contains("stopping"))
    #expect(ebb.run.errors.text.contains("there is no memory") == !isOver)
    busy.last?.close()
    _ = try ebb.run.finish()
    #expect(ebb.run.errors.text.contains("0 connections reset"), "\(ebb.run.errors.text)")
  }

  @Test(.requires(.tool("prlimit"), .tool("setpriv")))
  func aFullProcessTableIs125AndALineSaysSo() throws {
    // Of a user of its own, whose limit one process reaches. (root's limit does not hold for root.)
    let folder = try TemporaryFolder()
    let ebb = "\(folder.path)/ebb"
    try FileManager.default.copyItem(atPath: try Binary.ebb.path(), toPath: ebb)
    let user = geteuid() == 0 ? ["setpriv", "--reuid=64123", "--regid=64123", "--clear-groups", "--"] : []
    let run = try Running(user + ["prlimit", "--nproc=1", "--", ebb, "--", "echo", "ran"])
    #expect(try run.finish() == .code(125))
    #expect(run.output.text == "")
    #expect(run.errors.text == "ebb: cannot start echo: Resource temporarily unavailable\n")
  }

  @Test(.requires(.tool("prlimit")))
  func tooFewDescriptorsAre125AndALineSaysSoAndNineAreEnough() throws {
    // ebb itself is the service: a static program needs none of its own.
    let ebb = try Binary.ebb.path()
    // Where others listen in this network, one is netlink's.
    for limit in 3...12 where limit != 8 {
      let run = try Running(
        ["prlimit", "--nofile=\(limit)", "--", ebb, "--control", "@\(UUID())", "--", ebb, "--version"])
      if limit < 8 {
        #expect(try run.finish() == .code(125), "\(limit)")
        #expect(run.errors.text == "ebb: cannot start \(ebb): Too many open files\n", "\(limit)")
      } else {
        #expect(try run.finish() == .code(0), "\(limit)")
        #expect(run.output.text.hasPrefix("ebb ") && run.errors.text.isEmpty, "\(limit): \(run.errors.text)")
      }
    }
  }

  @Test(.requires(.tool("prlimit")))
  func withSixDescriptorsSignalsAreForwardedAndTheExitCodeIsTheServices() throws {
    // Its wait has two, the launch a pipe, the network namespace's counters one, netlink one.
    // ebb itself is the service, a container's pause.
    let ebb = try Binary.ebb.path()
    let folder = try TemporaryFolder()
    let pause = "\(folder.path)/catatonit"
    try FileManager.default.createSymbolicLink(atPath: pause, withDestinationPath: ebb)
    let run = try Running(["prlimit", "--nofile=9", "--", ebb, "--control", "off", "--", pause, "-P"])
    try wait(until: "it pauses") {
      run.processes().contains { $0.parent == run.pid && $0.name == "catatonit" }
    }
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(0))
    let missing = try Running(["prlimit", "--nofile=9", "--", ebb, "--control", "off", "--", "/nowhere"])
    #expect(try missing.finish() == .code(127))
    #expect(missing.errors.text == "ebb: /nowhere: not found\n")
    let none = try Running(["prlimit", "--nofile=3", "--", ebb, "--", "true"])
    #expect(try none.finish() == .code(125))
    #expect(none.errors.text == "ebb: cannot start true: Too many open files\n")
  }

  @Test(.requires(.tool("prlimit")), arguments: 8...16)
  func withFewDescriptorsAStopStillCompletes(limit: Int) throws {
    let run = try Running(
      [
        "prlimit", "--nofile=\(limit)", "--", try Binary.ebb.path(), "--verbose", "--", "sh", "-c",
        "echo ready; exec sleep 60",
      ])
    guard (try? run.waitForLine(containing: "ready")) != nil else {
      // The shell's own libraries found none left, or ebb did.
      #expect(try [.code(125), .code(127)].contains(run.finish()))
      return
    }
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(143))
  }

  @Test(.requires(.tool("prlimit")))
  func aFloodOfThoseWhoAskLeavesTheDescriptorsThatAStopNeeds() throws {
    // Who is in no group of the service's is found in /proc alone.
    let ebb = try Supervised(
      ["--http", "9100", "--verbose"],
      ["sh", "-c", "setsid sleep 60 & echo ready; exec sleep 60"], behind: ["prlimit", "--nofile=20", "--"])
    try ebb.run.waitForLine(containing: "ready")
    try ebb.network.waitUntilListening(on: 9100)
    let silent = try (0..<40).map { _ in try Client("127.0.0.1", 9100, from: ebb.network) }
    try wait(until: "no more are taken in") { try ebb.descriptors() >= 16 }
    try ebb.run.signal(SIGTERM)
    #expect(try ebb.run.finish() == .code(143))
    #expect(ebb.run.errors.lines.contains { $0.hasPrefix("ebb: left behind: SIGTERM to 1 process (") })
    #expect(ebb.run.processes().isEmpty)
    withExtendedLifetime(silent) {}
  }

  // MARK: - Standard error

  @Test func aLogThatNobodyReadsHoldsNothingUp() throws {
    let run = try Running.ebb(
      [
        "--verbose", "--warn-on-reap", "--", "sh", "-c",
        "(for i in 1 2 3; do sleep 0.01 & done); echo ready; exec sleep 60",
      ],
      errors: .stalled)
    try run.waitForLine(containing: "ready")
    try run.signal(SIGTERM)
    #expect(try run.waitForExit() == .code(143))
  }

  @Test(.requires(.tool("perl")))
  func linesThatCouldNotBeWrittenAreCounted() throws {
    let orphans =
      "if (!fork) { for (1..1000) { fork or kill 9, $$ } kill 9, $$ } wait; $| = 1; print qq(ready\\n); sleep 60"
    let run = try Running.ebb(["--warn-on-reap", "--", "perl", "-e", orphans], errors: .stalled)
    try run.waitForLine(containing: "ready")
    try wait(until: "all have been reaped") {
      ProcessLook.all.compactMap { ProcessLook($0) }.filter { $0.parent == run.pid }.count == 1
    }
    run.readErrors()
    // Room again: the next line brings those that waited, and the number of those that did not.
    try wait(until: "the pipe is empty") { run.errors.raw.count >= 65536 }
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(143))
    try run.errors.waitForEnd()
    let lines = run.errors.lines.filter { !$0.isEmpty }
    let kept = lines.filter { $0.hasPrefix("ebb: reaped an orphan: pid ") }.count
    let dropped = try #require(
      lines.first { $0.hasSuffix(" lines of this log could not be written") }
        .flatMap { Int($0.dropFirst(5).prefix { $0 != " " }) }, "\(lines.suffix(3))")
    #expect(kept > 0 && kept + dropped == 1000, "\(kept) and \(dropped)")
    #expect(lines.last?.hasSuffix("exit 143") == true)
  }

  @Test(arguments: ["2>&-", "<&-", ">&-", "<&- >&-", ">&- 2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
  func withClosedStandardDescriptorsTheServiceRunsAsWithoutEbb(closed: String) throws {
    let folder = try TemporaryFolder()
    let words = ["sh", "-c", "for f in /proc/$$/fd/*; do echo ${f##*/}; done >\(folder.path)/$0; exit 5"]
    #expect(try Running(words + ["bare"], prepare: "exec \(closed)").waitForExit() == .code(5))
    let run = try Running.ebb(["--verbose", "--"] + words + ["under"], prepare: "exec \(closed)")
    #expect(try run.waitForExit() == .code(5))
    #expect(!folder.read("bare").isEmpty)
    #expect(folder.read("under") == folder.read("bare"))
    // A whole stop as well.
    let stop = try Running.ebb(
      ["--verbose", "--", "sh", "-c", "kill -TERM $PPID; exec sleep 60"], prepare: "exec \(closed)")
    #expect(try stop.waitForExit() == .code(143))
    #expect(try Running.ebb(["--nonsense"], prepare: "exec \(closed)").waitForExit() == .code(64))
  }

  @Test func aLogOnAFullDiskHoldsNothingUp() throws {
    let run = try Running.ebb(
      ["--verbose", "--", "sh", "-c", "kill -TERM $PPID; exec sleep 60"], prepare: "exec 2>/dev/full")
    #expect(try run.waitForExit() == .code(143))
  }

  // MARK: - Rest

  @Test(arguments: [[], ["--quiet", "--grace", "10s", "--warn-on-reap", "--map-exit", "1=2"]])
  func atRestNothingWakesIt(options: [String]) throws {
    let run = try Running.ebb(options + ["--", "sh", "-c", "echo ready; exec sleep 60"])
    try run.waitForLine(containing: "ready")
    usleep(500_000)
    let before = try #require(ProcessLook(run.pid)).voluntarySwitches
    usleep(3_000_000)
    let after = try #require(ProcessLook(run.pid))
    #expect(after.voluntarySwitches == before)
    #expect(after.state == "S")
    try run.signal(SIGTERM)
    #expect(try run.waitForExit() == .code(143))
  }

  @Test(.requires(.root, .tool("strace")))
  func atRestItMakesNoSystemCall() throws {
    let run = try Running.ebb(["--", "sh", "-c", "echo ready; exec sleep 60"])
    try run.waitForLine(containing: "ready")
    // The first signal has it count the traffic, once.
    try run.signal(SIGURG)
    usleep(300_000)
    let trace = try Running(["strace", "-p", "\(run.pid)"])
    try trace.waitForLine(containing: "attached", on: .errors)
    usleep(2_000_000)
    try trace.signal(SIGINT)
    _ = try trace.waitForExit()
    // The one wait. (Being attached to interrupts it: a look that finds nothing, with one at the clock, and it waits
    // again.)
    let calls = trace.errors.lines.filter { $0.contains("(") && !$0.hasPrefix("strace:") }
    let isWait = { (call: String) in
      call.hasPrefix("epoll_") || call.hasPrefix("restart_") || call.contains("EAGAIN")
        || call.hasPrefix("clock_gettime(CLOCK_MONOTONIC")
    }
    #expect(calls.count <= 5 && calls.allSatisfy(isWait), "\(calls)")
  }
}
