import Foundation
import Testing

/// Clients that are broken, or mean harm, in their thousands: PID 1 neither grows, nor spins, nor forgets a
/// signal, nor keeps a probe waiting.
@Suite(.serialized, .requires(.root, .namespaces, .tool("python3"), .tool("setpriv")))
struct HostileTests {
  /// The descriptors of an ebb to which nobody is connected: its three standard ones, the loop's, the signals', its
  /// network namespace's counters, netlink's, the launch's word, and the two places where it listens.
  private static let descriptorsAtRest = 10

  private static let stranger = ["setpriv", "--reuid=64126", "--regid=64126", "--clear-groups", "--"]

  /// Starts a flood; its end is its exit. It leaves the processors to others: what is asked here is whether
  /// it can hold ebb up by what it does, not whether four busy processes slow a machine down.
  private func flood(_ ebb: Supervised, _ place: String, _ count: Int, kept: Int, as user: [String] = [])
    throws
    -> Running
  {
    // As text: another user may not be able to read the file.
    let program = try String(
      contentsOfFile: "\(Binary.packageRoot)/Tests/ServiceTests/Network/flood.py", encoding: .utf8)
    return try Running(
      ["nice", "-n", "19"] + user + ["python3", "-c", program, place, "\(count)", "\(kept)"],
      entering: ebb.network.entry)
  }

  private func supervised(_ options: [String] = []) throws -> Supervised {
    let tide = try Binary.tide.path()
    let ebb = try Supervised(
      options + ["--http", "9100"],
      ["sh", "-c", "\(tide) serve & exec \"$@\"", "sh"] + CountingService.words(.silent),
      environment: ["EBB_CONTROL": "@flooded"])
    try ebb.run.waitForLine(containing: "listening on")
    try ebb.run.waitForLine(containing: "counting")
    try ebb.waitUntilReady()
    return ebb
  }

  @Test func tenThousandBrokenClientsCostNothingThatLastsAndHoldNothingUp() throws {
    let ebb = try supervised()
    // Once, so that all code has run and the allocator has what it needs.
    for floods in [
      try (flood(ebb, "control", 300, kept: 100), flood(ebb, "http", 300, kept: 60)),
      try (flood(ebb, "control", 300, kept: 100, as: Self.stranger), flood(ebb, "http", 300, kept: 60)),
    ] {
      #expect(try floods.0.finish() == .code(0))
      #expect(try floods.1.finish() == .code(0))
    }
    #expect(try ebb.get("/readyz").status == 200)
    try wait(until: "all connections are gone") { try ebb.descriptors() == Self.descriptorsAtRest }
    // Its own: pages of its file come and go with the code that runs.
    let memory = try ebb.figure("RssAnon")

    let floods = [
      try flood(ebb, "control", 2_500, kept: 400),
      try flood(ebb, "control", 3_000, kept: 400, as: Self.stranger),
      try flood(ebb, "http", 2_500, kept: 200), try flood(ebb, "http", 2_500, kept: 200, as: Self.stranger),
    ]
    var sent = 0
    var asked = 0
    while !floods.allSatisfy(\.hasEnded) || asked < 20 {
      for _ in 0..<20 {
        try ebb.run.signal(40)
        sent += 1
      }
      let told = try ebb.ask("ready")
      #expect(told.exit == .code(0), "\(asked): \(told.errors)")
      asked += 1
    }
    for flood in floods { #expect(try flood.finish() == .code(0), "\(flood.errors.text)") }
    #expect(try ebb.get("/readyz").status == 200)

    try wait(until: "all connections are gone") { try ebb.descriptors() == Self.descriptorsAtRest }
    // The most that its places have held at once is kept, some kB of answer each, and on a busy machine more of them
    // wait at once than before. 25 bytes for each client that came would be more.
    let after = try ebb.figure("RssAnon")
    #expect(after - memory <= 256, "\(memory) KiB before, \(after) after")
    // Its last time limits have passed, and nothing wakes it any more.
    usleep(2_500_000)
    let switches = try ebb.figure("voluntary_ctxt_switches")
    usleep(1_500_000)
    #expect(try ebb.figure("voluntary_ctxt_switches") == switches)

    try ebb.run.signal(64)
    try ebb.run.waitForLine(containing: "total 40 \(sent)")
    #expect(try ebb.run.waitForExit() == .code(0))
  }

  @Test func silenceDoesNotKeepAProbeOut() throws {
    let ebb = try supervised()
    // More than there are places, of its own user, that say nothing for as long as they may.
    let holder = try Running(
      [
        "python3", "-c",
        """
        import socket, time
        kept = []
        for _ in range(60):
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            peer.connect("\\0flooded")
            kept.append(peer)
            peer = socket.create_connection(("127.0.0.1", 9100))
            kept.append(peer)
        print("held", flush=True)
        time.sleep(600)
        """,
      ], entering: ebb.network.entry)
    try holder.waitForLine(containing: "held")
    #expect(try ebb.ask("ready").exit == .code(0))
    #expect(try ebb.get("/readyz").status == 200)
    try wait(until: "they are closed") { try ebb.descriptors() == Self.descriptorsAtRest }
  }

  @Test func aDrainWatcherWhoNeverReadsHoldsNothingUp() throws {
    let ebb = try supervised(["--lame-duck", "600s", "--warn-on-reap"])
    let watcher = try Running(
      [
        "python3", "-c",
        """
        import socket, time
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        peer.connect("\\0flooded")
        peer.send(b"drain")
        print("waits", flush=True)
        time.sleep(600)
        """,
      ], entering: ebb.network.entry)
    try watcher.waitForLine(containing: "waits")
    try wait(until: "it drains") { try ebb.phase() == "draining" }
    // A line for every orphan, more than the socket takes.
    let client = try Client("127.0.0.1", 8080, from: ebb.network)
    for _ in 0..<20 {
      try client.request("/orphans?n=100&ms=1")
      #expect(client.answer().end == .more)
    }
    try wait(until: "all are reaped") { try ebb.status()["processes"] as? Int == 2 }
    #expect(try ebb.ask("live").exit == .code(0))
    let drain = try ebb.ask("drain", "--timeout", "50ms")
    #expect(drain.exit == .code(1))
  }

  @Test(.requires(.tool("prlimit"))) func withoutADescriptorLeftItSleepsAndIsBackWhenThereIsOne() throws {
    let ebb = try supervised()
    let before = try ebb.descriptors()
    try ebb.limitDescriptors(to: before)
    let silent = try Client("127.0.0.1", 9100, from: ebb.network)
    let told = try ebb.ask("ready")
    #expect(told.exit == .code(3))
    #expect(told.errors == "ebb: the supervisor does not answer in time\n")
    let ticks = try ebb.ticks()
    usleep(1_000_000)
    // A loop that spins would use a hundred.
    #expect(try ebb.ticks() - ticks < 20)
    // Signals go through all the while.
    try ebb.run.signal(40)
    try ebb.limitDescriptors(to: 1024)
    try ebb.waitUntilReady()
    #expect(try ebb.get("/livez").status == 200)
    try ebb.run.signal(64)
    try ebb.run.waitForLine(containing: "total 40 1")
    withExtendedLifetime(silent) {}
  }
}
