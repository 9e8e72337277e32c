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
  private let request: [UInt8]
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

  /// How long a closed loop rests after a failure: a service that is gone is not asked without end.
  private static var pause: Duration { .milliseconds(10) }
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
    var head: Text = "GET "
    for byte in options.path { head.append(byte: byte) }
    head.append(" HTTP/1.1\r\nHost: tide\r\n")
    // Who wants one answer says so; a held connection is to be closed by the service when it likes.
    if options.keptConnections == nil && !options.holds { head.append("Connection: close\r\n") }
    head.append("\r\n")
    request = head.bytes
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
    case .closed(let connections):
      for _ in 0..<connections { sendAnother() }
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
        advance(token)
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

  /// Sends the next request of a closed loop.
  private func sendAnother() {
    if mayGoOn { send(at: loop.now) } else { isSending = false }
  }

  private func send(at moment: Duration) {
    scheduled += 1
    record.sent(at: loop.now)
    guard let kept = options.keptConnections else { return connect(at: moment) }
    while let token = idle.popLast() {
      guard let exchange = exchanges[token] else { continue }
      exchange.begin(number: scheduled, at: moment)
      // Sent when the loop comes round: answers that come at once must not lead ever deeper from here.
      loop.change(exchange.socket.descriptor, token, readable: false, writable: true)
      return
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
      if case .closed = options.arrival { loop.wake(nextOfClosedLoop, at: loop.now + LoadClient.pause) }
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
      exchange.rest()
      idle.append(token)
      loop.change(exchange.socket.descriptor, token, readable: true, writable: false)
      exchange.waitsForSocket = true
    } else if case .cut = outcome {
      exchanges.remove(token)
      record.connections(-1, at: loop.now)
      exchange.socket.reset()
    } else {
      drop(token, exchange)
    }
    switch options.arrival {
    case .open: sendWaiting()
    case .closed:
      if case .failed = outcome {
        loop.wake(nextOfClosedLoop, at: loop.now + LoadClient.pause)
      } else {
        sendAnother()
      }
    }
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
