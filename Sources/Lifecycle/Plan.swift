/// How long each part of a stop may take. Nothing here changes by itself; who drives the machine may change
/// it between two events (a known server is only known when the drain begins).
public struct Plan: Equatable, Sendable {
  /// How long to go on serving before the stop signal, at most: `--lame-duck`, `--lame-duck-max`.
  public var lameDuck: Duration = .zero
  /// `--lame-duck auto`: it ends sooner when the traffic has gone quiet, which is taken for so by mistake no
  /// more often than this, `--quiet-chance`. nil: it takes its whole time.
  public var quietChance: QuietChance?
  /// The mean times between two moments with traffic before the drain, ``TrafficHistory``, where they are known: of new
  /// connections…
  public var connectionGap: Duration?
  /// …and of requests on those that are kept.
  public var requestGap: Duration?
  /// How long requests in progress may hold off the stop signal: `--busy-max`. nil: what is left of ``limit`` when the
  /// end of the stop has had its ``reserve``.
  public var busyMax: Duration?
  /// How long to wait for peers to acknowledge the last bytes: `--linger-max`; zero does not look at all.
  public var lingerMax: Duration = .seconds(5)
  /// The whole stop, from the first drain request or signal: `--grace`; nil never kills the main process.
  public var grace: Duration?
  /// The server has a signal that ends it sooner than the stop signal does.
  public var canHurry = false
  /// So long before it would be killed it is sent that.
  var hurryMargin: Duration { min(.seconds(1), (grace ?? .zero) / 10) }
  /// When the platform is expected to kill everything, from the first drain request or signal: `--grace`, else what
  /// Docker and Kubernetes do unless they are told otherwise. ebb's own waits end before.
  public var limit: Duration = .seconds(10)
  /// So long before that they have all ended.
  public var margin: Duration { min(.seconds(1), limit / 10) }
  /// What the service's own end, its leftovers and the last bytes are left of the limit.
  public var reserve: Duration { min(.seconds(3), limit * 3 / 10) }
  /// A stop that has lasted so long says once who is waited for.
  public var noticeAfter: Duration = .seconds(5)
  /// Whether a command runs as the drain begins, which the stop signal then waits for like for a connection.
  public var hasOnDrain = false
  /// The time between two looks at the sockets, while something is waited for.
  public var lookInterval: Duration = .milliseconds(20)
  /// The time between two looks in a lame duck that takes its whole time: what connections do then tells later what is a
  /// request.
  public var learnInterval: Duration = .milliseconds(500)

  /// Whether descendants are ended after the main process, before anything else.
  public var endsDescendants = true
  /// What is left of the service's descendants is killed this long after the main process ended: `--leftovers-max`…
  public var descendantsMax: Duration = .seconds(5)
  /// …or this long after it ended unasked; the same limit holds for lingering then.
  public var unaskedMax: Duration = .seconds(1)
  /// A drain signal sooner than this after the one before is the same one, sent twice.
  public var hurryAfter: Duration = .seconds(1)
  /// After a drain request, a drain signal leaves the service at least this much, as the kubelet does.
  public var graceFloor: Duration = .seconds(2)
  /// What the kernel cannot kill (a process in uninterruptible sleep) is given up this long after the KILL.
  public var reapMax: Duration = .seconds(1)
  /// The time between two looks whether a server that was left behind has ended.
  public var serverInterval: Duration = .seconds(1)
  /// The time between two rounds of KILL, for a tree that grows as it is killed.
  public var killInterval: Duration = .milliseconds(50)

  /// The defaults of a service outside Kubernetes.
  public init() {}
}
