import Linux
import Supervisor

/// `ebb status`.
enum StatusCommand {
  enum Options: CommandOption {
    case json, control

    static var command: StaticString { "status" }

    var name: StaticString {
      switch self {
      case .json: "json"
      case .control: "control"
      }
    }

    var value: StaticString? {
      switch self {
      case .json: nil
      case .control: "@name|/path"
      }
    }

    var help: StaticString {
      switch self {
      case .json: "one JSON object"
      case .control: "where the supervisor is asked (a name made from the mount namespace)"
      }
    }
  }

  static func run(_ arguments: Arguments) throws(UsageError) -> Int32 {
    var address = ControlAddress.automatic
    var request = ControlRequest.status
    let goesOn = try Options.parseAll(arguments) { (option, value, source) throws(UsageError) in
      switch option {
      case .json: request = .statusJSON
      case .control: address = try Values.control(value, source)
      }
    }
    guard goesOn else { return output(help) }
    do throws(ControlClient.Failure) {
      let client = try ControlClient(address, request, limit: ControlClient.probeLimit)
      switch try client.next() {
      case .yes(let text): return output(text)
      case .no(let why), .refused(let why), .progress(let why):
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
    ebb status [--json] [--control @name|/path]

    What the supervisor knows: phase, readiness and each probe's last answer, the service's processes, each
    port with its listener, connections, busy ones, bytes not acknowledged, arrivals a second.

    \(Options.helpText)
    """
  }
}
