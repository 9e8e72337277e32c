import Foundation
import Testing

/// An ebb with a service, in a network of its own, so that its control socket and its ports are nobody else's;
/// and the commands that ask it.
final class Supervised {
  let network: PrivateNetwork
  let run: Running
  private let environment: [String: String]

  /// Starts it.
  ///
  /// - Parameters:
  ///   - options: ebb's.
  ///   - service: the service's words; nil is tide, which then listens on 8080 already.
  ///   - network: where, if not in a network of its own.
  ///   - environment: added to that of ebb and of those who ask.
  ///   - wrapper: a command before ebb, which becomes ebb.
  init(
    _ options: [String] = [], _ service: [String]? = nil, in network: PrivateNetwork? = nil,
    environment: [String: String] = [:], behind wrapper: [String] = [], namespaces: [Namespace] = []
  ) throws {
    let network = try network ?? PrivateNetwork()
    self.network = network
    self.environment = ["EBB_CONTROL": "auto"].merging(environment) { $1 }
    let words = try service ?? [Binary.tide.path(), "serve"]
    run = try Running(
      wrapper + [try Binary.ebb.path()] + options + ["--"] + words, environment: self.environment,
      entering: network.entry, namespaces: namespaces)
    if service == nil { try run.waitForLine(containing: "listening on") }
  }

  /// What a command of ebb's came to.
  struct Told {
    var exit: Exit
    var output: String
    var errors: String
  }

  /// Starts a command of ebb's, such as "ready", in that network.
  func start(_ words: [String], behind wrapper: [String] = []) throws -> Running {
    try Running(
      wrapper + [try Binary.ebb.path()] + words, environment: environment, entering: network.entry)
  }

  /// Runs a command of ebb's to its end.
  func ask(_ words: String..., behind wrapper: [String] = []) throws -> Told {
    let command = try start(words, behind: wrapper)
    return Told(exit: try command.finish(), output: command.output.text, errors: command.errors.text)
  }

  /// `ebb status --json`, its keys and values.
  func status() throws -> [String: Any] {
    let told = try ask("status", "--json")
    guard told.exit == .code(0),
      let value = try JSONSerialization.jsonObject(with: Data(told.output.utf8)) as? [String: Any]
    else { throw Unusable("no status: \(told)") }
    return value
  }

  /// What its JSON says of one port.
  func status(of port: Int) throws -> [String: Any] {
    let ports = try status()["ports"] as? [[String: Any]] ?? []
    return ports.first { $0["port"] as? Int == port } ?? [:]
  }

  /// The phase that it is in.
  func phase() throws -> String { try status()["phase"] as? String ?? "" }

  /// Waits until ebb can be asked: a service may be started before the control socket is there.
  func waitUntilAsked() throws {
    try wait(until: "ebb can be asked") { try ask("live").exit == .code(0) }
  }

  /// Waits until `ebb ready` says yes.
  func waitUntilReady() throws {
    try wait(until: "it is ready") { try ask("ready").exit == .code(0) }
  }

  /// What `ebb ready` says, once ebb can be asked at all.
  func ready() throws -> Told {
    try waitUntilAsked()
    return try ask("ready")
  }

  // MARK: - HTTP

  /// An answer of HTTP.
  struct Answer {
    var status: Int
    var head: String
    var body: String
  }

  /// Sends these bytes to a port and reads until the other side closes. Waits until somebody listens: a service may
  /// be started before ebb's own pages are there.
  func exchange(_ text: String, port: UInt16 = 9100, address: String = "127.0.0.1") throws -> Answer {
    var connected: Client?
    try wait(until: "somebody listens on \(port)") {
      do {
        connected = try Client(address, port, from: network)
      } catch let refused as Client.Refused where refused.number == ECONNREFUSED {}
      return connected != nil
    }
    guard let client = connected else { throw Unusable("no connection") }
    try client.send(text)
    return try Supervised.answer(of: client)
  }

  /// Reads an answer until the other side closes.
  static func answer(of client: Client) throws -> Answer {
    var bytes: [UInt8] = []
    while true {
      let piece = client.read()
      bytes += piece.bytes
      if piece.end == .closed { break }
      guard piece.end == .more else { throw Unusable("the answer ended with \(piece.end)") }
    }
    let parts = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n\r\n")
    let status = parts[0].split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    return Answer(status: status, head: parts[0], body: parts.dropFirst().joined(separator: "\r\n\r\n"))
  }

  /// GET of a path.
  func get(_ path: String, port: UInt16 = 9100, address: String = "127.0.0.1") throws -> Answer {
    try exchange("GET \(path) HTTP/1.1\r\nHost: test\r\n\r\n", port: port, address: address)
  }

  // MARK: - What it costs

  /// A field of its /proc/PID/status in KiB, or a number.
  func figure(_ name: String) throws -> Int {
    guard let text = ProcessLook(run.pid)?.status[name], let number = text.split(separator: " ").first,
      let value = Int(number)
    else { throw Unusable("no \(name)") }
    return value
  }

  /// How many descriptors it has open.
  func descriptors() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/\(run.pid)/fd").count
  }

  /// Lets it have as many open, from now on; needs prlimit.
  func limitDescriptors(to count: Int) throws {
    let change = try Running(["prlimit", "--pid", "\(run.pid)", "--nofile=\(count):"])
    #expect(try change.waitForExit() == .code(0))
  }

  /// The processor time that it has used, in clock ticks.
  func ticks() throws -> Int {
    let text = try String(contentsOfFile: "/proc/\(run.pid)/stat", encoding: .utf8)
    let fields = text.components(separatedBy: ") ").last?.split(separator: " ").map(String.init) ?? []
    guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
      throw Unusable("no processor time")
    }
    return user + system
  }
}
