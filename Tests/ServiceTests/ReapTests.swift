import Foundation
import Testing

/// What becomes of processes whose parents are gone.
struct ReapTests {
  /// A process that forks a child with a session of its own, prints "orphan PID" once that is an orphan, and
  /// goes on with `rest`.
  private static func leaving(_ rest: String) -> [String] {
    ["sh", "-c", "(setsid sh -c 'echo orphan $$; exec sleep 60' & sleep 0.01); \(rest)"]
  }

  private func orphan(of run: Running) throws -> pid_t {
    let line = try run.waitForLine(containing: "orphan ")
    return try #require(pid_t(line.dropFirst(7)))
  }

  @Test func anOrphanBecomesAChildOfEbb() throws {
    let run = try Running.ebb(["--"] + Self.leaving("exec sleep 60"))
    let orphan = try orphan(of: run)
    try wait(until: "it has been adopted") { ProcessLook(orphan)?.parent == run.pid }
  }

  @Test func anOrphanIsLeftToOthersWithNoSubreaper() throws {
    let run = try Running.ebb(["--no-subreaper", "--"] + Self.leaving("echo done; exec sleep 60"))
    let orphan = try orphan(of: run)
    try run.waitForLine(containing: "done")
    try wait(until: "it has been adopted") { ProcessLook(ProcessLook(orphan)?.parent ?? 0)?.name != "sh" }
    #expect(ProcessLook(orphan)?.parent != run.pid)
    // Nor is it ebb's to end.
    try run.signal(SIGTERM)
    #expect(try run.waitForExit() == .code(143))
    #expect(run.processes().map(\.pid) == [orphan])
  }

  @Test(.requires(.tool("perl")))
  func theServicesCodeIsNotLostAmongAThousandOrphansThatEndWithIt() throws {
    // The orphans wait for the end of a pipe that the service holds, and end as that does.
    let script = """
      pipe(R, W); my $helper = fork;
      if (!$helper) { close W; for (1..1000) { if (!fork) { sysread(R, $x, 1); kill 9, $$ } } kill 9, $$ }
      waitpid $helper, 0; close R; exit 42;
      """
    for _ in 0..<3 {
      let run = try Running.ebb(["--", "perl", "-e", script])
      #expect(try run.finish() == .code(42))
      #expect(run.processes().isEmpty)
    }
  }

  @Test(.requires(.tool("perl")))
  func aStormOfOrphansIsReapedAndHoldsNoSignalBack() throws {
    let script = """
      $| = 1; my $got = 0; $SIG{HUP} = sub { $got++ };
      print "ready\n";
      for (1..3000) { if (!fork) { fork; exit 0 } wait; kill "HUP", getppid if $_ == 1500 }
      print "got $got\n"; sleep 1 until $got; print "got all\n"; sleep 60;
      """
    let run = try Running.ebb(["--", "perl", "-e", script])
    try run.waitForLine(containing: "ready")
    try run.waitForLine(containing: "got all")
    try wait(until: "all are reaped") { run.processes().count == 2 }
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(143))
  }

  @Test func warnOnReapTellsOfEachOrphan() throws {
    let script = """
      (sh -c 'echo one $$; exit 3' & sh -c 'echo two $$; kill -9 $$' &
      sleep 0.2 &) ; sleep 0.4; sh -c 'exit 1'; exit 0
      """
    let run = try Running.ebb(["--warn-on-reap", "--", "sh", "-c", script])
    #expect(try run.finish() == .code(0))
    let one = try run.waitForLine(containing: "one ").dropFirst(4)
    let two = try run.waitForLine(containing: "two ").dropFirst(4)
    let lines = run.errors.lines
    #expect(lines.contains("ebb: reaped an orphan: pid \(one) exited 3"))
    #expect(lines.contains("ebb: reaped an orphan: pid \(two) was killed by SIGKILL"))
    #expect(lines.count == 3, "the third is the sleep; the service's own child is not an orphan: \(lines)")
    let quiet = try Running.ebb(["--", "sh", "-c", script])
    #expect(try quiet.finish() == .code(0))
    #expect(quiet.errors.text == "")
  }

  @Test func aChildThatEbbInheritedIsReapedToo() throws {
    // `sleep & exec ebb` makes the sleep a child of ebb that it never started.
    let run = try Running.ebb(["--", "sleep", "60"], prepare: "sleep 0.1 &")
    try wait(until: "it has been reaped") {
      ProcessLook.all.compactMap { ProcessLook($0) }.filter { $0.parent == run.pid }.count == 1
    }
    try run.signal(SIGTERM)
    #expect(try run.waitForExit() == .code(143))
  }
}
