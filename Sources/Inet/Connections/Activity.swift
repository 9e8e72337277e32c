import Linux

/// Whether a connection has work in progress, told from the kernel's figures alone.
///
/// Exact for one request at a time, HTTP/1.x; for protocols that send without being asked it errs towards
/// busy, never for longer than `--busy-max`.
public enum Activity: Equatable, Sendable {
  /// Bytes are under way, or a request has no answer yet.
  case busy
  /// It has just sent: the end of an answer, or a piece of a longer one. A second look tells.
  case justSent
  /// Nothing is going on.
  case idle

  /// The clock behind TCP_INFO's times ticks every 4 ms (HZ 250) or 10 (HZ 100): a smaller difference between
  /// two of them says nothing.
  static var tick: Duration { .milliseconds(10) }
  /// A connection on which nothing has moved for so long is idle, its first request unanswered or not sent.
  static var stale: Duration { .seconds(5) }
  /// A connection that has just been accepted is about to speak.
  static var aboutToSpeak: Duration { .seconds(1) }
  /// Between two pieces of one answer there is rarely more.
  static var settled: Duration { .milliseconds(150) }

  /// The activity of an open connection, as one look shows it. Of a row without a history (/proc/net/tcp) only
  /// the queues are known.
  public init(of socket: TCPSocket) {
    if socket.unread > 0 || socket.unacknowledged > 0 {
      self = .busy
      return
    }
    guard let history = socket.history else {
      self = .idle
      return
    }
    let received = history.bytesReceived &- (socket.peerHasClosed && history.bytesReceived > 0 ? 1 : 0)
    if history.bytesSent == 0 {
      // A first request without an answer, however long it takes; or nothing said yet.
      self =
        received > 0 || (!socket.peerHasClosed && history.sinceReceived < Activity.aboutToSpeak)
        ? .busy : .idle
      return
    }
    let sinceMove = min(history.sinceReceived, history.sinceSent)
    if history.sinceReceived + Activity.tick < history.sinceSent && !socket.peerHasClosed {
      self = sinceMove < Activity.stale ? .busy : .idle
    } else {
      self = sinceMove < Activity.settled ? .justSent : .idle
    }
  }
}
