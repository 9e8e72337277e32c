import Linux

/// The command line of `tide load`.
struct LoadOptions {
  /// When requests are sent.
  enum Arrival {
    /// So many a second, whether or not those before are answered (an open loop): what independent users do.
    case open(rate: Double, isPoisson: Bool)
    /// Each as soon as the one before is answered, on so many connections at once (a closed loop).
    case closed(connections: Int)
  }

  var target: SocketAddress
  var path: [UInt8] = [UInt8(ascii: "/")]
  var arrival = Arrival.closed(connections: 1)
  /// The most connections that are kept and used again; nil: a new one for each request.
  var keptConnections: Int?
  var seed: UInt64 = 1
  /// For how long new requests are sent; nil: until ``requests`` of them are.
  var duration: Duration?
  var requests: Int?
  var timeout: Duration = .seconds(10)
  /// Bytes a second that each connection reads at most.
  var readRate: Int?
  /// After an answer, waits for the service to close.
  var holds = false
  /// Resets each connection after so many bytes.
  var resetAfter: Int?
  var endsWhenRefused = false
  /// How long after SIGUSR1 the last request is sent.
  var removeAfter: Duration = .zero
  /// A path that, once there, means the same as SIGUSR1.
  var stopFile: [UInt8]?
  /// The body is ``Pattern`` whatever the answer's head says: a file that another server serves.
  var verifies = false
  var isJSON = false
  var isVerbose = false

  init(target: SocketAddress) { self.target = target }

  init(_ words: inout Words) throws(UsageError) {
    var target: SocketAddress?
    var rate: Double?
    var connections: Int?
    var isPoisson = false
    var timeout: Duration?
    self.target = .loopback(port: 0)
    while let word = try words.next() {
      if word == "--rate" {
        rate = try LoadOptions.rate(&words)
      } else if word == "--poisson" {
        isPoisson = true
      } else if word == "--seed" {
        seed = UInt64(try words.number("a number", 0...Int.max))
      } else if word == "--connections" {
        connections = try words.number("a number of connections", 1...100_000)
      } else if word == "--keep-alive" {
        keptConnections = try words.number("a number of connections", 1...100_000)
      } else if word == "--duration" {
        duration = try words.duration()
      } else if word == "--requests" {
        requests = try words.number("a number of requests", 1...1_000_000_000)
      } else if word == "--path" {
        path = try LoadOptions.path(&words)
      } else if word == "--timeout" {
        timeout = try words.duration()
      } else if word == "--read-rate" {
        readRate = try words.number("bytes a second", 10...1 << 40)
      } else if word == "--hold" {
        holds = true
      } else if word == "--reset-after" {
        resetAfter = try words.number("a number of bytes", 0...1 << 40)
      } else if word == "--until-refused" {
        endsWhenRefused = true
      } else if word == "--remove-after" {
        removeAfter = try words.duration()
      } else if word == "--stop-file" {
        stopFile = try words.value("a path")
      } else if word == "--pattern" {
        verifies = true
      } else if word == "--json" {
        isJSON = true
      } else if word == "--verbose" {
        isVerbose = true
      } else if word.hasPrefix("-") || target != nil {
        throw words.unknown
      } else {
        target = try LoadOptions.target(word, words)
      }
    }
    guard let target else { throw UsageError(text: "load: expected PORT, ADDR:PORT or [ADDR]:PORT") }
    self.target = target
    if let rate {
      guard connections == nil else {
        throw UsageError(text: "load: expected --rate (open loop) or --connections (closed loop), not both")
      }
      arrival = .open(rate: rate, isPoisson: isPoisson)
    } else if isPoisson {
      throw UsageError(text: "load: --poisson: expected --rate with it")
    } else {
      arrival = .closed(connections: connections ?? keptConnections ?? 1)
    }
    if duration == nil && requests == nil { duration = .seconds(10) }
    // One that holds waits for a stop, which may take its time.
    self.timeout = timeout ?? (holds ? .seconds(60) : .seconds(10))
  }

  /// "8080" is a port of this machine.
  static func target(_ word: [UInt8], _ words: Words) throws(UsageError) -> SocketAddress {
    if let port = SocketAddress.port(written: word) { return .loopback(port: port) }
    if let address = SocketAddress(written: word) { return address }
    throw words.complaint("expected PORT, ADDR:PORT or [ADDR]:PORT")
  }

  private static func rate(_ words: inout Words) throws(UsageError) -> Double {
    let written = try words.value("requests a second")
    // A decimal fraction is read as that of a second is.
    let second = Array("s".utf8)
    guard let duration = Duration(written: written + second) else {
      throw words.complaint("expected requests a second, not '\(written)'")
    }
    let rate = Double(duration.inNanoseconds) / 1e9
    guard rate >= 0.001, rate <= 1_000_000 else {
      throw words.complaint("expected 0.001 to 1000000 requests a second, not '\(written)'")
    }
    return rate
  }

  private static func path(_ words: inout Words) throws(UsageError) -> [UInt8] {
    let written = try words.value("a path such as /slow?ms=300")
    guard written.first == UInt8(ascii: "/"), written.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
      throw words.complaint("expected a path such as /slow?ms=300, not '\(written)'")
    }
    return written
  }
}
