import Inet
import Lifecycle
import Linux

/// Looks at the traffic while the service serves, so that its rate is known when a drain begins, and who asks steadily.
///
/// At rest it waits for the kernel's notice that a connection has died. The first one begins the looks, one every few
/// seconds; they end after three that found nothing new.
final class Lookout {
  private let sockets: SocketWatch
  private let waiter: Waiter
  private(set) var history = TrafficHistory()
  private var steady = SteadyPeers()
  private var notices: DeathNotices?
  private var isResting = false
  /// Peers whose notices the kernel does not keep.
  private var dense: [Endpoint] = []
  private var lastCount: UInt64?
  private var quietLooks = 0
  /// When the next look is due; nil at rest, and where there are none.
  private(set) var nextLook: Duration?

  /// A look may take so much of a processor's time, one part in so many; but they come no more seldom than this.
  private static var share: Int64 { 200 }
  private static var longestPause: Duration { .seconds(30) }
  /// So many notices are read at once; with more of them nobody can be told to be steady.
  private static var mostNotices: Int { 4096 }
  private static var mostDense: Int { 32 }

  /// None yet.
  init(_ sockets: SocketWatch, _ waiter: Waiter) {
    self.sockets = sockets
    self.waiter = waiter
  }

  /// Begins: traffic may come at once.
  func begin(at now: Duration) { nextLook = now + TrafficHistory.spacing }

  /// A drain begins: a last look, unless there was one just now.
  func lookOnceMore(at now: Duration) {
    if let last = history.lastLook, nextLook != nil, now - last > .seconds(1) { look(at: now) }
    end()
  }

  /// Ends, as the service does, or its drain begins. What was seen is kept.
  func end() {
    nextLook = nil
    if let notices {
      if isResting { waiter.remove(notices.descriptor) }
      notices.close()
    }
    notices = nil
    sockets.uncounted.steady = steady.steady
  }

  /// Something has died.
  func wakeUp(at now: Duration) {
    guard isResting, let notices else { return }
    isResting = false
    waiter.remove(notices.descriptor)
    look(at: now)
  }

  /// Takes a look, if there are any.
  func look(at began: Duration) {
    guard let count = sockets.countOfArrivals() else { return end() }
    let hasGrown = count != (lastCount ?? 0)
    if lastCount == nil || (hasGrown && sockets.ports.origin == nil) {
      sockets.findPorts()
      sockets.findOtherSockets()
    }
    lastCount = count
    let used = ProcessorClock.used
    if let notices {
      takeNotices(notices)
      steady.endLook(at: began)
    } else {
      notices = try? DeathNotices(ports: sockets.ports.ports)
    }
    // New connections tell enough, where they are the service's.
    let isCounted = history.isOfConnections && sockets.hasNamespaceForItself()
    let silence = isCounted ? nil : sockets.sinceLastRequest()
    let isQuiet = !hasGrown && (silence.map { $0 > TrafficHistory.spacing } ?? true)
    quietLooks = isQuiet ? quietLooks + 1 : 0
    history.note(count, silence: silence, at: began)
    nextLook =
      began + max(history.untilNext, min((ProcessorClock.used - used) * Lookout.share, Lookout.longestPause))
    if quietLooks >= 3 { rest() }
  }

  private func rest() {
    nextLook = nil
    guard let notices else { return }
    // Whoever comes first ends the rest.
    try? notices.filter(sockets.ports.ports)
    dense = []
    isResting = (try? waiter.add(notices.descriptor, token: Token(.lookout).rawValue)) != nil
  }

  /// Counts who has gone since the last look. The kernel keeps some 300 notices: of those who come often it keeps none any
  /// more, so that there is room for the others'.
  private func takeNotices(_ notices: DeathNotices) {
    var (isComplete, hasMissed) = (false, false)
    loop: for _ in 0..<Lookout.mostNotices {
      switch notices.next() {
      case .none:
        isComplete = true
        break loop
      case .missed: hasMissed = true
      case .death(let death): if sockets.service.owned(death.socket) { steady.note(death.socket) }
      }
    }
    let more = steady.dense
    if !more.isEmpty && dense.count + more.count <= Lookout.mostDense {
      dense += more
      try? notices.filter(sockets.ports.ports, besides: dense)
    }
    if hasMissed || !isComplete { steady = SteadyPeers() }
  }
}
