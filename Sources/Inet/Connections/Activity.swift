import CLinux
import Linux

/// What is going on on a connection, told from one look at the kernel's figures, and by which of them.
///
/// It is told who spoke last, and nothing of the protocol. Whoever asks has the last word: a peer that spoke last waits
/// for its answer. Where the server spoke last, its answer may be whole, or the beginning of a longer one;
/// ``RequestTracker`` tells those apart, as far as time can. (tcp(7) TCP_INFO; net/ipv4/tcp_output.c
/// tcp_event_data_sent(), net/ipv4/tcp_timer.c tcp_delack_timer_handler() for the pingpong mode.)
public struct Activity: Equatable, Sendable {
  /// The three answers.
  public enum Verdict: UInt8, Sendable {
    /// A request has no answer yet, or bytes are under way.
    case inProgress
    /// Nothing is asked, as far as this look tells.
    case idle
    /// That cannot be told.
    case undecided
  }

  /// What a verdict rests on.
  public enum Evidence: UInt8, Sendable {
    /// Bytes that the service has not read.
    case unread
    /// Bytes that the peer has not acknowledged.
    case unacknowledged
    /// Neither side has said anything.
    case silence
    /// The service has never sent anything, and was sent something.
    case noAnswer
    /// Data came after the last data was sent.
    case peerSpokeLast
    /// Data was sent after the last data came.
    case serverSpokeLast
    /// Both within one tick, and the peer has acknowledged since, in pingpong mode: it acknowledged an answer.
    case acknowledgedAnswer
    /// Both within one tick, and an acknowledgement had to go alone, since no answer came with it.
    case acknowledgedRequest
    /// Both within one tick, and no request but the first was ever acknowledged alone.
    case answeredAtOnce
    /// Both within one tick, a moment ago: an acknowledgement may still be held back.
    case young
    /// Both within one tick, and the pingpong mode is not known.
    case sameTick
    /// Both within one tick, and nothing else tells.
    case nothing
    /// Data was sent last, but so little has ever been sent that it can hardly be an answer: HTTP/2's SETTINGS.
    case greeting
    /// The peer has closed, and said no more before than TLS's close_notify.
    case farewell
    /// There is no TCP_INFO.
    case noHistory
  }

  /// The answer.
  public let verdict: Verdict
  /// What it rests on.
  public let evidence: Evidence

  /// An answer and its reason.
  public init(_ verdict: Verdict, _ evidence: Evidence) {
    self.verdict = verdict
    self.evidence = evidence
  }

  /// So many bytes before a FIN are no request.
  static var farewell: UInt32 { 64 }
  /// What has sent no more than this in all has hardly answered a request that is larger.
  static var greeting: UInt64 { 64 }
  /// How long an acknowledgement may be held back, 200 ms (TCP_DELACK_MAX, include/net/tcp.h), and a little more.
  public static var acknowledgementMax: Duration { .milliseconds(220) }
  /// How much later than the last data the acknowledgement of an answer may come. One that comes later still answers a
  /// keepalive probe, and says nothing.
  static var answerAcknowledgedWithin: Duration { .milliseconds(500) }

  /// Two ages that differ by no more than this may be of one moment: a tick of the clock behind them,
  /// CLOCK_MONOTONIC_COARSE, and a rounding.
  public static func tick() -> Duration {
    var resolution = timespec()
    guard clock_getres(CLOCK_MONOTONIC_COARSE, &resolution) == 0 else { return .milliseconds(11) }
    return .nanoseconds(resolution.tv_nsec) + .milliseconds(1)
  }

  /// The activity of an open connection. `tick` is ``tick()``; ``TCPSocket/isPingpong`` is looked up in /proc/net/tcp by
  /// whoever gets ``Evidence/sameTick``.
  public init(of socket: TCPSocket, tick: Duration) {
    if socket.unread > 0 && socket.unread <= Activity.farewell && socket.peerHasClosed
      && (socket.history?.bytesSent ?? 0) > 0
    {
      self.init(.idle, .farewell)
    } else if socket.unread > 0 {
      self.init(.inProgress, .unread)
    } else if socket.unacknowledged > 0 {
      self.init(.inProgress, .unacknowledged)
    } else if let history = socket.history {
      self.init(of: socket, history, tick)
    } else {
      self.init(.undecided, .noHistory)
    }
  }

  private init(of socket: TCPSocket, _ history: TCPSocket.History, _ tick: Duration) {
    let (sent, received) = (history.sinceSent, history.sinceReceived)
    let hasAsked = (socket.payloadReceived ?? 0) > 0
    if history.bytesSent == 0 {
      self = hasAsked ? Activity(.inProgress, .noAnswer) : Activity(.idle, .silence)
    } else if !hasAsked {
      self.init(.idle, .serverSpokeLast)
    } else if sent > received + tick {
      self.init(.inProgress, .peerSpokeLast)
    } else if history.bytesSent <= Activity.greeting && (socket.payloadReceived ?? 0) > Activity.greeting {
      self.init(.undecided, .greeting)
    } else if received > sent + tick {
      self.init(.idle, .serverSpokeLast)
    } else if socket.isPingpong == true && socket.state == .established
      && history.sinceAcknowledged < received
      && received - history.sinceAcknowledged <= Activity.answerAcknowledgedWithin
    {
      self.init(.idle, .acknowledgedAnswer)
    } else if min(sent, received) < Activity.acknowledgementMax {
      self.init(.undecided, .young)
    } else if socket.isPingpong == nil {
      self.init(.undecided, .sameTick)
    } else if socket.isPingpong == false {
      self.init(.inProgress, .acknowledgedRequest)
    } else if history.segmentsSent &- history.dataSegmentsSent <= 1 {
      self.init(.idle, .answeredAtOnce)
    } else {
      self.init(.undecided, .nothing)
    }
  }
}
