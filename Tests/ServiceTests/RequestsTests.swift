import Foundation
import Testing

/// The core of Tests/Benchmarks/requests.py: real servers that SIGTERM kills at once, clients as people have them, and one
/// stop. No request in progress is cut off, the report says what clients saw.
@Suite(.serialized) struct RequestsTests {
  private func play(_ words: [String]) throws {
    let folder = try TemporaryFolder()
    let run = try Running(
      ["python3", "\(Binary.packageRoot)/Tests/Benchmarks/requests.py", "--ebb", try Binary.ebb.path()]
        + ["--out", folder.path, "--side", "6", "--untimed"] + words)
    try wait(until: "all stops are played", within: 300) { run.hasEnded }
    #expect(try run.finish() == .code(0), "\(run.output.text)\(run.errors.text)")
  }

  @Test(
    .requires(
      .root, .namespaces, .tool("python3"), .tool("node"), .tool("javac"), .tool("nginx"), .tool("haproxy")))
  func noRequestInProgressIsCutOffWhateverItsTrafficLooksLike() throws {
    let cells = [
      "python direct get after=5 pause=0 answer=1", "node nginx get after=5 pause=0 answer=1",
      "python direct 1.3 get after=0 answer=1", "node direct 1.2 get after=0 pause=1 answer=1",
      "node haproxy 1.3 post-3 after=2 pause=20 answer=1", "python direct post-0 after=1 pause=100 answer=1",
      "node direct expect after=1 pause=0 answer=1", "python direct half-close after=5 pause=1 answer=1",
      "python direct stream-0.3 after=1 pause=0 answer=4", "node direct upload after=2 pause=0 answer=1",
    ]
    try play(["--single", "2"] + cells.flatMap { ["--cell", $0] })
  }

  @Test(
    .requires(
      .root, .namespaces, .tool("python3"), .tool("node"), .tool("javac"), .tool("nginx"), .tool("gunicorn"),
      .tool("mariadbd"), .pythonModule("grpc")),
    arguments: [
      "mptcp client", "health check of a suspended service", "half-closed client never read",
      "service at another address", "sidecar from ports of probes", "unix socket", "grpc", "postgresql",
      "mariadb",
    ])
  func whatPeopleRunIsWaitedForAndToldAsItWas(name: String) throws {
    try play(["--special", "--only", name])
  }
}
