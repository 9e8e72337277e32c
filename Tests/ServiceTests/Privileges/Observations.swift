import Foundation

/// What was seen of every promise in one confinement: two lives of ebb, one that is asked everything, one that is
/// stopped under load.
final class Observations {
  private(set) var outcomes: [Promise: Outcome] = [:]
  /// Whatever ebb said, for who reads a failure.
  private(set) var transcript = ""

  /// No probe or question may take so long, wherever it is asked.
  private static let patience: TimeInterval = 10

  private init() {}

  /// Both lives, side by side.
  init(_ confinement: Confinement) throws {
    let stopped = Background { () throws -> (outcomes: [Promise: Outcome], transcript: String) in
      let life = Observations()
      try life.observeTheStopped(confinement)
      return (life.outcomes, life.transcript)
    }
    let asked = Result { try observeTheAsked(confinement) }
    let other = try stopped.value()
    try asked.get()
    // What is broken in either is broken.
    outcomes.merge(other.outcomes) { if case .broken = $0 { $0 } else { $1 } }
    transcript += other.transcript
  }

  private func note(_ title: String, _ told: ConfinedLife.Told) {
    transcript += "\(title): \(told.exit) after \(told.seconds)s\n\(told.output)\(told.errors)"
    if told.seconds > Observations.patience { outcomes[.probes] = .broken("\(title) took \(told.seconds) s") }
  }

  /// Where a command cannot do its work: it says why, in one line, with exit code 3.
  private static func cannotTell(_ told: ConfinedLife.Told) -> Outcome {
    guard told.exit == .code(3), told.errors.hasPrefix("ebb: "), told.errors.split(separator: "\n").count == 1
    else { return .broken("\(told)") }
    return .no(told.why)
  }

  // MARK: - A life that is asked

  private func observeTheAsked(_ confinement: Confinement) throws {
    let life = try ConfinedLife(
      confinement, ["--http", "9100", "--log", "json", "--verbose"], service: ["--exit-code", "7"])
    if let wrong = try life.isProved() { throw Unusable("\(confinement) is not what it says: \(wrong)") }

    var ready = try life.ask("ready")
    // It may have been asked before it was ready, or before its socket was there.
    for _ in 0..<10 where ready.exit != .code(0) {
      usleep(50_000)
      ready = try life.ask("ready")
    }
    note("ready", ready)
    let live = try life.ask("live")
    note("live", live)
    switch (ready.exit, live.exit) {
    case (.code(0), .code(0)) where ready.errors.isEmpty && live.errors.isEmpty: outcomes[.probes] = .yes
    case (.code(3), .code(3)): outcomes[.probes] = Observations.cannotTell(ready)
    case (.code(3), .code(0)) where live.errors.hasSuffix("; PID 1 is ebb, so the service counts as live\n"):
      outcomes[.probes] = Observations.cannotTell(ready)
    case (.code(1), .code(0)): outcomes[.probes] = .partly(ready.why)
    default: outcomes[.probes] = .broken("ready \(ready), live \(live)")
    }

    outcomes[.status] = try status(life)
    outcomes[.pages] = try pages(life)
    outcomes[.port] = try port(life)
    outcomes[.sockets] = try sockets(life)

    let drain = try life.ask("drain")
    note("drain", drain)
    if drain.exit == .code(0) {
      let after = try life.ask("ready")
      note("ready after the drain", after)
      let isRight =
        drain.output.contains("drained in ") && after.exit == .code(1)
        && after.why.hasPrefix("ebb: not ready: drained")
      if !isRight {
        outcomes[.drain] = .broken("\(drain), \(after)")
      } else if let line = drain.output.split(separator: "\n").first(where: { $0.contains("is not seen") }) {
        outcomes[.drain] = .partly(String(line))
      } else {
        outcomes[.drain] = .yes
      }
    } else {
      outcomes[.drain] = Observations.cannotTell(drain)
    }

    try life.signal(SIGTERM)
    let exit = try life.finish()
    transcript += "exit \(exit)\n" + life.errors.joined(separator: "\n") + "\n"
    outcomes[.exit] = exit == .code(7) ? .yes : .broken("\(exit)")
    if life.hasHarmed { outcomes[.signals] = .broken("a neighbour was ended") }
  }

  private func status(_ life: ConfinedLife) throws -> Outcome {
    let told = try life.ask("status", "--json")
    note("status", told)
    guard told.exit == .code(0) else { return Observations.cannotTell(told) }
    guard let status = try JSONSerialization.jsonObject(with: Data(told.output.utf8)) as? [String: Any],
      (status["processes"] as? Int).map({ $0 == 1 }) ?? true
    else { return .broken(told.output) }
    let ports = status["ports"] as? [[String: Any]] ?? []
    let text = try life.ask("status")
    note("status", text)
    if ports.count == 1, ports[0]["port"] as? Int == 8080, ports[0]["listening"] as? Bool == true,
      status["processes"] as? Int == 1, status["phase"] as? String == "serving",
      status["name"] as? String == "tide"
    {
      return .yes
    }
    if ports.isEmpty, let line = text.output.split(separator: "\n").first(where: { $0.contains("port") }) {
      return .partly(line.trimmingCharacters(in: .whitespaces))
    }
    return .broken(text.output)
  }

  private func pages(_ life: ConfinedLife) throws -> Outcome {
    func get(_ path: String) throws -> Supervised.Answer {
      let client = try Client("127.0.0.1", 9100, from: life.network)
      try client.send("GET \(path) HTTP/1.1\r\nHost: test\r\n\r\n")
      return try Supervised.answer(of: client)
    }
    let answers = try ["/livez", "/status", "/metrics", "/readyz"].map { try get($0) }
    transcript += answers.map { "\($0.status) \($0.body)\n" }.joined()
    guard answers[0].status == 200, answers[1].status == 200, answers[2].status == 200 else {
      return .broken("\(answers)")
    }
    if answers[3].status == 200 { return .yes }
    return answers[3].status == 503
      ? .partly(answers[3].body.trimmingCharacters(in: .newlines)) : .broken("\(answers[3])")
  }

  private func port(_ life: ConfinedLife) throws -> Outcome {
    let taken = try life.ask("port", "8080")
    let free = try life.ask("port", "8099")
    let listening = try life.ask("port", "--listening", "8080")
    note("port 8080", taken)
    note("port 8099", free)
    note("port --listening 8080", listening)
    let holder = taken.output.split(separator: "\n").first { $0.contains("LISTEN ") }
    if let holder, holder.contains("tide (pid ") {
      outcomes[.holder] = .yes
    } else if let holder {
      outcomes[.holder] = .no(holder.trimmingCharacters(in: .whitespaces))
    } else {
      outcomes[.holder] = .no(
        taken.output.split(separator: "\n").first.map(String.init) ?? "nothing was said")
    }
    guard taken.exit == .code(1), free.exit == .code(0) else { return .broken("\(taken), \(free)") }
    guard taken.output.hasPrefix("8080: not free"), free.output.hasPrefix("8099: free") else {
      return .broken("\(taken), \(free)")
    }
    switch listening.exit {
    case .code(0): return .yes
    case .code(3): return .partly(listening.output.split(separator: "\n").first.map(String.init) ?? "")
    default: return .broken("\(listening)")
    }
  }

  private func sockets(_ life: ConfinedLife) throws -> Outcome {
    let told = try life.ask("sockets", "--json")
    note("sockets", told)
    guard told.exit == .code(0) else { return Observations.cannotTell(told) }
    let object = try JSONSerialization.jsonObject(with: Data(told.output.utf8)) as? [String: Any]
    let text = try life.ask("sockets")
    note("sockets", text)
    switch object?["source"] as? String {
    case "netlink": return .yes
    case "proc":
      let line = text.output.split(separator: "\n").first { $0.contains("/proc") }
      return line.map { .partly(String($0)) } ?? .broken("the text does not say where it is from: \(text)")
    default: return .broken(told.output)
    }
  }

  // MARK: - A life that is stopped

  private func observeTheStopped(_ confinement: Confinement) throws {
    let life = try ConfinedLife(
      confinement,
      [
        "--log", "json", "--verbose", "--lame-duck-max", "1s", "--busy-max", "1500ms", "--quiet-chance",
        "0.000001",
      ],
      service: [
        "--exit-code", "7", "--log-signals", "--on-term", "flush-and-exit", "--flush-bytes", "1000000",
      ])
    let network = life.network

    try life.signal(SIGUSR2)
    try life.waitForLine("got SIGUSR2")
    outcomes[.signals] = .yes

    let maker = try Client("127.0.0.1", 8080, from: network)
    try maker.request("/orphans?n=3&ms=100")
    guard maker.answer().end == .more else { throw Unusable("no orphans were made") }
    maker.close()
    let began = Date()
    // The service's own child that made them is the service's to reap; what remains is ebb's, and then nobody's.
    try wait(until: "the orphans are gone", within: 10) {
      Date().timeIntervalSince(began) > 0.15 && life.children.count == 1
    }
    outcomes[.orphans] = .yes

    // One that is being answered, one that has said more than was read, one whose answer only comes at the end.
    let slow = try Client("127.0.0.1", 8080, from: network)
    let unread = try Client("127.0.0.1", 8080, from: network)
    let held = try Client("127.0.0.1", 8080, from: network, receiveBuffer: 4096)
    let lost = try Client("127.0.0.1", 8080, from: network)
    try held.request("/hold")
    try lost.request("/hold")
    try unread.request("/unread")
    usleep(50_000)
    try unread.send("more")
    try slow.request("/slow?ms=1600")
    usleep(20_000)

    try life.signal(SIGTERM)
    try life.waitForError("\"draining\"")
    for _ in 0..<4 {
      let client = try Client("127.0.0.1", 8080, from: network)
      try client.request("/")
      _ = client.answer()
      client.close()
      usleep(40_000)
    }
    lost.reset()
    let answer = slow.answer()
    // The stop comes, the service ends, and its last bytes wait for a client that does not read yet.
    try life.waitForError("\"stopped\"")
    usleep(400_000)
    let isWaiting = life.isAlive
    let last = held.answer()
    let exit = try life.finish()
    transcript += "exit \(exit)\n" + life.errors.joined(separator: "\n") + "\n"
    outcomes[.exit] = exit == .code(7) ? .yes : .broken("\(exit)")

    guard let report = life.event("released") else { throw Unusable("no report: \(transcript)") }
    let message = report["message"] as? String ?? ""
    let quiet = life.event("quiet")
    let words = quiet?["message"] as? String ?? ""
    let draining = life.event("draining")?["message"] as? String ?? ""
    switch quiet?["connections"] as? Int {
    // Four have come. On a machine with much else to do ebb has counted five, one of them twice.
    case 4, 5: outcomes[.lameDuck] = .yes
    case nil where words.contains("something new"): outcomes[.lameDuck] = .partly(draining)
    case nil where words.contains("nothing new was seen"): outcomes[.lameDuck] = .no(draining)
    default: outcomes[.lameDuck] = .broken("\(quiet ?? [:])")
    }
    let busy = quiet?["busy"] as? Int ?? 0
    let isAnswered = answer.end == .more
    switch (busy, isAnswered) {
    // By the queues alone none is told from an idle one: all are waited for, for 3 s.
    case (3, true): outcomes[.busy] = draining.contains("queues alone") ? .partly(draining) : .yes
    case (1...2, true): outcomes[.busy] = .partly(draining)
    case (0, false): outcomes[.busy] = .no(draining)
    default: outcomes[.busy] = .broken("\(busy) busy, answer \(answer)")
    }
    let isWhole = last.end == .more && last.body == 1_000_000
    switch (isWaiting, isWhole, life.event("lingering") != nil) {
    case (true, true, true): outcomes[.linger] = .yes
    case (false, _, false): outcomes[.linger] = .no(message)
    default: outcomes[.linger] = .broken("waiting \(isWaiting), \(last), \(message)")
    }
    switch report["resets"] as? Int {
    // The client that reset; and what the service had not read when it ended.
    case 1?, 2?: outcomes[.losses] = message.contains(" reset") ? .yes : .broken(message)
    case nil where message.contains("not measured"): outcomes[.losses] = .no(message)
    default: outcomes[.losses] = .broken(message)
    }
    withExtendedLifetime((unread, held)) {}
  }

  // MARK: - One of each

  private static let store = Store()

  /// Those of a confinement, made once.
  static func of(_ confinement: Confinement) throws -> Observations {
    try store.of(confinement)
  }

  private final class Store: @unchecked Sendable {
    private let lock = NSLock()
    private var locks: [Confinement: NSLock] = [:]
    private var results: [Confinement: Result<Observations, any Error>] = [:]

    func of(_ confinement: Confinement) throws -> Observations {
      lock.lock()
      let own = locks[confinement] ?? NSLock()
      locks[confinement] = own
      lock.unlock()
      own.lock()
      defer { own.unlock() }
      lock.lock()
      let known = results[confinement]
      lock.unlock()
      if let known { return try known.get() }
      let made = Result { try Observations(confinement) }
      lock.lock()
      results[confinement] = made
      lock.unlock()
      return try made.get()
    }
  }
}
