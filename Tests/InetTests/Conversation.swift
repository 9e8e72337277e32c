import Linux

@testable import Inet

/// A connection as a notice or a row tells of it.
func connection(
  _ state: TCPState = .established, cookie: UInt64 = 1, unread: UInt32 = 0, unacknowledged: UInt32 = 0,
  received: UInt64 = 0, sent: UInt64 = 0, sinceReceived: Int = 0, sinceSent: Int = 0,
  sinceAcknowledged: Int? = nil, isPingpong: Bool? = nil
) -> TCPSocket {
  var socket = row(state, cookie: cookie)
  socket.receiveQueue = unread
  socket.sendQueue = unacknowledged
  var history = TCPSocket.History(
    bytesReceived: received, bytesSent: sent, sinceReceived: .milliseconds(sinceReceived),
    sinceSent: .milliseconds(sinceSent))
  history.sinceAcknowledged = .milliseconds(sinceAcknowledged ?? min(sinceReceived, sinceSent))
  history.dataSegmentsReceived = received > 0 ? 1 : 0
  history.dataSegmentsSent = sent > 0 ? 1 : 0
  history.segmentsSent = history.dataSegmentsSent
  socket.history = history
  socket.isPingpong = isPingpong
  return socket
}

/// A row with no history.
func row(_ state: TCPState, cookie: UInt64 = 1, port: UInt16 = 8080) -> TCPSocket {
  var wire = Wire.Row()
  wire.state = state.rawValue
  wire.cookie = cookie
  wire.sourcePort = port
  // Each has a client of its own.
  wire.destinationPort = UInt16(truncatingIfNeeded: 1024 + cookie % 60_000)
  guard let socket = wire.payload.withUnsafeBytes({ TCPSocket(inetDiagnostic: $0) }) else {
    fatalError("a row that the parser refuses")
  }
  return socket
}

/// A connection that lives: what both sides say, at moments in milliseconds, and the row of it at any later one.
struct Conversation {
  let cookie: UInt64
  private let began: Int
  private var (received, sent): (UInt64, UInt64) = (0, 0)
  private var (lastReceived, lastSent, lastAcknowledged): (Int, Int, Int)
  private var (segmentsReceived, segmentsSent): (UInt32, UInt32) = (0, 0)
  /// How many acknowledgements had to go alone.
  var alone: UInt32 = 0
  /// What the service has not read, and the peer not acknowledged.
  var (unread, unacknowledged): (UInt32, UInt32) = (0, 0)
  private var state = TCPState.established

  init(_ cookie: UInt64 = 1, at began: Int = 0) {
    self.cookie = cookie
    self.began = began
    (lastReceived, lastSent, lastAcknowledged) = (began, began, began)
  }

  /// The peer says so many bytes.
  mutating func asks(_ bytes: UInt64 = 200, at moment: Int) {
    received += bytes
    segmentsReceived += 1
    (lastReceived, lastAcknowledged) = (moment, moment)
  }

  /// The service says so many bytes, which the peer acknowledges a millisecond later.
  mutating func answers(_ bytes: UInt64 = 1000, at moment: Int) {
    sent += bytes
    segmentsSent += UInt32(1 + bytes / 1400)
    (lastSent, lastAcknowledged) = (moment, moment + 1)
  }

  /// The peer sends its FIN, which counts one.
  mutating func closes(at moment: Int) {
    received += 1
    lastAcknowledged = moment
    state = .closeWait
  }

  /// Its row at a moment.
  func row(at moment: Int, in state: TCPState? = nil) -> TCPSocket {
    var socket = connection(
      state ?? self.state, cookie: cookie, unread: unread, unacknowledged: unacknowledged, received: received,
      sent: sent, sinceReceived: moment - lastReceived, sinceSent: moment - lastSent,
      sinceAcknowledged: max(0, moment - lastAcknowledged))
    socket.history?.bytesAcknowledged = sent
    socket.history?.dataSegmentsReceived = segmentsReceived
    socket.history?.dataSegmentsSent = segmentsSent
    socket.history?.segmentsSent = segmentsSent + alone
    return socket
  }

  /// The row of the kernel's notice that it has died.
  func death(at moment: Int) -> TCPSocket { row(at: moment, in: .close) }
}

extension RequestTracker {
  /// A tracker whose clock ticks every 4 ms.
  static func ticking(of service: ServiceSockets = ServiceSockets()) -> RequestTracker {
    RequestTracker(of: service, tick: .milliseconds(5))
  }

  /// A look at a moment in milliseconds that finds these rows, and in /proc/net/tcp these modes, by cookie: the number of
  /// connections that hold off the stop signal.
  @discardableResult
  func look(at moment: Int, _ sockets: [TCPSocket], isPingpong modes: [UInt64: Bool] = [:]) -> Int {
    beginLook(at: .milliseconds(moment))
    for socket in sockets { take(socket) }
    let proc = Pingpong(self)
    for var socket in sockets {
      guard let mode = modes[socket.cookie] else { continue }
      socket.cookie = socket.endsHash
      socket.history = nil
      socket.isPingpong = mode
      proc.take(socket)
    }
    endLook()
    return waitedFor
  }

  /// The same look at conversations.
  @discardableResult
  func look(at moment: Int, _ conversations: Conversation...) -> Int {
    look(at: moment, conversations.map { $0.row(at: moment) })
  }

  /// From the next look on, at this moment, connections are waited for.
  func wait(from moment: Int, undecidedMax: Int = 3000) {
    beginWaiting(at: .milliseconds(moment), undecidedMax: .milliseconds(undecidedMax))
  }

  /// Looks every 20 ms, as a stop does, from one moment on until nothing is waited for: when that is; nil where it is not
  /// before the end.
  func looks(from start: Int, until end: Int, _ rows: (Int) -> [TCPSocket]) -> Int? {
    for moment in stride(from: start, through: end, by: 20) where look(at: moment, rows(moment)) == 0 {
      return moment
    }
    return nil
  }
}
