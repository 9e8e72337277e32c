import Linux
import Testing

@testable import Inet

/// The clock ticks every 4 ms, and a rounding.
private let tick = Duration.milliseconds(5)

private func activity(_ socket: TCPSocket) -> Activity { Activity(of: socket, tick: tick) }

/// Both last words were said at one moment, so long ago; the peer's last acknowledgement came so much later.
private func tie(
  _ age: Int, _ isPingpong: Bool?, acknowledgedAfter delay: Int = 0, alone: UInt32 = 2,
  state: TCPState = .established
) -> TCPSocket {
  var socket = connection(
    state, received: 100, sent: 100, sinceReceived: age, sinceSent: age, sinceAcknowledged: age - delay,
    isPingpong: isPingpong)
  socket.history?.dataSegmentsSent = 5
  socket.history?.segmentsSent = 5 &+ alone
  return socket
}

@Suite struct `A connection's activity` {
  /// The figures of real connections, as they were measured.
  @Test func `is told right at every moment of two requests`() {
    func verdict(
      _ received: UInt64, _ sent: UInt64, _ sinceReceived: Int, _ sinceSent: Int, unread: UInt32 = 0
    ) -> Activity.Verdict {
      activity(
        connection(
          unread: unread, received: received, sent: sent, sinceReceived: sinceReceived, sinceSent: sinceSent)
      ).verdict
    }
    // Accepted, nothing said for 300 ms.
    #expect(verdict(0, 0, 304, 304) == .idle)
    // The request has arrived, nobody has read it.
    #expect(verdict(3, 0, 204, 508, unread: 3) == .inProgress)
    // It is being worked on.
    #expect(verdict(3, 0, 408, 712) == .inProgress)
    // Answered 200 ms ago.
    #expect(verdict(3, 6, 612, 204) == .idle)
    // The second request, in progress since 100 ms.
    #expect(verdict(7, 6, 100, 808) == .inProgress)
    // Answered just now.
    #expect(verdict(7, 12, 200, 20) == .idle)
  }

  // MARK: - The rule, row by row

  @Test func `is work while bytes wait, on either side, however long`() {
    let hour = 3_600_000
    #expect(
      activity(connection(unread: 1, received: 9, sent: 9, sinceReceived: hour, sinceSent: 5))
        == Activity(.inProgress, .unread))
    #expect(
      activity(connection(unacknowledged: 1, received: 9, sent: 9, sinceReceived: 5, sinceSent: hour))
        == Activity(.inProgress, .unacknowledged))
  }

  @Test func `is none where no data ever came, whoever greets first`() {
    #expect(activity(connection(sinceReceived: 9000, sinceSent: 9000)) == Activity(.idle, .silence))
    // A database's greeting.
    #expect(
      activity(connection(sent: 90, sinceReceived: 9000, sinceSent: 8990))
        == Activity(.idle, .serverSpokeLast))
    // The FIN counts one, and is no data.
    #expect(
      activity(connection(.closeWait, unread: 1, received: 1, sinceReceived: 9000, sinceSent: 9000))
        == Activity(.idle, .silence))
    #expect(
      activity(connection(.closeWait, received: 1, sent: 90, sinceReceived: 100, sinceSent: 9000))
        == Activity(.idle, .serverSpokeLast))
  }

  @Test func `is work as long as a first request has no answer, however long that takes`() {
    #expect(
      activity(connection(received: 1, sinceReceived: 3_600_000, sinceSent: 3_600_100))
        == Activity(.inProgress, .noAnswer))
    // Half closed by a client that waits for its answer.
    #expect(
      activity(connection(.closeWait, received: 2, sinceReceived: 9000, sinceSent: 9100))
        == Activity(.inProgress, .noAnswer))
  }

  @Test func `is work where the peer spoke last, by more than a tick, however long ago`() {
    for age in [0, 100, 60_000, 3_600_000] {
      for isPingpong in [true, false, nil] {
        #expect(
          activity(
            connection(
              received: 9, sent: 9, sinceReceived: age, sinceSent: age + 6, isPingpong: isPingpong))
            == Activity(.inProgress, .peerSpokeLast))
      }
    }
    // Within one, that is not known.
    #expect(
      activity(connection(received: 9, sent: 9, sinceReceived: 900, sinceSent: 905)).verdict == .undecided)
  }

  @Test func `is none where the service spoke last, by more than a tick`() {
    for age in [0, 100, 60_000] {
      for isPingpong in [true, false, nil] {
        #expect(
          activity(
            connection(
              received: 9, sent: 9, sinceReceived: age + 6, sinceSent: age, isPingpong: isPingpong))
            == Activity(.idle, .serverSpokeLast))
      }
    }
    #expect(
      activity(connection(received: 9, sent: 9, sinceReceived: 905, sinceSent: 900)).verdict == .undecided)
  }

  @Test func `is not told by a few bytes after many: they are no answer`() {
    // The server's SETTINGS, behind the client's first request of HTTP/2.
    #expect(
      activity(connection(received: 300, sent: 64, sinceReceived: 900, sinceSent: 800))
        == Activity(.undecided, .greeting))
    #expect(
      activity(connection(received: 300, sent: 65, sinceReceived: 900, sinceSent: 800))
        == Activity(.idle, .serverSpokeLast))
    // A few bytes answer a few.
    #expect(
      activity(connection(received: 64, sent: 5, sinceReceived: 900, sinceSent: 800))
        == Activity(.idle, .serverSpokeLast))
  }

  // MARK: - Both at one moment

  @Test func `at one moment is an answer that the peer has acknowledged since, in pingpong mode`() {
    #expect(activity(tie(900, true, acknowledgedAfter: 40)) == Activity(.idle, .acknowledgedAnswer))
    // At once: the acknowledgement of an answer need not be held back for long.
    #expect(activity(tie(100, true, acknowledgedAfter: 40)) == Activity(.idle, .acknowledgedAnswer))
  }

  @Test
  func
    `at one moment is not told by an acknowledgement of more than half a second later: a keepalive probe's`()
  {
    #expect(activity(tie(9000, true, acknowledgedAfter: 500)) == Activity(.idle, .acknowledgedAnswer))
    #expect(activity(tie(9000, true, acknowledgedAfter: 501)) == Activity(.undecided, .nothing))
    #expect(activity(tie(9000, true, acknowledgedAfter: 9000)) == Activity(.undecided, .nothing))
    // As old as the last data: it came with it.
    #expect(activity(tie(9000, true, acknowledgedAfter: 0)) == Activity(.undecided, .nothing))
  }

  @Test
  func
    `at one moment is told by no acknowledgement where the peer has closed, or the mode is off or unknown`()
  {
    // The last was the FIN's.
    #expect(
      activity(tie(9000, true, acknowledgedAfter: 40, state: .closeWait)) == Activity(.undecided, .nothing))
    #expect(activity(tie(9000, false, acknowledgedAfter: 40)) == Activity(.inProgress, .acknowledgedRequest))
    #expect(activity(tie(9000, nil, acknowledgedAfter: 40)) == Activity(.undecided, .sameTick))
  }

  @Test func `at one moment is not told before an acknowledgement that is held back has gone`() {
    for isPingpong in [true, false, nil] {
      #expect(activity(tie(0, isPingpong)) == Activity(.undecided, .young))
      #expect(activity(tie(219, isPingpong)) == Activity(.undecided, .young))
      #expect(activity(tie(220, isPingpong)).evidence != .young)
    }
  }

  @Test func `at one moment is a request in progress where an acknowledgement had to go alone since`() {
    #expect(activity(tie(220, false)) == Activity(.inProgress, .acknowledgedRequest))
    #expect(activity(tie(220, false, alone: 0)) == Activity(.inProgress, .acknowledgedRequest))
    #expect(activity(tie(60_000, false, state: .closeWait)) == Activity(.inProgress, .acknowledgedRequest))
  }

  @Test func `at one moment is an answer where no request but the first was ever acknowledged alone`() {
    #expect(activity(tie(220, true, alone: 0)) == Activity(.idle, .answeredAtOnce))
    #expect(activity(tie(220, true, alone: 1)) == Activity(.idle, .answeredAtOnce))
    #expect(activity(tie(220, true, alone: 2)) == Activity(.undecided, .nothing))
    // A counter that has wrapped, or contradicts the other.
    #expect(activity(tie(220, true, alone: .max)) == Activity(.undecided, .nothing))
  }

  @Test func `at one moment asks for the mode where that may tell, and only there`() {
    #expect(activity(tie(220, nil)) == Activity(.undecided, .sameTick))
    #expect(activity(tie(220, nil, alone: 0)) == Activity(.undecided, .sameTick))
  }

  // MARK: - The end

  @Test func `is no request where the peer says a last word and closes: TLS's close_notify`() {
    // Answered five seconds ago; now 31 bytes and a FIN, which nobody has read.
    func farewell(_ unread: UInt32) -> Activity.Verdict {
      activity(
        connection(
          .closeWait, unread: unread + 1, received: 500 + UInt64(unread) + 1, sent: 2000, sinceReceived: 10,
          sinceSent: 5000)
      ).verdict
    }
    #expect(farewell(31) == .idle)
    #expect(farewell(64) == .idle)
    #expect(farewell(65) == .inProgress)
  }

  @Test func `is a request where a client asks in a few bytes and closes its half`() {
    // printf 'GET /\r\n\r\n' | nc -N
    #expect(
      activity(connection(.closeWait, unread: 11, received: 11, sinceReceived: 10, sinceSent: 20)).verdict
        == .inProgress)
    // And it has been read.
    #expect(
      activity(connection(.closeWait, unread: 1, received: 11, sinceReceived: 10, sinceSent: 20))
        == Activity(.inProgress, .noAnswer))
  }

  @Test func `is told by the queues alone where there is no history`() {
    var socket = row(.established)
    #expect(activity(socket) == Activity(.undecided, .noHistory))
    socket.receiveQueue = 1
    #expect(activity(socket) == Activity(.inProgress, .unread))
    socket.receiveQueue = 0
    socket.sendQueue = 1
    #expect(activity(socket) == Activity(.inProgress, .unacknowledged))
  }

  @Test func `knows the tick of this machine's clock`() {
    #expect(Activity.tick() >= .milliseconds(2) && Activity.tick() <= .milliseconds(11))
  }

  @Test func `never traps on figures that contradict each other`() {
    let counts: [UInt64] = [0, 1, 64, 65, .max]
    let ages = [0, 4, 5, 6, 219, 220, 500, 501, Int(UInt32.max)]
    for state: TCPState in [.established, .closeWait, .close, .lastAck] {
      for received in counts {
        for sent in counts {
          for sinceReceived in ages {
            for sinceSent in ages {
              for sinceAcknowledged in [0, 400, Int(UInt32.max)] {
                var socket = connection(
                  state, received: received, sent: sent, sinceReceived: sinceReceived, sinceSent: sinceSent,
                  sinceAcknowledged: sinceAcknowledged, isPingpong: true)
                socket.history?.segmentsSent = UInt32(truncatingIfNeeded: sent)
                socket.history?.dataSegmentsSent = UInt32(truncatingIfNeeded: received)
                if received == 0 || (received == 1 && state == .closeWait) {
                  #expect(activity(socket).verdict == .idle)
                }
                _ = activity(socket)
              }
            }
          }
        }
      }
    }
  }
}
