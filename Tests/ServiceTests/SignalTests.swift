import Foundation
import Testing

/// Which signals reach the service, and as what.
@Suite(.requires(.tool("python3")))
struct SignalTests {
  private static let highestRealTime: Int32 = 64

  private func counting(_ options: [String] = [], _ words: [String], namespaces: [Namespace] = []) throws
    -> Running
  {
    let run = try Running.ebb(options + ["--"] + words, namespaces: namespaces)
    try run.waitForLine(containing: "counting")
    return run
  }

  /// How often the service got each signal, RTMAX aside.
  private func totals(_ run: Running) throws -> [Int32: Int] {
    try run.signal(Self.highestRealTime)
    #expect(try run.finish() == .code(0))
    var totals: [Int32: Int] = [:]
    for line in run.output.lines where line.hasPrefix("total ") {
      let numbers = line.split(separator: " ").dropFirst().compactMap { Int($0) }
      if numbers.count == 2 { totals[Int32(numbers[0])] = numbers[1] }
    }
    totals[Self.highestRealTime] = nil
    return totals
  }

  private func everySignalOnce(_ run: Running, but drain: Int32) throws {
    let sent = (Int32(1)...63).filter { ![SIGKILL, SIGSTOP, drain].contains($0) }
    for signal in sent {
      try run.signal(signal)
      // One after the other: SIGCONT takes away a pending SIGTSTP, and the other way round.
      try run.waitForLine(containing: "got \(signal)")
    }
    #expect(try totals(run) == Dictionary(uniqueKeysWithValues: sent.map { ($0, 1) }))
  }

  @Test func everySignalThatCanBeCaughtIsForwardedOnce() throws {
    try everySignalOnce(counting(["--drain-on", "63"], CountingService.words()), but: 63)
  }

  @Test(.requires(.namespaces)) func everySignalThatCanBeCaughtIsForwardedByPID1() throws {
    try everySignalOnce(
      counting(["--drain-on", "RTMAX-1"], CountingService.words(), namespaces: [.pid]), but: 63)
  }

  @Test(.requires(.tool("perl")))
  func realTimeSignalsThatQueueAreAllForwardedWhile20000OrphansAreReaped() throws {
    let run = try counting([], CountingService.words(.silent, .orphans))
    var sent: [Int32: Int] = [:]
    for round in 1...20 {
      try run.waitForLine(containing: "made", times: round)
      for number in 0..<50 {
        let signal = 32 + Int32((round + number) % 32)
        try run.signal(signal)
        sent[signal, default: 0] += 1
        try run.signal(SIGUSR1)
      }
    }
    #expect(sent.values.reduce(0, +) == 1000)
    try wait(until: "every orphan has been reaped") {
      let looks = ProcessLook.all.compactMap { ProcessLook($0) }
      return looks.filter { $0.parent == run.pid }.count == 1
    }
    var received = try totals(run)
    // What the kernel merges comes at least once.
    let merged = received.removeValue(forKey: SIGUSR1) ?? 0
    #expect(merged >= 1 && merged <= 1000)
    #expect(received == sent)
  }

  @Test func rewriteForwardsOneSignalAsAnotherOrNotAtAll() throws {
    let map = "HUP:0,SIGUSR1:usr2,RTMIN+1:40,12:1,CHLD:0"
    for run in [
      try counting(["--rewrite", map], CountingService.words()),
      try counting(
        ["--rewrite", "HUP:0,USR1:USR2", "--rewrite", "35:40,USR2:HUP,CHLD:0"], CountingService.words()),
    ] {
      for signal in [SIGHUP, SIGUSR1, 35, SIGQUIT, SIGCHLD] { try run.signal(signal) }
      #expect(try totals(run) == [SIGUSR2: 1, 40: 1, SIGQUIT: 1])
      // Not twice: USR1 became USR2, which as it arrives would become HUP.
    }
  }

  @Test func aRewrittenDrainSignalIsWhatTheServiceIsStoppedWith() throws {
    // Also for a server that would get another: the user has said what TERM is to be.
    for name in ["", "haproxy"] {
      let run = try counting(["--rewrite", "TERM:INT"], CountingService.words(.stops, name: name))
      try run.signal(SIGTERM)
      try run.waitForLine(containing: "got 2")
      #expect(try run.finish() == .code(0))
      #expect(run.output.lines.filter { $0.hasPrefix("got") } == ["got 2"])
    }
  }

  @Test func signalsGoToTheMainProcessAlone() throws {
    for options in [[], ["--single"], ["--group", "--single"]] {
      let run = try counting(options, CountingService.words(.child))
      try run.waitForLine(containing: "counting", times: 2)
      try run.signal(SIGUSR1)
      try run.waitForLine(containing: "got 10")
      try run.signal(Self.highestRealTime)
      // The child is told to end when the main process has, and counts that.
      try run.waitForLine(containing: "child got 15")
      #expect(!run.output.text.contains("child got 10"))
    }
  }

  @Test func withGroupSignalsGoToTheServicesProcessGroup() throws {
    let run = try counting(["--group"], CountingService.words(.child))
    try run.waitForLine(containing: "counting", times: 2)
    try run.signal(SIGUSR1)
    try run.waitForLine(containing: "child got 10")
    try run.signal(Self.highestRealTime)
    try run.waitForLine(containing: "child got 64")
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines.filter { $0 == "got 10" || $0 == "child got 10" }.count == 2)
  }

  // MARK: - The signals that stop

  @Test func theSignalThatBeganTheStopIsWhatAnUnknownServiceGets() throws {
    for signal in [SIGTERM, SIGINT] {
      let run = try counting([], CountingService.words(.stops))
      try run.signal(signal)
      #expect(try run.finish() == .code(0))
      #expect(run.output.lines.filter { $0.hasPrefix("got") } == ["got \(signal)"])
    }
  }

  @Test func stopSignalIsWhatTheServiceGetsInsteadOfTheDrainSignal() throws {
    for (options, environment) in [
      (["--stop-signal", "USR2"], [:]), (["--stop-signal=12"], [:]), ([], ["EBB_STOP_SIGNAL": "sigusr2"]),
      (["--stop-signal", "USR2"], ["EBB_STOP_SIGNAL": "INT"]),
    ] as [([String], [String: String])] {
      let run = try Running.ebb(options + ["--"] + CountingService.words(.stops), environment: environment)
      try run.waitForLine(containing: "counting")
      try run.signal(SIGTERM)
      #expect(try run.finish() == .code(0))
      #expect(run.output.lines.filter { $0.hasPrefix("got") } == ["got 12"])
    }
  }

  @Test func onlyTheSignalsOfDrainOnBeginTheDrain() throws {
    let run = try counting(["--drain-on", "USR1,34", "--stop-signal", "INT"], CountingService.words())
    for signal in [SIGTERM, SIGUSR2] {
      try run.signal(signal)
      try run.waitForLine(containing: "got \(signal)")
    }
    try run.signal(34)
    try run.waitForLine(containing: "got 2")
    try run.signal(Self.highestRealTime)
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines.filter { $0.hasPrefix("got") } == ["got 15", "got 12", "got 2", "got 64"])
    #expect(run.errors.lines.count == 1)
  }

  @Test func aSecondDrainSignalWithinASecondIsTheSameOneAndLaterSaysHurry() throws {
    let run = try counting([], CountingService.words())
    let begin = Date()
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "got 15")
    try run.signal(SIGTERM)
    // Another signal behind it shows that it has been dealt with.
    try run.signal(34)
    try run.waitForLine(containing: "got 34")
    let elapsed = Date().timeIntervalSince(begin)
    if elapsed < 0.9 { #expect(run.output.lines.filter { $0 == "got 15" }.count == 1) }
    usleep(1_200_000)
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "got 15", times: 2)
    try run.signal(Self.highestRealTime)
    #expect(try run.finish() == .code(0))
  }

  @Test func aSecondDrainSignalEndsTheLameDuck() throws {
    let run = try counting(["--lame-duck", "600s", "--verbose"], CountingService.words(.stops))
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "draining: SIGTERM", on: .errors)
    // Served on meanwhile, and still forwarding.
    try run.signal(34)
    try run.waitForLine(containing: "got 34")
    #expect(!run.output.text.contains("got 15"))
    usleep(1_100_000)
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "got 15")
    #expect(try run.finish() == .code(0))
  }

  // MARK: - Known servers

  @Test(arguments: [
    ("nginx", SIGQUIT), ("httpd", SIGWINCH), ("apache2", SIGWINCH), ("haproxy", SIGUSR1),
    ("php-fpm", SIGQUIT),
    ("php-fpm8.2", SIGQUIT), ("lighttpd", SIGINT), ("postgres", SIGINT), ("uwsgi", SIGQUIT),
    ("unicorn", SIGQUIT),
    ("gunicorn", SIGTERM), ("uvicorn", SIGTERM), ("puma", SIGTERM), ("caddy", SIGTERM),
    ("redis-server", SIGTERM),
    ("mariadbd", SIGTERM), ("mysqld", SIGTERM), ("nginx-exporter", SIGTERM), ("postgrest", SIGTERM),
  ])
  func aKnownServerGetsTheSignalThatStopsItGracefully(name: String, signal: Int32) throws {
    let run = try counting([], CountingService.words(.stops, name: name))
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines.filter { $0.hasPrefix("got") } == ["got \(signal)"])
  }

  @Test(arguments: [
    "nginx: master process /usr/sbin/nginx", "/opt/bin/unicorn master -c x", "php-fpm: master",
  ])
  func aServerIsKnownByItsTitleToo(title: String) throws {
    let script = "exec -a \"$0\" python3 \"$@\""
    let run = try counting([], ["bash", "-c", script, title] + CountingService.words(.stops).dropFirst())
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(0))
    #expect(run.output.lines.filter { $0.hasPrefix("got") } == ["got 3"])
  }

  @Test func aKnownServersOwnStopSignalBeginsTheDrainToo() throws {
    let nginx = try counting(["--verbose"], CountingService.words(.stops, name: "nginx"))
    try nginx.signal(SIGQUIT)
    #expect(try nginx.finish() == .code(0))
    #expect(nginx.errors.text.contains("draining: SIGQUIT"))
    // To any other service it is a signal like others.
    let other = try counting(["--verbose"], CountingService.words(.stops))
    try other.signal(SIGQUIT)
    #expect(try other.finish() == .code(0))
    #expect(!other.errors.text.contains("draining"))
    #expect(other.output.text.contains("got 3"))
  }

  @Test(.requires(.tool("nginx"))) func realNginxFinishesGracefully() throws {
    let folder = try TemporaryFolder()
    let port = try freePort()
    let configuration = try folder.write(
      "nginx.conf",
      """
      daemon off; worker_processes 1; pid \(folder.path)/pid; error_log stderr notice;
      events {}
      http {
        access_log off;
        client_body_temp_path \(folder.path)/a; proxy_temp_path \(folder.path)/b; fastcgi_temp_path \(folder.path)/c;
        uwsgi_temp_path \(folder.path)/d; scgi_temp_path \(folder.path)/e;
        server { listen 127.0.0.1:\(port); }
      }
      """)
    for signal in [SIGTERM, SIGQUIT] {
      let run = try Running.ebb(["--ports", "\(port)", "--", "nginx", "-e", "stderr", "-c", configuration])
      try run.waitForLine(containing: "start worker process ", on: .errors)
      try run.signal(signal)
      #expect(try run.finish() == .code(0))
      #expect(run.errors.text.contains("signal 3 (SIGQUIT) received"))
      #expect(run.errors.text.contains("gracefully shutting down"))
      #expect(run.errors.lines.last?.hasPrefix("ebb: released: \(port) free; stopped in ") == true)
    }
  }

  @Test func aSignalThatArrivesBeforeTheServiceHasStartedIsNotLost() throws {
    // Sent at once: at the latest the service's own beginning finds it, its signals still as ebb was given them.
    for _ in 0..<50 {
      // (With a socket for the service's word, since a wait for signals alone has none of them blocked while it lasts.)
      let run = try Running.ebb(["--ready-when", "notify", "--", "sleep", "60"])
      try wait(until: "ebb is ebb") { ProcessLook(run.pid)?.status["SigBlk"]?.hasPrefix("ffff") == true }
      try run.signal(SIGTERM)
      #expect(try run.waitForExit() == .code(143))
    }
  }
}
