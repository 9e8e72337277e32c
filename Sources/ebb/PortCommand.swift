import Inet
import Linux
import Supervisor

/// `ebb port`: is the port free, and if not, who or what holds it.
enum PortCommand {
  enum Options: CommandOption {
    case released, listening, strict, reuseport, address, wait, netns, json, quiet

    static var command: StaticString { "port" }

    var name: StaticString {
      switch self {
      case .released: "released"
      case .listening: "listening"
      case .strict: "strict"
      case .reuseport: "reuseport"
      case .address: "address"
      case .wait: "wait"
      case .netns: "netns"
      case .json: "json"
      case .quiet: "quiet"
      }
    }

    var value: StaticString? {
      switch self {
      case .address: "ADDR"
      case .wait: "D"
      case .netns: "PID|PATH"
      case .released, .listening, .strict, .reuseport, .json, .quiet: nil
      }
    }

    var help: StaticString {
      switch self {
      case .released: "yes if nothing listens and the kernel accepts a bind with SO_REUSEADDR (the default)"
      case .listening: "yes if something listens"
      case .strict: "ask for a bind without SO_REUSEADDR"
      case .reuseport: "ask as a server that sets SO_REUSEPORT"
      case .address: "one address alone (every one, of both families)"
      case .wait: "wait up to D until the answer is yes"
      case .netns: "in the network namespace of a process, or at a path (needs CAP_SYS_ADMIN)"
      case .json: "one JSON object a port"
      case .quiet: "only the exit code"
      }
    }

    var opposite: Options? {
      switch self {
      case .released: .listening
      case .listening: .released
      case .strict, .reuseport, .address, .wait, .netns, .json, .quiet: nil
      }
    }
  }

  private struct Request {
    var ports: [(number: UInt16, isUDP: Bool)] = []
    var isListening = false
    var manner = BindTest.Manner()
    var wait: Duration?
    var namespace: CString?
    var isJSON = false
    var isQuiet = false

    func question(isUDP: Bool) -> PortQuestion {
      if isListening { return .listening }
      var manner = self.manner
      if isUDP {
        manner.isUDP = true
        manner.reusesAddress = false
      }
      return .released(manner)
    }
  }

  static func run(_ arguments: Arguments) throws(UsageError) -> Int32 {
    guard let request = try parse(arguments) else { return output(help) }
    if let namespace = request.namespace {
      do throws(Errno) {
        try NetworkNamespace.enter(namespace)
      } catch {
        complain("--netns \(namespace): \(error)")
        return Answer.cannotTell
      }
    }
    var inquiry = PortInquiry()
    inquiry.isQuiet = request.isQuiet
    if !request.isQuiet && request.namespace == nil { inquiry.service = ControlClient.service }
    let end = request.wait.map { MonotonicClock.now + $0 }
    var findings = find(request, &inquiry)
    if let end, !allYes(findings) {
      findings = wait(request, &inquiry, findings, until: end)
    }
    return tell(findings, request)
  }

  private static func parse(_ arguments: Arguments) throws(UsageError) -> Request? {
    var request = Request()
    var arguments = arguments
    // Options may stand before the ports and behind them.
    while true {
      let goesOn = try Options.parse(&arguments) { (option, value, source) throws(UsageError) in
        switch option {
        case .released: request.isListening = false
        case .listening: request.isListening = true
        case .strict: request.manner.reusesAddress = false
        case .reuseport: request.manner.reusesPort = true
        case .address:
          guard let address = Endpoint(address: value) else {
            throw UsageError(source, value, expected: "an IPv4 or IPv6 address, like 127.0.0.1 or ::1")
          }
          request.manner.address = address
        case .wait: request.wait = try Values.duration(value, source)
        case .netns: request.namespace = value
        case .json: request.isJSON = true
        case .quiet: request.isQuiet = true
        }
      }
      if !goesOn { return nil }
      guard let word = arguments.next() else { break }
      guard let ports = Values.ports(word) else {
        throw UsageError("\(word): expected ports from 1 to 65535, like 8080 or 53/udp (64 at most)")
      }
      request.ports += ports.tcp.map { ($0, false) } + ports.udp.map { ($0, true) }
    }
    if request.ports.isEmpty { throw UsageError("a port is missing: ebb port PORT[/udp]...") }
    if request.ports.count > 64 { throw UsageError("\(request.ports.count) ports are too many: 64 at most") }
    return request
  }

  private static func find(_ request: Request, _ inquiry: inout PortInquiry) -> [PortFinding] {
    request.ports.map { inquiry.find($0.number, isUDP: $0.isUDP, request.question(isUDP: $0.isUDP)) }
  }

  private static func allYes(_ findings: [PortFinding]) -> Bool { findings.allSatisfy { $0.answer == .yes } }

  // MARK: - Waiting

  /// Waits until every answer is yes, or the time is up.
  ///
  /// What is waited for decides when to wake: the end of the last TIME_WAIT is known to the millisecond; a
  /// listener that comes or goes is looked for in the table, ten times a second. The bind is tried again only
  /// when the tables have less in the way than before, never in a loop.
  private static func wait(
    _ request: Request, _ inquiry: inout PortInquiry, _ before: [PortFinding], until end: Duration
  ) -> [PortFinding] {
    var findings = before
    let tellsProgress = !request.isQuiet && !request.isJSON && FileDescriptor.standardError.isTerminal
    while !allYes(findings) {
      let now = MonotonicClock.now
      if now >= end { break }
      if tellsProgress, let open = findings.first(where: { $0.answer != .yes }) {
        try? Text("\r\u{1b}[Kebb: waiting for \(open.port): \(open.summary)").write(to: .standardError)
      }
      MonotonicClock.sleep(until: min(end, now + pause(findings)))
      if !isWorthAsking(request, &inquiry, findings) && MonotonicClock.now < end { continue }
      findings = find(request, &inquiry)
    }
    if tellsProgress { try? Text("\r\u{1b}[K").write(to: .standardError) }
    return findings
  }

  /// How long nothing can change for the better: until the last TIME_WAIT ends, where nothing else is left.
  private static func pause(_ findings: [PortFinding]) -> Duration {
    var pause = Duration.milliseconds(100)
    for finding in findings where finding.answer != .yes {
      guard let census = finding.census, finding.listeners.isEmpty, finding.bound.isEmpty,
        finding.question != .listening, census.connections == census.count(.timeWait), census.connections > 0
      else { return .milliseconds(100) }
      pause = max(pause, census.longestTimeWait + .milliseconds(10))
    }
    return pause
  }

  /// Whether the tables say that an answer may have changed: a listener has come or gone, or, where the kernel
  /// refused a bind, less is left on the port than was then.
  private static func isWorthAsking(
    _ request: Request, _ inquiry: inout PortInquiry, _ findings: [PortFinding]
  ) -> Bool {
    for finding in findings where finding.answer != .yes {
      if finding.question == .listening || finding.isListening == true {
        let isListening = inquiry.isListening(finding.port, isUDP: finding.isUDP)
        if isListening != finding.isListening { return true }
      } else if inquiry.left(on: finding) < (finding.census?.connections ?? 0) + finding.bound.count {
        return true
      }
    }
    return false
  }

  // MARK: - Answering

  private static func tell(_ findings: [PortFinding], _ request: Request) -> Int32 {
    var code = Answer.yes
    var text = Text()
    for finding in findings {
      switch finding.answer {
      case .yes: break
      case .no: code = code == Answer.cannotTell ? code : Answer.no
      case .cannotTell: code = Answer.cannotTell
      }
      if !request.isQuiet { text.append(contentsOf: request.isJSON ? finding.json : finding.text) }
    }
    if !text.isEmpty && output(text) != 0 { return Answer.cannotTell }
    return code
  }

  static var help: Text {
    """
    ebb port PORT[/udp]... [--released|--listening] [--strict] [--reuseport] [--address ADDR] [--wait D]
             [--netns PID|PATH] [--json] [--quiet]

    Is the port free, by the kernel's own word, and if not, who or what holds it, for how much longer, and
    what to do. Exit 0 yes (for every port), 1 no, 3 cannot tell.

    \(Options.helpText)
    """
  }
}
