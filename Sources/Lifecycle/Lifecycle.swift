/// The life of a service, from its launch to ebb's exit code: events in, actions out, no clock and no system
/// call.
///
/// Times are durations since some fixed moment, and only go forward. After every event the owner asks
/// ``wake`` and sends ``Event/tick`` when that time has come. The whole behaviour is the `switch` of
/// ``handle(_:at:)``: one case for every event in every state.
public struct Lifecycle: Sendable {
  /// The limits in force.
  public var plan: Plan

  enum State: Equatable {
    case starting
    case serving
    /// Serving on, while load balancers notice.
    case lameDuck(end: Duration, nextLook: Duration)
    /// The busy connections of this moment hold off the stop signal.
    case finishing(end: Duration, nextLook: Duration)
    case drained
    /// The stop signal is out; the main process lives.
    case stopping
    /// The main process is gone; descendants are not.
    case clearing(next: Duration, sent: Sent, kill: Duration, giveUp: Duration)
    case lingering(end: Duration, nextLook: Duration)
    case done(UInt8)
  }

  /// What the descendants have been sent.
  enum Sent { case nothing, terminate, kill }

  private(set) var state = State.starting
  /// What the lame duck has seen of the traffic; nil where it takes its whole time, and before.
  public private(set) var quiet: Quiet?
  /// The lame duck ended because the traffic had gone quiet.
  public private(set) var hasGoneQuiet = false
  /// When the drain began, by request or by signal.
  public private(set) var drainBegan: Duration?
  /// When the last drain signal came that was not a repetition of the one before.
  private var lastDrainSignal: Duration?
  /// A drain signal came after a drain request, or the drained service ended by itself: the grace may then
  /// end later, by ``Plan/graceFloor``.
  private var signalAfterRequest: Duration?
  /// The drain was asked for by request, and no drain signal has come since: it ends in `drained`.
  private var onlyRequested = false
  private var drainCommandRuns = false
  private var killedAll = false
  private var exitCode: UInt8 = 0

  /// A service that has just been launched.
  public init(plan: Plan) { self.plan = plan }

  /// Where the service is in its life.
  public var phase: Phase {
    switch state {
    case .starting: .starting
    case .serving: .serving
    case .lameDuck, .finishing: .draining
    case .drained: .drained
    case .stopping, .clearing: .stopping
    case .lingering: .lingering
    case .done: .done
    }
  }

  /// Whether the stop signal is being held off by what is busy (a part of `draining`).
  public var isFinishing: Bool {
    if case .finishing = state { return true }
    return false
  }

  /// Whether the stop was asked for, by a drain request or signal. A service that ends by itself was not.
  public var isAsked: Bool { drainBegan != nil }

  /// Takes in what has happened, and says what is to be done about it, in order.
  public mutating func handle(_ event: Event, at now: Duration) -> [Action] {
    switch (state, event) {
    case (.starting, .ready):
      state = .serving
      return []
    case (.starting, .drainSignal(let signal)), (.serving, .drainSignal(let signal)):
      return beginDrain(bySignal: signal, at: now)
    case (.starting, .drainRequest), (.serving, .drainRequest):
      return beginDrain(bySignal: nil, at: now)
    case (.starting, .ended(let code)), (.serving, .ended(let code)):
      return clear(code, at: now)
    case (.starting, .failed(let code)):
      return finish(code)
    case (.starting, .look), (.starting, .drainCommandEnded), (.starting, .childless), (.starting, .tick):
      return []
    case (.serving, .ready), (.serving, .failed), (.serving, .look), (.serving, .drainCommandEnded),
      (.serving, .childless), (.serving, .tick):
      return []

    case (.lameDuck, .drainSignal), (.finishing, .drainSignal):
      return hurries(at: now) ? stop() : []
    case (.lameDuck, .drainRequest), (.finishing, .drainRequest):
      return []
    case (.lameDuck, .ended(let code)), (.finishing, .ended(let code)):
      return clear(code, at: now)
    case (.lameDuck, .drainCommandEnded):
      drainCommandRuns = false
      return []
    case (.lameDuck(let end, _), .look(let look)):
      guard now < end, let verdict = quiet?.take(look.arrivals, at: now) else { return [] }
      switch verdict {
      case .quiet:
        hasGoneQuiet = true
        return waitForBusy(at: now)
      case .lookAgain(let next):
        state = .lameDuck(end: end, nextLook: min(end, max(next, now + plan.lookInterval)))
        return []
      }
    case (.lameDuck(let end, let nextLook), .tick):
      if now >= end { return waitForBusy(at: now) }
      if now < nextLook { return [] }
      state = .lameDuck(end: end, nextLook: end)
      return [.look]
    case (.lameDuck, .ready), (.lameDuck, .failed), (.lameDuck, .childless):
      return []

    case (.finishing(let end, _), .look(let look)):
      if now >= end || (look.busy == 0 && !drainCommandRuns) { return leave() }
      state = .finishing(end: end, nextLook: now + plan.lookInterval)
      return []
    case (.finishing(let end, _), .drainCommandEnded):
      drainCommandRuns = false
      state = .finishing(end: end, nextLook: end)
      return [.look]
    case (.finishing(let end, let nextLook), .tick):
      if now >= end { return leave() }
      if now < nextLook { return [] }
      state = .finishing(end: end, nextLook: end)
      return [.look]
    case (.finishing, .ready), (.finishing, .failed), (.finishing, .childless):
      return []

    case (.drained, .drainSignal):
      onlyRequested = false
      lastDrainSignal = now
      signalAfterRequest = now
      return stop()
    case (.drained, .ended(let code)):
      // The grace may have run out while it served on.
      signalAfterRequest = now
      return clear(code, at: now)
    case (.drained, .drainCommandEnded):
      drainCommandRuns = false
      return []
    case (.drained, .ready), (.drained, .drainRequest), (.drained, .failed), (.drained, .look),
      (.drained, .childless), (.drained, .tick):
      return []

    case (.stopping, .drainSignal(let signal)):
      return hurries(at: now) ? [.forward(signal)] : []
    case (.stopping, .ended(let code)):
      return clear(code, at: now)
    case (.stopping, .tick):
      if let kill = killTime, now >= kill, !killedAll {
        killedAll = true
        return [.killAll]
      }
      if let end = graceEnd, now >= end - giveUpMargin { return finish(128 + 9) }
      return []
    case (.stopping, .drainCommandEnded):
      drainCommandRuns = false
      return []
    case (.stopping, .ready), (.stopping, .drainRequest), (.stopping, .failed), (.stopping, .look),
      (.stopping, .childless):
      return []

    case (.starting, .signal(let signal)), (.serving, .signal(let signal)), (.lameDuck, .signal(let signal)),
      (.finishing, .signal(let signal)), (.drained, .signal(let signal)), (.stopping, .signal(let signal)):
      return [.forward(signal)]

    case (.clearing, .childless):
      return linger(at: now)
    case (.clearing(let next, let sent, let kill, let giveUp), .tick):
      if now < next { return [] }
      if now >= kill {
        if sent == .kill && now >= giveUp { return linger(at: now) }
        // However late this tick comes: nothing is given up before it has been killed.
        let giveUp = sent == .kill ? giveUp : max(giveUp, limited(now + plan.reapMax))
        state = .clearing(next: min(now + plan.killInterval, giveUp), sent: .kill, kill: kill, giveUp: giveUp)
        return [.killDescendants]
      }
      state = .clearing(next: kill, sent: .terminate, kill: kill, giveUp: giveUp)
      return sent == .nothing ? [.terminateDescendants] : []
    case (.clearing(_, let sent, let kill, let giveUp), .drainSignal):
      if hurries(at: now) {
        let giveUp = min(giveUp, limited(now + plan.reapMax))
        state = .clearing(next: now, sent: sent, kill: min(kill, now), giveUp: giveUp)
      }
      return []
    case (.clearing, .ready), (.clearing, .drainRequest), (.clearing, .signal), (.clearing, .ended),
      (.clearing, .failed), (.clearing, .look), (.clearing, .drainCommandEnded):
      return []

    case (.lingering(let end, _), .look(let look)):
      if now >= end || look.lingering == 0 { return finish(exitCode) }
      state = .lingering(end: end, nextLook: now + plan.lookInterval)
      return []
    case (.lingering(let end, let nextLook), .tick):
      if now >= end { return finish(exitCode) }
      if now < nextLook { return [] }
      state = .lingering(end: end, nextLook: end)
      return [.look]
    case (.lingering, .drainSignal):
      return hurries(at: now) ? finish(exitCode) : []
    case (.lingering, .ready), (.lingering, .drainRequest), (.lingering, .signal), (.lingering, .ended),
      (.lingering, .failed), (.lingering, .drainCommandEnded), (.lingering, .childless):
      return []

    case (.done, _):
      return []
    }
  }

  /// When ``Event/tick`` is wanted; nil while nothing but an event can change anything. A service at rest has
  /// none, so nothing wakes ebb.
  public var wake: Duration? {
    switch state {
    case .starting, .serving, .drained, .done:
      return nil
    case .lameDuck(let end, let nextLook), .finishing(let end, let nextLook),
      .lingering(let end, let nextLook):
      return min(end, nextLook)
    case .stopping:
      guard let end = graceEnd, let kill = killTime else { return nil }
      return killedAll ? end - giveUpMargin : kill
    case .clearing(let next, _, _, let giveUp):
      return min(next, giveUp)
    }
  }

  // MARK: - The grace

  /// When the platform is expected to kill everything.
  private var graceEnd: Duration? {
    guard let grace = plan.grace, let began = drainBegan else { return nil }
    guard let signal = signalAfterRequest else { return began + grace }
    return max(began + grace, signal + plan.graceFloor)
  }

  /// How long before the end of the grace the main process is killed: a tenth, at most half a second, so that
  /// there is time to reap, to linger a little and to report.
  private var killMargin: Duration { min(.milliseconds(500), (plan.grace ?? .zero) / 10) }
  private var giveUpMargin: Duration { killMargin / 4 }

  private var killTime: Duration? { graceEnd.map { $0 - killMargin } }

  /// A limit, or the end of the grace where that comes first.
  private func limited(_ end: Duration) -> Duration {
    guard let grace = graceEnd else { return end }
    return min(end, grace - giveUpMargin)
  }

  /// What comes before the stop signal gets at most half of the grace: the service's own stop is worth the
  /// other half.
  private func limitedBeforeStop(_ end: Duration) -> Duration {
    guard let grace = plan.grace, let began = drainBegan else { return end }
    return min(end, began + grace / 2)
  }

  // MARK: - From state to state

  private mutating func beginDrain(bySignal signal: SignalNumber?, at now: Duration) -> [Action] {
    drainBegan = now
    onlyRequested = signal == nil
    if signal != nil { lastDrainSignal = now }
    drainCommandRuns = plan.hasDrainCommand
    if plan.lameDuck > .zero {
      let end = limitedBeforeStop(now + plan.lameDuck)
      quiet = plan.quietChance.map {
        Quiet(began: now, longest: end - now, chance: $0, gap: plan.gap)
      }
      state = .lameDuck(end: end, nextLook: quiet == nil ? end : min(end, now + Quiet.interval))
      return [.beginDrain]
    }
    return [.beginDrain] + waitForBusy(at: now)
  }

  /// A drain signal after the first: true when it says hurry. One that comes while only a request is known
  /// joins the drain, and asks for the stop at its end.
  private mutating func hurries(at now: Duration) -> Bool {
    if onlyRequested {
      onlyRequested = false
      signalAfterRequest = now
      lastDrainSignal = now
      return false
    }
    guard let last = lastDrainSignal, now - last >= plan.hurryAfter else { return false }
    lastDrainSignal = now
    return true
  }

  private mutating func waitForBusy(at now: Duration) -> [Action] {
    let end = limitedBeforeStop(now + plan.busyMax)
    state = .finishing(end: end, nextLook: end)
    return [.look]
  }

  private mutating func leave() -> [Action] {
    if onlyRequested {
      state = .drained
      return []
    }
    return stop()
  }

  private mutating func stop() -> [Action] {
    state = .stopping
    return [.stop]
  }

  /// The main process is gone. Its descendants are asked to end at the next tick, at once, unless the word
  /// that there are none comes first.
  private mutating func clear(_ code: UInt8, at now: Duration) -> [Action] {
    exitCode = code
    if !plan.endsDescendants { return linger(at: now) }
    let kill = killTime ?? now + plan.descendantsMax
    let end = min(kill, now + (isAsked ? plan.descendantsMax : plan.unaskedMax))
    state = .clearing(next: now, sent: .nothing, kill: end, giveUp: limited(end + plan.reapMax))
    return []
  }

  private mutating func linger(at now: Duration) -> [Action] {
    let longest = isAsked ? plan.lingerMax : min(plan.lingerMax, plan.unaskedMax)
    if longest <= .zero { return finish(exitCode) }
    let end = limited(now + longest)
    state = .lingering(end: end, nextLook: end)
    return [.look]
  }

  private mutating func finish(_ code: UInt8) -> [Action] {
    state = .done(code)
    return [.finish(code)]
  }
}
