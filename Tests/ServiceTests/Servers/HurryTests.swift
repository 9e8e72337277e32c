import Foundation
import Testing

/// A graceful stop that lasts as long as a client likes.
@Suite struct `A client that never leaves` {
  /// nginx, or a shell that has started it, and a client that reads a large file, a thousand bytes a second.
  private func start(_ options: [String], behindShell: Bool = false) throws -> (
    stage: ServerStage, run: Running, client: Client
  ) {
    let stage = try ServerStage()
    let file = try stage.folder.write("large", "")
    #expect(truncate(file, 1 << 30) == 0)
    let nginx = try stage.nginx("nginx", location: "root \(stage.path); limit_rate 1k;")
    let run = try stage.supervise(
      behindShell ? ["sh", "-c", "\(nginx.joined(separator: " ")); true"] : nginx, options: options,
      inKubernetes: false)
    let client = try Client("127.0.0.1", 8080, from: stage.network)
    try client.request("/large", closing: true)
    try wait(until: "it is answered") {
      try stage.network.connections(of: 8080).joined().contains("bytes_acked:")
    }
    return (stage, run, client)
  }

  @Test(.requires(.root, .namespaces, .tool("nginx")))
  func
    `holds nginx until its grace is nearly over: then it hears the quick signal, and the report says who it was`()
    throws
  {
    let (_, run, client) = try start(["--grace", "6s", "--busy-max", "500ms"])
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(0), "\(run.errors.text)")
    let hurrying = try #require(run.errors.lines.first { $0.contains("hurrying: SIGTERM to pid") })
    #expect(hurrying.contains("held by 1 connection, "), "\(hurrying)")
    #expect(!run.errors.text.contains("killed:"), "\(run.errors.text)")
    #expect(run.report.contains("held to the end of the grace by 1 connection"), "\(run.report)")
    #expect(run.report.contains("1 request cut off"), "\(run.report)")
    client.close()
  }

  @Test(.requires(.root, .namespaces, .tool("nginx")))
  func `is told of as the stop begins and when it lasts, with what limits it`() throws {
    let (_, run, client) = try start(["--busy-max", "500ms"])
    try run.signal(SIGTERM)
    try wait(until: "it is told to stop") { run.errors.text.contains("SIGQUIT to pid") }
    let stopping = try #require(run.errors.lines.first { $0.contains("stopping: ") })
    #expect(stopping.contains("worker_shutdown_timeout or --grace limits that"), "\(stopping)")
    try wait(until: "that is told") { run.errors.text.contains("still stopping") }
    let still = try #require(run.errors.lines.first { $0.contains("still stopping") })
    #expect(still.contains("it has 1 connection, "), "\(still)")
    #expect(still.contains("worker_shutdown_timeout"), "\(still)")
    client.close()
    #expect(try run.finish() == .code(0))
  }

  @Test(.requires(.root, .namespaces, .tool("nginx")))
  func `holds a server that a shell left behind no longer than that`() throws {
    let (_, run, client) = try start(["--grace", "6s", "--busy-max", "500ms"], behindShell: true)
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(143), "\(run.errors.text)")
    #expect(run.errors.text.contains("hurrying: SIGTERM to pid"), "\(run.errors.text)")
    #expect(run.report.contains("nginx, left behind, exited 0"), "\(run.report)")
    client.close()
  }
}
