import Linux

/// One client's connection to the service: HTTP/1.1 with keep-alive and pipelining, one request at a time.
///
/// It reads and writes its own socket, as far as that goes without waiting, and then says what it waits for.
/// While an answer is in progress nothing is read: the next request stays in the kernel's receive queue, as
/// with most servers.
final class Connection {
  private enum State {
    /// Waits for a request, or for the rest of one.
    case reading
    /// An answer takes its time, or a stream the time between two pieces.
    case pausing(until: Duration)
    /// The client is told to go on with its body.
    case continuing
    /// Bytes are on their way into the kernel.
    case sending
    /// Our FIN is sent; what the client still sends is thrown away, so that no RST destroys the answer.
    case lingering(until: Duration)
    /// The request was for ``Plan/Answer/never``.
    case held
    /// Never looked at again.
    case forgotten
  }

  /// What a connection wants of the server.
  enum Next {
    /// To be called again when the socket is ready, or the moment has come. With neither: when it fails.
    case wait(readable: Bool, writable: Bool, until: Duration?)
    /// Something to be done; then to be called again.
    case perform(Plan.Deed)
    /// To be closed.
    case close
  }

  /// How a stop changes what a connection does.
  struct Circumstances {
    let now: Duration
    /// The service is stopping: this answer is the last one, and who has not begun to ask by then is closed.
    let lastCallUntil: Duration?
  }

  let socket: Socket
  /// The moment that was asked for last.
  var deadline: Duration?
  /// Whether it asked to be told when the socket can be read or written.
  var waitsForSocket = true
  /// When something last happened.
  private(set) var lastActive: Duration
  /// How many requests were read.
  private(set) var requests = 0
  /// How many answers were handed to the kernel in full.
  private(set) var answers = 0

  private var state = State.reading
  private var input: [UInt8] = []
  /// The request whose body is being read.
  private var request: Request?
  /// How many bytes of that are still to come, and to be thrown away.
  private var bodyLeft: UInt64 = 0
  private var output = Output()
  private var plan: Plan?
  private var isHeadWritten = false
  private var closesAfterAnswer = false
  private var isHead = false
  private var isOld = false
  private var piecesLeft = 0
  private var position: UInt64 = 0

  /// A connection just accepted.
  init(_ socket: Socket, now: Duration) {
    self.socket = socket
    lastActive = now
  }

  /// Whether a graceful stop waits for it: it can still come to an end by itself.
  var holdsOffTheEnd: Bool {
    if case .forgotten = state { return false }
    return true
  }

  /// Whether it waits for a request.
  var isReading: Bool {
    if case .reading = state { return true }
    return false
  }

  /// Whether its client asked for `/hold`.
  var isHeld: Bool {
    if case .held = state { return true }
    return false
  }

  /// To be asked when the socket has something to tell: whether that is a RST to a connection that would
  /// neither read nor write now, and so would not notice.
  var isDead: Bool { !waitsForSocket && socket.failure != nil }

  /// Goes on as far as possible without waiting.
  func advance(_ circumstances: Circumstances, scratch: UnsafeMutableRawBufferPointer) -> Next {
    lastActive = circumstances.now
    // Bounds, so that one client cannot keep the loop: what is left over is told again by epoll(7).
    var readsLeft = 4
    while true {
      switch state {
      case .reading:
        switch takeRequest() {
        case .plan(let plan):
          begin(plan, circumstances.now)
          if let before = plan.before { return .perform(before) }
        case .refusal(let refusal):
          closesAfterAnswer = true
          begin(Plan(refusal), circumstances.now)
        case .toContinue:
          output.append("HTTP/1.1 100 Continue\r\n\r\n")
          state = .continuing
        case .needsMore:
          if readsLeft == 0 { return .wait(readable: true, writable: false, until: nil) }
          readsLeft -= 1
          switch read(scratch) {
          case .some(true): break
          case .some(false): return .close
          case nil: return waitForRequest(circumstances)
          }
        }

      case .pausing(let moment):
        if circumstances.now < moment { return .wait(readable: false, writable: false, until: moment) }
        writeNext(circumstances)

      case .continuing:
        guard let isSent = send(scratch) else { return .close }
        if !isSent { return .wait(readable: false, writable: true, until: nil) }
        state = .reading

      case .sending:
        guard let isSent = send(scratch) else { return .close }
        if !isSent { return .wait(readable: false, writable: true, until: nil) }
        if let next = afterSending(circumstances, scratch) { return next }

      case .lingering(let moment):
        if circumstances.now >= moment || readsLeft == 0 { return .close }
        readsLeft -= 1
        switch discard(scratch) {
        case .some(true): break
        case .some(false): return .close
        case nil: return .wait(readable: true, writable: false, until: moment)
        }

      case .held:
        // The client may give up.
        if readsLeft == 0 { return .wait(readable: true, writable: false, until: nil) }
        readsLeft -= 1
        switch discard(scratch) {
        case .some(true): break
        case .some(false): return .close
        case nil: return .wait(readable: true, writable: false, until: nil)
        }

      case .forgotten:
        return .wait(readable: false, writable: false, until: nil)
      }
    }
  }

  /// Answers a client of `/hold` with a long body after all, in one go: how many bytes of the body the kernel
  /// took.
  func flush(_ size: Int, scratch: UnsafeMutableRawBufferPointer) -> Int {
    socket.makeRoom(for: size + 64 * 1024)
    var head = Text()
    writeHead(.ok, body: .length(UInt64(size), isPattern: true), to: &head)
    output.append(head)
    var before = 0
    // The head counts as none of the body's bytes: it goes first, alone.
    guard (try? output.send(to: socket, through: scratch, most: .max)) == true else { return 0 }
    while before < size {
      let count = min(scratch.count, size - before)
      let part = UnsafeMutableRawBufferPointer(rebasing: scratch[..<count])
      Pattern.fill(part, from: UInt64(before))
      guard let accepted = try? socket.send(UnsafeRawBufferPointer(part)) else { break }
      before += accepted
    }
    return before
  }

  // MARK: Requests

  private enum Taken {
    case plan(Plan)
    case refusal(Refusal)
    case toContinue
    case needsMore
  }

  private func takeRequest() -> Taken {
    if let request { return takeBody(of: request) }
    if input.isEmpty { return .needsMore }
    do throws(Refusal) {
      switch try Request.parse(input) {
      case .incomplete: return .needsMore
      case .complete(let request, let length):
        input.removeFirst(length)
        requests += 1
        self.request = request
        bodyLeft = request.bodyLength
        isHead = request.method == .head
        isOld = request.isOld
        closesAfterAnswer = !request.keepsAlive
        // Whose body has begun to come does not wait for our word, RFC 9110 10.1.1.
        if request.expectsContinue && bodyLeft > 0 && input.isEmpty { return .toContinue }
        return takeBody(of: request)
      }
    } catch {
      return .refusal(error)
    }
  }

  /// Throws away what has come of a body; with its last byte the request is complete.
  private func takeBody(of request: Request) -> Taken {
    let count = min(bodyLeft, UInt64(input.count))
    input.removeFirst(Int(count))
    bodyLeft -= count
    if bodyLeft > 0 { return .needsMore }
    self.request = nil
    do throws(Refusal) {
      return .plan(try Plan(request))
    } catch {
      // The request was well framed: the connection can stay.
      return .plan(Plan(error))
    }
  }

  /// true: more has come.
  ///
  /// false: the end, or an error. nil: nothing yet.
  private func read(_ scratch: UnsafeMutableRawBufferPointer) -> Bool? {
    let room = min(scratch.count, 2 * Request.largestHead - input.count)
    do throws(Errno) {
      let count = try socket.receive(into: UnsafeMutableRawBufferPointer(rebasing: scratch[..<room]))
      input.append(contentsOf: scratch[..<count])
      return count > 0
    } catch {
      return error == .wouldBlock ? nil : false
    }
  }

  /// Whether all is sent; nil where the client is gone.
  private func send(_ scratch: UnsafeMutableRawBufferPointer) -> Bool? {
    try? output.send(to: socket, through: scratch, most: 1 << 20)
  }

  private func discard(_ scratch: UnsafeMutableRawBufferPointer) -> Bool? {
    do throws(Errno) {
      return try socket.receive(into: scratch) > 0
    } catch {
      return error == .wouldBlock ? nil : false
    }
  }

  private func waitForRequest(_ circumstances: Circumstances) -> Next {
    // Whose body is still to come has asked: that is waited for, in a stop too.
    guard let lastCall = circumstances.lastCallUntil, request == nil else {
      return .wait(readable: true, writable: false, until: nil)
    }
    // A connection that is kept open and idle is not work. One that has just come is about to ask.
    let isIdle = requests > 0 && input.isEmpty
    if isIdle || circumstances.now >= lastCall { return .close }
    return .wait(readable: true, writable: false, until: lastCall)
  }

  // MARK: Answers

  private func begin(_ plan: Plan, _ now: Duration) {
    self.plan = plan
    isHeadWritten = false
    position = 0
    switch plan.answer {
    case .never: state = .held
    case .deaf: state = .forgotten
    default: state = .pausing(until: now + plan.delay)
    }
  }

  /// Queues the next part of the answer: its head with the body, or a piece of a stream.
  private func writeNext(_ circumstances: Circumstances) {
    guard let plan else { return }
    state = .sending
    var text = Text()
    if !isHeadWritten {
      isHeadWritten = true
      if circumstances.lastCallUntil != nil { closesAfterAnswer = true }
      switch plan.after {
      case .exit: closesAfterAnswer = true
      default: break
      }
      switch plan.answer {
      case .line(let line):
        writeHead(plan.status, body: .length(UInt64(line.utf8CodeUnitCount + 1), isPattern: false), to: &text)
        if !isHead {
          text.append(line)
          text.append("\n")
        }
        output.append(text)
        return
      case .bytes(let count):
        writeHead(plan.status, body: .length(count, isPattern: true), to: &text)
        output.append(text)
        if !isHead { output.append(patternFrom: 0, count: count) }
        return
      case .stream(let pieces, _, _):
        // HTTP/1.0 has no chunks: the end of the connection is the end of the body.
        if isOld { closesAfterAnswer = true }
        writeHead(plan.status, body: isOld ? .untilClose : .chunked, to: &text)
        output.append(text)
        if isHead { return }
        piecesLeft = pieces
      case .never, .deaf: return
      }
    }
    if case .stream(_, let size, _) = plan.answer { writePiece(size) }
  }

  private func writePiece(_ size: UInt64) {
    if piecesLeft > 0 && size > 0 {
      piecesLeft -= 1
      var frame = Text()
      if !isOld {
        frame.append(hexadecimal: size)
        frame.append("\r\n")
        output.append(frame)
      }
      output.append(patternFrom: position, count: size)
      position &+= size
      if !isOld { output.append("\r\n") }
    } else {
      piecesLeft = 0
    }
    if piecesLeft == 0 && !isOld { output.append("0\r\n\r\n") }
  }

  private func afterSending(
    _ circumstances: Circumstances, _ scratch: UnsafeMutableRawBufferPointer
  ) -> Next? {
    if case .stream(_, _, let every) = plan?.answer, piecesLeft > 0 {
      state = .pausing(until: circumstances.now + every)
      return nil
    }
    guard let plan else { return .close }
    answers += 1
    self.plan = nil
    if plan.leaks {
      state = .forgotten
    } else if !closesAfterAnswer {
      state = .reading
    } else if discard(scratch) != true {
      // Nothing unread: a plain close sends a FIN.
      return plan.after.map { .perform($0) } ?? .close
    } else {
      // Bytes that the client has sent and nobody read would turn the FIN into a RST, which can destroy an
      // answer that the client has not read yet.
      input.removeAll()
      socket.shutdownWriting()
      state = .lingering(until: circumstances.now + .seconds(1))
    }
    return plan.after.map { .perform($0) }
  }

  // MARK: Head

  private enum Body {
    case length(UInt64, isPattern: Bool)
    case chunked
    case untilClose
  }

  private func writeHead(_ status: Status, body: Body, to text: inout Text) {
    text.append("HTTP/1.1 ")
    text.append(status.rawValue)
    text.append(" ")
    text.append(status.reason)
    text.append("\r\nServer: tide\r\nContent-Type: text/plain\r\n")
    switch body {
    case .length(let count, let isPattern):
      text.append("Content-Length: ")
      text.append(count)
      text.append(isPattern ? "\r\nBody-Pattern: tide\r\n" : "\r\n")
    case .chunked: text.append("Transfer-Encoding: chunked\r\nBody-Pattern: tide\r\n")
    case .untilClose: text.append("Body-Pattern: tide\r\n")
    }
    if status == .methodNotAllowed { text.append("Allow: GET, HEAD, POST\r\n") }
    if closesAfterAnswer {
      text.append("Connection: close\r\n")
    } else if isOld {
      text.append("Connection: keep-alive\r\n")
    }
    text.append("\r\n")
  }
}
