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

  @Test(.requires(.root, .namespaces, .tool("redis-server")))
  func redisLosesNothingThatItAcknowledged() throws {
    let stage = try ServerStage()
    let data = try stage.folder("data", for: "redis")
    let server = ["redis-server", "--port", "6379", "--appendonly", "yes", "--dir", data]
    let run = try stage.supervise(server, as: "redis", port: 6379)
    let network = stage.network

    let worker = Worker()
    let session = Background {
      let client = try Client("127.0.0.1", 6379, from: network)
      while worker.isToGoOn {
        let answer = try DatabaseTests.ask(client, "INCR counter")
        worker.add()
        guard answer == ":\(worker.count)" else { throw Unusable("answered \(answer)") }
        usleep(50_000)
      }
    }
    let idle = try Client("127.0.0.1", 6379, from: network)
    try wait(until: "there is traffic") { worker.count >= 20 }
    try run.signal(SIGTERM)
    usleep(1_000_000)
    worker.leave()
    try session.value()
    try stage.expectEnd(of: run, signal: "SIGTERM")
    #expect(idle.read().end == .closed)

    try stage.start(
      ["setpriv", "--reuid=redis", "--regid=redis", "--init-groups", "--"] + server, listeningOn: 6379)
    let client = try Client("127.0.0.1", 6379, from: network)
    try wait(until: "it has loaded its data") { try DatabaseTests.ask(client, "PING") == "+PONG" }
    #expect(try DatabaseTests.ask(client, "INCR counter") == ":\(worker.count + 1)")
  }

  /// Where Debian puts what is not for everybody's PATH.
  private static let postgres = "/usr/lib/postgresql/15/bin"

  @Test(.requires(.root, .namespaces, .tool("\(postgres)/postgres"), .tool("psql")))
  func postgresLosesNothingThatItCommittedAndTellsItsSessions() throws {
    let stage = try ServerStage()
    let data = try stage.folder("data", for: "postgres")
    let change = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
    let setUp =
      change + ["\(DatabaseTests.postgres)/initdb", "--no-sync", "--auth=trust", "--no-locale", "-D", data]
    #expect(try Running(setUp, entering: stage.network.entry).finish() == .code(0))
    let server = [
      "\(DatabaseTests.postgres)/postgres", "-D", data, "-k", data, "-c", "listen_addresses=127.0.0.1",
    ]
    let run = try stage.supervise(server, as: "postgres", port: 5432)
    let network = stage.network

    func start(_ statement: String) throws -> Running {
      try Running(
        ["psql", "-h", "127.0.0.1", "-U", "postgres", "-qAt", "-c", statement],
        entering: network.entry)
    }
    #expect(try start("create table events (number int)").finish() == .code(0))

    let worker = Worker()
    let sessions = Background {
      while worker.isToGoOn {
        let insert = try Running(
          ["psql", "-h", "127.0.0.1", "-U", "postgres", "-qAt"]
            + ["-c", "insert into events values (\(worker.count)) returning pg_sleep(0.1)"],
          entering: network.entry)
        guard try insert.finish() == .code(0) else { throw Unusable(insert.errors.text) }
        worker.add()
      }
    }
    let long = try start("select pg_sleep(600)")
    try wait(until: "there is traffic") { worker.count >= 10 }
    try run.signal(SIGTERM)
    usleep(1_000_000)
    worker.leave()
    try sessions.value()
    try stage.expectEnd(of: run, signal: "SIGINT")
    #expect(try long.finish() != .code(0))
    #expect(long.errors.text.contains("terminating connection due to administrator command"))

    try stage.start(change + server, listeningOn: 5432)
    let count = try start("select count(*) from events")
    #expect(try count.finish() == .code(0))
    #expect(count.output.text == "\(worker.count)\n")
  }
}
