import Foundation
import Testing

/// ebb under the names of tini, dumb-init and catatonit does as they do: the same scenario is run with Debian's
/// own program, and what happened is compared.
@Suite(
  .requires(.tool("python3"), .tool("tini"), .tool("tini-static"), .tool("dumb-init"), .tool("catatonit")))
struct NamesTests {
  private static let each: [NamedInit] = [
    NamedInit(program: "tini"), NamedInit(program: "tini", options: ["-g"]), NamedInit(program: "dumb-init"),
    NamedInit(program: "dumb-init", options: ["-c"]), NamedInit(program: "catatonit"),
    NamedInit(program: "catatonit", options: ["-g"]),
  ]

  /// Those that the kernel sends whoever made a mistake. tini and catatonit die of them and leave the service
  /// behind, and as PID 1 they let them pass; ebb hands them on like any other, as dumb-init does.
  private static let faults = [
    "ABRT": 6, "BUS": 7, "FPE": 8, "ILL": 4, "SEGV": 11, "SYS": 31, "TRAP": 5,
  ]

  // MARK: - Signals

  @Test(arguments: each.flatMap(\.everywhere))
  func everySignalComesToTheSameProcessesAndStopsTheSameOnes(named: NamedInit) throws {
    var onPurpose: [String: NSObject] = [:]
    if named.program != "dumb-init" {
      for (name, number) in NamesTests.faults {
        let processes = named.options == ["-g"] ? ["main", "member"] : ["main"]
        onPurpose[name] = processes.map { "\($0) \(number) init" } as NSArray
      }
    }
    let lasting = try differencesThatLast {
      let comparison = try Comparison("signals", named)
      #expect(comparison.ebb.count == 60)
      return comparison.differences(onPurpose: onPurpose)
    }
    #expect(lasting == [])
  }

  @Test(
    arguments: [
      ["-r", "15:2", "-r", "2:0", "-r", "1:20", "-r", "20:1", "-r", "17:1", "-r", "21:0", "-r", "22:22"],
      ["-c", "-r", "15:3", "-r", "15:2", "--rewrite=20:0", "-r1:31", "-r", "31:1"],
    ])
  func signalsAreRewrittenAlike(options: [String]) throws {
    let named = NamedInit(program: "dumb-init", options: options)
    let lasting = try differencesThatLast { try Comparison("signals", named).differences() }
    #expect(lasting == [])
  }

  /// The differences of the run with the fewest, of three at most: a signal that one of the two handed on after the
  /// look was over is no difference, and does not come again.
  private func differencesThatLast(_ compare: () throws -> [String]) throws -> [String] {
    var fewest = try compare()
    for _ in 0..<2 where !fewest.isEmpty {
      let again = try compare()
      if again.count < fewest.count { fewest = again }
    }
    return fewest
  }

  @Test(arguments: [
    NamedInit(program: "tini"), NamedInit(program: "tini", environment: ["TINI_KILL_PROCESS_GROUP": ""]),
    NamedInit(program: "dumb-init", environment: ["DUMB_INIT_SETSID": "0"]),
    NamedInit(program: "dumb-init", environment: ["DUMB_INIT_SETSID": "1"]),
  ])
  func theVariablesSayWhoIsSignalled(named: NamedInit) throws {
    let lasting = try differencesThatLast { try Comparison("variables", named).differences() }
    #expect(lasting == [])
  }

  @Test(
    arguments: each.filter { $0.options != ["-g"] }, Requirement.isMet(.namespaces) ? [false, true] : [false])
  func theTerminalIsHandedOverWithoutAWordToTheService(named: NamedInit, isPID1: Bool) throws {
    var named = named
    named.isPID1 = isPID1
    let comparison = try Comparison("terminal", named)
    // Those of the hand-over itself; one of somebody's own comes through.
    #expect(comparison.ebb["hand-over"] == [] as NSArray)
    #expect((comparison.ebb["HUP"] as? [String])?.isEmpty == false)
    #expect(comparison.differences() == [])
  }

  /// The real ones are ended by the two that the C library keeps for itself; ebb hands them on.
  @Test(arguments: ["tini", "dumb-init", "catatonit"])
  func theTwoSignalsThatTheCLibraryKeepsAreHandedOnToo(program: String) throws {
    let comparison = try Comparison("reserved", NamedInit(program: program))
    #expect(comparison.real == ["32": -32 as NSNumber, "33": -33 as NSNumber])
    #expect(comparison.ebb == ["32": 160 as NSNumber, "33": 161 as NSNumber])
  }

  /// The shell that goes on in the foreground would be stopped as it reads.
  @Test(arguments: ["tini", "catatonit"])
  func theTerminalIsNotTakenFromTheShellInTheForeground(program: String) throws {
    let comparison = try Comparison("background", NamedInit(program: program))
    #expect(comparison.real["while it runs"] == "service" as NSString)
    #expect(comparison.ebb["while it runs"] == "shell" as NSString)
    #expect(comparison.ebb["at the end"] == "shell" as NSString)
  }

  @Test(arguments: ["SIGUSR1", "SIGTERM", "SIGKILL"], [[], ["-s"]])
  func theParentsDeathIsToldAlike(signal: String, options: [String]) throws {
    let comparison = try Comparison(
      "parent", NamedInit(program: "tini", options: options + ["-p", signal]),
      more: ["expect": signal != "SIGKILL"])
    #expect((comparison.ebb["service"] as? [String])?.count == (signal == "SIGKILL" ? 0 : 1))
    #expect(comparison.differences() == [])
  }

  // MARK: - What the service finds

  @Test(arguments: each.flatMap(\.everywhere))
  func theServiceFindsTheSameMaskDispositionsSessionGroupTerminalAndFolder(named: NamedInit) throws {
    let comparison = try Comparison("look", named)
    #expect(comparison.ebb["arguments"] == ["a", "--", "-b"] as NSArray)
    // Later versions of catatonit than Debian 12's let go of the working directory; what it is on can be
    // unmounted then.
    let onPurpose: [String: NSObject] =
      named.program == "catatonit" ? ["init's directory": "/" as NSString] : [:]
    #expect(comparison.differences(onPurpose: onPurpose) == [])
  }

  // MARK: - The end

  @Test(arguments: [
    NamedInit(program: "tini"), NamedInit(program: "dumb-init"), NamedInit(program: "catatonit"),
    NamedInit(program: "tini", options: (0..<256).filter { $0 % 2 == 0 }.map { "-e\($0)" }),
  ])
  func all256ExitCodesAndEverySignalThatEndsTheServiceAreTheSame(named: NamedInit) throws {
    let comparison = try Comparison("codes", named)
    #expect(comparison.ebb.count == 256 + 54)
    #expect(comparison.differences() == [])
  }

  @Test(arguments: each + [["15:2"], ["15:0"]].map { NamedInit(program: "dumb-init", options: ["-r"] + $0) })
  func whatTheMainProcessLeavesBehindIsSentTheSame(named: NamedInit) throws {
    #expect(try Comparison("leftovers", named).differences() == [])
  }

  @Test(
    arguments: (each + [NamedInit(program: "tini", options: ["-s"])]).flatMap(\.everywhere).filter {
      $0.options != ["-g"] && !$0.hasTerminal
    } + [NamedInit(program: "tini", environment: ["TINI_SUBREAPER": ""])])
  func orphansGoToTheSameParentAndNoneStaysAZombie(named: NamedInit) throws {
    #expect(try Comparison("orphans", named).differences() == [])
  }

  @Test(arguments: Requirement.isMet(.namespaces) ? [false, true] : [false])
  func aPauseReapsAndEndsAlike(isPID1: Bool) throws {
    let comparison = try Comparison(
      "pause", NamedInit(program: "catatonit", options: ["-P"], isPID1: isPID1))
    #expect(comparison.ebb == ["TERM": 0 as NSNumber, "INT": 0 as NSNumber])
    #expect(comparison.differences() == [])
  }

  // MARK: - The command line

  private static let ran = ["sh", "-c", "echo \"ran $*\"", "sh"]

  private static let lines: [String: [[String]]] = [
    "tini": [
      [], ["-h"], ["--version"], ["-l"], ["-x"], ["-p"], ["-p", "NOPE", "true"], ["-pSIGTERM", "--"] + ran,
      ["-e", "256", "true"], ["-e", "x", "true"], ["-e", "-1", "true"], ["-gs", "--"] + ran,
      ["-gvp", "SIGTERM", "--"] + ran, ["-wgs", "-e", "3", "--"] + ran, ["--"] + ran + ["-v", "--", "x"],
      ["true", "-x"], ["echo", "-v", "ran"], ["echo", "ran", "--", "-v"],
      ["POSIXLY_CORRECT=1", "echo", "ran", "-v"],
      ["nonexistent"], ["/etc/passwd"], ["/etc/passwd/x"], ["/"], [""], ["-e", "127", "nonexistent"],
      ["--", "--x"], ["--"], ["-s", "-"], ["TINI_VERBOSITY=1", "-s", "--"] + ran,
      ["TINI_VERBOSITY=1", "--"] + ran, ["TINI_VERBOSITY=0", "-w", "--"] + ran, ["-hx"], ["-xh"],
    ],
    "dumb-init": [
      [], ["-h"], ["--help"], ["-V"], ["--version"], ["-x"], ["--nope"], ["-r"], ["-r", "x", "true"],
      ["-r", "0:1", "true"], ["-r", "1", "true"], ["-r", "15:-1", "true"], ["-r", "15:", "true"],
      ["--rewrite=15:2"] + ran, ["--rewrite", "15:2"] + ran, ["-r15:2"] + ran, ["-cr15:0"] + ran,
      ["-cvr", "15:0"] + ran, ["--single-child", "--"] + ran, ["--sing"] + ran, ["--ve"],
      ["--verbo", "--"] + ran,
      ["--single-child=1", "true"], ran + ["-v", "--", "-r"], ["--"] + ran, ["nonexistent"], ["/etc/passwd"],
      ["/"], [""], ["DUMB_INIT_DEBUG=1"] + ran, ["DUMB_INIT_DEBUG=0"] + ran, ["-v"] + ran, ["--"],
    ],
    "catatonit": [
      [], ["-h"], ["-V"], ["--version"], ["--vers"], ["-L"], ["-x"], ["--nope"], ["-gV"], ["-g", "--"] + ran,
      ["--"] + ran + ["-g"], ["echo", "-g", "ran"], ["POSIXLY_CORRECT=1", "echo", "ran", "-g"],
      ["nonexistent"],
      ["/etc/passwd"], ["/"], [""], ["--"],
    ],
  ]

  /// The words are ebb's own; the exit code, the stream and what runs are not.
  @Test(arguments: ["tini", "tini-static", "dumb-init", "catatonit"])
  func everyCommandLineComesToTheSame(program: String) throws {
    let lines = try #require(NamesTests.lines[program == "tini-static" ? "tini" : program])
    let comparison = try Comparison("usage", NamedInit(program: program), more: ["lines": lines])
    #expect(comparison.ebb.count == lines.count)
    #expect(comparison.differences() == [])
  }
}

/// What belongs to the names and has no counterpart to be compared with.
@Suite struct NameTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Starts ebb under another name.
  private func start(
    _ name: String, _ words: [String], environment: [String: String] = [:], isCopy: Bool = false,
    prepare: String? = nil
  ) throws -> Running {
    let path = "\(folder.path)/\(name)"
    if isCopy {
      try FileManager.default.copyItem(atPath: try Binary.ebb.path(), toPath: path)
    } else {
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: try Binary.ebb.path())
    }
    return try Running([path] + words, environment: environment, prepare: prepare)
  }

  @Test(
    arguments: [
      "tini", "tini-static", "tini-static-amd64", "docker-init", "podman-init", "catatonit",
      "catatonit.x86_64",
    ], [false, true])
  func aLinkAndACopyAreKnownByTheirName(name: String, isCopy: Bool) throws {
    let run = try start(name, ["--version"], isCopy: isCopy)
    #expect(try run.finish() == .code(0))
    // docker(1) looks for just these words in what its engine's init says.
    #expect(run.output.text.hasPrefix("tini version "))
  }

  @Test func dumbInitIsKnownByTheNameThatItsReleasesHave() throws {
    for name in ["dumb-init", "dumb-init_1.2.5_x86_64"] {
      let run = try start(name, ["--version"])
      #expect(try run.finish() == .code(0))
      #expect(run.errors.text.hasPrefix("dumb-init v"))
    }
  }

  @Test(arguments: ["ebb", "ebb-tini", "tinier", "init", "my-dumb-init"])
  func anyOtherNameIsEbbs(name: String) throws {
    let run = try start(name, ["--version"])
    #expect(try run.finish() == .code(0))
    #expect(run.output.text.hasPrefix("ebb "))
  }

  @Test(arguments: ["tini", "dumb-init", "catatonit"])
  func nothingOfEbbsIsSeenUnlessItIsAskedFor(name: String) throws {
    let run = try start(
      name, ["--", "sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done"],
      environment: ["TINI_VERBOSITY": "0"])
    try run.waitForLine(containing: "ready")
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(0))
    // Where the whole group is signalled, the shell may say so of its sleep.
    #expect(run.errors.lines.filter { $0 != "Terminated" } == [])
  }

  @Test(
    arguments: ["tini", "dumb-init", "catatonit"],
    [
      ["EBB_LINGER_MAX": "5s"], ["EBB_PORTS": "8080"], ["EBB_LAME_DUCK": "100ms"],
    ])
  func aVariableOfEbbsBringsItsStopAndKeepsTheSignal(name: String, variable: [String: String]) throws {
    let run = try start(
      name,
      ["--", "sh", "-c", "trap 'exit 7' TERM; trap 'exit 8' QUIT; echo ready; while :; do sleep 0.01; done"],
      environment: variable.merging(["EBB_VERBOSE": "1", "TINI_VERBOSITY": "0"]) { $1 })
    try run.waitForLine(containing: "ready")
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(7))
    try run.waitForLine(containing: "draining: SIGTERM", on: .errors)
    try run.waitForLine(containing: "stopping: SIGTERM to pid", on: .errors)
    let report = run.errors.lines.last ?? ""
    #expect(report.contains("stopped in ") && report.hasSuffix("; exit 7"), "\(report)")
  }

  @Test func aBadVariableOfEbbsIsToldInTheProgramsOwnWay() throws {
    let run = try start("tini", ["--", "true"], environment: ["EBB_GRACE": "soon"])
    #expect(try run.finish() == .code(1))
    #expect(run.errors.text.hasPrefix("tini: EBB_GRACE=soon: expected "))
  }

  /// tini itself waits for ever there: the kernel reaps its child without a word.
  @Test(arguments: ["tini", "dumb-init", "catatonit"])
  func anIgnoredSIGCHLDDoesNotHideTheEnd(name: String) throws {
    let run = try start(name, ["--", "sh", "-c", "exit 3"], prepare: "trap '' CHLD")
    #expect(try run.finish() == .code(3))
  }

  @Test(arguments: [
    ("1", true, [:]), ("0", false, [:]), ("1", false, ["TINI_SUBREAPER": "1"]),
  ])
  func tiniWarnsWhereItCanReapNothing(verbosity: String, warns: Bool, more: [String: String]) throws {
    let run = try start(
      "tini", ["--", "true"], environment: more.merging(["TINI_VERBOSITY": verbosity]) { $1 })
    #expect(try run.finish() == .code(0))
    #expect(run.errors.text.contains("neither PID 1 nor a subreaper") == warns)
  }
}
