import Foundation
import Testing

/// A word that makes no sense: one line that names it, exit code 64, and no service started.
struct BadInputTests {
  private func expectRefusal(
    _ run: Running, naming word: String, _ location: SourceLocation = #_sourceLocation
  ) throws {
    #expect(try run.finish() == .code(64), "\(word)", sourceLocation: location)
    #expect(run.output.text == "", sourceLocation: location)
    let lines = run.errors.text.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count == 2 && lines.last == "", "\(run.errors.text)", sourceLocation: location)
    #expect(lines[0].hasPrefix("ebb: ") && lines[0].contains(word), "\(lines[0])", sourceLocation: location)
    #expect(run.errors.raw.allSatisfy { $0 == 0x0a || $0 >= 0x20 }, sourceLocation: location)
  }

  @Test(arguments: [
    "--nonsense", "-x", "--port", "--portsx=3", "--Ports=3", "---", "-verbose", "--no-verbose", "-1",
  ])
  func anUnknownOption(option: String) throws {
    try expectRefusal(Running.ebb([option, "--", "echo", "ran"]), naming: option)
    try expectRefusal(Running.ebb(["run", "--quiet", option, "echo", "ran"]), naming: option)
  }

  @Test(arguments: [
    "--ports", "--stop-signal", "--drain-on", "--rewrite", "--lame-duck", "--lame-duck-max", "--busy-max",
    "--linger-max", "--grace", "--on-drain", "--map-exit", "--parent-death-signal", "--log",
    "--termination-log",
  ])
  func anOptionWithoutItsValue(option: String) throws {
    try expectRefusal(Running.ebb([option]), naming: option)
  }

  @Test(arguments: ["--group", "--single", "--no-subreaper", "--warn-on-reap", "--verbose", "--quiet"])
  func aValueThatAnOptionDoesNotTake(option: String) throws {
    try expectRefusal(Running.ebb(["\(option)=1", "echo", "ran"]), naming: "\(option)=1")
  }

  @Test(arguments: [
    (
      "ports",
      [
        "0", "65536", "-1", "8080,", ",", "", "80,,81", "http", "80/sctp", "80/", "1.5",
        "99999999999999999999", " 80",
      ]
    ),
    (
      "stop-signal",
      [
        "FOO", "0", "65", "-1", "SIG", "", "RTMIN+31", "RTMAX+1", "RTMAX-31", "TERM,INT", "SIGSIGTERM",
        "9999999999999999999",
      ]
    ),
    ("drain-on", ["", "TERM,", "FOO", "TERM,0"]),
    ("rewrite", ["TERM", "TERM:", ":TERM", "0:TERM", "TERM:FOO", "TERM:INT:HUP", ""]),
    ("lame-duck", ["10", "s", "-1s", "10 s", "1h2", "", "99999999999999999999s", "Auto"]),
    ("lame-duck-max", ["auto", "ten"]), ("busy-max", ["1", "-0s"]), ("linger-max", ["5", "5x"]),
    ("grace", ["0s", "0ms", "0", "30", "-30s", "forever", "9223372036854775807s"]),
    ("on-drain", ["", " ", "sh -c 'x", "echo \"", "echo \\"]),
    ("map-exit", ["143", "143=", "=0", "256=0", "0=256", "-1=0", "1=2=3", "", "1=2,"]),
    ("parent-death-signal", ["", "FOO", "0", "65"]), ("log", ["", "xml", "JSON", "text,json"]),
    ("termination-log", [""]),
  ])
  func aValueWithoutSense(option: String, values: [String]) throws {
    for value in values {
      try expectRefusal(
        Running.ebb(["--\(option)", value, "--", "echo", "ran"]), naming: "--\(option) \(value)")
      try expectRefusal(
        Running.ebb(["--\(option)=\(value)", "--", "echo", "ran"]), naming: "--\(option) \(value)")
      let variable = "EBB_" + option.uppercased().replacingOccurrences(of: "-", with: "_")
      try expectRefusal(
        Running.ebb(["--", "echo", "ran"], environment: [variable: value]), naming: "\(variable)=\(value)")
    }
  }

  @Test(arguments: ["EBB_VERBOSE", "EBB_GROUP", "EBB_NO_SUBREAPER"])
  func aVariableOfAFlagIsOneOrZero(variable: String) throws {
    try expectRefusal(
      Running.ebb(["echo", "ran"], environment: [variable: "maybe"]), naming: "\(variable)=maybe")
    for value in ["1", "0", "true", "no", ""] {
      #expect(try Running.ebb(["true"], environment: [variable: value]).waitForExit() == .code(0), "\(value)")
    }
  }

  @Test(arguments: [[], ["run"], ["--"], ["run", "--"], ["--verbose"], ["--grace", "3s", "--"]])
  func aMissingCommand(words: [String]) throws {
    try expectRefusal(Running.ebb(words), naming: "command")
  }

  @Test(arguments: [[""], ["--", ""], ["run", "", "echo"]])
  func anEmptyCommand(words: [String]) throws {
    try expectRefusal(Running.ebb(words), naming: "empty")
  }

  @Test func oddBytesInAWordStayInOneLine() throws {
    let ebb = Array(try Binary.ebb.path().utf8)
    for odd: [UInt8] in [
      Array("--a\nb".utf8), Array("--\u{1b}[2J".utf8), [0x2d, 0x2d, 0xff, 0xfe], Array("--a\r\u{7f}".utf8),
      Array("--".utf8) + [UInt8](repeating: 0x78, count: 100_000),
    ] {
      try expectRefusal(Running(bytes: [ebb, odd, Array("echo".utf8)]), naming: "unknown option")
      try expectRefusal(
        Running(bytes: [ebb, Array("--grace".utf8), odd, Array("echo".utf8)]), naming: "--grace")
    }
  }

  @Test func anUnknownHelpTopic() throws {
    try expectRefusal(Running.ebb(["help", "nonsense"]), naming: "nonsense")
  }

  @Test func aWordBehindTheDashesIsTheServicesAlone() throws {
    let run = try Running.ebb(["--", "echo", "--nonsense", "--grace", "0"])
    #expect(try run.finish() == .code(0))
    #expect(run.output.text == "--nonsense --grace 0\n")
    #expect(run.errors.text == "")
  }

  @Test func helpAndVersionGoToStandardOutput() throws {
    for words in [
      ["help"], ["--help"], ["-h"], ["help", "run"], ["run", "--help"], ["help", "signals"], ["--version"],
      ["-V"],
    ] {
      let run = try Running.ebb(words)
      #expect(try run.finish() == .code(0))
      #expect(run.output.text.hasSuffix("\n"))
      #expect(run.errors.text == "")
      // A script that wanted the text learns that it did not get it.
      let full = try Running.ebb(words, prepare: "exec >/dev/full")
      #expect(try full.finish() != .code(0))
    }
  }

  @Test func everyOptionIsInTheHelp() throws {
    let run = try Running.ebb(["help", "run"])
    _ = try run.finish()
    for option in [
      "--ports", "--stop-signal", "--drain-on", "--rewrite", "--group", "--single", "--lame-duck",
      "--lame-duck-max",
      "--busy-max", "--linger-max", "--grace", "--on-drain", "--map-exit", "--parent-death-signal",
      "--no-subreaper",
      "--warn-on-reap", "--log", "--verbose", "--quiet", "--termination-log",
    ] { #expect(run.output.text.contains("  \(option) "), "\(option)") }
  }
}
