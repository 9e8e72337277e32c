import Inet
import Linux
import Supervisor

/// `ebb port`: is the port free, and if not, who or what holds it.
enum PortCommand {
  /// Its options, in the order of its help.
  enum Option: Int, CaseIterable {
    case released, listening, strict, reuseport, address, wait, netns, json, quiet
  }

  static var table: OptionTable {
    OptionTable(
      command: "port", words: .anywhere, opposites: OptionPlaces(Option.released),
      // EBB_QUIET is set for `run`, and must not silence whoever asks beside it.
      withoutVariable: OptionPlaces(Option.quiet),
      help: """
        ebb port PORT[/udp]... [--released|--listening] [--strict] [--reuseport] [--address ADDR] [--wait D]
                 [--netns PID|PATH] [--json] [--quiet]

        Is the port free, by the kernel's own word, and if not, who or what holds it, for how much longer, and
        what to do. Exit 0 yes (for every port), 1 no, 3 cannot tell.

          --released                  yes if nothing listens and the kernel accepts a bind with SO_REUSEADDR (the default)
          --listening                 yes if something listens
          --strict                    ask for a bind without SO_REUSEADDR
          --reuseport                 ask as a server that sets SO_REUSEPORT
          --address ADDR              one address alone (every one, of both families)
          --wait D                    wait up to D until the answer is yes
          --netns PID|PATH            in the network namespace of a process, or at a path (needs CAP_SYS_ADMIN)
          --json                      one JSON object a port
          --quiet                     only the exit code

        """)
  }

  /// A command line.
  final class Request {
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
    let options = Options(table, arguments)
    guard try options.take() else { return options.showHelp() }
    return answer(try request(options))
  }

  private static func answer(_ request: Request) -> Int32 {
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
    var answers = Answers(request)
    if let wait = request.wait {
      let vigil = PortVigil(request, inquiry)
      vigil.wait(until: MonotonicClock.now + wait)
      for watched in vigil.open { answers.add(watched.finding) }
    } else {
      for (port, isUDP) in request.ports {
        answers.add(inquiry.find(port, isUDP: isUDP, request.question(port, isUDP: isUDP)))
      }
    }
    if !answers.text.isEmpty && output(answers.text) != 0 { return Answer.cannotTell }
    return answers.code
  }

  /// What is printed, and the exit code: no where one is no, and more so where one cannot be told.
  private struct Answers {
    let request: Request
    var text = Text()
    var code = Answer.yes

    init(_ request: Request) { self.request = request }

    mutating func add(_ finding: PortFinding) {
      switch finding.answer {
      case .yes: break
      case .no: if code == Answer.yes { code = Answer.no }
      case .cannotTell: code = Answer.cannotTell
      }
      if !request.isQuiet { text.append(contentsOf: request.isJSON ? finding.json : finding.text) }
    }
  }

  /// What the command line asks.
  static func request(_ options: Options) throws(UsageError) -> Request {
    let request = Request()
    var words = options.arguments
    while let word = words.next() {
      guard let ports = Values.ports(word) else {
        throw UsageError(word, ": expected ports from 1 to 65535, like 8080 or 53/udp (64 at most)")
      }
      for port in ports.tcp { request.add(port, isUDP: false) }
      for port in ports.udp { request.add(port, isUDP: true) }
    }
    while let option = Option(rawValue: options.next()) {
      switch option {
      case .released: request.isListening = false
      case .listening: request.isListening = true
      case .strict: request.manner.reusesAddress = false
      case .reuseport: request.manner.reusesPort = true
      case .address:
        guard let address = Endpoint(address: options.value) else {
          throw options.wrong("an IPv4 or IPv6 address, like 127.0.0.1 or ::1")
        }
        // A server on :: has every address of both families.
        request.manner.address = address.isIPv6 && address.isUnspecified ? nil : address
      case .wait: request.wait = try options.duration()
      case .netns: request.namespace = options.value
      case .json: request.isJSON = true
      case .quiet: request.isQuiet = true
      }
    }
    if request.ports.isEmpty { throw UsageError("a port is missing: ebb port PORT[/udp]...") }
    if request.ports.count > 64 { throw UsageError("\(request.ports.count) ports are too many: 64 at most") }
    return request
  }
}

extension PortCommand.Request {
  /// Adds a port, once.
  fileprivate func add(_ port: UInt16, isUDP: Bool) {
    for other in ports where other == (port, isUDP) { return }
    ports.append((port, isUDP))
  }
}
