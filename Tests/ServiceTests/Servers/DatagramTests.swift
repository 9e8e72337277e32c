import Foundation
import Testing

/// Services of UDP, which has no connections.
@Suite struct `A service of UDP` {
  private static let dnsmasq = [
    "dnsmasq", "--keep-in-foreground", "--port=5353", "--no-resolv", "--no-hosts",
    "--address=/test/192.0.2.1",
    "--conf-file=/dev/null", "--user=root", "--pid-file",
  ]
  /// No TCP, unlike a DNS server.
  private static let echo = [
    "python3", "-c",
    """
    import socket
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 5514)); print("bound", flush=True)
    while True:
        data, peer = s.recvfrom(2000); s.sendto(data, peer)
    """,
  ]

  @Test(.requires(.root, .namespaces, .tool("python3")), arguments: [[], ["--ports", "5514/udp"]])
  func `is ready when its port is bound, and shown`(options: [String]) throws {
    let service = try Supervised(options, Self.echo)
    try service.waitUntilReady()
    let udp = try #require(try service.status()["udp"] as? [[String: Any]])
    #expect(udp.count == 1)
    #expect(udp[0]["port"] as? Int == 5514)
    #expect(udp[0]["bound"] as? Bool == true)
    #expect(udp[0]["waiting_bytes"] as? Int == 0)
    #expect(try service.ask("status").output.contains("port 5514/udp: bound"))
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(143))
    #expect(service.run.report.contains("5514/udp free"))
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func `is not ready while the port that was named is not bound`() throws {
    let service = try Supervised(["--ports", "5515/udp"], Self.echo)
    try service.run.waitForLine(containing: "bound")
    let told = try service.ask("ready")
    #expect(told.exit == .code(1))
    #expect(told.errors.contains("nothing is bound to 5515/udp"))
  }

  /// Both end at TERM, whatever they were asked; the load balancer hears of the stop a second late.
  @Test(
    .requires(.root, .namespaces, .tool("dnsmasq"), .tool("unbound"), .tool("dnsperf")),
    arguments: ["dnsmasq", "unbound"])
  func `leaves no query unanswered`(server: String) throws {
    let files = try TemporaryFolder()
    let settings = try files.write(
      "unbound.conf",
      """
      server:
        interface: 127.0.0.1@5353
        do-daemonize: no
        username: ""
        chroot: ""
        directory: "\(files.path)"
        pidfile: ""
        use-syslog: no
        module-config: "iterator"
        local-zone: "test." redirect
        local-data: "test. A 192.0.2.1"

      """)
    let service = try Supervised(
      ["--verbose"], server == "unbound" ? ["unbound", "-d", "-c", settings] : Self.dnsmasq,
      environment: ["KUBERNETES_SERVICE_HOST": "10.0.0.1"])
    try service.waitUntilReady()
    let file = try files.write("queries", "a.test A\nb.test A\n")
    let load = try Running(
      ["dnsperf", "-s", "127.0.0.1", "-p", "5353", "-d", file, "-Q", "500", "-l", "3", "-t", "2"],
      entering: service.network.entry)
    // How long the traffic runs before: nothing is waited for.
    usleep(2_000_000)
    try service.run.signal(SIGTERM)
    #expect(try load.finish() == .code(0))
    #expect(load.output.text.contains("Queries lost:         0 (0.00%)"), "\(load.output.text)")
    #expect(try service.run.finish() == .code(0), "\(service.run.errors.text)")
    // It was seen that the traffic had gone: nobody waits for the whole lame duck.
    #expect(service.run.errors.text.contains("quiet: nothing new for"), "\(service.run.errors.text)")
  }
}
