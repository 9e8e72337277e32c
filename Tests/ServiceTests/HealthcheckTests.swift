import Foundation
import Testing

/// What reaches ebb in a real Docker container: its health check and `docker exec`. The image is FROM scratch,
/// the container has no file system to write to, no capability, no root and no network.
@Suite(.requires(.docker)) struct HealthcheckTests {
  @Test func aContainerIsStartingThenHealthyAndAfterADrainUnhealthyWithinItsRetries() throws {
    let image = try Image(
      scratch: #"ENTRYPOINT ["/ebb", "--ready-when", "listen", "--ready-when", "tcp:9999", "--"]"#,
      #"CMD ["/tide", "serve", "--exit-code", "7"]"#,
      // A failure in the start period does not count, and the first success ends that.
      #"HEALTHCHECK --interval=1s --timeout=5s --start-period=1h --retries=3 CMD ["/ebb", "ready"]"#)
    let container = try Container(image, options: Container.bare)
    let events = try container.events()

    // Nothing listens on 9999 yet.
    try events.wait(for: "a check that fails") { events in
      events.finished("/ebb ready").first { $0.exitCode == 1 }
    }
    #expect(try container.inspect("{{.State.Health.Status}}") == "starting")

    try Docker.run(["exec", "--detach", container.name, "/tide", "serve", "--listen", "9999"])
    try events.wait(forAction: "health_status: healthy")

    #expect(try container.exec("/ebb", "drain").exit == .code(0))
    let unhealthy = try events.wait(forAction: "health_status: unhealthy")
    let healthy = try events.wait(forAction: "health_status: healthy")
    let failures = events.finished("/ebb ready")
      .filter { healthy < $0.end && $0.end < unhealthy && $0.exitCode == 1 }
    #expect(failures.count == 3)
    let log = try container.inspect("{{range .State.Health.Log}}{{.Output}}{{end}}")
    #expect(log.contains("ebb: not ready: drained"))

    // It serves on, until it is told to stop.
    #expect(try container.exec("/tide", "connect", "8080").exit == .code(0))
    #expect(try container.stop() == "7")
  }

  @Test func everyCommandWorksByExec() throws {
    let image = try Image(scratch: #"ENTRYPOINT ["/ebb", "--", "/tide", "serve"]"#)
    let container = try Container(image, options: Container.bare)
    try wait(until: "it is ready") { try container.exec("/ebb", "ready").exit == .code(0) }

    let ready = try container.exec("/ebb", "ready")
    #expect(ready.run.output.text == "" && ready.run.errors.text == "")
    #expect(try container.exec("/ebb", "live").exit == .code(0))

    let status = try container.exec("/ebb", "status")
    #expect(status.exit == .code(0))
    #expect(status.run.output.text.hasPrefix("serving for "))
    #expect(status.run.output.text.contains("  port 8080: listening, 0 connections, 0 busy\n"))
    let json = try container.exec("/ebb", "status", "--json")
    #expect(json.exit == .code(0))
    let object = try JSONSerialization.jsonObject(with: Data(json.run.output.raw)) as? [String: Any]
    #expect(object?["phase"] as? String == "serving")
    #expect(object?["ready"] as? Bool == true)

    let drain = try container.exec("/ebb", "drain")
    #expect(drain.exit == .code(0))
    #expect(drain.run.output.lines.last?.hasPrefix("drained in ") == true)
    let unready = try container.exec("/ebb", "ready")
    #expect(unready.exit == .code(1))
    #expect(unready.run.errors.text == "ebb: not ready: drained\n")
    #expect(try container.exec("/ebb", "live").exit == .code(0))
    // Again: there is nothing left to wait for.
    #expect(try container.exec("/ebb", "drain").exit == .code(0))
    #expect(try container.stop() == "0")
    #expect(try container.errors().last?.hasPrefix("ebb: released: 8080 free;") == true)
  }

  // MARK: - Who may ask

  @Test func anotherContainerOfTheSameNetworkIsRefused() throws {
    let image = try Image(scratch: #"ENTRYPOINT ["/ebb"]"#)
    let service = ["--", "/tide", "serve"]
    let container = try Container(image, options: Container.bare, command: service)
    try wait(until: "it is ready") { try container.exec("/ebb", "ready").exit == .code(0) }
    let address = try controlAddress(container)

    let neighbour = ["run", "--rm", "--network=container:\(container.name)", "--user=65534", image.name]
    for command in [["ready"], ["live"], ["status"], ["drain"]] {
      let told = try Docker.start(neighbour + command + ["--control", address])
      #expect(try told.finish() == .code(3), "\(command)")
      #expect(told.errors.text == "ebb: the listener at \(address) is not this container's ebb\n")
      // By itself it looks for its own container's.
      let own = try Docker.start(neighbour + command)
      #expect(try own.finish() == .code(3), "\(command)")
      #expect(own.errors.text.contains("no supervisor to ask at "))
    }
    #expect(try container.exec("/ebb", "status").run.output.text.hasPrefix("serving for "))

    // Two ebbs in one network do not take each other's name.
    let second = try Container(
      image,
      options: Container.bare.filter { !$0.contains("network") } + ["--network=container:\(container.name)"],
      command: ["--", "/tide", "serve", "--listen", "8081"])
    try wait(until: "the second is ready") { try second.exec("/ebb", "ready").exit == .code(0) }
    #expect(try second.exec("/ebb", "drain").exit == .code(0))
    #expect(try second.exec("/ebb", "ready").exit == .code(1))
    #expect(try container.exec("/ebb", "ready").exit == .code(0))
  }

  @Test func anotherUserOfTheSameContainerIsRefused() throws {
    let image = try Image(scratch: #"ENTRYPOINT ["/ebb", "--", "/tide", "serve"]"#)
    let container = try Container(image, options: Container.bare)
    try wait(until: "it is ready") { try container.exec("/ebb", "ready").exit == .code(0) }
    for command in ["ready", "status", "drain"] {
      #expect(try container.exec("/ebb", command, options: ["--user=1234"]).exit == .code(3), "\(command)")
    }
    #expect(try container.exec("/ebb", "status").run.output.text.hasPrefix("serving for "))
  }

  @Test func rootMayAskAServiceOfAnotherUser() throws {
    let image = try Image(scratch: #"ENTRYPOINT ["/ebb", "--", "/tide", "serve"]"#)
    let container = try Container(image, options: ["--user=65534"])
    try wait(until: "it is ready") { try container.exec("/ebb", "ready").exit == .code(0) }
    for command in ["ready", "status", "drain"] {
      #expect(try container.exec("/ebb", command, options: ["--user=0"]).exit == .code(0), "\(command)")
    }
  }

  /// The commands check the supervisor before they ask it; this client asks whoever it is.
  @Test(.requires(.root, .tool("python3"))) func theSupervisorItselfRefusesStrangers() throws {
    let image = try Image(scratch: #"ENTRYPOINT ["/ebb", "--", "/tide", "serve"]"#)
    let container = try Container(image, options: Container.bare + ["--user=4321"])
    try wait(until: "it is ready") { try container.exec("/ebb", "ready").exit == .code(0) }
    let name = String(try controlAddress(container).dropFirst())
    let process = try container.process()

    // A stranger is turned away before it has said anything.
    func ask(_ request: String = "", user: UInt32, namespaces: String...) throws -> String {
      let words = ["python3", "-c", HealthcheckTests.client, "\(process)", "\(user)", name, request]
      let client = try Running(words + namespaces)
      _ = try client.finish()
      return client.output.text + client.errors.text
    }
    let refusal = "! only ebb's own user, or root, in this container may ask\n"
    #expect(try ask("ready", user: 4321, namespaces: "net", "pid", "mnt") == "+ ready\n")
    #expect(try ask("ready", user: 0, namespaces: "net", "pid", "mnt") == "+ ready\n")
    #expect(try ask(user: 1234, namespaces: "net", "pid", "mnt") == refusal)
    #expect(try ask(user: 65534, namespaces: "net", "pid", "mnt") == refusal)
    // In its network alone, as another container is.
    #expect(try ask(user: 4321, namespaces: "net") == refusal)
    #expect(try ask(user: 0, namespaces: "net") == refusal)
    // A pid namespace is shared by a pod's containers where its author wants that.
    #expect(try ask(user: 4321, namespaces: "net", "pid") == refusal)
    #expect(try container.exec("/ebb", "status").run.output.text.hasPrefix("serving for "))
  }

  /// Where ebb listens in a container: a name made from the root of its mount namespace.
  private func controlAddress(_ container: Container) throws -> String {
    let mounts = try String(contentsOfFile: "/proc/\(try container.process())/mountinfo", encoding: .utf8)
    return "@ebb-\(mounts.prefix { $0 != " " })"
  }

  /// Enters namespaces of a process, becomes a user, asks, and prints the answer.
  private static let client = """
    import ctypes, os, socket, sys
    process, user, name, request = sys.argv[1:5]
    libc = ctypes.CDLL(None, use_errno=True)
    # The mount namespace last: it takes /proc away.
    files = [os.open("/proc/%s/ns/%s" % (process, one), os.O_RDONLY) for one in sys.argv[5:]]
    for file in files:
        if libc.setns(file, 0): sys.exit("setns: errno %d" % ctypes.get_errno())
    if os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect("\\0" + name)
    if request: connection.send(request.encode())
    print(connection.recv(4096).decode())
    """
}
