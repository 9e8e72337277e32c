import Foundation
import Testing

/// What was lost at a stop, and whether that could be told.
struct NetworkLossTests {
  @Test(.requires(.root, .namespaces)) func aCleanStopSaysThatNothingWasLost() throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb([], in: network)
    let kept = try Client(from: network, 8080)
    for _ in 0..<20 {
      let client = try Client(from: network, 8080)
      try client.request("/bytes?n=100000", closing: true)
      #expect(client.answer().body == 100_000)
      try kept.request("/")
      #expect(kept.answer().end == .more)
    }
    #expect(try run.stop().exit == .code(0))
    #expect(run.report.contains(", 0 connections reset, 0 bytes lost; exit 0"))
  }

  @Test(.requires(.root, .namespaces)) func whatTheServiceClosesUnreadIsCountedInBytes() throws {
    let network = try PrivateNetwork()
    // Again and again: the kernel's word of it may come later than the service's end.
    for port: UInt16 in 8000..<8040 {
      let run = try Running.ebb(
        ["--busy-max", "0"], tide: ["--on-term", "exit", "--listen", "\(port)"], in: network)
      let client = try Client(from: network, port)
      try client.request("/unread")
      try network.waitUntilUnread(0, on: port)
      try client.send(bytes: [UInt8](repeating: 0x79, count: 5000))
      #expect(try run.stop().exit == .code(143))
      #expect(run.report.contains(", 1 connection reset, 5000 bytes lost; exit 143"))
      #expect(client.read().end == .reset)
    }
  }

  @Test(.requires(.tool("python3"))) func aProbeOfEbbsOwnIsNoLoss() throws {
    // It has given up waiting for its answer, and the service has not read what it asked.
    let service = """
      import socket
      listener, kept = socket.create_server(("", 8080)), []
      print("listening on 8080", flush=True)
      while True: kept.append(listener.accept())
      """
    let ebb = try Supervised(
      ["--ready-when", "http:8080/", "--busy-max", "0", "--ports", "8080"], ["python3", "-c", service])
    try ebb.run.waitForLine(containing: "listening on")
    #expect(try ebb.ask("ready").exit == .code(1))
    #expect(try ebb.run.stop().exit == .code(143))
    #expect(ebb.run.report.contains(", 0 connections reset, 0 bytes lost; exit "))
  }

  @Test(.requires(.root, .namespaces)) func aClientThatResetsIsCountedWithWhatItHadNotTaken() throws {
    let network = try PrivateNetwork()
    try network.widen()
    let bytes = 3 << 20
    let run = try Running.ebb(
      ["--busy-max", "0", "--verbose"],
      tide: ["--on-term", "flush-and-exit", "--flush-bytes", "\(bytes)"], in: network)
    let client = try Client(from: network, 8080, receiveBuffer: 65536)
    try client.request("/hold")
    try network.waitUntilUnread(0, on: 8080)
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "lingering", on: .errors)
    client.reset()
    #expect(try run.finish() == .code(0))
    #expect(run.report.contains(", 1 connection reset, "))
    let lost = try #require(run.report.firstMatch(of: /reset, (\d+) bytes lost/).flatMap { Int($0.output.1) })
    #expect(lost > bytes / 2 && lost <= bytes + 1000)
    #expect(!run.report.contains("left with"))
  }

  @Test(.requires(.root, .namespaces)) func aClientThatResetsWhileItIsAnsweredIsCounted() throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb(
      ["--busy-max", "60s", "--verbose"], tide: ["--on-term", "exit"], in: network)
    let client = try Client(from: network, 8080)
    try client.request("/hold")
    try network.waitUntilUnread(0, on: 8080)
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "draining: SIGTERM; 1 connection, 1 busy", on: .errors)
    client.reset()
    // It is not waited for any more.
    #expect(try run.finish() == .code(143))
    #expect(run.report.contains(", 1 connection reset, 0 bytes lost; exit 143"))
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func connectionsThrownOutOfTheAcceptQueueAreCountedWithTheRequestsInThem() throws {
    let network = try PrivateNetwork()
    let script = """
      import signal, socket
      listener = socket.create_server(("127.0.0.1", 8080))
      print("listening on 8080", flush=True)
      signal.pause()
      """
    let run = try Running(
      [try Binary.ebb.path(), "--busy-max", "0", "--", "python3", "-c", script], entering: network.entry)
    try run.waitForLine(containing: "listening on")
    let clients = try (0..<5).map { _ in try Client(from: network, 8080) }
    for client in clients { try client.request("/") }
    #expect(try run.stop().exit == .code(143))
    // The look before the stop signal has seen them; "GET / HTTP/1.1", "Host: test" and the empty line.
    #expect(
      run.report.contains(
        "; 5 requests cut off (still in progress when --busy-max ended), 5 connections reset, "))
    #expect(run.report.contains(" \(5 * 30) bytes lost; exit 143"))
    for client in clients { #expect(client.read().end == .reset) }
  }

  @Test(.requires(.root, .namespaces, .tool("gcc")))
  func whereNetlinkIsRefusedLossesAreNotMeasuredAndTheRestIsDone() throws {
    let without = try WithoutNetlink()
    let network = try PrivateNetwork()
    try network.widen()
    let run = try Running.ebb(
      ["--verbose", "--busy-max", "0", "--linger-max", "15s"],
      tide: ["--on-term", "flush-and-exit", "--flush-bytes", "\(3 << 20)"], in: network,
      behind: without.command)
    let client = try Client(from: network, 8080, receiveBuffer: 65536)
    try client.request("/hold")
    try network.waitUntilUnread(0, on: 8080)
    try run.signal(SIGTERM)
    // The ports are found, and the last bytes waited for, all from /proc.
    try run.waitForLine(containing: "lingering: 1 connection, ", on: .errors)
    #expect(client.answer().body == 3 << 20)
    #expect(try run.finish() == .code(0))
    #expect(
      run.report.contains("released: 8080 free; ")
        && run.report.contains("losses not measured (Operation not permitted); exit 0"))
  }

  @Test(.requires(.root, .namespaces, .tool("gcc")))
  func whereNetlinkIsRefusedTheJSONSaysNull() throws {
    let without = try WithoutNetlink()
    let network = try PrivateNetwork()
    let run = try Running.ebb(["--log", "json"], in: network, behind: without.command)
    #expect(try run.stop().exit == .code(0))
    let line = try #require(run.errors.lines.last)
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    #expect(object["measured"] as? Bool == false)
    for field in [
      "cut_requests", "undecided", "resets", "thrown_out", "bytes_unread", "bytes_unacknowledged",
    ] {
      #expect(object[field] is NSNull)
    }
  }

  @Test(.requires(.root, .namespaces))
  func ebbsOwnProbesThatAHungServiceHasNotAcceptedAreNeitherWorkNorLosses()
    throws
  {
    let service = try Supervised(
      ["--verbose", "--busy-max", "60s", "--ready-when", "tcp:8080", "--ready-when", "http:8080/"],
      [try Binary.tide.path(), "serve", "--on-term", "exit"])
    try service.waitUntilReady()
    let process = Int32(try #require(try service.status()["pid"] as? Int))
    kill(process, SIGSTOP)
    try wait(until: "it is stopped") { ProcessLook(process)?.state == "T" }
    for _ in 0..<3 { #expect(try service.ask("ready").exit == .code(1)) }
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(143))
    let lines = service.run.errors.text
    #expect(lines.contains("draining: SIGTERM; 0 connections, 0 busy"))
    #expect(lines.contains(", 0 connections reset, 0 bytes lost; exit 143"))
  }

  @Test(.requires(.root, .namespaces)) func whenNoticesWereDroppedLossesAreNotMeasured() throws {
    // The kernel gives way after each notice that nobody takes, for the notices of all namespaces.
    let network = try PrivateNetwork(alone: true)
    let run = try Running.ebb(
      ["--busy-max", "60s", "--verbose"], tide: ["--on-term", "exit"], in: network)
    let kept = try Client(from: network, 8080)
    try kept.request("/hold")
    try network.waitUntilUnread(0, on: 8080)
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "draining: SIGTERM; 1 connection, 1 busy", on: .errors)
    try run.signal(SIGSTOP)
    // Until the kernel says that it had to drop one: the ninth field of /proc/net/netlink.
    func dropped() throws -> Bool {
      try network.run("cat", "/proc/net/netlink").split(separator: "\n").contains {
        let fields = $0.split(separator: " ")
        return fields.count == 10 && fields[1] == "4" && fields[8] != "0"
      }
    }
    for _ in 0..<100 where try !dropped() {
      try network.inside {
        for _ in 0..<500 {
          let client = try Client("127.0.0.1", 8080)
          try client.request("/", closing: true)
          _ = client.answer()
          client.close()
        }
      }
    }
    #expect(try dropped())
    try run.signal(SIGCONT)
    kept.close()
    #expect(try run.finish() == .code(143))
    #expect(run.report.contains("losses not measured (the kernel dropped notices; seen: "))
  }
}

extension Client {
  /// To the loopback address of a network.
  convenience init(from network: PrivateNetwork, _ port: UInt16, receiveBuffer: Int32? = nil) throws {
    try self.init("127.0.0.1", port, from: network, receiveBuffer: receiveBuffer)
  }
}
