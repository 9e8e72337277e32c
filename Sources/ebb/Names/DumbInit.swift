import Linux
import Supervisor

/// The options of dumb-init, in the order of its help.
enum DumbInitOption: Int, CaseIterable {
  case singleChild, rewrite, verbose, version

  static var table: OptionTable {
    OptionTable(
      command: "dumb-init", syntax: .getopt, words: .behind, questions: OptionPlaces(DumbInitOption.version),
      help: """
        Runs a command in a session of its own, hands signals on to its process group, reaps orphans, and exits
        with its code.

          -c, --single-child          signal the service's main process alone; no session of its own (DUMB_INIT_SETSID=0)
          -r, --rewrite A:B           forward signal A as B; B 0: do not forward it; repeatable
          -v, --verbose               a line for what it does (DUMB_INIT_DEBUG=1)
          -V, --version               print the version

        """)
  }

  /// Takes the options and the variables; an answer where one is asked for.
  static func apply(
    _ options: Options, to configuration: inout Configuration
  ) throws(UsageError) -> InitProgram.Outcome {
    configuration.subreaper = .no
    configuration.manners.jobControl = .withSignal
    configuration.manners.launchFailure = .always(2)
    configuration.manners.resetsSignals = true
    configuration.manners.leavesWorkingDirectory = true
    var isAlone = false
    var outcome = InitProgram.Outcome.run
    while let option = DumbInitOption(rawValue: options.next()) {
      switch option {
      case .singleChild: isAlone = true
      case .rewrite:
        // The last word on a signal holds.
        configuration.prefer(try options.rewrites("a pair of signals, like 15:3; 0 drops"))
      case .verbose: configuration.verbosity = .phases
      case .version: outcome = .version
      }
    }
    if let debug = environmentVariable(CString("DUMB_INIT_DEBUG")), debug == "1" {
      configuration.verbosity = .phases
    }
    if let setsid = environmentVariable(CString("DUMB_INIT_SETSID")), setsid == "0" { isAlone = true }
    configuration.signalsGroup = !isAlone
    configuration.manners.placement = isAlone ? .ours : .sessionWithTerminal
    if !isAlone {
      configuration.manners.lastSignal = .terminate
      // Its own session's group is orphaned, which the kernel lets no terminal stop: SIGSTOP does it.
      configuration.rewrites.append((.terminalStop, .stop))
      configuration.rewrites.append((.terminalInput, .stop))
      configuration.rewrites.append((.terminalOutput, .stop))
    }
    configuration.drop(.child)
    return outcome
  }
}
