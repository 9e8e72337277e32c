import Foundation
import Testing

/// What a user at a terminal sees: the service has it, and job control works through ebb.
@Suite(.requires(.tool("bash")))
struct TerminalTests {
  // MARK: - Without a shell

  @Test(arguments: Requirement.isMet(.namespaces) ? [[], [Namespace.pid]] : [[]])
  func theServiceIsInTheForegroundAndGetsWhatIsTyped(namespaces: [Namespace]) throws {
    let run = try Running.ebb(
      [
        "--", "sh", "-c",
        "trap 'echo interrupted; exit 9' INT; echo pid $$; read x; echo \"read $x\"; while :; do sleep 0.02; done",
      ],
      namespaces: namespaces, terminal: true)
    let line = try run.waitForLine(containing: "pid ")
    let inner = try #require(pid_t(line.dropFirst(4)))
    let service = try #require(run.process(innerPID: inner))
    #expect(service.group == service.pid)
    #expect(run.foreground == service.pid)
    // Its session is that of the terminal: another one could not have it.
    #expect(service.session == run.pid)
    run.type("hello\n")
    try run.waitForText("read hello")
    run.type("\u{3}")
    #expect(try run.finish() == .code(9))
    // Once: by the terminal, and not by ebb again.
    #expect(run.output.text.components(separatedBy: "interrupted").count == 2)
  }

  @Test func theTerminalIsGivenBackToTheScriptThatWentOn() throws {
    let script = "\"$@\"; read x; echo \"the script read $x\""
    let run = try Running(
      [
        "sh", "-c", script, "sh", try Binary.ebb.path(), "--", "sh", "-c",
        "read x; echo \"the service read $x\"",
      ],
      terminal: true)
    run.type("one\n")
    try run.waitForText("the service read one")
    run.type("two\n")
    try run.waitForText("the script read two")
    #expect(try run.waitForExit() == .code(0))
  }

  @Test(arguments: [["-c", "exit 3"], ["-c", "kill -9 $$"]])
  func theTerminalIsGivenBackHoweverTheServiceEnds(words: [String]) throws {
    let run = try Running(
      ["sh", "-c", "\"$@\"; read x; echo \"read $x\"", "sh", try Binary.ebb.path(), "--", "sh"] + words,
      terminal: true)
    run.type("x\n")
    try run.waitForText("read x")
  }

  @Test(.requires(.namespaces)) func aPID1IsNeverSuspended() throws {
    let run = try Running.ebb(
      ["--", "sh", "-c", "echo pid $$; exec sleep 60"], namespaces: [.pid], terminal: true)
    let line = try run.waitForLine(containing: "pid ")
    let inner = try #require(pid_t(line.dropFirst(4)))
    let service = try #require(run.process(innerPID: inner))
    let ebb = try run.main()
    run.type("\u{1a}")
    try wait(until: "the service is suspended") { ProcessLook(service.pid)?.state == "T" }
    try wait(until: "ebb rests") { ProcessLook(ebb)?.state == "S" }
    try run.signal(SIGCONT)
    try wait(until: "the service goes on") { ProcessLook(service.pid)?.state != "T" }
    // And suspended it still ends when it is asked to.
    run.type("\u{1a}")
    try wait(until: "the service is suspended") { ProcessLook(service.pid)?.state == "T" }
    try run.signal(SIGTERM)
    #expect(try run.waitForExit() == .code(143))
  }

  // MARK: - In an interactive shell
  //
  // The services do not fork: what a dash has just forked can be suspended before it has executed anything, and
  // dash waits for that in a vfork(2), never to be suspended itself; without ebb as well.

  /// An interactive bash at a terminal of its own.
  private func shell() throws -> Running {
    let run = try Running(
      ["bash", "--norc", "--noprofile", "--noediting", "-i"],
      environment: ["PS1": "prompt:", "EBB": try Binary.ebb.path(), "TERM": "dumb"], terminal: true)
    try run.waitForText("prompt:")
    return run
  }

  /// Starts a service under ebb in it, and gives the processes of both.
  private func start(_ script: String, in shell: Running, behind: String = "") throws -> (
    ebb: pid_t, service: pid_t
  ) {
    shell.type("$EBB -- sh -c '\(script)'\(behind)\n")
    // The line that was typed is echoed; the one that is printed has a number.
    var service: pid_t?
    try wait(until: "the service runs") {
      let text = shell.output.text
      guard let found = text.range(of: "pid [0-9]+\r\n", options: .regularExpression) else { return false }
      service = pid_t(text[found].dropFirst(4).dropLast())
      return true
    }
    let found = try #require(service.flatMap { ProcessLook($0) })
    return (found.parent, found.pid)
  }

  private func state(_ pid: pid_t) -> Character { ProcessLook(pid)?.state ?? "X" }

  /// Interrupts what is in the foreground, and waits for the shell's next prompt.
  private func interrupt(_ shell: Running) throws {
    let prompts = shell.output.text.components(separatedBy: "prompt:").count - 1
    shell.type("\u{3}")
    try shell.waitForText("prompt:", times: prompts + 1)
  }

  /// The exit code of the last command, as the shell has it.
  private func expectStatus(_ shell: Running, _ code: Int) throws {
    shell.type("echo \"status \"$?\n")
    try shell.waitForText("status \(code)\r\n")
  }

  private static let reader = "echo pid $$; while read x; do echo \"got \"$x; done"

  @Test func controlZSuspendsBothAndFgResumesThem() throws {
    let shell = try shell()
    let (ebb, service) = try start(Self.reader, in: shell)
    try wait(until: "it is in the foreground") { shell.foreground == service }
    for round in 1...2 {
      shell.type("\u{1a}")
      try shell.waitForText("Stopped", times: round)
      #expect(state(ebb) == "T" && state(service) == "T")
      try wait(until: "the shell has the terminal") { shell.foreground == shell.pid }
      shell.type("echo \"still \"here\(round)\n")
      try shell.waitForText("still here\(round)")
      shell.type("fg\n")
      try wait(until: "it is in the foreground again") { shell.foreground == service }
      shell.type("word\(round)\n")
      try shell.waitForText("got word\(round)")
    }
    try interrupt(shell)
    try expectStatus(shell, 130)
    #expect(shell.foreground == shell.pid)
  }

  @Test(.requires(.tool("perl"))) func bgLetsItRunInTheBackground() throws {
    let folder = try TemporaryFolder()
    let shell = try shell()
    let ticker =
      "while (1) { open F, q(>>\(folder.path)/ticks); print F q(.); close F; select undef, undef, undef, 0.02 }"
    let (ebb, service) = try start("echo pid $$; exec perl -e \"\(ticker)\"", in: shell)
    shell.type("\u{1a}")
    try shell.waitForText("Stopped")
    let ticks = folder.read("ticks").count
    shell.type("bg\n")
    try wait(until: "it runs on") { folder.read("ticks").count > ticks + 10 }
    #expect(shell.foreground == shell.pid)
    shell.type("echo \"still \"here\n")
    try shell.waitForText("still here")
    // And to the foreground from there: bash puts ebb into it, and sends nothing.
    shell.type("fg\n")
    try wait(until: "it is in the foreground") { shell.foreground != shell.pid }
    try interrupt(shell)
    try expectStatus(shell, 130)
    #expect(state(ebb) == "X" && state(service) == "X")
  }

  @Test func putIntoTheForegroundWithoutAWordItHasTheTerminalWhenItWantsIt() throws {
    let folder = try TemporaryFolder()
    let shell = try shell()
    let (_, service) = try start(
      "echo pid $$; while [ ! -e \(folder.path)/go ]; do sleep 0.02; done; while read x; do echo \"got \"$x; done",
      in: shell, behind: " &")
    shell.type("fg\n")
    try wait(until: "ebb is in the foreground") { shell.foreground != shell.pid }
    try folder.write("go", "")
    shell.type("hello\n")
    try shell.waitForText("got hello")
    #expect(shell.foreground == service)
    #expect(!shell.output.text.contains("Stopped"))
    shell.type("\u{1a}")
    try shell.waitForText("Stopped")
  }

  @Test func inTheBackgroundItDoesNotTakeTheTerminal() throws {
    let shell = try shell()
    let (ebb, service) = try start("echo pid $$; exec sleep 60", in: shell, behind: " &")
    shell.type("echo \"still \"here\n")
    try shell.waitForText("still here")
    #expect(shell.foreground == shell.pid)
    shell.type("kill %1; wait %1; echo \"status \"$?\n")
    try shell.waitForText("status 143\r\n")
    #expect(state(ebb) == "X" && state(service) == "X")
  }

  @Test func aBackgroundServiceThatReadsTheTerminalIsSuspendedWithEbb() throws {
    let shell = try shell()
    let (ebb, service) = try start(Self.reader, in: shell, behind: " &")
    try wait(until: "both are suspended") { state(ebb) == "T" && state(service) == "T" }
    shell.type("jobs\n")
    try shell.waitForText("Stopped")
    shell.type("fg\n")
    try wait(until: "it is in the foreground") { shell.foreground == service }
    shell.type("hello\n")
    try shell.waitForText("got hello")
    shell.type("\u{4}")
    try expectStatus(shell, 0)
  }

  @Test func aTSTPSentToEbbSuspendsBothAndCONTResumesThem() throws {
    let shell = try shell()
    let (ebb, service) = try start(Self.reader, in: shell)
    kill(ebb, SIGTSTP)
    try shell.waitForText("Stopped")
    #expect(state(ebb) == "T" && state(service) == "T")
    shell.type("fg\n")
    try wait(until: "it is in the foreground") { shell.foreground == service }
    shell.type("hello\n")
    try shell.waitForText("got hello")
  }

  @Test func itsExitCodeIsTheShells() throws {
    let shell = try shell()
    shell.type("$EBB -- sh -c 'exit 42'\n")
    try expectStatus(shell, 42)
    shell.type("$EBB -- sh -c 'kill -9 $$'\n")
    try expectStatus(shell, 137)
  }

  @Test func aPipelineIsOneJob() throws {
    let shell = try shell()
    // ebb shares its process group with the others of the pipeline; ^C ends them all.
    let (_, service) = try start("echo pid $$ >&2; exec sleep 60", in: shell, behind: " | cat")
    try wait(until: "it is in the foreground") { shell.foreground == service }
    try interrupt(shell)
    try expectStatus(shell, 0)
    #expect(shell.foreground == shell.pid)
  }

  @Test(.requires(.tool("python3"))) func aTerminalOfWhichLittleIsReadHoldsNothingUp() throws {
    // The service fills the terminal, and makes orphans when it is asked to: a line of ebb's for each. Then it is read
    // until it says that it can be written to, which is long before it has room for all of them.
    let service = """
      import os, signal, time
      file = os.open("/proc/self/fd/1", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
      try:
          while True: os.write(file, b"x" * 200)
      except BlockingIOError: pass
      signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
      while True:
          os.write(9, b"r")
          signal.sigwait([signal.SIGUSR1])
          for _ in range(80):
              if os.fork() == 0:
                  if os.fork() == 0: time.sleep(0.05)
                  os._exit(0)
              os.wait()
      """
    let run = try Running([
      "python3", "-c",
      """
      import os, pty, select, signal, subprocess, sys, time, tty
      ours, theirs = pty.openpty()
      tty.setraw(theirs)
      told, tells = os.pipe()
      os.dup2(tells, 9)
      ebb = subprocess.Popen(
          [sys.argv[1], "--warn-on-reap", "--log", "json", "--", sys.executable, "-c", sys.argv[2]],
          stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, pass_fds=[9], start_new_session=True)
      def reaped():
          ebb.send_signal(signal.SIGUSR1)
          os.read(told, 1)
          children = "/proc/%d/task/%d/children" % (ebb.pid, ebb.pid)
          while len(open(children).read().split()) > 1: time.sleep(0.01)
      os.read(told, 1)
      reaped()
      print("reaped, and nobody reads", flush=True)
      while not select.select([], [theirs], [], 0)[1]: os.read(ours, 64)
      reaped()
      print("reaped, and a little was read", flush=True)
      ebb.send_signal(signal.SIGTERM)
      print("exit", ebb.wait(), flush=True)
      """, try Binary.ebb.path(), service,
    ])
    try run.waitForLine(containing: "nobody reads")
    try run.waitForLine(containing: "a little was read")
    try run.waitForLine(containing: "exit 143")
    #expect(try run.finish() == .code(0))
  }

  // MARK: - Without a terminal

  @Test func withoutATerminalTSTPSuspendsAndCONTResumes() throws {
    // Many times: for moments, as it forks, a shell has them blocked.
    for signal in [SIGTSTP, SIGTTIN, SIGTTOU, SIGTSTP, SIGTSTP, SIGTSTP, SIGTSTP, SIGTSTP] {
      let run = try Running.ebb(["--", "sh", "-c", "echo pid $$; while :; do sleep 0.02; done"])
      let service = try #require(pid_t(try run.waitForLine(containing: "pid").dropFirst(4)))
      try run.signal(signal)
      try wait(until: "both are suspended") { state(service) == "T" && state(run.pid) == "T" }
      try run.signal(SIGCONT)
      try wait(until: "both go on") { state(service) != "T" && state(run.pid) != "T" }
      try run.signal(SIGTERM)
      #expect(try run.waitForExit() == .code(143))
    }
  }

  @Test(.requires(.tool("python3"))) func aServiceThatHandlesTSTPGetsIt() throws {
    let run = try Running.ebb(["--"] + CountingService.words())
    try run.waitForLine(containing: "counting")
    try run.signal(SIGTSTP)
    try run.waitForLine(containing: "got 20")
    #expect(state(run.pid) != "T")
  }
}
