import Linux
import Supervisor

/// `ebb ready`, the readiness probe and Docker's HEALTHCHECK; and `ebb live`, the liveness probe. That one must not
/// restart a healthy pod because it was slow: only a supervisor that says so makes it fail.
enum ProbeCommand {
  /// Their option: where they ask.
  enum Option: Int, CaseIterable {
    case control
  }

  static func run(
    _ arguments: Arguments, _ table: OptionTable, _ request: ControlRequest
  ) throws(UsageError) -> Int32 {
    var address = ControlAddress.automatic
    let options = Options(table, arguments)
    guard try options.take() else { return options.showHelp() }
    while Option(rawValue: options.next()) != nil { address = try options.control() }
    var why = Text()
    let end = MonotonicClock.now + ControlClient.probeLimit
    var left = ControlClient.probeLimit
    while left > .zero {
      do throws(ControlClient.Failure) {
        let client = try ControlClient(address, request, limit: left)
        switch try client.next() {
        case .yes: return Answer.yes
        case .no(let why):
          complain(why)
          return Answer.no
        case .refused(let text), .progress(let text): why = text
        }
        break
      } catch {
        why = error.text
        if !error.isCrowdedOut { break }
      }
      left = end - MonotonicClock.now
    }
    if request == .live && isSupervisor(ProcessID(1)) {
      complain("\(why); PID 1 is ebb, so the service counts as live")
      return Answer.yes
    }
    complain(why)
    return Answer.cannotTell
  }

  /// Whether a process is ebb, by the name that the kernel keeps: that of the file it was started from. The
  /// probe itself is not, where it is a container's only process.
  private static func isSupervisor(_ process: ProcessID) -> Bool {
    guard process != .own, let name = ProcessTable.name(of: process) else { return false }
    return name == "ebb" || name == ProcessTable.name(of: .own)
  }

  static var ready: OptionTable {
    OptionTable(
      command: "ready",
      help: """
        ebb ready [--control @name|/path]

        Exit 0 while the service should get traffic, 1 while it should not (and why, on stderr), 3 where that
        cannot be told. For a readiness probe, or Docker's HEALTHCHECK.

          --control @name|/path       where the supervisor is asked (a name made from the mount namespace)

        """)
  }

  static var live: OptionTable {
    OptionTable(
      command: "live",
      help: """
        ebb live [--control @name|/path]

        Exit 0 while there is a service, 1 when the supervisor says that it is gone; 0 with a warning when PID 1
        is ebb and does not answer in time; 3 where no supervisor is.

          --control @name|/path       where the supervisor is asked (a name made from the mount namespace)

        """)
  }
}
