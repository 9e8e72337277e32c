import Foundation
import Testing

/// `ebb live`, `ebb drain`, `ebb status` and the socket that they reach ebb by.
@Suite(.requires(.root, .namespaces))
struct ControlTests {
  private static let asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
  private static let asAnother = ["setpriv", "--reuid=64124", "--regid=64124", "--clear-groups", "--"]

  // MARK: - live

  @Test func liveIsYesInEveryPhaseWhileThereIsAService() throws {
    let ebb = try Supervised(
      ["--lame-duck", "600s", "--ready-when", "exec:false"],
      [Binary.tide.path(), "serve", "--on-term", "ignore"])
    try ebb.run.waitForLine(containing: "listening on")
    try ebb.waitUntilAsked()
    #expect(try ebb.phase() == "starting")
    #expect(try ebb.ask("live").exit == .code(0))
    try ebb.run.signal(SIGTERM)
    try wait(until: "it drains") { try ebb.phase() == "draining" }
    #expect(try ebb.ask("live").exit == .code(0))
    usleep(1_100_000)
    try ebb.run.signal(SIGTERM)
    try wait(until: "it is told to stop") { try ebb.phase() == "stopping" }
    #expect(try ebb.ask("live").exit == .code(0))
  }

  @Test func liveIsNoOnceTheServiceIsGoneAndItsChildrenAreNot() throws {
    let ebb = try Supervised(
      [],
      [
        "sh", "-c",
        "(trap '' TERM; echo ready; while :; do sleep 0.05; done) & trap 'exit 0' TERM; while :; do sleep 0.02; done",
      ])
    try ebb.run.waitForLine(containing: "ready")
    try ebb.waitUntilAsked()
    try ebb.run.signal(SIGTERM)
    try wait(until: "the main process is gone") { try ebb.ask("live").exit != .code(0) }
    let told = try ebb.ask("live")
    #expect(told.exit == .code(1))
    #expect(told.errors == "ebb: not live: stopping\n")
    #expect(try ebb.ask("ready").exit == .code(1))
  }

  @Test func aSuspendedPID1CountsAsLive() throws {
    let run = try Running.ebb(
      ["--", "sleep", "600"], namespaces: [.pid, .network, .mount])
    let process = try run.main()
    let enter = [
      "nsenter", "--target", "\(process)", "--pid", "--net", "--mount", "--", try Binary.ebb.path(),
    ]
    try wait(until: "ebb can be asked") {
      try Running(enter + ["live"], environment: ["EBB_CONTROL": "auto"]).waitForExit() == .code(0)
    }
    kill(process, SIGSTOP)
    try wait(until: "it is stopped") { ProcessLook(process)?.state == "T" }
    let live = try Running(enter + ["live"], environment: ["EBB_CONTROL": "auto"])
    #expect(try live.finish() == .code(0))
    #expect(
      live.errors.text
        == "ebb: the supervisor does not answer in time; PID 1 is ebb, so the service counts as live\n")
    let ready = try Running(enter + ["ready"], environment: ["EBB_CONTROL": "auto"])
    #expect(try ready.finish() == .code(3))
    #expect(ready.errors.text == "ebb: the supervisor does not answer in time\n")
    kill(process, SIGCONT)
    try wait(until: "it answers again") {
      try Running(enter + ["live"], environment: ["EBB_CONTROL": "auto"]).finish() == .code(0)
    }
  }

  @Test func withoutASupervisorNothingCanBeTold() throws {
    let network = try PrivateNetwork()
    for command in ["live", "ready", "status", "drain"] {
      let run = try Running(
        [try Binary.ebb.path(), command], environment: ["EBB_CONTROL": "auto"], entering: network.entry)
      #expect(try run.finish() == .code(3), "\(command)")
      #expect(run.output.text == "")
      #expect(run.errors.lines.count == 1)
      #expect(run.errors.text.hasPrefix("ebb: no supervisor to ask at @ebb-"), "\(run.errors.text)")
      #expect(run.errors.text.hasSuffix(": Connection refused\n"))
    }
  }

  // MARK: - The first who asks

  /// Without asking. Its descriptors are the three standard ones, its network namespace's counters, the launch's word,
  /// the loop's, the signals', and the socket.
  private func waitUntilItCanBeAsked(_ ebb: Supervised) throws {
    try wait(until: "ebb can be asked") { try ebb.descriptors() == 8 }
  }

  @Test(.requires(.tool("prlimit"))) func whoAsksIsHeardWhereNoSignalCanBeQueued() throws {
    let ebb = try Supervised(behind: ["prlimit", "--sigpending=0"])
    try waitUntilItCanBeAsked(ebb)
    #expect(try ebb.ask("live").exit == .code(0))
  }

  @Test func whoAsksIsHeardWhereThereWasNoDescriptorToHearThemBy() throws {
    let ebb = try Supervised()
    try waitUntilItCanBeAsked(ebb)
    let before = try ebb.descriptors()
    try ebb.limitDescriptors(to: before)
    let told = try ebb.ask("live")
    #expect(told.errors == "ebb: the supervisor does not answer in time\n")
    try ebb.limitDescriptors(to: 1024)
    try ebb.waitUntilAsked()
  }

  @Test(.requires(.tool("python3"))) func whoAsksDoesNotWaitForAllSignalsThatArePending() throws {
    let ebb = try Supervised([], CountingService.words(.silent))
    try ebb.run.waitForLine(containing: "counting")
    try waitUntilItCanBeAsked(ebb)
    // Stopped, so that all are there before it takes the first.
    try ebb.run.signal(SIGSTOP)
    for _ in 0..<10_000 { try ebb.run.signal(40) }
    let asker = try ebb.start(["status", "--json"])
    try wait(until: "somebody waits for an answer") { ProcessLook(asker.pid)?.state == "S" }
    try ebb.run.signal(SIGCONT)
    #expect(try asker.finish() == .code(0))
    let status = try JSONSerialization.jsonObject(with: Data(asker.output.text.utf8)) as? [String: Any]
    #expect(try #require(status?["signals_forwarded"] as? Int) < 5_000)
    // None of them is lost for it.
    try ebb.run.signal(64)
    try ebb.run.waitForLine(containing: "total 40 10000")
  }

  // MARK: - drain

  @Test func drainTellsThePhasesAndLeavesTheServiceServing() throws {
    let ebb = try Supervised(["--lame-duck", "300ms"])
    try ebb.waitUntilAsked()
    let told = try ebb.ask("drain")
    #expect(told.exit == .code(0))
    let lines = told.output.split(separator: "\n")
    #expect(lines.first == "draining: ebb drain; 0 connections, 0 busy")
    #expect(lines.dropLast().last?.hasPrefix("drained: nothing is busy after ") == true, "\(told.output)")
    #expect(lines.last?.hasPrefix("drained in ") == true)
    #expect(told.errors == "")
    #expect(try ebb.phase() == "drained")
    // It serves on...
    let client = try Client("127.0.0.1", 8080, from: ebb.network)
    try client.request("/", closing: true)
    #expect(client.answer().end == .more)
    // ...and the signal, when it comes, finds no work left, and no lame duck either.
    #expect(try ebb.run.stop().exit == .code(0))
    #expect(ebb.run.report.hasSuffix("exit 0"))
  }

  @Test func drainWaitsForWhatIsBusy() throws {
    let ebb = try Supervised(["--busy-max", "600s", "--lame-duck", "0s"])
    try ebb.waitUntilAsked()
    let client = try Client("127.0.0.1", 8080, from: ebb.network)
    try client.request("/slow?ms=700")
    try ebb.network.waitUntilUnread(0, on: 8080)
    let drain = try ebb.start(["drain"])
    try drain.waitForLine(containing: "draining: ebb drain; 1 connection, 1 busy")
    #expect(client.answer().end == .more)
    #expect(try drain.finish() == .code(0))
  }

  @Test func aSignalThatComesWhileADrainWaitsJoinsIt() throws {
    let ebb = try Supervised(["--lame-duck", "700ms"])
    try ebb.waitUntilAsked()
    let drain = try ebb.start(["drain"])
    try drain.waitForLine(containing: "draining: ebb drain")
    try ebb.run.signal(SIGTERM)
    #expect(try drain.finish() == .code(0))
    #expect(drain.output.lines.last == "drained: stopping")
    #expect(drain.output.lines.filter { $0.hasPrefix("draining") }.count == 1)
    #expect(try ebb.run.finish() == .code(0))
    #expect(ebb.run.report.contains("8080 free"))
  }

  @Test func aDrainThatIsAskedForWhileASignalsDrainGoesOnJoinsThat() throws {
    let ebb = try Supervised(["--lame-duck", "700ms", "--verbose"])
    try ebb.waitUntilAsked()
    try ebb.run.signal(SIGTERM)
    try ebb.run.waitForLine(containing: "draining: SIGTERM", on: .errors)
    let told = try ebb.ask("drain")
    #expect(told.exit == .code(0))
    #expect(told.output.contains("stopping: SIGTERM to pid"))
    #expect(try ebb.run.finish() == .code(0))
  }

  @Test func twoDrainsAtOnceAreOne() throws {
    let ebb = try Supervised(["--lame-duck", "700ms"])
    try ebb.waitUntilAsked()
    let drains = try (0..<2).map { _ in try ebb.start(["drain"]) }
    for drain in drains {
      #expect(try drain.finish() == .code(0))
      #expect(drain.output.lines.last?.hasPrefix("drained in ") == true)
    }
    #expect(try ebb.status()["drains"] as? Int == 1)
    // Once more, and it is over already.
    let again = try ebb.ask("drain", "--quiet")
    #expect(again.exit == .code(0))
    #expect(again.output == "")
    #expect(try ebb.status()["drains"] as? Int == 1)
  }

  @Test func moreDrainsThanThereArePlacesForAreToldSoAndProbesAreAnswered() throws {
    let ebb = try Supervised(["--lame-duck", "600s"])
    try ebb.waitUntilReady()
    let drains = try (0..<8).map { _ in try ebb.start(["drain"]) }
    // Whichever came first began it, and is told so.
    try wait(until: "one begins it") { drains.contains { $0.output.text.contains("draining") } }
    for drain in drains { try wait(until: "it waits") { ProcessLook(drain.pid)?.state == "S" } }
    try wait(until: "there is no place for one more") {
      let more = try ebb.ask("drain", "--timeout", "200ms")
      return more.exit == .code(3) && more.errors == "ebb: too many drains are being waited for\n"
    }
    #expect(try ebb.ask("live").exit == .code(0))
    #expect(try ebb.phase() == "draining")
  }

  @Test func aDrainWhoseTimeRunsOutGoesOn() throws {
    let ebb = try Supervised(["--lame-duck", "600s"])
    try ebb.waitUntilAsked()
    let told = try ebb.ask("drain", "--timeout", "1s")
    #expect(told.exit == .code(1))
    #expect(told.errors == "ebb: the time ran out (--timeout) before the work had left; the drain goes on\n")
    #expect(try ebb.phase() == "draining")
  }

  @Test func aDrainWhoseClientIsKilledGoesOn() throws {
    let ebb = try Supervised(["--lame-duck", "500ms"])
    try ebb.waitUntilAsked()
    let drain = try ebb.start(["drain"])
    try drain.waitForLine(containing: "draining")
    try drain.signal(SIGKILL)
    #expect(try drain.waitForExit() == .signal(SIGKILL))
    try wait(until: "it has drained") { try ebb.phase() == "drained" }
    #expect(try ebb.run.stop().exit == .code(0))
  }

  @Test func aDrainedServiceThatEndsByItselfEndsEbb() throws {
    let ebb = try Supervised(["--lame-duck", "0s"])
    try ebb.waitUntilAsked()
    #expect(try ebb.ask("drain").exit == .code(0))
    let client = try Client("127.0.0.1", 8080, from: ebb.network)
    try client.request("/exit?code=3")
    #expect(try ebb.run.finish() == .code(3))
  }

  // MARK: - status

  @Test func statusAgreesWithTheConnectionsThatThereAre() throws {
    let ebb = try Supervised([])
    try ebb.waitUntilReady()
    let idle = try (0..<3).map { _ in try Client("127.0.0.1", 8080, from: ebb.network) }
    for client in idle {
      try client.request("/")
      #expect(client.answer().end == .more)
    }
    let busy = try Client("127.0.0.1", 8080, from: ebb.network)
    try busy.request("/hold")
    // Told what it is to send, and never reading it: bytes that are not acknowledged.
    let slow = try Client("127.0.0.1", 8080, from: ebb.network, receiveBuffer: 4096)
    try slow.request("/bytes?n=1000000")
    try wait(until: "the table shows it") {
      let port = try ebb.status(of: 8080)
      return port["connections"] as? Int == 5 && port["busy"] as? Int == 2
    }
    let port = try ebb.status(of: 8080)
    #expect(port["listening"] as? Bool == true)
    #expect(port["unacknowledged_bytes"] as? Int ?? 0 > 0)
    #expect(port["closing"] as? Int == 0)
    let text = try ebb.ask("status").output
    #expect(text.contains("  port 8080: listening, 5 connections, 2 busy, "))
    #expect(text.contains(" not acknowledged\n"))
    withExtendedLifetime((idle, busy, slow)) {}
  }

  @Test func statusHasTheKeysThatArePromised() throws {
    let ebb = try Supervised([])
    try ebb.waitUntilAsked()
    let status = try ebb.status()
    #expect(
      Set(status.keys).isSuperset(of: [
        "phase", "phase_seconds", "uptime_seconds", "ready", "probes", "probed_seconds_ago", "pid", "name",
        "processes", "says", "ports_from", "ports", "arrivals_per_second", "resets", "lost_bytes",
        "signals_forwarded", "children_reaped", "drains",
      ]), "\(status.keys.sorted())")
    #expect(status["ready"] is NSNull)
    #expect(status["phase"] as? String == "starting")
    #expect(status["name"] as? String == "tide")
    #expect(status["processes"] as? Int == 1)
    #expect(status["ports_from"] as? String == "descriptors" || status["ports_from"] as? String == "cgroup")
    #expect(
      Set(try ebb.status(of: 8080).keys).isSuperset(of: [
        "port", "listening", "connections", "busy", "closing", "unacknowledged_bytes",
      ]))
    try ebb.run.signal(SIGURG)
    try wait(until: "it is counted") { try ebb.status()["signals_forwarded"] as? Int == 1 }
    try ebb.waitUntilReady()
    #expect(try ebb.status()["ready"] as? Bool == true)
    #expect(try ebb.status()["resets"] is NSNull)
    #expect(try ebb.ask("drain").exit == .code(0))
    #expect(try ebb.status()["resets"] as? Int == 0)
    #expect(try ebb.ask("status").output.hasPrefix("drained for 0."))
  }

  @Test(.requires(.tool("python3"))) func statusIsValidJSONWhateverTheServiceCallsItself() throws {
    let service = """
      open("/proc/self/comm", "wb").write(b'a"\\\\\\x01\\xff\\x1b[2J')
      print("named", flush=True)
      import time; time.sleep(600)
      """
    let ebb = try Supervised([], ["python3", "-c", service])
    try ebb.run.waitForLine(containing: "named")
    try ebb.waitUntilAsked()
    #expect(try ebb.status()["name"] as? String == "a\"\\\u{1}\u{fffd}\u{1b}[2J")
    #expect(try !ebb.ask("status").output.contains("\u{1b}"))
  }

  // MARK: - Where it is reached

  @Test func aNamedSocketIsReachedByItsName() throws {
    for name in ["@a name", "@\(String(repeating: "x", count: 106))"] {
      let ebb = try Supervised(["--control", name])
      try wait(until: "ebb can be asked") { try ebb.ask("live", "--control", name).exit == .code(0) }
      #expect(try ebb.ask("live").exit == .code(3))
      #expect(try ebb.ask("live", "--control=\(name)").exit == .code(0))
    }
  }

  @Test func aPathIsRemovedAtTheEndAndTakenOverWhereItWasLeft() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/control"
    let first = try Supervised(["--control", path])
    try wait(until: "ebb can be asked") { try first.ask("live", "--control", path).exit == .code(0) }
    // A second one leaves it to the first.
    let second = try Supervised(["--control", path])
    try second.run.waitForLine(containing: "", on: .errors)
    #expect(second.run.errors.text == "ebb: control is off: \(path): Address already in use\n")
    #expect(try second.run.stop().exit == .code(0))
    #expect(try first.ask("live", "--control", path).exit == .code(0))
    // Killed, it leaves the path behind, which the next one takes over.
    try first.run.signal(SIGKILL)
    _ = try first.run.waitForExit()
    #expect(access(path, F_OK) == 0)
    let third = try Supervised(["--control", path])
    try wait(until: "ebb can be asked") { try third.ask("live", "--control", path).exit == .code(0) }
    #expect(try third.run.stop().exit == .code(0))
    #expect(third.run.errors.lines.count == 1)
    #expect(access(path, F_OK) != 0)
  }

  @Test func whatIsNoSocketIsNeverRemoved() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write("precious", "text")
    let link = "\(folder.path)/link"
    symlink(file, link)
    mkdir("\(folder.path)/folder", 0o755)
    for path in [file, link, "\(folder.path)/folder", "\(folder.path)/none/x"] {
      let ebb = try Supervised(["--control", path])
      try ebb.run.waitForLine(containing: "ebb: control is off: \(path): ", on: .errors)
      #expect(try ebb.run.stop().exit == .code(0))
    }
    #expect(folder.read("precious") == "text")
    #expect(access(link, F_OK) == 0)
  }

  @Test func offIsOff() throws {
    let ebb = try Supervised(["--control", "off"])
    #expect(try ebb.ask("live").exit == .code(3))
    #expect(try ebb.ask("live", "--control", "off").exit == .code(3))
    #expect(try ebb.run.stop().exit == .code(0))
    #expect(ebb.run.errors.lines.count == 1)
  }

  @Test func whereTheNameIsTakenTheServiceStartsAndALineSaysSo() throws {
    let first = try Supervised([])
    try first.waitUntilAsked()
    let second = try Supervised([], [Binary.tide.path(), "serve", "--listen", "8081"], in: first.network)
    try second.run.waitForLine(containing: "listening on")
    let line = try second.run.waitForLine(containing: "control is off", on: .errors)
    #expect(line.hasPrefix("ebb: control is off: @ebb-"))
    #expect(line.hasSuffix(": Address already in use"))
    #expect(try first.status()["name"] as? String == "tide")
    #expect(try second.run.stop().exit == .code(0))
    #expect(try first.ask("live").exit == .code(0))
  }

  @Test func withoutProcThereIsNoNameAndALineSaysSo() throws {
    let run = try Running.ebb(
      ["--", "sh", "-c", "echo ready; exec sleep 600"], namespaces: [.mount, .network],
      prepare: "mount -t tmpfs tmpfs /proc")
    try run.waitForLine(containing: "ready")
    try run.waitForLine(
      containing:
        "ebb: control is off: there is no /proc, by which it is known who asks (--http answers all the same)",
      on: .errors)
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(143))
  }

  // MARK: - Who may ask

  @Test(.requires(.tool("python3"))) func nobodyCanHaveEbbWaitForTheLastCloseOfASocket() throws {
    let ebb = try Supervised([], ["sleep", "60"], environment: ["EBB_CONTROL": "@lingers"])
    try ebb.waitUntilAsked()
    // A TCP socket whose close waits for a peer that does not read, sent along by a stranger.
    let stranger = try Running(
      Self.asAnother + [
        "python3", "-c",
        """
        import socket, struct
        server = socket.create_server(("127.0.0.1", 0))
        sender = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
        sender.setblocking(False)
        try:
            while True: sender.send(b"x" * 65536)
        except BlockingIOError: pass
        sent = None
        while sent is None:
            control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            control.connect("\\0lingers")
            try:
                socket.send_fds(control, [b"ready"], [sender.fileno()])
                sent = "sent"
            except PermissionError: sent = "refused"
            # ebb was quicker, and has turned it away.
            except (BrokenPipeError, ConnectionResetError): pass
        # The last of it is with whoever was sent it.
        if sent == "sent": sender.close()
        print(sent, flush=True)
        import time; time.sleep(600)
        """,
      ], entering: ebb.network.entry)
    let told = try stranger.waitForLine()
    // What refuses it is Linux 6.16.
    if told == "refused" { #expect(try ebb.ask("live").exit == .code(0)) }
    var name = utsname()
    uname(&name)
    let release = withUnsafeBytes(of: &name.release) {
      String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    let version = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
    #expect(told == "refused" || version.lexicographicallyPrecedes([6, 16]))
  }

  @Test func containersThatShareANetworkDoNotClash() throws {
    let network = try PrivateNetwork()
    let first = try Supervised([], in: network)
    try first.waitUntilAsked()
    let tide = try Binary.tide.path()
    let second = try Running(
      [try Binary.ebb.path(), "--ready-when", "exec:false", "--", tide, "serve", "--listen", "8081"],
      environment: ["EBB_CONTROL": "auto"], entering: network.entry, namespaces: [.mount])
    try second.waitForLine(containing: "listening on")
    let enter = ["nsenter", "--target", "\(second.pid)", "--net", "--mount", "--", try Binary.ebb.path()]
    try wait(until: "the second can be asked") {
      try Running(enter + ["live"], environment: ["EBB_CONTROL": "auto"]).waitForExit() == .code(0)
    }
    let asked = try Running(enter + ["ready"], environment: ["EBB_CONTROL": "auto"])
    #expect(try asked.finish() == .code(1))
    #expect(asked.errors.text == "ebb: not ready: exec:false: exited 1\n")
    try first.waitUntilReady()
    try second.signal(SIGTERM)
    #expect(try second.finish() == .code(0))
    #expect(second.errors.lines.count == 1)
  }

  @Test func aProcessOfAnotherMountNamespaceIsRefused() throws {
    let ebb = try Supervised(["--control", "@one"])
    try wait(until: "ebb can be asked") { try ebb.ask("live", "--control", "@one").exit == .code(0) }
    for command in ["ready", "live", "drain", "status"] {
      let stranger = try Running(
        [try Binary.ebb.path(), command, "--control", "@one"], entering: ebb.network.entry,
        namespaces: [.mount])
      #expect(try stranger.finish() == .code(3), "\(command)")
      #expect(stranger.errors.text == "ebb: the listener at @one is not this container's ebb\n")
    }
    #expect(try ebb.phaseAt("@one") == "starting")
  }

  @Test(.requires(.tool("setpriv"))) func anotherUserIsRefused() throws {
    let ebb = try Supervised(["--control", "@one"], behind: [])
    try wait(until: "ebb can be asked") { try ebb.ask("live", "--control", "@one").exit == .code(0) }
    let folder = try TemporaryFolder()
    let copy = try folder.installEbb()
    for command in ["ready", "live", "drain", "status"] {
      let stranger = try Running(
        Self.asAnother + [copy, command, "--control", "@one"], entering: ebb.network.entry)
      // It is root's, so it may be believed; but it does not answer just anybody.
      #expect(try stranger.finish() == .code(3), "\(command)")
      #expect(
        stranger.errors.text == "ebb: only ebb's own user, or root, in this container may ask\n",
        "\(stranger.errors.text)")
    }
    #expect(try ebb.phaseAt("@one") == "starting")
  }

  @Test(.requires(.tool("setpriv"))) func rootAndItsOwnUserMayAskAnEbbOfAnotherUserAndNoThirdOne() throws {
    let folder = try TemporaryFolder()
    let copy = try folder.installEbb()
    // 65534 too, although that stands for everybody from elsewhere as well.
    for user in [Self.asNobody, Self.asAnother] {
      let run = try Running(
        user + [copy, "--", "sleep", "600"], environment: ["EBB_CONTROL": "auto"],
        namespaces: [.pid, .network, .mount])
      let process = try run.main()
      func ask(_ wrapper: [String]) throws -> Exit {
        try Running(
          wrapper + [copy, "status"], environment: ["EBB_CONTROL": "auto"],
          entering: ["nsenter", "--target", "\(process)", "--pid", "--net", "--mount", "--"]
        ).finish()
      }
      try wait(until: "root may ask") { try ask([]) == .code(0) }
      #expect(try ask(user) == .code(0))
      #expect(
        try ask(["setpriv", "--reuid=64125", "--regid=64125", "--clear-groups", "--"]) == .code(3))
      try run.signal(SIGTERM)
      #expect(try run.finish() == .code(143))
    }
  }

  @Test(.requires(.tool("python3"))) func aStrangerWhoListensUnderTheNameIsNotBelieved() throws {
    let network = try PrivateNetwork()
    let script = """
      import socket, time
      listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
      listener.bind("\\0one"); listener.listen()
      import os; os.write(1, b"listening\\n")
      while True:
          peer = listener.accept()[0]
          try: peer.send(b"+ ready")
          except OSError: pass
      """
    let stranger = try Running(["python3", "-c", script], entering: network.entry, namespaces: [.mount])
    try stranger.waitForLine(containing: "listening")
    for command in ["ready", "drain", "status"] {
      let run = try Running([try Binary.ebb.path(), command, "--control", "@one"], entering: network.entry)
      #expect(try run.finish() == .code(3))
      #expect(run.errors.text == "ebb: the listener at @one is not this container's ebb\n")
    }
  }

  @Test(.requires(.tool("python3"))) func answersThatMakeNoSenseAreNoAnswer() throws {
    let network = try PrivateNetwork()
    let script = """
      import socket, sys
      listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
      listener.bind("\\0one"); listener.listen()
      print("listening", flush=True)
      answers = [b"yes", b"+", b"? x", b"x" * 100000, None, b"\\0"]
      while answers:
          peer = listener.accept()[0]
          answer = answers.pop(0)
          if answer is not None: peer.send(answer)
          peer.close()
      """
    let stranger = try Running(["python3", "-c", script], entering: network.entry)
    try stranger.waitForLine(containing: "listening")
    for command in ["ready", "live", "drain", "status", "ready", "ready"] {
      let run = try Running([try Binary.ebb.path(), command, "--control", "@one"], entering: network.entry)
      #expect(try run.finish() == .code(3), "\(command)")
      #expect(run.errors.lines.count == 1)
    }
  }
}

extension TemporaryFolder {
  /// ebb, where every user can execute it. (By a process of its own: a copy that we had open ourselves as another
  /// test forks could not be executed, "Text file busy".)
  fileprivate func installEbb() throws -> String {
    guard try Running(["cp", Binary.ebb.path(), "\(path)/ebb"]).waitForExit() == .code(0) else {
      throw Unusable("ebb cannot be copied")
    }
    return "\(path)/ebb"
  }
}

extension Supervised {
  /// The phase, asked at a name of its own.
  fileprivate func phaseAt(_ name: String) throws -> String {
    let told = try ask("status", "--json", "--control", name)
    let value = try JSONSerialization.jsonObject(with: Data(told.output.utf8)) as? [String: Any]
    return value?["phase"] as? String ?? ""
  }
}
