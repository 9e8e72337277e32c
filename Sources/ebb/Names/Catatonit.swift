import Linux
import Supervisor

/// The options of catatonit, in the order of its help.
enum CatatonitOption: Int, CaseIterable {
  case group, pause, license, version

  static var table: OptionTable {
    OptionTable(
      command: "catatonit", syntax: .getopt, words: .anywhere,
      questions: OptionPlaces(CatatonitOption.license) | OptionPlaces(CatatonitOption.version),
      help: """
        Runs a command, hands signals on to it, reaps orphans, and exits with its code.

          -g                          signal the service's process group
          -P                          run no command: hold the namespaces, reap, exit with 0 at TERM or INT
          -L                          print the license
          -V, --version               print the version

        """)
  }

  /// Takes the options; an answer where one is asked for, or the pause.
  static func apply(
    _ options: Options, to configuration: inout Configuration
  ) throws(UsageError) -> InitProgram.Outcome {
    configuration.manners.placement = .group
    configuration.manners.jobControl = .none
    configuration.manners.launchFailure = .always(1)
    configuration.manners.leavesWorkingDirectory = true
    configuration.manners.closesDescriptors = true
    var outcome = InitProgram.Outcome.run
    while let option = CatatonitOption(rawValue: options.next()) {
      switch option {
      case .group: configuration.signalsGroup = true
      case .pause: outcome = .pause
      case .license: outcome = .license
      case .version: outcome = .version
      }
    }
    if outcome != .run { return outcome }
    for signal in [Signal.terminalStop, .terminalInput, .terminalOutput] {
      configuration.manners.blockedSignals.insert(signal)
      configuration.drop(signal)
    }
    configuration.drop(.child)
    return .run
  }
}
