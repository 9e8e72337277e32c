/// The life of a service, from its launch to ebb's exit code: events in, actions out, no clock and no system
/// call.
///
/// Times are durations since some fixed moment, and only go forward. After every event the owner asks
/// ``wake`` and sends ``Event/tick`` when that time has come. The whole behaviour is the `switch` of
/// ``handle(_:at:)``: one case for every event in every state.
public struct Lifecycle: Sendable {
  enum State: UInt8 {
    case starting
    case serving
    /// Serving on, while load balancers notice.
    case lameDuck
    /// The busy connections of this moment hold off the stop signal.
    case finishing
    case drained
    /// The stop signal is out; the main process lives.
    case stopping
    /// The main process is gone; descendants are not.
    case clearing
    case lingering
    case done
  }

  /// What the descendants have been sent.
  enum Sent: UInt8 { case nothing, terminate, kill }

  private(set) var state = State.starting
  /// When the state is over at the latest: of the lame duck, of finishing, of clearing and of lingering.
  private var end = Duration.zero
  /// When there is something to do in it before: a look, or a signal to the descendants.
  private var next = Duration.zero
  /// When the descendants are killed, and what they have been sent: of clearing.
  private var kill = Duration.zero
  private var sent = Sent.nothing
  /// Among the descendants is a server, which is waited for as the main process was: of clearing.
  private var serversRemain = false
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
  private var onDrainRuns = false
  private var killedAll = false
  private var hasHurried = false
  /// When the stop signal went out, or the service ended.
  private var stopBegan: Duration?
  private var hasSaidWaiting = false
  private var exitCode: UInt8 = 0
  /// The limits in force.
  public var plan: Plan
  /// What the lame duck has seen of the traffic; nil where it takes its whole time, and before.
  public private(set) var quiet: Quiet?

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
  public var isFinishing: Bool { state == .finishing }

  /// Whether the stop was asked for, by a drain request or signal. A service that ends by itself was not.
  public var isAsked: Bool { drainBegan != nil }

  /// Takes in what has happened, and says what is to be done about it, in order.
  public mutating func handle(_ event: Event, at now: Duration) -> Actions {
    // Whatever else this moment asks for has a tick of its own.
    if event == .tick, let notice, now >= notice {
      hasSaidWaiting = true
      return Actions(.sayWaiting)
    }
    switch (state, event) {
    case (.starting, .ready):
      state = .serving
      return .none
    case (.starting, .drainSignal(let signal)), (.serving, .drainSignal(let signal)):
      return beginDrain(bySignal: signal, at: now)
    case (.starting, .drainRequest), (.serving, .drainRequest):
      return beginDrain(bySignal: nil, at: now)
    case (.starting, .look), (.starting, .onDrainEnded), (.starting, .childless), (.starting, .tick):
      return .none
    case (.serving, .ready), (.serving, .look), (.serving, .onDrainEnded),
      (.serving, .childless), (.serving, .tick):
      return .none

    case (.lameDuck, .drainSignal), (.finishing, .drainSignal):
      return hurries(at: now) ? stop(at: now) : .none
    case (.lameDuck, .drainRequest), (.finishing, .drainRequest):
      return .none
    case (.lameDuck, .look(let look)):
      guard now < end else { return .none }
      guard let verdict = quiet?.take(look.arrivals, at: now) else {
        next = min(end, now + plan.learnInterval)
        return .none
      }
      switch verdict {
      case .quiet:
        hasGoneQuiet = true
        return waitForBusy(at: now)
      case .lookAgain(let moment):
        next = min(end, max(moment, now + plan.lookInterval))
        return .none
      }
    case (.lameDuck, .tick):
      if now >= end { return waitForBusy(at: now) }
      return look(at: now)
    case (.lameDuck, .ready), (.lameDuck, .childless):
      return .none

    case (.finishing, .look(let look)):
      if now >= end || (look.busy == 0 && !onDrainRuns) { return leave(at: now) }
      next = now + plan.lookInterval
      return .none
    case (.finishing, .onDrainEnded):
      onDrainRuns = false
      next = now
      return look(at: now)
    case (.finishing, .tick):
      if now >= end { return leave(at: now) }
      return look(at: now)
    case (.finishing, .ready), (.finishing, .childless):
      return .none

    case (.drained, .drainSignal):
      onlyRequested = false
      lastDrainSignal = now
      signalAfterRequest = now
      return stop(at: now)
    case (.drained, .ended(let code)):
      // The grace may have run out while it served on.
      signalAfterRequest = now
      return clear(code, at: now)
    case (.drained, .ready), (.drained, .drainRequest), (.drained, .look),
      (.drained, .childless), (.drained, .tick):
      return .none

    case (.stopping, .drainSignal(let signal)):
      return hurries(at: now) ? Actions(.forward(signal)) : .none
    case (.stopping, .tick):
      if let kill = killTime, now >= kill, !killedAll {
        killedAll = true
        return Actions(.killAll)
      }
      if !killedAll && isTimeToHurry(at: now) {
        hasHurried = true
        return Actions(.hurry)
      }
      if let end = graceEnd, now >= end - giveUpMargin { return finish(128 + 9) }
      return .none
    case (.stopping, .ready), (.stopping, .drainRequest), (.stopping, .look),
      (.stopping, .childless):
      return .none

    case (.lameDuck, .onDrainEnded), (.drained, .onDrainEnded), (.stopping, .onDrainEnded):
      onDrainRuns = false
      return .none
    case (.starting, .ended(let code)), (.serving, .ended(let code)), (.lameDuck, .ended(let code)),
      (.finishing, .ended(let code)), (.stopping, .ended(let code)):
      return clear(code, at: now)
    case (.starting, .signal(let signal)), (.serving, .signal(let signal)), (.lameDuck, .signal(let signal)),
      (.finishing, .signal(let signal)), (.drained, .signal(let signal)), (.stopping, .signal(let signal)):
      return Actions(.forward(signal))

    case (.clearing, .childless):
      return linger(at: now)
    case (.clearing, .tick):
      if serversRemain && isTimeToHurry(at: now) {
        hasHurried = true
        return Actions(.hurry)
      }
      if now < next { return .none }
      // Whoever still can be asked is asked before.
      if now >= kill && (sent != .nothing || now >= end) {
        if serversRemain {
          if killTime.map({ now < $0 }) ?? true {
            next = min(now + plan.serverInterval, killTime ?? end)
            // A drain signal may have moved the end of the grace.
            end = max(end, next)
            return Actions(.killOthers)
          }
          endServers(at: now)
        }
        if sent == .kill && now >= end { return linger(at: now) }
        // However late this tick comes: nothing is given up before it has been killed.
        if sent != .kill { end = max(end, limited(now + plan.reapMax)) }
        next = min(now + plan.killInterval, end)
        sent = .kill
        return Actions(.killDescendants)
      }
      if sent != .nothing {
        next = kill
        return .none
      }
      kill = min(max(kill, now + plan.killInterval), max(now, end))
      next = kill
      sent = .terminate
      return Actions(.terminateDescendants)
    case (.clearing, .serversRemain(let remain)):
      if remain == serversRemain || !isAsked { return .none }
      if remain {
        serversRemain = true
        // Who sets no grace says that only the service itself decides.
        end = max(end, killTime.map { $0 + plan.reapMax } ?? now + .seconds(1 << 30))
      } else {
        endServers(at: now)
      }
      return .none
    case (.clearing, .drainSignal):
      if hurries(at: now) {
        serversRemain = false
        next = now
        kill = min(kill, now)
        end = min(end, limited(now + plan.reapMax))
      }
      return .none
    case (.clearing, .ready), (.clearing, .drainRequest), (.clearing, .signal), (.clearing, .ended),
      (.clearing, .look), (.clearing, .onDrainEnded):
      return .none

    case (.lingering, .look(let look)):
      if now >= end || look.lingering == 0 { return finish(exitCode) }
      next = now + plan.lookInterval
      return .none
    case (.lingering, .tick):
      if now >= end { return finish(exitCode) }
      return look(at: now)
    case (.lingering, .drainSignal):
      return hurries(at: now) ? finish(exitCode) : .none
    case (.lingering, .ready), (.lingering, .drainRequest), (.lingering, .signal), (.lingering, .ended),
      (.lingering, .onDrainEnded), (.lingering, .childless):
      return .none

    case (_, .serversRemain), (.done, _):
      return .none
    }
  }

  /// When ``Event/tick`` is wanted; nil while nothing but an event can change anything. A service at rest has
  /// none, so nothing wakes ebb.
  public var wake: Duration? {
    let moment: Duration?
    switch state {
    case .starting, .serving, .drained, .done: moment = nil
    case .clearing: moment = min(end, next, serversRemain ? hurryTime ?? next : next)
    case .lameDuck, .finishing, .lingering: moment = min(end, next)
    case .stopping: moment = killedAll ? graceEnd.map { $0 - giveUpMargin } : hurryTime ?? killTime
    }
    guard let notice else { return moment }
    return min(moment ?? notice, notice)
  }

  /// When it is to be said who is waited for; nil where nobody is, or it was said.
  private var notice: Duration? {
    guard let began = drainBegan, !hasSaidWaiting, state != .drained, state != .done else { return nil }
    // A drain that was only asked for has an end of its own: what is waited for is waited for since the signal.
    return (signalAfterRequest ?? began) + plan.noticeAfter
  }

  /// When what the state waits for is over at the latest; nil where only the service itself decides.
  public var waitsUntil: Duration? { state == .stopping || serversRemain ? killTime : end }

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

  /// When the server is to be sent the signal that ends it sooner; nil where there is none, and behind it.
  private var hurryTime: Duration? {
    plan.canHurry && !hasHurried ? killTime.map { $0 - plan.hurryMargin } : nil
  }

  /// Whether it is time for that, and not yet for the kill.
  private func isTimeToHurry(at now: Duration) -> Bool {
    guard let hurryTime, let killTime else { return false }
    return now >= hurryTime && now < killTime
  }

  private var killTime: Duration? { graceEnd.map { $0 - killMargin } }

  /// A limit of what comes after the stop signal, or the end of the grace where that comes first. Where no grace is
  /// given, the platform's usual one; but whoever had the stop signal wait for longer than that knows of a longer one.
  private func limited(_ end: Duration) -> Duration {
    if let grace = graceEnd { return min(end, grace - giveUpMargin) }
    guard let drain = drainBegan, let stop = stopBegan else { return end }
    return min(end, max(drain + plan.limit - plan.margin, stop + plan.reserve))
  }

  /// A limit of what comes before the stop signal: the grace must leave its reserve to what comes after.
  private func limitedBeforeStop(_ end: Duration) -> Duration {
    guard plan.grace != nil, let began = drainBegan else { return end }
    return min(end, began + plan.limit - plan.margin - plan.reserve)
  }

  // MARK: - From state to state

  private mutating func beginDrain(bySignal signal: SignalNumber?, at now: Duration) -> Actions {
    drainBegan = now
    onlyRequested = signal == nil
    if signal != nil { lastDrainSignal = now }
    onDrainRuns = plan.hasOnDrain
    if plan.lameDuck <= .zero { return Actions(.beginDrain, waitForBusy(at: now).first) }
    state = .lameDuck
    end = limitedBeforeStop(now + plan.lameDuck)
    next = min(end, now + plan.learnInterval)
    if let chance = plan.quietChance {
      quiet = Quiet(
        began: now, longest: end - now, chance: chance, connectionGap: plan.connectionGap,
        requestGap: plan.requestGap)
      next = min(end, now + Quiet.interval)
    }
    return Actions(.beginDrain)
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

  /// A look, if it is time for one; the next is named when it has been taken.
  private mutating func look(at now: Duration) -> Actions {
    if now < next { return .none }
    next = end
    return Actions(.look)
  }

  private mutating func waitForBusy(at now: Duration) -> Actions {
    state = .finishing
    let rest = (drainBegan ?? now) + plan.limit - plan.margin - plan.reserve
    end = plan.busyMax.map { limitedBeforeStop(now + $0) } ?? max(now, rest)
    next = end
    return Actions(.look)
  }

  private mutating func leave(at now: Duration) -> Actions {
    if onlyRequested {
      state = .drained
      return .none
    }
    return stop(at: now)
  }

  private mutating func stop(at now: Duration) -> Actions {
    state = .stopping
    stopBegan = now
    return Actions(.stop)
  }

  /// The main process is gone. Its descendants are asked to end at the next tick, at once, unless the word
  /// that there are none comes first.
  private mutating func clear(_ code: UInt8, at now: Duration) -> Actions {
    exitCode = code
    if stopBegan == nil { stopBegan = now }
    if !plan.endsDescendants { return linger(at: now) }
    let latest = killTime ?? now + plan.descendantsMax
    state = .clearing
    next = now
    sent = .nothing
    let longest = isAsked ? plan.descendantsMax : plan.unaskedMax
    end = limited(min(latest, now + longest) + plan.reapMax)
    kill = min(latest, now + longest)
    // Of the platform's usual time, unlike of a grace, nothing is left for it by ``killTime``.
    if plan.grace == nil { kill = min(kill, max(now, end - plan.reapMax)) }
    return .none
  }

  /// No server is left, or its time is over: what else is left has its own.
  private mutating func endServers(at now: Duration) {
    serversRemain = false
    end = limited(max(kill, now) + plan.reapMax)
    kill = min(kill, max(now, end - plan.reapMax))
    next = kill
  }

  private mutating func linger(at now: Duration) -> Actions {
    let longest = isAsked ? plan.lingerMax : min(plan.lingerMax, plan.unaskedMax)
    if longest <= .zero { return finish(exitCode) }
    state = .lingering
    end = limited(now + longest)
    next = end
    return Actions(.look)
  }

  private mutating func finish(_ code: UInt8) -> Actions {
    state = .done
    return Actions(.finish(code))
  }
}
