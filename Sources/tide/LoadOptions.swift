import Linux

/// The command line of `tide load`.
struct LoadOptions {
  /// When requests are sent.
  enum Arrival {
    /// So many a second, whether or not those before are answered (an open loop): what independent users do.
    case open(rate: Double, isPoisson: Bool, bursts: Arrivals.Bursts?)
    /// Each when the one before is answered, at once or after a time to think, on so many connections (a closed
    /// loop), which begin within the ramp.
    case closed(connections: Int, think: Duration = .zero, ramp: Duration = .zero)
  }

  var target: SocketAddress
  var path: [UInt8] = [UInt8(ascii: "/")]
  var arrival = Arrival.closed(connections: 1)
  var shape = Shape.plain
  /// How many bytes of body go with each request; nil: it is a GET.
  var bodySize: Int?
  /// The most connections that are kept and used again; nil: a new one for each request.
  var keptConnections: Int?
  /// How long a closed loop rests after a failure: a service that is gone is not asked without end.
  var pause: Duration = .milliseconds(10)
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
  /// How many load balancers send, each its share.
  var balancers = 1
  /// How long after the stop began the last request is sent.
  var removeAfter: Duration = .zero
  /// Idle connections outlive the removal.
  var keepsIdle = false
  /// The process that a stop is for.
  var stops: ProcessID?
  /// How long after the load the stop begins; nil: when told.
  var stopAfter: Duration?
  /// How long after the stop's beginning the process gets its signal.
  var hook: Duration = .zero
  /// A path that, once there, means the same as SIGUSR1.
  var stopFile: [UInt8]?
  /// The body is ``Pattern`` whatever the answer's head says: a file that another server serves.
  var verifies = false
  var isJSON = false
  /// JSON has what happened in each tenth of a second too.
  var hasSeries = false
  var isVerbose = false

  init(target: SocketAddress) { self.target = target }

  init(_ words: inout Words) throws(UsageError) {
    var target: SocketAddress?
    var rate: Double?
    var connections: Int?
    var isPoisson = false
    var bursts: Arrivals.Bursts?
    var timeout: Duration?
    var isClosedLoop = false
    var think: Duration?
    var ramp: Duration?
    self.target = .loopback(port: 0)
    while let word = try words.next() {
      if word == "--rate" {
        rate = try LoadOptions.rate(&words)
      } else if word == "--poisson" {
        isPoisson = true
      } else if word == "--bursts" {
        bursts = try LoadOptions.bursts(&words)
      } else if word == "--seed" {
        seed = UInt64(try words.number("a number", 0...Int.max))
      } else if word == "--connections" {
        connections = try words.number("a number of connections", 1...100_000)
      } else if word == "--keep-alive" {
        keptConnections = try words.number("a number of connections", 1...100_000)
      } else if word == "--closed-loop" {
        isClosedLoop = true
      } else if word == "--think" {
        think = try words.duration()
      } else if word == "--ramp" {
        ramp = try words.duration()
      } else if word == "--pause" {
        pause = try words.duration()
      } else if word == "--shape" {
        shape = try LoadOptions.shape(&words)
      } else if word == "--body" {
        bodySize = try words.number("a number of bytes", 1...1 << 26)
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
      } else if word == "--balancers" {
        balancers = try words.number("a number of load balancers", 1...100)
      } else if word == "--remove-after" {
        removeAfter = try words.duration()
      } else if word == "--keep-idle" {
        keepsIdle = true
      } else if word == "--stop" {
        stops = ProcessID(Int32(try words.number("a process", 1...Int(Int32.max))))
      } else if word == "--stop-after" {
        stopAfter = try words.duration()
      } else if word == "--hook" {
        hook = try words.duration()
      } else if word == "--stop-file" {
        stopFile = try words.value("a path")
      } else if word == "--pattern" {
        verifies = true
      } else if word == "--json" {
        isJSON = true
      } else if word == "--series" {
        isJSON = true
        hasSeries = true
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
    if shape.needsBody && bodySize == nil { bodySize = LoadOptions.usualBody }
    if case .halfClose = shape, keptConnections != nil {
      throw UsageError(
        text: "load: --shape half-close: each is a connection's last request, so no --keep-alive")
    }
    if isClosedLoop && (keptConnections == nil || rate != nil || connections != nil) {
      throw UsageError(
        text: "load: --closed-loop: expected --keep-alive with it, not --rate or --connections")
    }
    if rate != nil && (think != nil || ramp != nil) {
      throw UsageError(text: "load: --think, --ramp: expected no --rate with it, they are a closed loop's")
    }
    if let connections, let kept = keptConnections, connections > kept {
      throw UsageError(text: "load: --keep-alive: expected as many as --connections, as each keeps its own")
    }
    if let rate {
      guard connections == nil else {
        throw UsageError(text: "load: expected --rate (open loop) or --connections (closed loop), not both")
      }
      arrival = .open(rate: rate, isPoisson: isPoisson, bursts: bursts)
    } else if isPoisson || bursts != nil || balancers > 1 {
      throw UsageError(text: "load: --poisson, --bursts, --balancers: expected --rate with it")
    } else {
      arrival = .closed(
        connections: connections ?? keptConnections ?? 1, think: think ?? .zero, ramp: ramp ?? .zero)
    }
    if balancers > 1 && requests != nil {
      throw UsageError(text: "load: expected --requests or --balancers, not both")
    }
    if stopAfter != nil && stops == nil {
      throw UsageError(text: "load: --stop-after: expected --stop with it")
    }
    // With a stop, its removal is the end.
    if duration == nil && requests == nil && stops == nil { duration = .seconds(10) }
    // One that holds waits for a stop, which may take its time.
    self.timeout = timeout ?? (holds ? .seconds(60) : .seconds(10))
  }

  /// The size of a body where one is needed and none is given.
  private static var usualBody: Int { 1000 }

  private static func shape(_ words: inout Words) throws(UsageError) -> Shape {
    let expected: StaticString = "plain, two-writes, expect or half-close"
    let written = try words.value(expected)
    guard let shape = Shape(written: written) else {
      throw words.complaint("expected \(expected), not '\(written)'")
    }
    return shape
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

  /// "200ms/800ms".
  private static func bursts(_ words: inout Words) throws(UsageError) -> Arrivals.Bursts {
    let written = try words.value("two times such as 200ms/800ms")
    guard let slash = written.firstIndex(of: UInt8(ascii: "/")),
      let on = Duration(written: Array(written[..<slash])), on > .zero,
      let off = Duration(written: Array(written[(slash + 1)...]))
    else { throw words.complaint("expected two times such as 200ms/800ms, not '\(written)'") }
    return Arrivals.Bursts(on: on, off: off)
  }

  /// One load balancer's share of this load.
  func share(_ index: Int) -> LoadOptions {
    var share = self
    if balancers == 1 { return share }
    if case .open(let rate, let isPoisson, let bursts) = arrival {
      share.arrival = .open(rate: rate / Double(balancers), isPoisson: isPoisson, bursts: bursts)
    }
    share.keptConnections = keptConnections.map { max(1, $0 / balancers) }
    share.seed = seed &* 1009 &+ UInt64(index)
    return share
  }

  private static func path(_ words: inout Words) throws(UsageError) -> [UInt8] {
    let written = try words.value("a path such as /slow?ms=300")
    guard written.first == UInt8(ascii: "/"), written.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
      throw words.complaint("expected a path such as /slow?ms=300, not '\(written)'")
    }
    return written
  }
}
