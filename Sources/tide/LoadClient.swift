import CLinux
import Linux

/// Clients of a service: sends requests as told, and counts what becomes of each.
///
/// It lives in a loop that belongs to someone else, so that several can share one: it takes the occurrences of
/// its own two sources, and ignores the rest.
final class LoadClient {
  private let options: LoadOptions
  private let loop: Loop
  private let clock: Token
  private let nextOfOpenLoop: Token
  private let nextOfClosedLoop: Token
  private let request: OutgoingRequest
  private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
  private var arrivals: Arrivals?

  /// What came of the requests so far; others may write to it too.
  let record: LoadRecord

  private var exchanges: Table<Exchange>
  private var idle: [Token] = []
  /// Requests that wait for a kept connection: when each was to be sent.
  private var waiting: [Duration] = []
  private var waitingFrom = 0

  private let began: Duration
  private var isSending = true
  /// When the next request is to be sent.
  private var next: Duration
  /// Counted apart from those that were sent: a refused one may be taken back.
  private var scheduled = 0

  /// How often requests that take too long are looked for.
  private static var sweepInterval: Duration { .milliseconds(50) }

  /// Clients that begin at once.
  ///
  /// `source` and the one after it are theirs.
  init(_ options: LoadOptions, in loop: Loop, source: UInt8, record: LoadRecord) {
    self.options = options
    self.loop = loop
    self.record = record
    clock = Token(source: source + 1, index: 0)
    nextOfOpenLoop = Token(source: source + 1, index: 1)
    nextOfClosedLoop = Token(source: source + 1, index: 2)
    exchanges = Table(source: source)
    request = OutgoingRequest(options)
    began = loop.now
    next = loop.now
    if case .open(let rate, let isPoisson, let bursts) = options.arrival {
      var arrivals = Arrivals(rate: rate, isPoisson: isPoisson, bursts: bursts, seed: options.seed)
      next = began + arrivals.next()
      self.arrivals = arrivals
    }
  }

  /// Sends the first requests.
  func begin() {
    loop.wake(clock, at: loop.now + LoadClient.sweepInterval)
    switch options.arrival {
    case .open: sendDue()
    case .closed(let connections, _, let ramp):
      var random = RandomNumbers(seed: options.seed)
      for _ in 0..<connections {
        if ramp > .zero {
          let moment = Duration.nanoseconds(Int64(Double(ramp.inNanoseconds) * random.unit()))
          loop.wake(nextOfClosedLoop, at: loop.now + moment)
        } else {
          sendAnother()
        }
      }
    }
  }

  /// Whether nothing is in progress, and nothing more will be sent.
  var isFinished: Bool {
    !isSending && exchanges.count == idle.count && waitingFrom == waiting.count
  }

  /// How many requests are in progress.
  var inProgress: Int { exchanges.count - idle.count }

  /// Sends nothing new; what is in progress goes on.
  func stopSending() {
    isSending = false
    if !options.keepsIdle {
      for token in idle { exchanges[token].map { drop(token, $0) } }
      idle.removeAll()
    }
    // They were never sent.
    waiting.removeAll()
    waitingFrom = 0
  }

  /// Takes what has happened, if it is about this client.
  func handle(_ occurrence: Occurrence) {
    switch occurrence {
    case .ready(let token, _, _): advance(token)
    case .due(let token, let moment):
      if token == clock {
        sweep()
      } else if token == nextOfOpenLoop {
        sendDue()
      } else if token == nextOfClosedLoop {
        sendAnother()
      } else if let exchange = exchanges[token], exchange.deadline == moment {
        exchange.deadline = nil
        if exchange.restsUntil == moment { askAgain(token, exchange) } else { advance(token) }
      }
    case .signal: break
    }
  }

  // MARK: Sending

  private var mayGoOn: Bool {
    if !isSending { return false }
    if let requests = options.requests, scheduled >= requests { return false }
    if let duration = options.duration, loop.now >= began + duration { return false }
    return true
  }

  /// Sends the requests of an open loop whose time has come.
  private func sendDue() {
    while mayGoOn && next <= loop.now {
      send(at: next)
      if let moment = arrivals?.next() { next = began + moment }
    }
    if mayGoOn { loop.wake(nextOfOpenLoop, at: next) } else { isSending = false }
  }

  /// Sends the next request of a closed loop, over a connection of its own.
  private func sendAnother() {
    if mayGoOn { send(at: loop.now) } else { isSending = false }
  }

  /// The same over a connection that is kept.
  private func askAgain(_ token: Token, _ exchange: Exchange) {
    guard mayGoOn else {
      isSending = false
      return exchange.rest()
    }
    idle.removeAll { $0 == token }
    scheduled += 1
    record.sent(at: loop.now)
    use(token, exchange, at: loop.now)
  }

  /// Sends a request over a connection that is kept: when the loop comes round, since answers that come at once
  /// must not lead ever deeper from here.
  private func use(_ token: Token, _ exchange: Exchange, at moment: Duration) {
    exchange.begin(number: scheduled, at: moment)
    loop.change(exchange.socket.descriptor, token, readable: false, writable: true)
    exchange.waitsForSocket = true
  }

  private func send(at moment: Duration) {
    scheduled += 1
    record.sent(at: loop.now)
    guard case .open = options.arrival, let kept = options.keptConnections else { return connect(at: moment) }
    while let token = idle.popLast() {
      guard let exchange = exchanges[token] else { continue }
      return use(token, exchange, at: moment)
    }
    if exchanges.count < kept { return connect(at: moment) }
    record.takeBack()
    waiting.append(moment)
  }

  private func connect(at moment: Duration) {
    do throws(Errno) {
      // A slow reader has a small window, of two reads, so that the bytes wait with the service.
      let window = options.readRate.map { Int32(max(4096, min($0 / 5, 1 << 20))) }
      let (socket, attempt) = try Socket.connecting(to: options.target, receiveBuffer: window)
      let exchange = Exchange(socket, attempt, options, request: request, number: scheduled, began: moment)
      let token = exchanges.insert(exchange)
      record.connections(1, at: loop.now)
      do throws(Errno) {
        try loop.watch(socket.descriptor, token, readable: false, writable: true)
      } catch {
        drop(token, exchange)
        throw error
      }
    } catch {
      count(Exchange.outcome(of: error, "connecting"), number: scheduled, began: moment)
      if case .closed = options.arrival { loop.wake(nextOfClosedLoop, at: loop.now + options.pause) }
    }
  }

  // MARK: Exchanges

  private func advance(_ token: Token) {
    guard let exchange = exchanges[token] else { return }
    switch exchange.advance(loop.now, scratch: scratch) {
    case .wait(let readable, let writable, let until):
      loop.change(exchange.socket.descriptor, token, readable: readable, writable: writable)
      exchange.waitsForSocket = readable || writable
      if let until, exchange.deadline != until {
        exchange.deadline = until
        loop.wake(token, at: until)
      }
    case .closed:
      idle.removeAll { $0 == token }
      drop(token, exchange)
      // Its client asks over a new one.
      if let moment = exchange.restsUntil { loop.wake(nextOfClosedLoop, at: moment) }
    case .done(let outcome): finish(token, exchange, outcome)
    }
  }

  private func finish(_ token: Token, _ exchange: Exchange, _ outcome: Exchange.Outcome) {
    record.took(bodyBytes: exchange.bodyBytes)
    count(
      outcome, number: exchange.number, began: exchange.began, answered: exchange.answered,
      isReused: exchange.isReused)
    let isWanted = isSending || waitingFrom < waiting.count || options.keepsIdle
    if case .answered = outcome, options.keptConnections != nil, exchange.canBeKept, isWanted {
      if case .closed(_, let think, _) = options.arrival { return goOn(token, exchange, after: think) }
      keep(token, exchange)
    } else if case .cut = outcome {
      exchanges.remove(token)
      record.connections(-1, at: loop.now)
      exchange.socket.reset()
    } else {
      drop(token, exchange)
    }
    switch options.arrival {
    case .open: sendWaiting()
    case .closed(_, let think, _):
      var rest = think
      if case .failed = outcome { rest = max(rest, options.pause) }
      if rest > .zero { loop.wake(nextOfClosedLoop, at: loop.now + rest) } else { sendAnother() }
    }
  }

  /// Keeps a connection for a later request, and sees when the service closes it.
  private func keep(_ token: Token, _ exchange: Exchange, until moment: Duration? = nil) {
    exchange.rest(until: moment)
    idle.append(token)
    loop.change(exchange.socket.descriptor, token, readable: true, writable: false)
    exchange.waitsForSocket = true
  }

  /// A connection of a closed loop has its answer, and asks again.
  private func goOn(_ token: Token, _ exchange: Exchange, after think: Duration) {
    guard mayGoOn else {
      isSending = false
      return keep(token, exchange)
    }
    if think == .zero { return askAgain(token, exchange) }
    let moment = loop.now + think
    keep(token, exchange, until: moment)
    exchange.deadline = moment
    loop.wake(token, at: moment)
  }

  private func drop(_ token: Token, _ exchange: Exchange) {
    exchanges.remove(token)
    record.connections(-1, at: loop.now)
    exchange.socket.close()
  }

  /// A connection has become free, or there is room for a new one: the request that has waited longest.
  private func sendWaiting() {
    guard let moment = takeWaiting() else { return }
    // It has been counted when it came to wait.
    scheduled -= 1
    send(at: moment)
  }

  private func takeWaiting() -> Duration? {
    guard waitingFrom < waiting.count else { return nil }
    defer {
      waitingFrom += 1
      if waitingFrom == waiting.count {
        waiting.removeAll(keepingCapacity: true)
        waitingFrom = 0
      }
    }
    return waiting[waitingFrom]
  }

  private func count(
    _ outcome: Exchange.Outcome, number: Int, began: Duration, answered: Duration? = nil,
    isReused: Bool = false
  ) {
    switch outcome {
    case .answered:
      record.answered(at: answered ?? loop.now, took: (answered ?? loop.now) - began)
    case .cut: record.cut(at: loop.now)
    case .failed(.refused, _) where options.endsWhenRefused:
      // The service is gone, as expected: this request was not one.
      record.takeBack()
      stopSending()
    case .failed(let failure, let why):
      record.failed(
        FailedRequest(failure: failure, why: why, at: loop.now, began: began, isReused: isReused),
        number: number)
    }
  }

  private func sweep() {
    loop.wake(clock, at: loop.now + LoadClient.sweepInterval)
    if isSending && !mayGoOn && waitingFrom == waiting.count { stopSending() }
    for token in exchanges.tokens {
      guard let exchange = exchanges[token], !exchange.isIdle else { continue }
      if loop.now - exchange.began >= options.timeout { finish(token, exchange, exchange.timeOut()) }
    }
    while waitingFrom < waiting.count, loop.now - waiting[waitingFrom] >= options.timeout {
      guard let moment = takeWaiting() else { break }
      record.sent(at: loop.now)
      count(.failed(.timedOut, "timed out before a connection was free"), number: 0, began: moment)
    }
  }
}
