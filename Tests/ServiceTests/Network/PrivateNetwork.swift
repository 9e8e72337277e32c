import Foundation

/// A network namespace of the test's own, network_namespaces(7): a loopback interface and what the test adds.
/// It goes with this value, and with the processes and sockets in it.
final class PrivateNetwork: @unchecked Sendable {
  private let anchor: Running?
  private let process: pid_t
  private let turn: Turn

  /// An empty one, its loopback interface up.
  ///
  /// - Parameter alone: whether no other test may use the network meanwhile, since this one disturbs it.
  init(alone: Bool = false) throws {
    turn = Turn(alone: alone)
    let anchor = try Running(["sh", "-c", "echo up; exec sleep 600"], namespaces: [.network])
    try anchor.waitForLine(containing: "up")
    self.anchor = anchor
    process = anchor.pid
  }

  /// That of a process, for as long as it is there.
  init(of process: pid_t) {
    turn = Turn()
    anchor = nil
    self.process = process
  }

  /// Where the kernel shows it.
  var path: String { "/proc/\(process)/ns/net" }

  /// The words before a command that runs in it, as the same process.
  var entry: [String] { ["nsenter", "--net=\(path)", "--"] }

  /// Runs a command in it to its end, and gives its output.
  @discardableResult
  func run(_ words: String...) throws -> String {
    let run = try Running(words, entering: entry)
    guard try run.finish() == .code(0) else { throw Unusable("\(words): \(run.errors.text)") }
    return run.output.text
  }

  /// Runs a function in it: sockets that are made there stay there. Only a thread can move, so one does.
  func inside<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Unusable("\(path): errno \(errno)") }
    defer { close(file) }
    return try Background {
      try PrivateNetwork.move(to: file)
      return try body()
    }.value()
  }

  /// setns(2), which the import of libc leaves out.
  private static func move(to file: Int32) throws {
    typealias SetNamespace = @convention(c) (Int32, Int32) -> Int32
    guard let symbol = dlsym(nil, "setns") else { throw Unusable("this libc has no setns") }
    guard unsafeBitCast(symbol, to: SetNamespace.self)(file, 0x4000_0000) == 0 else {
      throw Unusable("setns: errno \(errno)")
    }
  }

  // MARK: - Cables

  /// Joins two of them by a veth pair: 10.77.0.1 (and fd77::1) here, 10.77.0.2 (fd77::2) there. The cable can
  /// hold megabytes on its way: what a service writes goes into its send buffer whole.
  func connect(to other: PrivateNetwork) throws {
    try run(
      "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", other.path)
    for (network, number) in [(self, 1), (other, 2)] {
      try network.run("ip", "address", "add", "10.77.0.\(number)/24", "dev", "veth0")
      try network.run("ip", "address", "add", "fd77::\(number)/64", "dev", "veth0", "nodad")
      try network.run("ip", "link", "set", "veth0", "up")
    }
    try widen()
  }

  /// Lets a socket take megabytes at once, whatever its peer does.
  func widen() throws { try run("sysctl", "-qw", "net.ipv4.tcp_wmem=4096 8388608 8388608") }

  /// Takes the cable away, as a container's runtime does soon after its PID 1 has exited.
  func removeCable() throws { try run("ip", "link", "delete", "veth0") }

  /// Takes this end down: nothing arrives any more, and nobody is told.
  func unplug() throws { try run("ip", "link", "set", "veth0", "down") }

  // MARK: - Looks

  /// Waits until a process listens on a port.
  func waitUntilListening(on port: UInt16) throws {
    try wait(until: "somebody listens on \(port)") {
      try !run("ss", "-Htln", "sport = :\(port)").isEmpty
    }
  }

  /// The connections of a local port, a line each, with what ss(8) tells of them.
  func connections(of port: UInt16) throws -> [String] {
    try run("ss", "-Htanoi", "sport = :\(port)").split(separator: "\n").map(String.init)
  }

  /// Waits until the service's end of the only connection holds this many bytes that it has not read.
  func waitUntilUnread(_ bytes: Int, on port: UInt16) throws {
    try wait(until: "\(bytes) bytes are unread on \(port)") {
      try run("ss", "-Htn", "state", "established", "sport = :\(port)").split(separator: " ").first
        == Substring("\(bytes)")
    }
  }
}

/// The right to use what all tests share of the kernel's network: many at a time, or one alone. Given back with
/// this value.
final class Turn: @unchecked Sendable {
  private static let state = State()
  private let isAlone: Bool

  private final class State: @unchecked Sendable {
    let condition = NSCondition()
    var users = 0
    var isTaken = false
  }

  init(alone: Bool = false) {
    isAlone = alone
    let state = Turn.state
    state.condition.lock()
    while state.isTaken || (alone && state.users > 0) { state.condition.wait() }
    if alone { state.isTaken = true } else { state.users += 1 }
    state.condition.unlock()
  }

  deinit {
    let state = Turn.state
    state.condition.lock()
    if isAlone { state.isTaken = false } else { state.users -= 1 }
    state.condition.broadcast()
    state.condition.unlock()
  }
}

/// Something that goes on beside the test, on a thread of its own.
final class Background<Value: Sendable>: @unchecked Sendable {
  private let done = DispatchSemaphore(value: 0)
  private var result: Result<Value, any Error>?

  init(_ body: @escaping @Sendable () throws -> Value) {
    let thread = Thread { [self] in
      result = Result(catching: body)
      done.signal()
    }
    thread.start()
  }

  /// Waits for its end, once.
  func value() throws -> Value {
    done.wait()
    guard let result else { throw Unusable("the thread came to nothing") }
    return try result.get()
  }
}

extension Running {
  /// Starts ebb with tide as its service, and waits until that listens.
  ///
  /// - Parameters:
  ///   - options: ebb's.
  ///   - tide: the words behind `tide serve`; it listens on 8080 unless they say otherwise.
  ///   - network: where.
  ///   - isFirst: whether ebb is PID 1.
  ///   - wrapper: a command before ebb, which becomes ebb.
  static func ebb(
    _ options: [String], tide words: [String] = [], in network: PrivateNetwork, asPID1 isFirst: Bool = false,
    behind wrapper: [String] = [], environment: [String: String] = [:]
  ) throws -> Running {
    let run = try Running(
      wrapper + [try Binary.ebb.path()] + options + ["--", try Binary.tide.path(), "serve"] + words,
      environment: environment, entering: network.entry, namespaces: isFirst ? [.pid] : [])
    try run.waitForLine(containing: "listening on")
    return run
  }

  /// The last line of its report.
  var report: String { errors.lines.last { $0.contains("; exit ") } ?? "no report in: \(errors.text)" }

  /// Sends SIGTERM and waits for the end, and gives how long that took.
  func stop() throws -> (exit: Exit, seconds: TimeInterval) {
    let began = Date()
    try signal(SIGTERM)
    let exit = try finish()
    return (exit, Date().timeIntervalSince(began))
  }
}
