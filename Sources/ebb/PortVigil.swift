import Inet
import Linux

/// `ebb port --wait`: waits until every answer is yes, or the time is up.
///
/// Awake only when it has to be. That a socket has died is told by the kernel's own notices; when the last
/// TIME_WAIT ends is known to the millisecond. What nothing tells of is looked for in the table: a listener
/// that comes (and a UDP socket that goes), ten times a second.
struct PortVigil {
  /// A port that is waited for.
  private struct Watched {
    var finding: PortFinding
    /// When the kernel was last asked, and how many sockets were on the port then.
    var asked: Duration
    var leftThen: Int?
  }

  private let request: PortCommand.Request
  private var inquiry: PortInquiry
  private let notices: DeathNotices?
  private var open: [Watched] = []

  init(_ request: PortCommand.Request, _ inquiry: PortInquiry) {
    self.request = request
    self.inquiry = inquiry
    // Before the first look, so that nothing that dies after it goes unnoticed.
    let ports = request.ports.filter { !$0.isUDP }.map { $0.number }
    notices = request.isListening || ports.isEmpty ? nil : try? DeathNotices(ports: ports)
  }

  /// The findings at the end, in the order of the request.
  mutating func wait(until end: Duration) -> [PortFinding] {
    for (port, isUDP) in request.ports {
      let finding = inquiry.find(port, isUDP: isUDP, request.question(port, isUDP: isUDP))
      open.append(watch(finding))
    }
    let tellsProgress = !request.isQuiet && !request.isJSON && FileDescriptor.standardError.isTerminal
    var cost = Duration.zero
    while let first = open.first(where: { $0.finding.answer != .yes }) {
      let now = MonotonicClock.now
      if now >= end { break }
      if tellsProgress {
        try? Text("\r\u{1b}[Kebb: waiting for \(first.finding.port): \(first.finding.summary)")
          .write(to: .standardError)
      }
      let hasNotice = sleep(until: min(end, now + pause))
      // Looks take a twentieth of the time at most, however large the table and however many die.
      MonotonicClock.sleep(until: min(end, now + max(.milliseconds(10), cost * 20)))
      let began = MonotonicClock.now
      look(isLast: began >= end, hasNotice)
      cost = MonotonicClock.now - began
    }
    if tellsProgress { try? Text("\r\u{1b}[K").write(to: .standardError) }
    notices?.close()
    return open.map { $0.finding }
  }

  /// How long nothing can change for the better without a notice.
  private var pause: Duration {
    var pause = Duration.seconds(60)
    for watched in open where watched.finding.answer != .yes {
      let finding = watched.finding
      guard notices != nil, !finding.isUDP, let census = finding.census else { return .milliseconds(100) }
      let timeWaits = census.count(.timeWait)
      if timeWaits > 0 && timeWaits == finding.left {
        pause = min(pause, census.longestTimeWait + .milliseconds(10))
      } else {
        // Some deaths are not told: of half-open connections, and what becomes of FIN_WAIT2.
        pause = min(pause, .seconds(1))
      }
    }
    return pause
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
  private mutating func look(isLast: Bool, _ hasNotice: Bool) {
    for index in open.indices where open[index].finding.answer != .yes {
      let finding = open[index].finding
      if isLast || isWorthAsking(open[index], hasNotice) {
        open[index] = watch(inquiry.find(finding.port, isUDP: finding.isUDP, finding.question))
      }
    }
  }

  /// A bind that is tried again and again could be in the way of the very server that is waited for: at once
  /// when nothing is left on the port, else once a second, and only when less is left than at the last time.
  private mutating func isWorthAsking(_ watched: Watched, _ hasNotice: Bool) -> Bool {
    let finding = watched.finding
    guard let then = watched.leftThen else {
      return inquiry.isListening(finding) != finding.isListening
    }
    let isLongAgo = MonotonicClock.now - watched.asked >= .seconds(1)
    // Whoever was in the way did not show.
    if then == 0 { return hasNotice || (notices == nil && isLongAgo) }
    guard let left = inquiry.left(of: finding) else { return false }
    return left < then && (left == 0 || isLongAgo)
  }

  private mutating func watch(_ finding: PortFinding) -> Watched {
    var watched = Watched(finding: finding, asked: MonotonicClock.now, leftThen: nil)
    // A quiet finding has not looked at all there is.
    if finding.verdict != nil && finding.answer != .yes {
      watched.leftThen = request.isQuiet ? inquiry.left(of: finding) : finding.left
    }
    return watched
  }
}
