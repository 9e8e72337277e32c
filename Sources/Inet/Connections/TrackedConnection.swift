import Linux

/// What is remembered of one connection: its last look, and what the looks before have taught.
struct TrackedConnection {
  let cookie: UInt64
  var activity: Activity
  var bytesSent: UInt64
  var payloadReceived: UInt64
  /// At the last look, and when that was.
  var sinceSent: Duration
  var lookedAt: Duration
  /// From the last request to the last that was sent.
  var answerTook: Duration
  /// How often the service has said more without being asked, and the longest pause before that.
  var pieces: UInt8 = 0
  var pause = Duration.zero
  var heartbeats: UInt8 = 0
  /// Since the waiting began: whether an answer was sent, small words were, how often the peer spoke after those, and
  /// whether it has asked again after an answer.
  var hasAnswered = false
  var hasSpoken = false
  var turns: UInt8 = 0
  var hasAskedAgain = false
  var isWaitedFor = false
  /// It was given up without knowing.
  var isInDoubt = false
  /// Something was said on it, or to be said, as the service was told to end at once.
  var isHeld = false
  /// Its end has been judged.
  var isJudged = false
  /// It was still in the accept queue.
  var isAccepted: Bool
  var peerHasClosed: Bool
  var unread: UInt32
}

extension TrackedConnection {
  init(_ socket: TCPSocket, _ activity: Activity, at now: Duration) {
    cookie = socket.cookie
    self.activity = activity
    bytesSent = socket.history?.payloadSent ?? 0
    payloadReceived = socket.payloadReceived ?? 0
    sinceSent = socket.history?.sinceSent ?? .zero
    lookedAt = now
    answerTook = socket.history.map { $0.sinceReceived - $0.sinceSent } ?? .zero
    isAccepted = socket.inode != 0
    peerHasClosed = socket.peerHasClosed
    unread = socket.unread
  }

  /// Whether nothing has moved since the look that told what goes on.
  func isUnchanged(_ socket: TCPSocket) -> Bool {
    switch activity.evidence {
    case .acknowledgedAnswer, .acknowledgedRequest, .answeredAtOnce, .nothing: break
    default: return false
    }
    return socket.history?.payloadSent == bytesSent && socket.payloadReceived == payloadReceived
      && socket.peerHasClosed == peerHasClosed
  }

  /// Whether a request had no answer at all at the look before; what is sent then begins one.
  private var wasUnanswered: Bool {
    switch activity.evidence {
    case .unread, .noAnswer, .peerSpokeLast, .acknowledgedRequest: true
    default: false
    }
  }

  /// Takes in what a further look shows.
  mutating func learn(_ socket: TCPSocket, _ activity: Activity, at now: Duration) {
    defer {
      self.activity = activity
      lookedAt = now
      isAccepted = socket.inode != 0
      peerHasClosed = socket.peerHasClosed
      unread = socket.unread
    }
    guard let history = socket.history else { return }
    let received = socket.payloadReceived ?? 0
    let (sent, asked) = (history.payloadSent &- bytesSent, received &- payloadReceived)
    let gap = sinceSent + (now - lookedAt) - history.sinceSent
    bytesSent = history.payloadSent
    payloadReceived = received
    sinceSent = history.sinceSent
    answerTook = history.sinceReceived - history.sinceSent
    if sent == 0 && asked == 0 { return }
    // What the peer held up by acknowledging it late was no pause of the service's.
    if sent > 0 && asked == 0 && !wasUnanswered && self.activity.evidence != .unacknowledged {
      pieces = pieces < .max ? pieces + 1 : pieces
      // The first may be the beginning of the answer, and the pause before it the work.
      pause = max(pause, pieces == 1 || self.activity.verdict == .undecided ? min(gap, .seconds(2)) : gap)
    }
    if asked > RequestTracker.small {
      // A new exchange.
      (pieces, pause, heartbeats) = (0, .zero, 0)
    }
    // Of what is waited for, small pieces may be an answer; but not where each is answered.
    if sent > 0 && max(sent, asked) <= RequestTracker.small && gap >= RequestTracker.heartbeatPause
      && (asked > 0 || !isWaitedFor)
    {
      heartbeats = heartbeats < .max ? heartbeats + 1 : heartbeats
    }
    guard isWaitedFor else { return }
    // A hundredth of what comes in meanwhile is no answer: the window updates of an upload.
    let isAnswer = sent > RequestTracker.small && sent &* 64 > asked
    if asked > RequestTracker.small {
      hasAskedAgain = hasAskedAgain || hasAnswered || isAnswer
    } else if asked > 0 && hasSpoken {
      turns = turns < .max ? turns + 1 : turns
      // A conversation of small words alone.
      hasAskedAgain = hasAskedAgain || (turns >= 4 && !hasAnswered)
    }
    hasAnswered = hasAnswered || isAnswer
    hasSpoken = hasSpoken || (sent > 0 && asked <= RequestTracker.small)
  }

  /// How long the service must have said nothing for its answer to be whole.
  func quiet(_ history: TCPSocket.History) -> Duration {
    if pieces > 0 { return max(RequestTracker.quiet, pause + pause / 4 + .milliseconds(200)) }
    if mayBeHandshake(history) { return RequestTracker.certain }
    // The first look at an answer of several segments: as long again as it has taken until now.
    let took = history.sinceReceived - history.sinceSent
    guard !hasAnswered, !hasSpoken, took > RequestTracker.quiet,
      history.dataSegmentsSent > history.dataSegmentsReceived
    else {
      return RequestTracker.quiet
    }
    return min(took + took / 5, RequestTracker.longestGuess)
  }

  /// Whether what was sent may be no answer yet, but the end of a TLS handshake: session tickets go out when the client has
  /// finished, and by then the first request may be there. (RFC 8446 section 4.6.1. A ClientHello has some 300 bytes, a
  /// server's certificate more than 512.)
  private func mayBeHandshake(_ history: TCPSocket.History) -> Bool {
    answerTook < RequestTracker.atOnce && (2...4).contains(history.dataSegmentsReceived) && bytesSent >= 512
      && payloadReceived >= 256
  }

  /// What would become of it if it ended as it was last seen.
  var ending: RequestTracker.Ending {
    switch activity.verdict {
    case .inProgress where activity.evidence == .unacknowledged: mayGoOn ? .undecided : .none
    case .inProgress: payloadReceived == 0 ? .none : .cut
    case .idle: mayGoOn ? .undecided : .none
    case .undecided: .undecided
    }
  }

  /// Whether what was sent may be the beginning of a longer answer: it came at once, as heads do, and not long ago.
  var mayGoOn: Bool {
    activity.evidence != .silence && answerTook < RequestTracker.atOnce && sinceSent < RequestTracker.certain
  }

  /// Whether an answer in pieces was not over yet, by its own pauses.
  func isStreaming(_ history: TCPSocket.History) -> Bool {
    pieces > 0 && heartbeats < 2 && history.sinceSent < quiet(history)
  }
}
