import Foundation
import Testing

/// What a user reads on standard error and in the termination log.
@Suite(.requires(.namespaces, .tool("python3"), .tool("ip")))
struct LogTests {
  /// A server on port 8080 that ends at TERM; in a network of its own, where nothing else listens.
  private func serve(_ options: [String], environment: [String: String] = [:]) throws -> Running {
    let program = """
      import os, signal, socket
      server = socket.create_server(("127.0.0.1", 8080))
      signal.signal(15, lambda *_: os._exit(7))
      print("pid", os.getpid(), flush=True)
      while True: signal.pause()
      """
    let run = try Running.ebb(
      options + ["--", "python3", "-c", program], environment: environment, namespaces: [.network])
    try run.waitForLine(containing: "pid ")
    return run
  }

  private func lines(_ run: Running, of format: String) throws -> [String] {
    // The service is found listening before it is told to stop, where the line that says so is wanted.
    if !format.isEmpty { try run.waitForLine(containing: format, on: .errors) }
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(7))
    return run.errors.lines
  }

  private func expect(_ lines: [String], _ patterns: [String], _ location: SourceLocation = #_sourceLocation)
  {
    #expect(lines.count == patterns.count, "\(lines)", sourceLocation: location)
    for (line, pattern) in zip(lines, patterns) {
      let matches = line.range(of: "^\(pattern)$", options: .regularExpression) != nil
      #expect(matches, "\(line) is not \(pattern)", sourceLocation: location)
    }
  }

  private static let time = #"[0-9]+\.[0-9]{2}s"#

  @Test(arguments: [nil, "EBB_QUIET", "EBB_VERBOSE"])
  func byDefaultTheReportIsTheOneLine(variable: String?) throws {
    // A variable with 0 is as good as none.
    let run = try serve([], environment: variable.map { [$0: "0"] } ?? [:])
    let report =
      "ebb: released: 8080 free; stopped in \(Self.time); 0 requests cut off, 0 connections reset, 0 bytes lost; exit 7"
    expect(try lines(run, of: ""), [report])
  }

  @Test func quietSaysNothingWhereNothingIsWrong() throws {
    #expect(try lines(serve(["--quiet"]), of: "") == [])
    #expect(try lines(serve([], environment: ["EBB_QUIET": "1"]), of: "") == [])
    // The command line wins over the variable of the opposite.
    #expect(try lines(serve(["--quiet"], environment: ["EBB_VERBOSE": "1"]), of: "") == [])
  }

  @Test func verboseSaysALineForEachPhase() throws {
    let run = try serve(["--verbose"])
    let lines = try lines(run, of: "serving")
    let pid = run.output.lines[0].dropFirst(4)
    expect(
      lines,
      [
        #"ebb: serving: python3 \(pid \#(pid)\) listens on 8080 after \#(Self.time)"#,
        "ebb: draining: SIGTERM; 0 connections, 0 busy",
        "ebb: stopping: SIGTERM to pid \(pid)",
        "ebb: stopped: pid \(pid) exited 7 after \(Self.time)",
        "ebb: released: 8080 free; stopped in \(Self.time); 0 requests cut off, 0 connections reset, 0 bytes lost; exit 7",
      ])
  }

  @Test func aServiceThatEndsUnaskedLeavesNothingToSayButItsEnd() throws {
    for (options, expected) in [([], []), (["--verbose"], ["ebb: stopped: pid [0-9]+ exited 3"])]
      as [([String], [String])]
    {
      let run = try Running.ebb(options + ["--", "sh", "-c", "exit 3"], namespaces: [.network])
      #expect(try run.finish() == .code(3))
      expect(run.errors.lines, expected)
    }
  }

  @Test func aServiceWithoutAPortHasAReportToo() throws {
    let run = try Running.ebb(["--", "sh", "-c", "echo up; exec sleep 60"], namespaces: [.network])
    try run.waitForLine(containing: "up")
    try run.signal(SIGINT)
    #expect(try run.finish() == .code(130))
    expect(run.errors.lines, ["ebb: ended: no listening port; stopped in \(Self.time); exit 130"])
  }

  @Test func aPortThatIsStillHeldIsSaidToBe() throws {
    // The holder is nobody's descendant, so it stays.
    let script = """
      python3 -c 'import socket, time; s = socket.create_server(("127.0.0.1", 8081)); print("held", flush=True); time.sleep(60)' &
      "$@"; echo "code $?"
      """
    let run = try Running(
      [
        "sh", "-c", script, "sh", try Binary.ebb.path(), "--ports", "8081,8082,8083/udp", "--", "sh", "-c",
        "sleep 0.5; kill -TERM $PPID; sleep 60",
      ], namespaces: [.network])
    try run.waitForLine(containing: "code 143")
    try run.waitForLine(containing: "released", on: .errors)
    expect(
      run.errors.lines,
      [
        "ebb: not released: 8081 still listened on, 8082 free, 8083/udp free; stopped in \(Self.time); "
          + "0 requests cut off, 0 connections reset, 0 bytes lost; exit 143"
      ])
  }

  // MARK: - JSON

  private func objects(_ run: Running) throws -> [[String: Any]] {
    try run.errors.lines.map { line in
      try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
    }
  }

  @Test func jsonLinesSayTheSameInFields() throws {
    let run = try serve(["--log", "json", "--verbose"])
    _ = try lines(run, of: "serving")
    let objects = try objects(run)
    let pid = try #require(Int(run.output.lines[0].dropFirst(4)))
    #expect(
      objects.map { $0["event"] as? String } == ["serving", "draining", "stopping", "stopped", "released"])
    try #require(objects.count == 5)
    let now = Date().timeIntervalSince1970
    for object in objects {
      let time = try #require(object["time"] as? Double)
      #expect(time > now - 60 && time <= now + 1)
      let event = try #require(object["event"] as? String)
      #expect((object["message"] as? String)?.hasPrefix("\(event): ") == true)
    }
    #expect(objects[0]["name"] as? String == "python3")
    #expect(objects[0]["pid"] as? Int == pid)
    #expect(objects[0]["ports"] as? [Int] == [8080])
    #expect(objects[1]["signal"] as? String == "SIGTERM")
    #expect(objects[1]["connections"] as? Int == 0)
    #expect(objects[1]["busy"] as? Int == 0)
    #expect(objects[2]["signal"] as? String == "SIGTERM")
    #expect(objects[2]["pid"] as? Int == pid)
    #expect(objects[3]["status"] as? Int == 7)
    #expect(objects[4]["exit"] as? Int == 7)
    #expect(objects[4]["free"] as? [Int] == [8080])
    #expect(objects[4]["held"] as? [Int] == [])
    #expect(objects[4]["measured"] as? Bool == true)
    #expect(objects[4]["resets"] as? Int == 0)
    #expect(objects[4]["bytes_unread"] as? Int == 0)
    #expect(objects[4]["bytes_unacknowledged"] as? Int == 0)
    #expect(objects[4]["seconds"] is Double)
  }

  @Test func jsonIsValidWhateverTheBytesOfAName() throws {
    let name: [UInt8] =
      Array("/x\"\\\n\t".utf8) + [0x01, 0x7f, 0xff, 0xc3, 0x28, 0xc3, 0xa9, 0xed, 0xa0, 0x80]
    let ebb = Array(try Binary.ebb.path().utf8)
    let run = try Running(bytes: [ebb, Array("--log=json".utf8), Array("--".utf8), name])
    #expect(try run.finish() == .code(127))
    let objects = try objects(run)
    #expect(objects.count == 1)
    #expect(objects.first?["event"] as? String == "failed")
    #expect(objects.first?["exit"] as? Int == 127)
    #expect((objects.first?["message"] as? String)?.contains("é") == true)
  }

  // MARK: - The termination log

  /// Asks ebb to stop from inside, so that the whole stop is over when the command is.
  private static let asksItself = ["--", "sh", "-c", "kill -TERM $PPID; exec sleep 60"]

  private func stop(_ options: [String], _ words: [String] = asksItself) throws -> Running {
    let run = try Running.ebb(options + words, namespaces: [.network])
    _ = try run.finish()
    return run
  }

  @Test func theReportGoesToTheTerminationLogThatWasNamed() throws {
    let folder = try TemporaryFolder()
    let run = try stop(["--termination-log", "\(folder.path)/log"])
    #expect(folder.read("log") == run.errors.text)
    #expect(folder.read("log").hasPrefix("ebb: ended: "))
    // As text, at every level of the log.
    let json = try stop(["--termination-log", "\(folder.path)/log2", "--log", "json", "--quiet"])
    #expect(json.errors.text == "")
    #expect(folder.read("log2").hasPrefix("ebb: ended: "))
  }

  @Test func aServicesOwnMessageIsNeverWrittenOver() throws {
    let folder = try TemporaryFolder()
    let log = try folder.write("log", "mine")
    _ = try stop(["--termination-log", log])
    #expect(folder.read("log") == "mine")
    // Nor one that it writes as it stops.
    _ = try stop(
      ["--termination-log", "\(folder.path)/late"],
      [
        "--", "sh", "-c",
        "trap 'echo late >\(folder.path)/late; exit' TERM; kill -TERM $PPID; while :; do sleep 0.01; done",
      ])
    #expect(folder.read("late") == "late\n")
  }

  @Test func withoutAnAskedStopNothingIsWrittenThere() throws {
    let folder = try TemporaryFolder()
    let log = try folder.write("log", "")
    _ = try stop(["--termination-log", log], ["--", "sh", "-c", "exit 1"])
    #expect(folder.read("log") == "")
  }

  @Test func theTerminationLogStaysUnder1KiB() throws {
    let folder = try TemporaryFolder()
    let ports = (60001...60064).flatMap { ["\($0)", "\($0)/udp"] }.joined(separator: ",")
    let run = try stop(["--ports", ports, "--termination-log", "\(folder.path)/log"])
    #expect(run.errors.text.utf8.count > 1024)
    let log = folder.read("log")
    #expect(log.utf8.count > 900 && log.utf8.count < 1024)
  }

  @Test func aTerminationLogThatCannotBeWrittenIsSaidAndHarmsNothing() throws {
    let run = try stop(["--quiet", "--termination-log", "/no/such/folder/log"])
    #expect(try run.waitForExit() == .code(143))
    #expect(run.errors.text == "ebb: cannot write the termination log: No such file or directory\n")
    for path in ["/dev/full", "/"] {
      #expect(try stop(["--termination-log", path]).waitForExit() == .code(143))
    }
  }

  @Test(arguments: [nil, "", "mine"])
  func theDefaultTerminationLogIsUsedOnlyWhereItIsAndIsEmpty(content: String?) throws {
    // A /dev of its own, with nothing in it.
    let prepare =
      "mount -t tmpfs tmpfs /dev" + (content.map { "; printf '%s' '\($0)' >/dev/termination-log" } ?? "")
    let script = "\"$@\"; echo \"code $?\"; ls /dev; cat /dev/termination-log"
    let run = try Running(
      ["sh", "-c", script, "sh", try Binary.ebb.path(), "--quiet"] + Self.asksItself,
      namespaces: [.network, .mount], prepare: prepare)
    _ = try run.finish()
    switch content {
    case nil: #expect(run.output.text == "code 143\n")
    case "": #expect(run.output.text.hasPrefix("code 143\ntermination-log\nebb: ended: "))
    default: #expect(run.output.text == "code 143\ntermination-log\nmine")
    }
  }
}
