import Foundation
import Testing

/// docker/compose.yaml as users have it, but for the images that it is built on: those cannot be pulled here.
@Suite(.requires(.docker, .tool("docker-compose"))) struct ComposeTests {
  @Test func whoDependsOnAServiceStartsWhenItIsHealthyAndStopsBeforeIt() throws {
    let ebb = try Image("FROM scratch\nCOPY ebb /ebb\n", programs: [.ebb])
    let project = try Project(ebb: ebb)
    let events = try EngineEvents(filter: "label=com.docker.compose.project=\(project.name)")

    // It comes back when all are started.
    try project.compose("up", "--detach", "--build")
    func first(_ action: String, of service: String) throws -> Int {
      try events.wait(for: "\(action) of \(service)", within: ComposeTests.patience) { events in
        events.all.firstIndex {
          $0.action == action && $0.attributes["com.docker.compose.service"] == service
        }
      }
    }
    #expect(try first("health_status: healthy", of: "web") < first("start", of: "edge"))
    _ = try first("health_status: healthy", of: "edge")

    // HAProxy answers for nginx.
    let edge = try project.container("edge")
    let address = try Docker.run(
      "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", edge)
    let client = try Client(address, 8080)
    try client.request("/", closing: true)
    #expect(String(decoding: client.read(atMost: 15).bytes, as: UTF8.self) == "HTTP/1.1 200 OK")

    try project.compose("stop")
    #expect(try first("die", of: "edge") < first("kill", of: "web"))
    for service in ["edge", "web"] {
      #expect(events.all[try first("die", of: service)].exitCode == 0, "\(service)")
      let logs = try Docker.start(["logs", try project.container(service)])
      _ = try logs.finish()
      #expect(logs.errors.lines.last?.hasPrefix("ebb: released: ") == true, "\(service): \(logs.errors.text)")
    }
    #expect(!events.all.contains { $0.attributes["signal"] == "9" })
  }

  /// How long compose may take: it builds images, and waits for health checks.
  private static let patience: TimeInterval = 120

  /// A compose project that goes with this value.
  private final class Project {
    let name = "ebb-test-\(UInt32.random(in: 0 ... .max))"
    private let folder = try? TemporaryFolder()
    private var files = ["\(Binary.packageRoot)/docker/compose.yaml"]

    init(ebb: Image) throws {
      guard let folder else { throw Unusable("no temporary folder") }
      let override = """
        services:
          web:
            image: \(name)-web
            build: {args: {EBB: "\(ebb.name)", NGINX: "debian:bookworm-slim"}}
            # Where Debian's nginx writes.
            tmpfs: [/var/lib/nginx, /var/log/nginx]
          edge:
            image: \(name)-edge
            build: {args: {EBB: "\(ebb.name)", HAPROXY: "debian:bookworm-slim"}}
        """
      files.append(try folder.write("override.yaml", override))
    }

    deinit { try? compose("down", "--volumes", "--rmi", "all") }

    func compose(_ words: String...) throws {
      let run = try Running(
        ["docker-compose", "--project-name", name] + files.flatMap { ["--file", $0] } + words,
        // Any port of the engine's that is free.
        environment: Docker.environment.merging(["PORT": "0"]) { $1 })
      try wait(until: "compose \(words) ends", within: ComposeTests.patience) { run.hasEnded }
      guard try run.finish() == .code(0) else {
        throw Unusable("compose \(words): \(run.output.text)\(run.errors.text)")
      }
    }

    func container(_ service: String) throws -> String {
      try Docker.run(
        "ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=\(name)",
        "--filter", "label=com.docker.compose.service=\(service)")
    }
  }
}
