import Linux

/// One condition of `--ready-when`.
public enum Probe: Equatable, Sendable {
  /// The service listens on its ports.
  case listen
  /// The service's main process runs: a worker's, which has no port.
  case alive
  /// A TCP connection to this port of the loopback address succeeds.
  case tcp(UInt16)
  /// This request gives 2xx or 3xx.
  case http(HTTPTarget)
  /// A connection to this Unix socket succeeds.
  case unix([UInt8])
  /// This command exits with 0.
  case exec([[UInt8]])
  /// The service has said READY=1 to $NOTIFY_SOCKET, sd_notify(3).
  case notify

  /// The probe that a user writes: `listen`, `alive`, `tcp:P`, `unix:/path`, `exec:cmd`, `notify`,
  /// or an ``HTTPTarget``, like `http:P/path`; nil where it makes no sense.
  public init?(_ text: [UInt8]) {
    if text == "listen" {
      self = .listen
    } else if text == "alive" {
      self = .alive
    } else if text == "notify" {
      self = .notify
    } else if let digits = text.value(of: "tcp:") {
      guard let port = Probe.port(digits) else { return nil }
      self = .tcp(port)
    } else if HTTPTarget.isMeant(by: text) {
      guard let target = HTTPTarget(text) else { return nil }
      self = .http(target)
    } else if let path = text.value(of: "unix:") {
      guard path.hasPrefix("/") || path.hasPrefix("@"), path.count > 1, path.count < 108 else { return nil }
      self = .unix(path)
    } else if let line = text.value(of: "exec:") {
      guard let words = CommandLineWords.split(line), words.first?.isEmpty == false else { return nil }
      self = .exec(words)
    } else {
      return nil
    }
  }

  static func port(_ digits: [UInt8]) -> UInt16? {
    guard let number = decimal(digits), let port = UInt16(exactly: number), port > 0 else { return nil }
    return port
  }
}

extension Probe: TextRepresentable {
  /// As the user wrote it, a command without its arguments (they may hold a secret).
  public func write(to text: inout Text) {
    switch self {
    case .listen: text.append("listen")
    case .alive: text.append("alive")
    case .tcp(let port): text.append("tcp:", Int(port), "")
    case .http(let target): target.write(to: &text)
    case .unix(let path):
      text.append("unix:")
      text.append(printable: path)
    case .exec(let words):
      text.append("exec:")
      text.append(printable: words.first ?? [])
    case .notify: text.append("notify")
    }
  }
}

/// What a probe came to.
public enum ProbeResult: Equatable, Sendable {
  /// It holds.
  case holds
  /// It does not, and why.
  case fails(Text)

  /// Whether it holds.
  var isHolding: Bool { self == .holds }
}
