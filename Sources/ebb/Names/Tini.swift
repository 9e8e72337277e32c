import Linux
import Supervisor

/// The options of tini, which is Docker's docker-init too.
enum TiniOption: CommandOption {
  case parentDeathSignal, subreaper, verbose, warnOnReap, group, exitCode, license, version

  static var command: StaticString { "tini" }
  static var syntax: OptionSyntax { .anywhere }

  var name: StaticString { self == .version ? "version" : "" }

  var letter: UInt8 {
    switch self {
    case .parentDeathSignal: UInt8(ascii: "p")
    case .subreaper: UInt8(ascii: "s")
    case .verbose: UInt8(ascii: "v")
    case .warnOnReap: UInt8(ascii: "w")
    case .group: UInt8(ascii: "g")
    case .exitCode: UInt8(ascii: "e")
    case .license: UInt8(ascii: "l")
    case .version: 0
    }
  }

  var value: StaticString? {
    switch self {
    case .parentDeathSignal: "SIG"
    case .exitCode: "CODE"
    case .subreaper, .verbose, .warnOnReap, .group, .license, .version: nil
    }
  }

  var help: StaticString {
    switch self {
    case .parentDeathSignal: "the signal that it gets when its own parent dies"
    case .subreaper: "reap orphans where it is not PID 1 (TINI_SUBREAPER)"
    case .verbose: "a line for what it does (TINI_VERBOSITY=2; 0: no warnings)"
    case .warnOnReap: "a line for every orphan that is reaped"
    case .group: "signal the service's process group (TINI_KILL_PROCESS_GROUP)"
    case .exitCode: "exit with 0 where the service's code is this one; repeatable"
    case .license: "print the license"
    case .version: "print the version"
    }
  }

  var isQuestion: Bool { self == .license || self == .version }

  /// Takes the command line and the variables; an answer where one is asked for.
  static func apply(
    _ arguments: inout Arguments, to configuration: inout Configuration
  ) throws(UsageError) -> InitProgram.Outcome? {
    configuration.isSubreaper = false
    configuration.manners.placement = .group
    configuration.manners.jobControl = .none
    configuration.manners.launchFailure = .byErrno
    var verbosity: UInt64 = 1
    var answer: InitProgram.Outcome?
    let goesOn = try parseCommandLine(&arguments) { (option, value, source) throws(UsageError) in
      switch option {
      case .parentDeathSignal:
        guard let signal = Signal(named: value.bytes) else {
          throw UsageError(source, value, expected: "a signal, like SIGTERM")
        }
        configuration.parentDeathSignal = signal
      case .subreaper: configuration.isSubreaper = true
      case .verbose: verbosity += 1
      case .warnOnReap: configuration.warnsOnReap = true
      case .group: configuration.signalsGroup = true
      case .exitCode:
        guard let code = decimal(value.bytes).flatMap({ UInt8(exactly: $0) }) else {
          throw UsageError(source, value, expected: "an exit code from 0 to 255")
        }
        configuration.exitCodes.append((code, 0))
      case .license: answer = .answer(InitProgram.license, to: .standardOutput)
      case .version: answer = .answer(InitProgram.version, to: .standardOutput)
      }
    }
    guard goesOn else { return answer ?? .answer(usage, to: .standardOutput) }
    if environmentVariable(CString("TINI_SUBREAPER")) != nil { configuration.isSubreaper = true }
    if environmentVariable(CString("TINI_KILL_PROCESS_GROUP")) != nil { configuration.signalsGroup = true }
    if let level = environmentVariable(CString("TINI_VERBOSITY")) { verbosity = decimal(level.bytes) ?? 0 }
    if verbosity > 1 { configuration.verbosity = .phases }
    configuration.manners.warnsOfLostOrphans = verbosity > 0
    if verbosity == 0 { configuration.warnsOnReap = false }
    // Those it keeps to itself.
    configuration.rewrites.insert(
      contentsOf: [(.child, nil), (.terminalInput, nil), (.terminalOutput, nil)], at: 0)
    return nil
  }

  private static var usage: Text {
    InitProgram.usage(
      command, "Runs a command, hands signals on to it, reaps orphans, and exits with its code.", helpText)
  }
}
