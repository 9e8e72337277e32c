import Linux
import Supervisor

/// The options of dumb-init.
enum DumbInitOption: CommandOption {
  case singleChild, rewrite, verbose, version

  static var command: StaticString { "dumb-init" }
  static var syntax: OptionSyntax { .upToFirstWord }

  var name: StaticString {
    switch self {
    case .singleChild: "single-child"
    case .rewrite: "rewrite"
    case .verbose: "verbose"
    case .version: "version"
    }
  }

  var letter: UInt8 {
    switch self {
    case .singleChild: UInt8(ascii: "c")
    case .rewrite: UInt8(ascii: "r")
    case .verbose: UInt8(ascii: "v")
    case .version: UInt8(ascii: "V")
    }
  }

  var value: StaticString? { self == .rewrite ? "A:B" : nil }

  var help: StaticString {
    switch self {
    case .singleChild: "signal the service's main process alone; no session of its own (DUMB_INIT_SETSID=0)"
    case .rewrite: "forward signal A as B; B 0: do not forward it; repeatable"
    case .verbose: "a line for what it does (DUMB_INIT_DEBUG=1)"
    case .version: "print the version"
    }
  }

  var isQuestion: Bool { self == .version }

  /// Takes the command line and the variables; an answer where one is asked for.
  static func apply(
    _ arguments: inout Arguments, to configuration: inout Configuration
  ) throws(UsageError) -> InitProgram.Outcome? {
    configuration.isSubreaper = false
    configuration.manners.jobControl = .withSignal
    configuration.manners.launchFailure = .always(2)
    configuration.manners.resetsSignals = true
    configuration.manners.leavesWorkingDirectory = true
    var isAlone = false
    var answer: InitProgram.Outcome?
    let goesOn = try parseCommandLine(&arguments) { (option, value, source) throws(UsageError) in
      switch option {
      case .singleChild: isAlone = true
      case .rewrite:
        guard let pairs = Values.rewrites(value) else {
          throw UsageError(source, value, expected: "a pair of signals, like 15:3; 0 drops")
        }
        // The last word on a signal holds.
        configuration.rewrites.insert(contentsOf: pairs, at: 0)
      case .verbose: configuration.verbosity = .phases
      case .version: answer = .answer("dumb-init v\(ebbVersion)_ebb\n", to: .standardError)
      }
    }
    guard goesOn else { return answer ?? .answer(usage, to: .standardError) }
    if let debug = environmentVariable(CString("DUMB_INIT_DEBUG")), debug == "1" {
      configuration.verbosity = .phases
    }
    if let setsid = environmentVariable(CString("DUMB_INIT_SETSID")), setsid == "0" { isAlone = true }
    configuration.signalsGroup = !isAlone
    configuration.manners.placement = isAlone ? .ours : .sessionWithTerminal
    if !isAlone {
      configuration.manners.lastSignal = .terminate
      // Its own session's group is orphaned, which the kernel lets no terminal stop: SIGSTOP does it.
      configuration.rewrites += [(.terminalStop, .stop), (.terminalInput, .stop), (.terminalOutput, .stop)]
    }
    configuration.rewrites.insert((.child, nil), at: 0)
    return nil
  }

  private static var usage: Text {
    InitProgram.usage(
      command,
      """
      Runs a command in a session of its own, hands signals on to its process group, reaps orphans, and exits
      with its code.
      """, helpText)
  }
}
