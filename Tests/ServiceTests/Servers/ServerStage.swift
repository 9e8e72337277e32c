import Foundation
import Testing

/// A server that people run, under ebb with no option but its ports, in a network of its own: clients, a stop that
/// the load balancer hears of a second late, and what the clients saw.
final class ServerStage {
  let network: PrivateNetwork
  let folder: TemporaryFolder
  private var others: [Running] = []
  private(set) var run: Running?

  init() throws {
    network = try PrivateNetwork()
    folder = try TemporaryFolder()
  }

  /// Where the server's files are.
  var path: String { folder.path }

  /// A folder that this user may write to.
  func folder(_ name: String, for user: String) throws -> String {
    let path = "\(folder.path)/\(name)"
    try network.run("install", "--directory", "--owner=\(user)", "--mode=700", path)
    return path
  }

  /// The words before a command that is to be run as this user.
  static func become(_ user: String?) -> [String] {
    user.map { ["setpriv", "--reuid=\($0)", "--regid=\($0)", "--init-groups", "--"] } ?? []
  }

  /// Starts a server beside the one under ebb, and waits until it listens.
  func start(_ words: [String], as user: String? = nil, listeningOn port: UInt16) throws {
    others.append(try Running(ServerStage.become(user) + words, entering: network.entry))
    try network.waitUntilListening(on: port)
  }

  /// Starts what answers, after 0.3 s, behind servers that only pass requests on.
  func startBackend(on port: UInt16 = 8081) throws {
    try start([try Binary.tide.path(), "serve", "--listen", "127.0.0.1:\(port)"], listeningOn: port)
  }

  /// Starts the server under ebb, as this user, and waits until it listens: in Kubernetes, unless it is to be told to
  /// stop at once, as elsewhere.
  @discardableResult
  func supervise(
    _ words: [String], as user: String? = nil, port: UInt16 = 8080, options: [String] = [],
    inKubernetes: Bool = true
  ) throws -> Running {
    let run = try Running(
      ServerStage.become(user) + [try Binary.ebb.path(), "--verbose", "--ports", "\(port)"] + options + ["--"]
        + words,
      environment: inKubernetes ? ["KUBERNETES_SERVICE_HOST": "10.0.0.1"] : [:], entering: network.entry)
    self.run = run
    try network.waitUntilListening(on: port)
    return run
  }

  /// Has clients send 20 requests a second, half of them on connections that they keep, begins a stop in the middle
  /// of that, and goes on for a second: no request fails, and the server was stopped with this signal.
  func stopUnderLoad(
    signal: String, exit: Exit = .code(0), port: UInt16 = 8080, path: String = "/slow?ms=300",
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let run = try #require(run)
    let common =
      [try Binary.tide.path(), "load", "\(port)", "--path", path, "--rate", "10", "--poisson", "--verbose"]
      + ["--duration", "60s", "--remove-after", "1s"]
    let loads = [
      try Running(common + ["--seed", "1"], entering: network.entry),
      try Running(common + ["--seed", "2", "--keep-alive", "10"], entering: network.entry),
    ]
    // How long the traffic runs before: nothing is waited for.
    usleep(1_500_000)
    for load in loads { try load.signal(SIGUSR1) }
    try run.signal(SIGTERM)
    for load in loads {
      #expect(
        try load.finish() == .code(0), "\(load.output.text)\(load.errors.text)",
        sourceLocation: sourceLocation)
    }
    try expectEnd(of: run, signal: signal, exit: exit, sourceLocation: sourceLocation)
  }

  /// It ends like this, by this signal, and nothing was lost.
  func expectEnd(
    of run: Running, signal: String, exit: Exit = .code(0), sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    #expect(try run.finish() == exit, "\(run.errors.text)", sourceLocation: sourceLocation)
    let stopping = run.errors.lines.first { $0.contains("\(signal) to pid") }
    #expect(stopping != nil, "\(run.errors.text)", sourceLocation: sourceLocation)
    #expect(
      run.report.contains("0 connections reset, 0 bytes lost"), "\(run.errors.text)",
      sourceLocation: sourceLocation)
  }

  // MARK: - Configurations that several tests use

  /// An application for Python's servers, "app", which answers after 0.3 s.
  func writeWSGI() throws {
    try folder.write(
      "app.py",
      """
      import time
      def application(environ, start):
          time.sleep(0.3)
          start("200 OK", [("Content-Length", "5")])
          return [b"done\\n"]
      """)
  }

  /// nginx, which passes everything on.
  func nginx(_ name: String, listen: String = "8080", location: String) throws -> [String] {
    let text = """
      daemon off;
      worker_processes 1;
      pid \(path)/\(name).pid;
      error_log stderr error;
      events { worker_connections 512; }
      http {
        access_log off;
        client_body_temp_path \(path)/\(name).a; proxy_temp_path \(path)/\(name).b;
        fastcgi_temp_path \(path)/\(name).c; uwsgi_temp_path \(path)/\(name).d; scgi_temp_path \(path)/\(name).e;
        server { listen \(listen); location / { \(location) } }
      }
      """
    let file = try folder.write("\(name).conf", text)
    return ["nginx", "-e", "stderr", "-p", path, "-c", file]
  }
}
