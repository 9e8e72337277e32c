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

    /// EBB_QUIET is set for `run`, and must not silence whoever asks beside it.
    var hasVariable: Bool { self != .quiet }
  }

  /// A command line.
  struct Request {
    var ports: [(number: UInt16, isUDP: Bool)] = []
    var isListening = false
    var manner = BindTest.Manner()
    var wait: Duration?
    var namespace: CString?
    var isJSON = false
    var isQuiet = false

    /// What is asked about one of the ports.
    func question(_ port: UInt16, isUDP: Bool) -> PortQuestion {
      var manner = manner
      manner.address?.port = port
      if isListening { return .listening(manner.address) }
      if isUDP {
        manner.isUDP = true
        // With it any two UDP sockets share a port.
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
        complain("--netns \(namespace): \(NetworkNamespace.reason(error, namespace))")
        return Answer.cannotTell
      }
    }
    var inquiry = PortInquiry()
    inquiry.isQuiet = request.isQuiet
    if !request.isQuiet && request.namespace == nil { inquiry.service = ControlClient.service }
    var findings: [PortFinding] = []
    if let wait = request.wait {
      var vigil = PortVigil(request, inquiry)
      findings = vigil.wait(until: MonotonicClock.now + wait)
    } else {
      for (port, isUDP) in request.ports {
        findings.append(inquiry.find(port, isUDP: isUDP, request.question(port, isUDP: isUDP)))
      }
    }
    return tell(findings, request)
  }

  static func parse(_ arguments: Arguments) throws(UsageError) -> Request? {
    var request = Request()
    let goesOn = try Options.parse(
      arguments,
      word: { (word) throws(UsageError) in
        guard let ports = Values.ports(word) else {
          throw UsageError("\(word): expected ports from 1 to 65535, like 8080 or 53/udp (64 at most)")
        }
        for port in ports.tcp { request.add(port, isUDP: false) }
        for port in ports.udp { request.add(port, isUDP: true) }
      }
    ) { (option, value, source) throws(UsageError) in
      switch option {
      case .released: request.isListening = false
      case .listening: request.isListening = true
      case .strict: request.manner.reusesAddress = false
      case .reuseport: request.manner.reusesPort = true
      case .address:
        guard let address = Endpoint(address: value) else {
          throw UsageError(source, value, expected: "an IPv4 or IPv6 address, like 127.0.0.1 or ::1")
        }
        // A server on :: has every address of both families.
        request.manner.address = address.isIPv6 && address.isUnspecified ? nil : address
      case .wait: request.wait = try Values.duration(value, source)
      case .netns: request.namespace = value
      case .json: request.isJSON = true
      case .quiet: request.isQuiet = true
      }
    }
    if !goesOn { return nil }
    if request.ports.isEmpty { throw UsageError("a port is missing: ebb port PORT[/udp]...") }
    if request.ports.count > 64 { throw UsageError("\(request.ports.count) ports are too many: 64 at most") }
    return request
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

extension PortCommand.Request {
  /// Adds a port, once.
  fileprivate mutating func add(_ port: UInt16, isUDP: Bool) {
    if !ports.contains(where: { $0 == (port, isUDP) }) { ports.append((port, isUDP)) }
  }
}
