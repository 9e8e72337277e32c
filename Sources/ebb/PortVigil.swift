import Inet
import Linux

/// `ebb port --wait`: waits until every answer is yes, or the time is up.
///
/// Awake only when it has to be. That a socket has died is told by the kernel's own notices; when the last
/// TIME_WAIT ends is known to the millisecond. What nothing tells of is looked for in the table: a listener
/// that comes (and a UDP socket that goes), ten times a second.
final class PortVigil {
  /// A port that is waited for.
  final class Watched {
    var finding: PortFinding
    /// When the kernel was last asked, and how many sockets were on the port then.
    var asked: Duration = .zero
    var leftThen: Int?

    init(_ finding: PortFinding) { self.finding = finding }
  }

  private let request: PortCommand.Request
  private var inquiry: PortInquiry
  private let notices: DeathNotices?
  /// The findings, in the order of the request.
  private(set) var open: [Watched] = []

  init(_ request: PortCommand.Request, _ inquiry: PortInquiry) {
    self.request = request
    self.inquiry = inquiry
    // Before the first look, so that nothing that dies after it goes unnoticed.
    var ports: [UInt16] = []
    if !request.isListening {
      for (port, isUDP) in request.ports where !isUDP { ports.append(port) }
    }
    notices = ports.isEmpty ? nil : try? DeathNotices(ports: ports)
  }

  /// Waits until all is as it is asked for.
  func wait(until end: Duration) {
    for (port, isUDP) in request.ports {
      let finding = inquiry.find(port, isUDP: isUDP, request.question(port, isUDP: isUDP))
      let watched = Watched(finding)
      open.append(watched)
      note(watched)
    }
    let tellsProgress = !request.isQuiet && !request.isJSON && FileDescriptor.standardError.isTerminal
    var earliest = MonotonicClock.now
    while let first = first {
      let now = MonotonicClock.now
      if now >= end { break }
      if tellsProgress {
        try? Text("\r\u{1b}[Kebb: waiting for \(first.finding.port): \(first.finding.summary)")
          .write(to: .standardError)
      }
      let hasNotice = sleep(until: min(end, now + pause))
      if MonotonicClock.now < min(end, earliest) { MonotonicClock.sleep(until: min(end, earliest)) }
      let began = MonotonicClock.now
      look(isLast: began >= end, hasNotice)
      // Looks take a twentieth of the time at most, however large the table and however many die.
      let cost = MonotonicClock.now - began
      earliest = began + max(.milliseconds(10), cost * 20)
    }
    if tellsProgress { try? Text("\r\u{1b}[K").write(to: .standardError) }
    notices?.close()
  }

  /// The first port that is waited for.
  private var first: Watched? {
    for watched in open where watched.finding.answer != .yes { return watched }
    return nil
  }

  /// How long nothing can change for the better without a notice.
  private var pause: Duration {
    get {
      var pause = Duration.seconds(60)
      for watched in open where watched.finding.answer != .yes {
        guard notices != nil, !watched.finding.isUDP, watched.finding.census != nil else {
          return .milliseconds(100)
        }
        let timeWaits = watched.finding.census?.count(.timeWait) ?? 0
        if timeWaits > 0 && timeWaits == watched.finding.left {
          // The kernel's timer may be late by a second or two.
          let longest = watched.finding.census?.longestTimeWait ?? .zero
          pause = min(pause, max(.milliseconds(100), longest + .milliseconds(10)))
        } else {
          // Some deaths are not told: of half-open connections, and what becomes of FIN_WAIT2.
          pause = min(pause, .seconds(1))
        }
      }
      return pause
    }
  }

  /// Sleeps until then, or until there is a notice; whether there was one.
  private func sleep(until moment: Duration) -> Bool {
    guard let notices else {
      MonotonicClock.sleep(until: moment)
      return false
    }
    return notices.wait(until: moment)
  }

  /// Looks at the tables, and asks the kernel again where they say that its answer may be another.
  private func look(isLast: Bool, _ hasNotice: Bool) {
    for watched in open where watched.finding.answer != .yes {
      if isLast || isWorthAsking(watched, hasNotice) {
        watched.finding = inquiry.find(
          watched.finding.port, isUDP: watched.finding.isUDP, watched.finding.question)
        note(watched)
      }
    }
  }

  /// A bind that is tried again and again could be in the way of the very server that is waited for: at once
  /// when nothing is left on the port, else once a second, and only when less is left than at the last time.
  private func isWorthAsking(_ watched: Watched, _ hasNotice: Bool) -> Bool {
    let isLongAgo = MonotonicClock.now - watched.asked >= .seconds(1)
    guard let then = watched.leftThen else {
      guard let isListening = inquiry.isListening(watched.finding) else { return isLongAgo }
      return isListening != watched.finding.isListening
    }
    // Whoever was in the way did not show.
    if then == 0 { return hasNotice || (notices == nil && isLongAgo) }
    guard let left = inquiry.count(&watched.finding) else { return false }
    return left < then && (left == 0 || isLongAgo)
  }

  /// Notes when a port was asked about, and what was on it then.
  private func note(_ watched: Watched) {
    watched.asked = MonotonicClock.now
    watched.leftThen = nil
    if watched.finding.verdict != nil && watched.finding.answer != .yes {
      // A quiet finding has not looked at all there is.
      watched.leftThen = request.isQuiet ? inquiry.count(&watched.finding) : watched.finding.left
    }
  }
}
