import Linux
import Supervisor

/// The options of catatonit.
enum CatatonitOption: CommandOption {
  case group, pause, license, version

  static var command: StaticString { "catatonit" }
  static var syntax: OptionSyntax { .anywhere }

  var name: StaticString { self == .version ? "version" : "" }

  var letter: UInt8 {
    switch self {
    case .group: UInt8(ascii: "g")
    case .pause: UInt8(ascii: "P")
    case .license: UInt8(ascii: "L")
    case .version: UInt8(ascii: "V")
    }
  }

  var value: StaticString? { nil }

  var help: StaticString {
    switch self {
    case .group: "signal the service's process group"
    case .pause: "run no command: hold the namespaces, reap, exit with 0 at TERM or INT"
    case .license: "print the license"
    case .version: "print the version"
    }
  }

  var isQuestion: Bool { self == .license || self == .version }

  /// Takes the command line; an answer where one is asked for, or the pause.
  static func apply(
    _ arguments: inout Arguments, to configuration: inout Configuration
  ) throws(UsageError) -> InitProgram.Outcome? {
    configuration.manners.placement = .group
    configuration.manners.jobControl = .none
    configuration.manners.launchFailure = .always(1)
    configuration.manners.leavesWorkingDirectory = true
    configuration.manners.closesDescriptors = true
    var isPause = false
    var answer: InitProgram.Outcome?
    let goesOn = try parseCommandLine(&arguments) { (option, _, _) throws(UsageError) in
      switch option {
      case .group: configuration.signalsGroup = true
      case .pause: isPause = true
      case .license: answer = .answer(InitProgram.license, to: .standardOutput)
      case .version: answer = .answer(InitProgram.version, to: .standardOutput)
      }
    }
    guard goesOn else { return answer ?? .answer(usage, to: .standardError) }
    if isPause { return .pause(configuration.manners) }
    for signal in [Signal.terminalStop, .terminalInput, .terminalOutput] {
      configuration.manners.blockedSignals.insert(signal)
      configuration.rewrites.insert((signal, nil), at: 0)
    }
    configuration.rewrites.insert((.child, nil), at: 0)
    return nil
  }

  private static var usage: Text {
    InitProgram.usage(
      command, "Runs a command, hands signals on to it, reaps orphans, and exits with its code.", helpText)
  }
}
