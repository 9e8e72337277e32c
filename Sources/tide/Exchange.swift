import CLinux
import Linux

/// One connection of the load client, and the request that is in progress on it.
final class Exchange {
  private enum Phase {
    case connecting
    /// As much of that write has gone.
    case sending(write: Int, from: Int)
    /// The body is held back until the service asks for it, or that takes too long.
    case expecting(until: Duration)
    case receiving
    /// The answer is complete, and the service is expected to close.
    case holding
    /// Kept for the next request.
    case idle
  }

  /// What came of the request.
  enum Outcome {
    case answered
    case failed(Failure, Text)
    /// Cut by us, as asked.
    case cut
  }

  /// What the exchange waits for.
  enum Next {
    case wait(readable: Bool, writable: Bool, until: Duration?)
    case done(Outcome)
    /// An idle connection has been closed by the service, which is its right.
    case closed
  }

  /// How often a slow reader reads.
  private static var readsPerSecond: Int { 10 }
  /// How long a 100 Continue is waited for: as curl(1) does.
  private static var longestExpectation: Duration { .seconds(1) }

  let socket: Socket
  /// The request's number, from 1.
  private(set) var number: Int
  /// When the answer was complete.
  private(set) var answered: Duration?
  /// When the request was to be sent.
  private(set) var began: Duration
  /// Whether the connection has served a request before.
  private(set) var isReused = false
  /// The moment that was asked for last.
  var deadline: Duration?
  /// Whether it asked to be told when the socket can be read or written.
  var waitsForSocket = true
  /// Until when the connection is left alone between two requests of a closed loop.
  private(set) var restsUntil: Duration?

  private let options: LoadOptions
  private let request: OutgoingRequest
  private var phase: Phase
  /// An answer can come before the request has gone.
  private var isSent = false
  private var parser: ResponseParser
  private var received = 0
  /// When a slow reader may read on, once its allowance is used up; nil for one that reads at will.
  private var nextRead: Duration?
  private var allowance = 0
  private var failure: Errno?

  init(
    _ socket: Socket, _ attempt: Socket.Attempt, _ options: LoadOptions, request: OutgoingRequest,
    number: Int, began: Duration
  ) {
    self.socket = socket
    self.options = options
    self.request = request
    self.number = number
    self.began = began
    switch attempt {
    case .connected: phase = .sending(write: 0, from: 0)
    case .underWay: phase = .connecting
    }
    parser = ResponseParser(verifies: options.verifies)
    nextRead = options.readRate != nil ? began : nil
  }

  /// Bytes of the answer's body so far.
  var bodyBytes: UInt64 { parser.bodyBytes }

  /// Whether the next request can go over the same connection, once this one is answered.
  var canBeKept: Bool { isSent && parser.isComplete && parser.keepsConnection }

  var isIdle: Bool {
    if case .idle = phase { return true }
    return false
  }

  /// Keeps the connection for later.
  func rest(until moment: Duration? = nil) {
    phase = .idle
    restsUntil = moment
  }

  /// Uses the connection again.
  func begin(number: Int, at moment: Duration) {
    self.number = number
    isReused = true
    began = moment
    restsUntil = nil
    phase = .sending(write: 0, from: 0)
    isSent = false
    parser = ResponseParser(verifies: options.verifies)
    received = 0
    answered = nil
  }

  /// The request has taken too long.
  func timeOut() -> Outcome {
    if case .holding = phase { return .answered }
    return .failed(.timedOut, "timed out after \(parser.bodyBytes) bytes")
  }

  /// Goes on as far as possible without waiting.
  func advance(_ now: Duration, scratch: UnsafeMutableRawBufferPointer) -> Next {
    if !waitsForSocket, failure == nil, let error = socket.failure {
      // A reset reaches a slow reader between two reads: what it has received it can still read.
      failure = error
      nextRead = nil
    }
    // A bound, so that one fast answer does not keep the loop.
    var readsLeft = 16
    while true {
      switch phase {
      case .connecting:
        if let error = socket.failure { return .done(Exchange.outcome(of: error, "connecting")) }
        phase = .sending(write: 0, from: 0)

      case .sending(let write, let sent):
        do throws(Errno) {
          let bytes = request.writes[write]
          let count = try bytes.withUnsafeBufferPointer { (buffer) throws(Errno) -> Int in
            try socket.send(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: buffer.dropFirst(sent))))
          }
          if sent + count < bytes.count {
            phase = .sending(write: write, from: sent + count)
          } else {
            afterWrite(write, now)
          }
        } catch {
          if error == .wouldBlock { return .wait(readable: false, writable: true, until: nil) }
          // The service may have answered before it closed: the reads tell.
          failure = error
          phase = .receiving
        }

      case .expecting(let moment):
        if parser.isToContinue || now >= moment {
          phase = .sending(write: 1, from: 0)
        } else {
          if readsLeft == 0 { return .wait(readable: true, writable: false, until: moment) }
          readsLeft -= 1
          switch receive(now, scratch, isPaced: false) {
          case .some(.wait): return .wait(readable: true, writable: false, until: moment)
          case .some(let next): return next
          case nil: break
          }
        }

      case .receiving:
        if let moment = nextRead, let rate = options.readRate, allowance == 0 {
          if now < moment { return .wait(readable: false, writable: false, until: moment) }
          allowance = max(1, rate / Exchange.readsPerSecond)
          nextRead = now + .milliseconds(1000 / Exchange.readsPerSecond)
        }
        if readsLeft == 0 { return .wait(readable: true, writable: false, until: nil) }
        readsLeft -= 1
        if let next = receive(now, scratch, isPaced: nextRead != nil) { return next }

      case .holding:
        switch discard(scratch) {
        case nil: return .wait(readable: true, writable: false, until: nil)
        case .some(true): return .done(.failed(.bad, "more than one answer"))
        case .some(false): return .done(.answered)
        }

      case .idle:
        return discard(scratch) == nil ? .wait(readable: true, writable: false, until: nil) : .closed
      }
    }
  }

  /// One of the writes has gone: to the next step.
  private func afterWrite(_ write: Int, _ now: Duration) {
    if write + 1 < request.writes.count {
      if case .expect = request.shape {
        phase = .expecting(until: now + Exchange.longestExpectation)
      } else {
        phase = .sending(write: write + 1, from: 0)
      }
      return
    }
    if case .halfClose = request.shape { socket.shutdownWriting() }
    isSent = true
    phase = .receiving
  }

  /// Reads once; nil when there may be more to do at once.
  private func receive(_ now: Duration, _ scratch: UnsafeMutableRawBufferPointer, isPaced: Bool) -> Next? {
    var room = scratch.count
    if isPaced { room = min(room, allowance) }
    if let limit = options.resetAfter {
      if received >= limit { return .done(.cut) }
      room = min(room, limit - received)
    }
    do throws(Errno) {
      let count = try socket.receive(into: UnsafeMutableRawBufferPointer(rebasing: scratch[..<room]))
      if count == 0 { return .done(endOfConnection()) }
      received += count
      if isPaced { allowance -= count }
      do throws(ResponseParser.Fault) {
        try parser.take(UnsafeRawBufferPointer(rebasing: scratch[..<count]))
      } catch {
        if case .status(let status) = error, status >= 500 { return .done(.failed(.error, "\(error)")) }
        return .done(.failed(.bad, "\(error)"))
      }
    } catch {
      if error == .wouldBlock && failure == nil { return .wait(readable: true, writable: false, until: nil) }
      let reason = error == .wouldBlock ? failure ?? error : error
      return .done(Exchange.outcome(of: reason, "after \(received) bytes"))
    }
    if let limit = options.resetAfter, received >= limit { return .done(.cut) }
    if parser.isComplete {
      answered = now
      if !options.holds { return .done(.answered) }
      phase = .holding
    }
    return nil
  }

  private func endOfConnection() -> Outcome {
    if parser.end() { return .answered }
    if let failure { return Exchange.outcome(of: failure, "after \(received) bytes") }
    if !parser.hasBegun { return .failed(.unanswered, "closed without an answer") }
    return .failed(.short, "ended after \(received) bytes")
  }

  /// true: something came.
  ///
  /// false: the end, or an error. nil: nothing yet.
  private func discard(_ scratch: UnsafeMutableRawBufferPointer) -> Bool? {
    do throws(Errno) {
      return try socket.receive(into: scratch) > 0
    } catch {
      return error == .wouldBlock ? nil : false
    }
  }

  /// What an error of the socket means to the request.
  static func outcome(of error: Errno, _ when: Text) -> Outcome {
    let text: Text = "\(error), \(when)"
    switch error {
    case Errno(ECONNREFUSED): return .failed(.refused, text)
    case Errno(ECONNRESET), Errno(EPIPE): return .failed(.reset, text)
    case Errno(ETIMEDOUT): return .failed(.timedOut, text)
    default: return .failed(.bad, text)
    }
  }
}
