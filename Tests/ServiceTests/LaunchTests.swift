import Foundation
import Testing

/// What a service finds when it starts, and what becomes of its exit code.
struct LaunchTests {
  // MARK: - Exit codes

  @Test func everyExitCodeIsPassedOn() throws {
    for code in Int32(0)...255 {
      let run = try Running.ebb(["--", "sh", "-c", "exit \(code)"])
      #expect(try run.waitForExit() == .code(code))
    }
  }

  @Test func aSignalThatKillsBecomes128AndItsNumber() throws {
    let harmless = [SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH]
    for signal in Int32(1)...64 where !harmless.contains(signal) {
      let run = try Running.ebb(["--", "sh", "-c", "echo $$; exec sleep 60"], prepare: "ulimit -c 0")
      kill(try #require(pid_t(try run.waitForLine())), signal)
      #expect(try run.waitForExit() == .code(128 + signal), "signal \(signal)")
    }
  }

  @Test func mapExitReplacesTheCodesThatItNames() throws {
    for (map, code, expected): (String, Int32, Int32) in [
      ("143=0", 143, 0), ("3=4,5=255", 5, 255), ("3=4", 5, 5), ("0=1", 0, 1), ("1=2,2=3", 1, 2),
    ] {
      let option = try Running.ebb(["--map-exit", map, "--", "sh", "-c", "exit \(code)"])
      #expect(try option.waitForExit() == .code(expected), "\(map), \(code)")
      let variable = try Running.ebb(["--", "sh", "-c", "exit \(code)"], environment: ["EBB_MAP_EXIT": map])
      #expect(try variable.waitForExit() == .code(expected), "EBB_MAP_EXIT=\(map), \(code)")
    }
  }

  @Test func aProgramThatIsNotThereIs127AndALineSaysSo() throws {
    let run = try Running.ebb(["--", "no-such-program"], environment: ["PATH": "/usr/bin:/bin"])
    #expect(try run.finish() == .code(127))
    #expect(run.errors.text == "ebb: no-such-program: not found in PATH (/usr/bin:/bin)\n")
    let path = try Running.ebb(["--", "/no/such/program"])
    #expect(try path.finish() == .code(127))
    #expect(path.errors.text == "ebb: /no/such/program: not found\n")
    // A name with a slash is never looked up in PATH.
    let relative = try Running.ebb(["--", "./sh"])
    #expect(try relative.finish() == .code(127))
  }

  @Test func aProgramThatIsNotThereLeavesNoProbeBehind() throws {
    for _ in 0..<20 {
      let run = try Running.ebb(["--verbose", "--ready-when", "exec:sleep 60", "--", "/no/such/program"])
      #expect(try run.finish() == .code(127))
      #expect(run.processes().isEmpty)
    }
  }

  @Test func aFileThatCannotBeExecutedIs126AndALineSaysSo() throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("text", "#!/bin/sh\n")
    let run = try Running.ebb(["--", text])
    #expect(try run.finish() == .code(126))
    #expect(run.errors.text == "ebb: \(text) cannot be executed: Permission denied\n")
    let directory = try Running.ebb(["--", folder.path])
    #expect(try directory.finish() == .code(126))
    let inPath = try Running.ebb(["--", "text"], environment: ["PATH": folder.path])
    #expect(try inPath.finish() == .code(126))
    #expect(inPath.errors.text == "ebb: text cannot be executed: Permission denied\n")
  }

  @Test func aScriptWithoutItsInterpreterIs126AndALineSaysSo() throws {
    let folder = try TemporaryFolder()
    let script = try folder.write("a-script", "#!/no/such/interpreter\n", executable: true)
    for (word, path) in [(script, "/bin"), ("a-script", "/no/such/folder:\(folder.path):/bin")] {
      let run = try Running.ebb(["--", word], environment: ["PATH": path])
      #expect(try run.finish() == .code(126), "\(word)")
      #expect(
        run.errors.text
          == "ebb: \(word) is there, but its interpreter is not (the #! line, or the dynamic linker)\n")
    }
  }

  @Test func aScriptWithoutAFirstLineIsRunByTheShell() throws {
    let folder = try TemporaryFolder()
    let script = try folder.write("a-script", "echo $0 $#: \"$@\"; exit 5\n", executable: true)
    for (word, path) in [(script, "/bin"), ("a-script", "/no/such/folder::\(folder.path):/bin")] {
      let run = try Running.ebb(["--", word, "one", "and two"], environment: ["PATH": path])
      #expect(try run.finish() == .code(5), "\(word)")
      #expect(run.output.text == "\(script) 2: one and two\n")
    }
  }

  @Test func aScriptWithoutAFirstLineGetsAllOfItsArguments() throws {
    let folder = try TemporaryFolder()
    let script = try folder.write("a-script", "echo $#\n", executable: true)
    let run = try Running.ebb(["--", script] + [String](repeating: "x", count: 20_000))
    #expect(try run.finish() == .code(0))
    #expect(run.output.text == "20000\n")
  }

  @Test(.requires(.root, .namespaces, .tool("mount")))
  func aFileSystemThatKeepsTheLaunchWaitingKeepsEbbFromNothing() throws {
    // One whose server never answers.
    let folder = try TemporaryFolder()
    let run = try Running.ebb(
      ["--control", "off", "--", "\(folder.path)/program"], namespaces: [.mount],
      prepare: """
        exec 9<>/dev/fuse
        mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 hanging \(folder.path)
        """)
    // The child asks for the program's name, and waits.
    try wait(until: "the launch hangs") {
      run.processes().contains { $0.parent == run.pid && $0.state == "S" || $0.state == "D" }
    }
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(143))
  }

  @Test func aProgramsOwn127And126AreNotTakenForALaunchThatFailed() throws {
    for code in Int32(125)...127 {
      let run = try Running.ebb(["--", "sh", "-c", "exit \(code)"])
      #expect(try run.finish() == .code(code))
      #expect(run.errors.text == "")
    }
  }

  // MARK: - What it is given

  @Test func theServiceGetsTheDescriptorsThatEbbWasGivenAndNoOther() throws {
    let prepare = "exec 7</dev/null 9>/dev/null"
    let words = ["sh", "-c", "for f in /proc/$$/fd/*; do echo ${f##*/}; done"]
    let bare = try Running(words, prepare: prepare)
    let under = try Running.ebb(["--"] + words, prepare: prepare)
    #expect(try bare.finish() == .code(0))
    #expect(try under.finish() == .code(0))
    #expect(under.output.lines.contains("7") && under.output.lines.contains("9"))
    #expect(under.output.text == bare.output.text)
  }

  @Test func anOnDrainCommandGetsNoOtherDescriptorsEither() throws {
    let folder = try TemporaryFolder()
    let command = "sh -c 'exec ls /proc/self/fd >\(folder.path)/found'"
    let run = try Running.ebb(["--on-drain", command, "--", "sleep", "60"])
    try wait(until: "the service runs") { ProcessLook.descendants(of: run.pid).count == 1 }
    try run.signal(SIGTERM)
    #expect(try run.waitForExit() == .code(143))
    // The last one is the folder that ls itself has open.
    #expect(folder.read("found") == "0\n1\n2\n3\n")
  }

  @Test(
    .requires(.tool("python3")),
    arguments: [
      ("", ""), ("17", ""), ("1 15 20 22", "2 10 15 17 20 22 28 40 64"), ("12 13 17 28", "17"), ("", "17"),
    ])
  func theServicesSignalsAreAsWithoutEbb(ignored: String, blocked: String) throws {
    // Not by a shell's trap: dash does not ignore SIGCHLD.
    let before = [
      "python3", "-c",
      """
      import os, signal, sys
      for number in sys.argv[1].split(): signal.signal(int(number), signal.SIG_IGN)
      signal.pthread_sigmask(signal.SIG_SETMASK, {int(number) for number in sys.argv[2].split()})
      os.execvp(sys.argv[3], sys.argv[3:])
      """, ignored, blocked,
    ]
    let words = ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]
    let bare = try Running(before + words)
    let under = try Running(before + [Binary.ebb.path(), "--"] + words)
    #expect(try bare.finish() == .code(0))
    #expect(try under.finish() == .code(0))
    #expect(under.output.text == bare.output.text)
    #expect(under.output.lines.count == 3)
    // What was asked for did come about.
    for (field, numbers) in [("SigIgn", ignored), ("SigBlk", blocked)] {
      let line = under.output.lines.first { $0.hasPrefix(field) }?.split(separator: "\t").last ?? ""
      let mask = try #require(UInt64(line, radix: 16))
      for number in numbers.split(separator: " ").compactMap({ UInt64($0) }) {
        #expect(mask & (1 << (number - 1)) != 0, "\(number) in \(field)")
      }
    }
  }

  @Test func theEnvironmentIsUntouched() throws {
    let variables: [[UInt8]] = [
      Array("EMPTY=".utf8), Array("NAME WITH BLANKS=x y".utf8), Array("TWICE=1".utf8), Array("TWICE=2".utf8),
      Array("NOVALUE".utf8), Array("BYTES=".utf8) + [0xff, 0xfe, 0x01, 0x0a, 0xc3],
      Array("EBB_VERBOSE=0".utf8), Array("LONG=".utf8) + [UInt8](repeating: 0x78, count: 100_000),
    ]
    func environment(_ words: [String]) throws -> [[UInt8]] {
      let run = try Running(bytes: words.map { Array($0.utf8) }, variables: variables)
      #expect(try run.finish() == .code(0))
      return run.output.raw.split(separator: 0).map(Array.init)
        .filter { !$0.starts(with: Array("EBB_TEST_MARK".utf8)) }
    }
    let bare = try environment(["cat", "/proc/self/environ"])
    let under = try environment([Binary.ebb.path(), "--", "cat", "/proc/self/environ"])
    #expect(Set(bare).count >= 9)
    #expect(under == bare)
  }

  @Test func theArgumentsAreUntouched() throws {
    let odd: [[UInt8]] = [
      [], [0xff, 0xfe], Array("--".utf8), Array("--verbose".utf8), Array("a b".utf8), [0x0a], [0xc3, 0x28],
      Array("'\"$(x)\\".utf8), [],
    ]
    let many = (1...10_000).map { Array("argument \($0)".utf8) }
    let script = ["sh", "-c", "cat /proc/$$/cmdline; :", "sh"].map { Array($0.utf8) }
    for arguments in [odd, many] {
      let ebb = Array(try Binary.ebb.path().utf8)
      let run = try Running(bytes: [ebb, Array("--".utf8)] + script + arguments)
      #expect(try run.finish() == .code(0))
      #expect(run.output.raw == Array((script + arguments).map { $0 + [0] }.joined()))
    }
  }

  @Test func aFirstWordThatIsNoCommandIsTheService() throws {
    for words in [["echo", "--verbose"], ["run", "echo", "--verbose"], ["--", "echo", "--verbose"]] {
      let run = try Running.ebb(words)
      #expect(try run.finish() == .code(0))
      #expect(run.output.text == "--verbose\n")
    }
  }

  @Test func theServiceHasAProcessGroupOfItsOwn() throws {
    let run = try Running.ebb(["--", "sh", "-c", "echo $$; sleep 60"])
    let service = try #require(pid_t(try run.waitForLine()).flatMap { ProcessLook($0) })
    #expect(service.parent == run.pid)
    #expect(service.group == service.pid)
    // Without a terminal a session of its own as well: it is then quicker to handle a signal.
    #expect(service.session == service.pid)
  }

  @Test(.requires(.namespaces)) func asPID1TheServiceIsItsChild() throws {
    let run = try Running.ebb(["--", "sh", "-c", "echo parent $PPID; exec sleep 60"], namespaces: [.pid])
    #expect(try run.waitForLine(containing: "parent") == "parent 1")
    try run.signal(SIGTERM)
    #expect(try run.waitForExit() == .code(143))
  }
}
