import Inet
import Lifecycle
import Linux

/// What the user wants of `ebb run`: one property an option, as the README's table has them.
///
/// Made once, and held by all who need it: it is too large to be copied.
public final class Configuration {
  /// The program and its arguments: an argv, its last element nil.
  public var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  /// `--ports`: TCP ports; empty where they are to be found.
  public var ports: [UInt16] = []
  /// `--ports P/udp`: UDP ports. They have no connections to wait for; at the end they are looked at.
  public var udpPorts: [UInt16] = []
  /// `--ports unix:/path`: Unix stream sockets.
  public var unixPaths: [[UInt8]] = []
  /// `--stop-signal`; nil is auto.
  public var stopSignal: Signal?
  /// `--drain-on`; nil is TERM, INT and the known server's own stop signal.
  public var drainOn: [Signal]?
  /// `--rewrite`: a signal that arrives, and what is made of it; nil drops it.
  public var rewrites: [(from: Signal, to: Signal?)] = []
  /// `--group`: signals go to the service's process group, not to its main process alone.
  public var signalsGroup = false
  /// `--lame-duck`; nil is auto.
  public var lameDuck: Duration?
  /// `--lame-duck-max`; nil is the platform's.
  public var lameDuckMax: Duration?
  /// `--quiet-chance`.
  public var quietChance = QuietChance.standard
  /// `--ignore-peer`: whose connections are no traffic.
  public var ignoredPeers: [PeerRange] = []
  /// `--busy-max`; nil is the known server's, else what is left of the platform's time.
  public var busyMax: Duration?
  /// `--undecided-max`: how long a connection is waited for of which it cannot be told whether a request is in progress.
  public var undecidedMax: Duration = .seconds(3)
  /// `--linger-max`; nil is the platform's.
  public var lingerMax: Duration?
  /// `--grace`; nil is none.
  public var grace: Duration?
  /// `--leftovers-max`: how long what the main process leaves behind has between TERM and KILL.
  public var leftoversMax: Duration = .seconds(5)
  /// `--on-drain`: what is done as the drain begins, in order.
  public var onDrain: [DrainStep] = []
  /// `--map-exit`: codes that are replaced at the end.
  public var exitCodes: [(from: UInt8, to: UInt8)] = []
  /// `--parent-death-signal`.
  public var parentDeathSignal: Signal?
  /// `--subreaper`, `--no-subreaper`: whether orphaned descendants become ebb's children where it is not PID 1.
  public var subreaper = Subreaper.ifPermitted
  /// `--warn-on-reap`.
  public var warnsOnReap = false
  /// `--log`.
  public var logFormat = LogFormat.text
  /// `--verbose` and `--quiet`.
  public var verbosity = Verbosity.report
  /// `--termination-log`; nil is the platform's file.
  public var terminationLog: CString?

  /// `--ready-when`; empty is `listen`.
  public var readyWhen: [Probe] = []
  /// `--ready-while-draining`; nil is auto.
  public var readyWhileDraining: Bool?
  /// `--control`.
  public var control = ControlAddress.automatic

  /// `--http`; nil is off.
  public var http: ListenAddress?
  /// `--http-drain`: /drain is served.
  public var httpServesDrain = false
  /// `--http-drain-address`: /drain is served there alone; nil where it is served with the others.
  public var httpDrainAddress: ListenAddress?

  /// How ebb behaves where inits differ: what another one's name changes.
  public var manners = Manners()

  /// Whether to take the part of an init where ebb is none, PR_SET_CHILD_SUBREAPER, prctl(2).
  public enum Subreaper: Sendable {
    /// No.
    case no
    /// Yes; where the kernel refuses (an emulator, a seccomp profile), a line says so.
    case ifPermitted
    /// Yes; where the kernel refuses, the service is not started.
    case demanded
  }

  /// The defaults, for a command.
  public init(arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) {
    self.arguments = arguments
  }
}

/// Where ebb runs, as far as that changes a default.
enum Platform {
  /// Whether this is a Kubernetes pod: the variable that every container gets there, or, in a pod without
  /// service links, the termination log, which the kubelet mounts.
  static var isKubernetes: Bool {
    environmentVariable(CString("KUBERNETES_SERVICE_HOST")) != nil || isMount("/dev/termination-log")
  }

  /// Whether something is mounted at this path: the fifth field of a line of /proc/self/mountinfo.
  private static func isMount(_ path: StaticString) -> Bool {
    guard File.exists(CString(path)) else { return false }
    var found = false
    try? Lines.read(CString("/proc/self/mountinfo")) { line in
      found = isMount(path, line)
      return !found
    }
    return found
  }

  /// Whether a line of mountinfo is that of a mount at this path.
  static func isMount(_ path: StaticString, _ line: UnsafeRawBufferPointer) -> Bool {
    let fields = Array(line).pieces(separatedBy: UInt8(ascii: " "))
    return fields.count > 4 && fields[4] == path
  }

  /// `--lame-duck-max` where it is not given: endpoints need time to be taken out of rotation in Kubernetes;
  /// elsewhere nobody is told that a container stops before it is told itself.
  static var lameDuckMax: Duration { isKubernetes ? .seconds(10) : .zero }
  /// After how long a stop is killed unless somebody chose otherwise: `docker stop`, and a pod's
  /// terminationGracePeriodSeconds.
  static var stopLimit: Duration { isKubernetes ? .seconds(30) : .seconds(10) }
  /// `--linger-max` where it is not given: the host's network outlives ebb, and delivers without it.
  static var lingerMax: Duration { NetworkNamespace.isHosts ? .zero : .seconds(5) }
}
