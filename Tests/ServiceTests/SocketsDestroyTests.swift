import Foundation
import Testing

/// `ebb sockets --destroy`: ends connections, or says why it cannot.
struct SocketsDestroyTests {
  private func sockets(
    _ words: String, in network: PrivateNetwork, behind wrapper: [String] = [], ebb: String? = nil
  ) throws -> SocketsAnswer {
    try SocketsAnswer(words, in: network, behind: wrapper, ebb: ebb)
  }

  private func total(_ words: String, in network: PrivateNetwork) throws -> Int {
    try sockets("--json \(words)", in: network).object()["total"] as? Int ?? -1
  }

  /// tide on 8080, and clients of it that have had an answer.
  private func service(in network: PrivateNetwork, clients count: Int) throws -> (
    tide: Running, clients: [Client]
  ) {
    let tide = try Running([try Binary.tide.path(), "serve"], entering: network.entry)
    try tide.waitForLine(containing: "listening on")
    let clients = try (0..<count).map { _ in try Client(from: network, 8080) }
    for client in clients {
      try client.request("/")
      #expect(client.answer().end == .more)
    }
    return (tide, clients)
  }

  @Test(.requires(.root, .namespaces)) func withoutAFilterItIsRefusedAndEndsNothing() throws {
    let network = try PrivateNetwork()
    let (tide, clients) = try service(in: network, clients: 2)
    let told = try sockets("--destroy", in: network)
    #expect(told.exit == .code(64))
    #expect(told.errors.hasPrefix("ebb: --destroy needs a filter: --ports, --state, --pid or --orphans"))
    #expect(try total("--ports 8080 --state established", in: network) == 2)
    withExtendedLifetime((tide, clients)) {}
  }

  @Test(.requires(.root, .namespaces)) func aDryRunShowsWhatItWouldEndAndEndsNothing() throws {
    let network = try PrivateNetwork()
    let (tide, clients) = try service(in: network, clients: 22)
    let told = try sockets("--destroy --dry-run --ports 8080", in: network)
    #expect(told.exit == .code(0))
    #expect(told.lines.first == "would end 22 connections")
    #expect(told.lines.dropFirst().prefix(20).allSatisfy { $0.hasPrefix("  ESTABLISHED ") })
    #expect(told.lines.last == "  and 2 more")
    #expect(told.lines.count == 22)
    #expect(try total("--ports 8080 --state established", in: network) == 22)
    for client in clients {
      try client.request("/")
      #expect(client.answer().end == .more)
    }
    withExtendedLifetime(tide) {}
  }

  @Test(.requires(.root, .namespaces)) func itEndsThemAndTheirPeersSeeAReset() throws {
    let network = try PrivateNetwork()
    let (tide, clients) = try service(in: network, clients: 3)
    let told = try sockets("--destroy --ports 8080", in: network)
    #expect(told.exit == .code(0))
    #expect(told.output == "ended 3 connections\n")
    for client in clients { #expect(client.read().end == .reset) }
    // Who listens is meant only where LISTEN is named.
    let client = try Client(from: network, 8080)
    try client.request("/")
    #expect(client.answer().end == .more)
    #expect(try sockets("--destroy --ports 9999", in: network).output == "ended 0 connections\n")
    #expect(
      try sockets("--destroy --ports 8080 --state listen", in: network).output == "ended 1 connection\n")
    #expect(throws: Client.Refused.self) { try Client(from: network, 8080) }
    withExtendedLifetime(tide) {}
  }

  /// Each state, over IPv4; and what may be there when a state has been ended: the other end.
  @Test(.requires(.root, .namespaces, .tool("python3"))) func itEndsThemInEveryState() throws {
    let network = try PrivateNetwork()
    let stage = try PortStage(in: network)
    for name in [
      "established", "fin_wait1", "closing", "fin_wait2", "close_wait", "last_ack", "syn_received",
      "syn_sent",
      "time_wait", "outgoing",
    ] {
      let scene = try stage.scene(name)
      let told = try sockets("--destroy --ports \(scene.port)", in: network)
      #expect(told.output == "ended 1 connection\n", "\(name): \(told.output) \(told.errors)")
      #expect(try total("--ports \(scene.port)", in: network) == (scene.listens ? 1 : 0), "\(name)")
    }
  }

  @Test(.requires(.root, .namespaces, .tool("ip")))
  func itEndsThemOfEachKindOfAddressAndOnAnInterface() throws {
    let (here, there) = (try PrivateNetwork(), try PrivateNetwork())
    try here.connect(to: there)
    let tide = try Running([try Binary.tide.path(), "serve"], entering: here.entry)
    try tide.waitForLine(containing: "listening on")
    // Bound to the interface, as a link-local address and SO_BINDTODEVICE bind one.
    let script = try SocketScript(
      """
      def bound(address):
          c = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
          c.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"veth0\\0")
          c.connect((address, 8080)); kept.append(c); return c
      all = [bound("10.77.0.1"), bound("fd77::1"), connect(8080, "10.77.0.1"), connect(8080, "fd77::1")]
      say("connected")
      for c in all:
          try: say("more" if c.recv(1) else "closed")
          except ConnectionResetError: say("reset")
          except ConnectionAbortedError: say("aborted")
      """, in: there, until: "connected")
    // From the server's side: mapped IPv4 and IPv6.
    try wait(until: "they are there") { try total("--state established", in: here) == 4 }
    #expect(
      try sockets("--destroy --dry-run --ports 8080", in: here).lines.filter {
        $0.hasPrefix("  ESTABLISHED [::ffff:10.77.0.1]:8080 [::ffff:10.77.0.2]:")
      }.count == 2)
    // From the clients' side first, where two are bound.
    let told = try sockets("--destroy --pid \(script.pid)", in: there)
    #expect(told.output == "ended 4 connections\n", "\(told.output) \(told.errors)")
    try script.run.waitForLine(containing: "done")
    #expect(script.said == ["connected", "aborted", "aborted", "aborted", "aborted"])
    let clients = [
      try Client("10.77.0.1", 8080, from: there), try Client("fd77::1", 8080, from: there),
    ]
    try wait(until: "they are there") { try total("--ports 8080 --state established", in: here) == 2 }
    #expect(try sockets("--destroy --ports 8080", in: here).output == "ended 2 connections\n")
    for client in clients { #expect(client.read().end == .reset) }
  }

  @Test(.requires(.root, .namespaces, .tool("python3"), .tool("prlimit")))
  func itEndsMoreThanItKeepsAtATime() throws {
    let network = try PrivateNetwork()
    let script = try SocketScript(
      "s = server(8080, backlog=4096)\nfor _ in range(9000): pair(s)", in: network, descriptors: 20_000)
    #expect(
      try sockets("--destroy --dry-run --ports 8080", in: network).lines.first == "would end 9000 connections"
    )
    #expect(try sockets("--destroy --ports 8080", in: network).output == "ended 9000 connections\n")
    #expect(try total("--state established", in: network) == 0)
    withExtendedLifetime(script) {}
  }

  @Test(.requires(.root, .namespaces, .tool("setpriv")))
  func withoutTheCapabilityItSaysSoAndEndsNothing() throws {
    let network = try PrivateNetwork()
    let (tide, clients) = try service(in: network, clients: 3)
    let folder = try TemporaryFolder()
    let ebb = try folder.copyOfEbb()
    for wrapper in [
      ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
      ["setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin"],
    ] {
      let told = try sockets("--destroy --ports 8080", in: network, behind: wrapper, ebb: ebb)
      #expect(told.exit == .code(3))
      #expect(told.output == "")
      #expect(told.errors == "ebb: --destroy: CAP_NET_ADMIN is missing; ended 0 of 3\n")
      // What it would end, it can say all the same.
      #expect(
        try sockets("--destroy --dry-run --ports 8080", in: network, behind: wrapper, ebb: ebb).lines.first
          == "would end 3 connections")
    }
    #expect(try total("--ports 8080 --state established", in: network) == 3)
    withExtendedLifetime((tide, clients)) {}
  }

  @Test(.requires(.root, .namespaces, .tool("gcc"))) func aKernelThatCannotIsSaid() throws {
    let network = try PrivateNetwork()
    let (tide, clients) = try service(in: network, clients: 2)
    // What it says without CONFIG_INET_DIAG_DESTROY, and with sock_diag refused altogether.
    let without = try WithoutNetlink(refusingToDestroyWith: "EOPNOTSUPP")
    let told = try sockets("--destroy --ports 8080", in: network, behind: without.command)
    #expect(told.exit == .code(3))
    #expect(
      told.errors == "ebb: --destroy: this kernel cannot (CONFIG_INET_DIAG_DESTROY); ended 0 of 2\n")
    let refused = try WithoutNetlink()
    let blind = try sockets("--destroy --ports 8080", in: network, behind: refused.command)
    #expect(blind.exit == .code(3))
    #expect(
      blind.errors
        == "ebb: --destroy: the kernel's netlink is refused here, and /proc/net can end nothing\n")
    #expect(try total("--ports 8080 --state established", in: network) == 2)
    withExtendedLifetime((tide, clients, without, refused)) {}
  }
}
