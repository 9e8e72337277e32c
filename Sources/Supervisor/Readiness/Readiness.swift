import CLinux
import Linux

/// What is known of the service's readiness: the probes, the check that is under way, the last one's results,
/// and what the service itself has said.
final class Readiness {
  let probes: [ProbeRecord]
  /// When the check that is under way ends, whatever has answered by then; nil while none is.
  var checkEnds: Duration?
  /// How many checks were begun: which one a descriptor in the loop belongs to.
  var checks = 0
  /// A check has found every probe to hold.
  var wasReady = false
  /// When the last check ended; nil before the first.
  var lastCheck: Duration?
  /// When to check without being asked: at the start, for those who want to read the line.
  var nextLook: Duration?
  private var lookInterval = Duration.milliseconds(2)

  /// READY=1 was said.
  var saysReady = false
  /// STOPPING=1 was said.
  var saysStopping = false
  /// STATUS=, the last one.
  var saysStatus: [UInt8]?
  /// EXTEND_TIMEOUT_USEC=, the last one.
  var saysExtend: Duration?
  var notifySocket: FileDescriptor?

  init(_ probes: [Probe]) {
    var records: [ProbeRecord] = []
    for probe in probes { records.append(ProbeRecord(probe)) }
    if records.isEmpty { records.append(ProbeRecord(.listen)) }
    self.probes = records
  }

  /// Every probe has its result in the check under way.
  var isComplete: Bool {
    for probe in probes where probe.result == nil { return false }
    return true
  }

  /// Every probe held in the last check.
  var allHold: Bool {
    for probe in probes where probe.last?.isHolding != true { return false }
    return true
  }

  private var wantsNotifications: Bool {
    for record in probes { if case .notify = record.probe { return true } }
    return false
  }

  /// Makes $NOTIFY_SOCKET for the service, if a probe needs it: an abstract name of the kernel's choice, unix(7)
  /// "Autobind feature", since nobody can have taken that before us.
  func openNotifySocket() throws(Errno) -> FileDescriptor? {
    guard wantsNotifications else { return nil }
    let descriptor = FileDescriptor(try checked { clinux_unix_datagram() })
    var name = clinux_unix_name()
    _ = try checked { clinux_unix_autobind(descriptor.rawValue, &name) }
    _ = try checked { clinux_pass_credentials(descriptor.rawValue) }
    _ = try withUnsafeBytes(of: &name.text) { (raw) throws(Errno) -> Int32 in
      guard let base = raw.baseAddress else { throw .noSuchFile }
      return try checked {
        setenv(CString("NOTIFY_SOCKET").pointer, base.assumingMemoryBound(to: CChar.self), 1)
      }
    }
    notifySocket = descriptor
    return descriptor
  }

  /// When something here wants the loop: the end of a check, or the next unasked one.
  var deadline: Duration? { checkEnds ?? nextLook }

  /// Puts the next unasked check off: quick at first, then ever more slowly, and never again after a minute.
  func putOff(since started: Duration, at now: Duration) {
    lookInterval = min(lookInterval * 2, .seconds(1))
    nextLook = now - started < .seconds(60) ? now + lookInterval : nil
  }
}
