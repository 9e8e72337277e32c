import Foundation
import Testing

/// Servers whose clients have sessions: a stop tells those in the server's own way, and nothing is lost that was
/// acknowledged.
@Suite(.serialized)
struct DatabaseTests {
  /// A client that goes on while the stop begins, until it is told to leave.
  private final class Worker: @unchecked Sendable {
    private let lock = NSLock()
    private var isWanted = true
    private var done = 0

    var isToGoOn: Bool { lock.withLock { isWanted } }
    func leave() { lock.withLock { isWanted = false } }
    func add() { lock.withLock { done += 1 } }
    var count: Int { lock.withLock { done } }
  }

  /// Sends a command, and reads the line that answers it.
  private static func ask(_ client: Client, _ command: String) throws -> String {
    try client.send(command + "\r\n")
    var text = ""
    while !text.hasSuffix("\r\n") {
      let piece = client.read()
      guard piece.end == .more else { throw Unusable("\(command): \(piece.end) after '\(text)'") }
      text += String(decoding: piece.bytes, as: UTF8.self)
    }
    // CR LF is one character.
    return String(text.dropLast())
  }

  /// Somebody does this over and over, and hears how often it was done before; a stop begins in the middle of that, once it
  /// was done so many times, and a second later he leaves. How often it was done.
  private static func stop(
    _ run: Running, after enough: Int, _ once: @escaping @Sendable (Int) throws -> Void
  ) throws -> Int {
    let worker = Worker()
    let session = Background {
      while worker.isToGoOn {
        try once(worker.count)
        worker.add()
      }
    }
    try wait(until: "there is traffic") { worker.count >= enough }
    try run.signal(SIGTERM)
    usleep(1_000_000)
    worker.leave()
    try session.value()
    return worker.count
  }

  /// The same with a command on one connection, each of which has to get its own answer.
  private static func stop(
    _ run: Running, on port: UInt16, of stage: ServerStage, _ command: String,
    answered: @escaping @Sendable (Int) -> String
  ) throws -> Int {
    let client = try Client("127.0.0.1", port, from: stage.network)
    return try stop(run, after: 20) { before in
      let answer = try ask(client, command)
      guard answer == answered(before + 1) else { throw Unusable("answered \(answer)") }
      usleep(50_000)
    }
  }

  @Test(.requires(.root, .namespaces, .tool("redis-server")))
  func `Redis loses nothing that it acknowledged`() throws {
    let stage = try ServerStage()
    let data = try stage.folder("data", for: "redis")
    let server = ["redis-server", "--port", "6379", "--appendonly", "yes", "--dir", data]
    let run = try stage.supervise(server, as: "redis", port: 6379)
    let network = stage.network

    let idle = try Client("127.0.0.1", 6379, from: network)
    let count = try DatabaseTests.stop(run, on: 6379, of: stage, "INCR counter") { ":\($0)" }
    try stage.expectEnd(of: run, signal: "SIGTERM")
    #expect(idle.read().end == .closed)

    try stage.start(server, as: "redis", listeningOn: 6379)
    let client = try Client("127.0.0.1", 6379, from: network)
    try wait(until: "it has loaded its data") { try DatabaseTests.ask(client, "PING") == "+PONG" }
    #expect(try DatabaseTests.ask(client, "INCR counter") == ":\(count + 1)")
  }

  /// A reply that is waited for is a request in progress. A server that finishes by itself what it has begun gets 2 s for it,
  /// unless `--busy-max` gives less.
  @Test(.requires(.root, .namespaces, .tool("redis-server")), arguments: [[], ["--busy-max", "0s"]])
  func `a blocked pop holds the stop of Redis for no longer than --busy-max`(options: [String]) throws {
    let service = try Supervised(["--verbose", "--ports", "6379"] + options, ["redis-server", "--save", ""])
    try service.waitUntilReady()
    let client = try Client("127.0.0.1", 6379, from: service.network)
    try client.send("BLPOP queue 0\r\n")
    try wait(until: "it is seen that a request is in progress") {
      try service.status(of: 6379)["busy"] as? Int == 1
    }
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(0))
    #expect(client.read().end == .closed)
    let errors = service.run.errors
    #expect(errors.text.contains("1 still busy; SIGTERM to pid"), "\(errors.text)")
    #expect(service.run.report.contains("1 request cut off"), "\(errors.text)")
  }

  /// Redis spoke last, when it confirmed the subscription or sent a message.
  @Test(.requires(.root, .namespaces, .tool("redis-server")))
  func `a subscription holds no stop of Redis`() throws {
    let service = try Supervised(["--verbose", "--ports", "6379"], ["redis-server", "--save", ""])
    try service.waitUntilReady()
    let client = try Client("127.0.0.1", 6379, from: service.network)
    try client.send("SUBSCRIBE news\r\n")
    #expect(client.read().end == .more)
    let other = try Client("127.0.0.1", 6379, from: service.network)
    #expect(try DatabaseTests.ask(other, "PUBLISH news hello") == ":1")
    #expect(client.read().end == .more)
    other.close()
    try service.run.signal(SIGTERM)
    #expect(try service.run.finish() == .code(0))
    #expect(client.read().end == .closed)
    let errors = service.run.errors
    #expect(!errors.text.contains("still busy"), "\(errors.text)")
    #expect(service.run.report.contains("0 requests cut off"), "\(errors.text)")
  }

  /// Debian's memcached ends at TERM at once, and keeps nothing.
  @Test(.requires(.root, .namespaces, .tool("memcached")))
  func `memcached answers every command`() throws {
    let stage = try ServerStage()
    let run = try stage.supervise(["memcached", "-u", "memcache", "-l", "127.0.0.1"], port: 11211)
    _ = try DatabaseTests.stop(run, on: 11211, of: stage, "set key 0 0 1\r\n1") { _ in "STORED" }
    try stage.expectEnd(of: run, signal: "SIGTERM")
  }

  /// It dies of TERM. What was put is in its log, if it has one.
  @Test(.requires(.root, .namespaces, .tool("beanstalkd")))
  func `beanstalkd loses no job that it acknowledged`() throws {
    let stage = try ServerStage()
    let data = try stage.folder("data", for: "www-data")
    let server = ["beanstalkd", "-l", "127.0.0.1", "-b", data, "-f", "0"]
    let run = try stage.supervise(server, as: "www-data", port: 11300)
    let count = try DatabaseTests.stop(run, on: 11300, of: stage, "put 0 0 60 1\r\na") { "INSERTED \($0)" }
    try stage.expectEnd(of: run, signal: "SIGTERM", exit: .code(143))

    try stage.start(server, as: "www-data", listeningOn: 11300)
    let client = try Client("127.0.0.1", 11300, from: stage.network)
    let found = try DatabaseTests.ask(client, "peek \(count)")
    #expect(found.hasPrefix("FOUND \(count) 1"), "\(found)")
  }

  /// Where Debian puts what is not for everybody's PATH.
  private static let postgres = "/usr/lib/postgresql/15/bin"

  /// Makes a cluster of PostgreSQL's, and gives the words that start it.
  private static func makePostgres(in data: String, _ stage: ServerStage) throws -> [String] {
    let setUp =
      ServerStage.become("postgres")
      + ["\(postgres)/initdb", "--no-sync", "--auth=trust", "--no-locale", "-D", data]
    #expect(try Running(setUp, entering: stage.network.entry).finish() == .code(0))
    return ["\(postgres)/postgres", "-D", data, "-k", data, "-c", "listen_addresses=127.0.0.1"]
  }

  @Test(.requires(.root, .namespaces, .tool("\(postgres)/postgres"), .tool("psql")))
  func `PostgreSQL loses nothing that it committed, and tells its sessions`() throws {
    let stage = try ServerStage()
    let data = try stage.folder("data", for: "postgres")
    let server = try DatabaseTests.makePostgres(in: data, stage)
    let run = try stage.supervise(server, as: "postgres", port: 5432)
    let network = stage.network

    func start(_ statement: String) throws -> Running {
      try Running(
        ["psql", "-h", "127.0.0.1", "-U", "postgres", "-qAt", "-c", statement],
        entering: network.entry)
    }
    #expect(try start("create table events (number int)").finish() == .code(0))

    let long = try start("select pg_sleep(600)")
    let committed = try DatabaseTests.stop(run, after: 10) { before in
      let insert = try Running(
        ["psql", "-h", "127.0.0.1", "-U", "postgres", "-qAt"]
          + ["-c", "insert into events values (\(before)) returning pg_sleep(0.1)"],
        entering: network.entry)
      guard try insert.finish() == .code(0) else { throw Unusable(insert.errors.text) }
    }
    try stage.expectEnd(of: run, signal: "SIGINT")
    #expect(try long.finish() != .code(0))
    #expect(long.errors.text.contains("terminating connection due to administrator command"))

    try stage.start(server, as: "postgres", listeningOn: 5432)
    let count = try start("select count(*) from events")
    #expect(try count.finish() == .code(0))
    #expect(count.output.text == "\(committed)\n")
  }

  /// Transactions on connections that are kept, and on new ones; with pool_mode = session it would wait at INT until the
  /// last client has left.
  @Test(.requires(.root, .namespaces, .tool("\(postgres)/pgbench"), .tool("pgbouncer")))
  func `PgBouncer in front of PostgreSQL loses no transaction`() throws {
    let stage = try ServerStage()
    let data = try stage.folder("data", for: "postgres")
    try stage.start(try DatabaseTests.makePostgres(in: data, stage), as: "postgres", listeningOn: 5432)
    let file = try stage.folder.write(
      "pgbouncer.ini",
      """
      [databases]
      * = host=127.0.0.1 port=5432 user=postgres
      [pgbouncer]
      listen_addr = 127.0.0.1
      listen_port = 6432
      unix_socket_dir =
      auth_type = any
      pool_mode = transaction

      """)
    let run = try stage.supervise(["pgbouncer", file], as: "postgres", port: 6432)
    let script = try stage.folder.write("script.sql", "select pg_sleep(0.2);\n")
    let common =
      [
        "\(DatabaseTests.postgres)/pgbench", "-h", "127.0.0.1", "-p", "6432", "-U", "postgres", "-n", "-f",
        script,
      ]
      + ["-c", "4", "-R", "10", "-T", "3", "postgres"]
    let loads = try [[], ["-C"]].map { try Running(common + $0, entering: stage.network.entry) }
    // How long the traffic runs before, of its three seconds: nothing is waited for.
    usleep(2_000_000)
    try run.signal(SIGTERM)
    for load in loads {
      #expect(try load.finish() == .code(0), "\(load.output.text)\(load.errors.text)")
      #expect(load.output.text.contains("number of failed transactions: 0"), "\(load.output.text)")
    }
    try stage.expectEnd(of: run, signal: "SIGINT")
  }

  @Test(.requires(.root, .namespaces, .tool("mariadbd"), .tool("mariadb"), .tool("mariadb-install-db")))
  func `MariaDB loses nothing that it committed`() throws {
    let stage = try ServerStage()
    let data = try stage.folder("data", for: "mysql")
    let setUp = [
      "mariadb-install-db", "--no-defaults", "--user=mysql", "--datadir=\(data)", "--skip-test-db",
    ]
    #expect(try Running(setUp, entering: stage.network.entry).finish() == .code(0))
    let server = [
      "mariadbd", "--no-defaults", "--datadir=\(data)", "--socket=\(data)/socket", "--bind-address=127.0.0.1",
      "--skip-grant-tables",
    ]
    let run = try stage.supervise(server, as: "mysql", port: 3306)
    let network = stage.network
    let ask: @Sendable (String) throws -> Running = { statement in
      try Running(
        ["mariadb", "--no-defaults", "-h", "127.0.0.1", "-N", "-B", "-e", statement], entering: network.entry)
    }
    #expect(try ask("create database test; create table test.events (number int)").finish() == .code(0))
    let committed = try DatabaseTests.stop(run, after: 10) { before in
      let insert = try ask("insert into test.events values (\(before)); select sleep(0.1)")
      guard try insert.finish() == .code(0) else { throw Unusable(insert.errors.text) }
    }
    try stage.expectEnd(of: run, signal: "SIGTERM")

    try stage.start(server, as: "mysql", listeningOn: 3306)
    let count = try ask("select count(*) from test.events")
    #expect(try count.finish() == .code(0))
    #expect(count.output.text == "\(committed)\n")
  }
}
