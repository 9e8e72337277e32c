import Linux

/// What the service does when it is told to stop, by SIGTERM, SIGINT or SIGQUIT.
enum StopBehaviour {
  /// Closes the listening socket and idle connections, answers what is in progress, and exits.
  case graceful
  /// Dies of the signal, whatever is open.
  case exit
  /// Goes on as if nothing had come.
  case ignore
  /// Hands each client of `/hold` a long answer in one write, and exits with the bytes still in the kernel.
  case flushAndExit
  /// Closes the listening socket, and goes on with the connections that there are.
  case stopAccepting

  init?(written word: [UInt8]) {
    if word == "graceful" {
      self = .graceful
    } else if word == "exit" {
      self = .exit
    } else if word == "ignore" {
      self = .ignore
    } else if word == "flush-and-exit" {
      self = .flushAndExit
    } else if word == "stop-accepting" {
      self = .stopAccepting
    } else {
      return nil
    }
  }
}

/// The command line of `tide serve`.
struct ServerOptions {
  /// Where the service listens.
  enum Place {
    /// On every address, IPv6 and IPv4, or IPv4 alone where there is no IPv6.
    case everywhere(port: UInt16)
    case at(SocketAddress)
  }

  var place = Place.everywhere(port: 8080)
  var onStop = StopBehaviour.graceful
  var flushBytes = 3 * 1024 * 1024
  var exitCode: Int32?
  var stopDelay: Duration = .zero
  var reusesAddress = true
  /// How often the children fork that are let loose at a stop.
  var forksAtStop = 0
  var readyAfter: Duration = .zero
  var idleTimeout: Duration = .seconds(300)
  var logsSignals = false
  var countsSignals = false

  init(_ words: inout Words) throws(UsageError) {
    while let word = try words.next() {
      if word == "--listen" {
        place = try ServerOptions.place(&words)
      } else if word == "--on-term" {
        let expected: StaticString = "graceful, exit, ignore, flush-and-exit or stop-accepting"
        let written = try words.value(expected)
        guard let behaviour = StopBehaviour(written: written) else {
          throw words.complaint("expected \(expected), not '\(written)'")
        }
        onStop = behaviour
      } else if word == "--flush-bytes" {
        flushBytes = try words.number("a number of bytes", 1...1 << 28)
      } else if word == "--exit-code" {
        exitCode = Int32(try words.number("an exit code", 0...255))
      } else if word == "--delay-stop" {
        stopDelay = try words.duration()
      } else if word == "--no-reuseaddr" {
        reusesAddress = false
      } else if word == "--fork-while-killed" {
        forksAtStop = 200
      } else if word == "--fork-total" {
        forksAtStop = try words.number("how often to fork", 1...10_000)
      } else if word == "--ready-after" {
        readyAfter = try words.duration()
      } else if word == "--idle-timeout" {
        idleTimeout = try words.duration()
      } else if word == "--log-signals" {
        logsSignals = true
      } else if word == "--count-signals" {
        countsSignals = true
      } else {
        throw words.unknown
      }
    }
  }

  private static func place(_ words: inout Words) throws(UsageError) -> Place {
    let expected: StaticString = "PORT, ADDR:PORT or [ADDR]:PORT"
    let written = try words.value(expected)
    if let port = SocketAddress.port(written: written) { return .everywhere(port: port) }
    if let address = SocketAddress(written: written) { return .at(address) }
    throw words.complaint("expected \(expected), not '\(written)'")
  }
}
