import Linux
import Supervisor

/// The options of tini, which is Docker's docker-init too, in the order of its help.
enum TiniOption: Int, CaseIterable {
  case parentDeathSignal, subreaper, verbose, warnOnReap, group, exitCode, license, version

  static var table: OptionTable {
    OptionTable(
      command: "tini", syntax: .getopt, words: .anywhere,
      questions: OptionPlaces(TiniOption.license) | OptionPlaces(TiniOption.version),
      help: """
        Runs a command, hands signals on to it, reaps orphans, and exits with its code.

          -p SIG                      the signal that it gets when its own parent dies
          -s                          reap orphans where it is not PID 1 (TINI_SUBREAPER)
          -v                          a line for what it does (TINI_VERBOSITY=2; 0: no warnings)
          -w                          a line for every orphan that is reaped
          -g                          signal the service's process group (TINI_KILL_PROCESS_GROUP)
          -e CODE                     exit with 0 where the service's code is this one; repeatable
          -l                          print the license
          --version                   print the version

        """)
  }

  /// Takes the options and the variables; an answer where one is asked for.
  static func apply(
    _ options: Options, to configuration: inout Configuration
  ) throws(UsageError) -> InitProgram.Outcome {
    configuration.subreaper = .no
    configuration.manners.placement = .group
    configuration.manners.jobControl = .none
    configuration.manners.launchFailure = .byErrno
    var verbosity: UInt64 = 1
    var outcome = InitProgram.Outcome.run
    while let option = TiniOption(rawValue: options.next()) {
      switch option {
      case .parentDeathSignal: configuration.parentDeathSignal = try options.signal("a signal, like SIGTERM")
      case .subreaper: configuration.subreaper = .demanded
      case .verbose: verbosity += 1
      case .warnOnReap: configuration.warnsOnReap = true
      case .group: configuration.signalsGroup = true
      case .exitCode:
        guard let code = Values.number(options.value.bytes, atMost: 255) else {
          throw options.wrong("an exit code from 0 to 255")
        }
        configuration.exitCodes.append((UInt8(truncatingIfNeeded: code), 0))
      case .license: outcome = .license
      case .version: outcome = .version
      }
    }
    if environmentVariable(CString("TINI_SUBREAPER")) != nil { configuration.subreaper = .demanded }
    if environmentVariable(CString("TINI_KILL_PROCESS_GROUP")) != nil { configuration.signalsGroup = true }
    if let level = environmentVariable(CString("TINI_VERBOSITY")) { verbosity = decimal(level.bytes) ?? 0 }
    if verbosity > 1 { configuration.verbosity = .phases }
    configuration.manners.warnsOfLostOrphans = verbosity > 0
    if verbosity == 0 { configuration.warnsOnReap = false }
    // Those it keeps to itself.
    configuration.drop(.child)
    configuration.drop(.terminalInput)
    configuration.drop(.terminalOutput)
    return outcome
  }
}
