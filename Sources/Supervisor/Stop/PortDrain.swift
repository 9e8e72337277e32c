import Inet
import Lifecycle
import Linux

/// The drain of a service that ebb does not supervise: the same machine, fed from the socket tables alone. It
/// ends when the work has left, or the time is up; stopping the service is the platform's.
public struct PortDrain {
  /// The service's ports.
  public var ports: [UInt16] = []
  /// `--lame-duck`; nil is auto.
  public var lameDuck: Duration?
  /// `--lame-duck-max`; nil is the platform's.
  public var lameDuckMax: Duration?
  /// `--quiet-chance`.
  public var quietChance = QuietChance.standard
  /// `--ignore-peer`.
  public var ignoredPeers: [PeerRange] = []
  /// `--busy-max`; nil is what is left of the platform's time.
  public var busyMax: Duration?
  /// `--undecided-max`.
  public var undecidedMax: Duration = .seconds(3)

  /// A drain of no port.
  public init() {}

  /// Waits for the work to leave; false where the time ran out first. `say` gets a line for each phase.
  public func run(until end: Duration?, _ say: (Text) -> Void) throws(Errno) -> Bool {
    var plan = Plan()
    plan.lameDuck = lameDuck ?? lameDuckMax ?? Platform.lameDuckMax
    if lameDuck == nil { plan.quietChance = quietChance }
    plan.busyMax = busyMax
    plan.limit = Platform.stopLimit
    var lifecycle = Lifecycle(plan: plan)
    let watch = SocketWatch(given: ports, udp: [], unix: [], ignoring: ignoredPeers)
    let began = MonotonicClock.now
    // A table that cannot be read would let everything pass for idle.
    let first = try watch.trafficOrError(at: began)
    watch.listenForDeaths()
    watch.beginArrivals(at: began)
    say(
      "draining: \(first.connections, "connection"), \(first.inProgress) busy; no supervisor, so the ports are watched"
    )
    var event: Event? = .drainRequest
    var busy = 0
    var toldQuiet = false
    while true {
      while let happened = event {
        event = nil
        for action in lifecycle.handle(happened, at: MonotonicClock.now) where action == .look {
          if !lifecycle.isFinishing {
            _ = watch.takeNotices { _ in }
            let arrivals = watch.lookAtArrivals(
              wantsRequests: lifecycle.quiet?.wantsRequests == true, at: MonotonicClock.now)
            event = .look(Look(busy: 0, lingering: 0, arrivals: arrivals))
            continue
          }
          if lifecycle.hasGoneQuiet, let quiet = lifecycle.quiet, !toldQuiet {
            toldQuiet = true
            say("quiet: nothing new for \(quiet.silent(at: MonotonicClock.now))")
          }
          watch.beginWaiting(at: MonotonicClock.now, undecidedMax: undecidedMax)
          busy = try watch.trafficOrError(at: MonotonicClock.now).waitedFor
          event = .look(Look(busy: busy, lingering: 0))
        }
      }
      let now = MonotonicClock.now
      if lifecycle.phase == .drained {
        let rest: Text = busy > 0 ? "\(busy) still busy" : "nothing is busy"
        say("drained: \(rest) after \(now - began)")
        return true
      }
      if let end, now >= end { return false }
      guard let wake = lifecycle.wake else { return true }
      MonotonicClock.sleep(until: min(wake, end ?? wake))
      event = .tick
    }
  }
}
