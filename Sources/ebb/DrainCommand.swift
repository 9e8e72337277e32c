import Linux
import Supervisor

/// `ebb drain`: the preStop hook.
enum DrainCommand {
  enum Options: CommandOption {
    case timeout, control, quiet

    static var command: StaticString { "drain" }

    var name: StaticString {
      switch self {
      case .timeout: "timeout"
      case .control: "control"
      case .quiet: "quiet"
      }
    }

    var value: StaticString? {
      switch self {
      case .timeout: "D"
      case .control: "@name|/path"
      case .quiet: nil
      }
    }

    var help: StaticString {
      switch self {
      case .timeout: "give up waiting after D; the drain goes on (none)"
      case .control: "where the supervisor is asked (a name made from the mount namespace)"
      case .quiet: "print nothing but errors"
      }
    }
  }

  static func run(_ arguments: Arguments) throws(UsageError) -> Int32 {
    var address = ControlAddress.automatic
    var timeout: Duration?
    var isQuiet = false
    let goesOn = try Options.parseAll(arguments) { (option, value, source) throws(UsageError) in
      switch option {
      case .timeout: timeout = try Values.duration(value, source)
      case .control: address = try Values.control(value, source)
      case .quiet: isQuiet = true
      }
    }
    guard goesOn else { return output(help) }
    let end = timeout.map { MonotonicClock.now + $0 }
    do throws(ControlClient.Failure) {
      let client = try ControlClient(address, .drain, limit: ControlClient.probeLimit)
      while true {
        let left = end.map { $0 - MonotonicClock.now } ?? .seconds(24 * 3600)
        if left <= .zero {
          complain("the time ran out (--timeout) before the work had left; the drain goes on")
          return Answer.no
        }
        let answer: ControlAnswer
        do throws(ControlClient.Failure) {
          answer = try client.next(limit: left)
        } catch {
          if let end, MonotonicClock.now >= end { continue }
          throw error
        }
        switch answer {
        case .progress(let line):
          if !isQuiet { _ = output("\(line)\n") }
        case .yes(let line):
          if !isQuiet { _ = output("\(line)\n") }
          return Answer.yes
        case .no(let why), .refused(let why):
          complain(why)
          return Answer.cannotTell
        }
      }
    } catch {
      complain(error.text)
      return Answer.cannotTell
    }
  }

  static var help: Text {
    """
    ebb drain [--timeout D] [--control @name|/path] [--quiet]

    Begins the drain, prints how it goes, and returns when the work has left: 0. The service serves on, and
    the next TERM stops it at once. 1 when the time ran out first, 3 where there is no supervisor to ask.
    For a preStop hook.

    \(Options.helpText)
    """
  }
}
