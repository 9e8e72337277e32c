import Linux

/// What became of the requests, and when: of one load client, or of several that share it.
final class LoadRecord {
  /// How many failures are kept one by one.
  private static var mostFailures: Int { 200 }

  private(set) var tally = Tally()
  private(set) var failures: [FailedRequest] = []
  private(set) var lastSent: Duration?
  private(set) var lastAnswered: Duration?
  private(set) var series: Series?
  /// When the load began.
  let began: Duration
  /// Called with each failure, for those who want to see them.
  private let report: ((Text) -> Void)?

  /// A record that begins now; with what happened in each tenth of a second, where that is wanted.
  init(began: Duration, hasSeries: Bool = false, report: ((Text) -> Void)? = nil) {
    self.began = began
    self.report = report
    series = hasSeries ? Series(began: began) : nil
  }

  func sent(at now: Duration) {
    tally.sent += 1
    lastSent = now
    series?.advance(to: now)
    series?.addSent()
  }

  /// A request was none after all: it waits for a connection, or nobody was expected to answer it.
  func takeBack() {
    tally.sent -= 1
    series?.takeBack()
  }

  func answered(at now: Duration, took: Duration) {
    tally.answered += 1
    tally.latencies.add(took)
    lastAnswered = now
    series?.advance(to: now)
    series?.addAnswered()
  }

  /// The client itself has cut the connection, as asked.
  func cut(at now: Duration) {
    tally.cut += 1
    series?.advance(to: now)
    series?.addAnswered()
  }

  func failed(_ request: FailedRequest, number: Int) {
    tally.add(request.failure)
    series?.advance(to: request.at)
    series?.addFailed()
    if failures.count < LoadRecord.mostFailures { failures.append(request) }
    report?("+\(request.at - began) request \(number): \(request.why)")
  }

  func took(bodyBytes: UInt64) { tally.bodyBytes &+= bodyBytes }

  /// A connection was opened (1) or closed (-1).
  func connections(_ change: Int, at now: Duration) {
    series?.advance(to: now)
    series?.addOpen(change)
  }

  /// The last bin ends now.
  func finish(at now: Duration) { series?.advance(to: now) }
}
