import Linux
import Supervisor

/// The option of a command that only asks: where.
enum ProbeOptions: CommandOption {
  case control

  static var command: StaticString { "ready" }
  var name: StaticString { "control" }
  var value: StaticString? { "@name|/path" }
  var help: StaticString { "where the supervisor is asked (a name made from the mount namespace)" }

  /// The address; nil when help was asked for.
  static func address(_ arguments: Arguments) throws(UsageError) -> ControlAddress? {
    var address = ControlAddress.automatic
    let goesOn = try parseAll(arguments) { (_, value, source) throws(UsageError) in
      address = try Values.control(value, source)
    }
    return goesOn ? address : nil
  }
}

/// `ebb ready`: the readiness probe, and Docker's HEALTHCHECK.
enum ReadyCommand {
  static func run(_ arguments: Arguments) throws(UsageError) -> Int32 {
    guard let address = try ProbeOptions.address(arguments) else { return output(help) }
    do throws(ControlClient.Failure) {
      let client = try ControlClient(address, .ready, limit: ControlClient.probeLimit)
      switch try client.next() {
      case .yes: return Answer.yes
      case .no(let why):
        complain(why)
        return Answer.no
      case .refused(let why), .progress(let why):
        complain(why)
        return Answer.cannotTell
      }
    } catch {
      complain(error.text)
      return Answer.cannotTell
    }
  }

  static var help: Text {
    """
    ebb ready [--control @name|/path]

    Exit 0 while the service should get traffic, 1 while it should not (and why, on stderr), 3 where that
    cannot be told. For a readiness probe, or Docker's HEALTHCHECK.

    \(ProbeOptions.helpText)
    """
  }
}

/// `ebb live`: the liveness probe. It must not restart a healthy pod because it was slow: only a supervisor
/// that says so makes it fail.
enum LiveCommand {
  static func run(_ arguments: Arguments) throws(UsageError) -> Int32 {
    guard let address = try ProbeOptions.address(arguments) else { return output(help) }
    do throws(ControlClient.Failure) {
      let client = try ControlClient(address, .live, limit: ControlClient.probeLimit)
      switch try client.next() {
      case .yes: return Answer.yes
      case .no(let why):
        complain(why)
        return Answer.no
      case .refused(let why), .progress(let why): return withoutAnswer(why)
      }
    } catch {
      return withoutAnswer(error.text)
    }
  }

  private static func withoutAnswer(_ why: Text) -> Int32 {
    guard isSupervisor(ProcessID(1)) else {
      complain(why)
      return Answer.cannotTell
    }
    complain("\(why); PID 1 is ebb, so the service counts as live")
    return Answer.yes
  }

  /// Whether a process is ebb, by the name that the kernel keeps: that of the file it was started from. The
  /// probe itself is not, where it is a container's only process.
  private static func isSupervisor(_ process: ProcessID) -> Bool {
    guard process != .own, let name = ProcessTable.name(of: process) else { return false }
    return name == "ebb" || name == ProcessTable.name(of: .own)
  }

  static var help: Text {
    """
    ebb live [--control @name|/path]

    Exit 0 while there is a service, 1 when the supervisor says that it is gone; 0 with a warning when PID 1
    is ebb and does not answer in time; 3 where no supervisor is.

    \(ProbeOptions.helpText)
    """
  }
}
