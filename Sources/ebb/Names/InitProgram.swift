import CLinux
import Linux
import Supervisor

/// Another init in whose place ebb was started: under its name, by a link or as a copy. Its command line and
/// variables hold then, and ebb does as it does.
enum InitProgram {
  case tini
  case dumbInit
  case catatonit

  /// What a command line comes to.
  enum Outcome {
    /// A service.
    case run
    /// No service: the namespaces are held.
    case pause
    /// Help, the version or the license.
    case help, version, license
  }

  /// Exit code of a command line that makes no sense, in all of them.
  static var usageExitCode: Int32 { 1 }

  /// The program whose name the first word of a command line ends in, as in /sbin/tini or tini-static; nil for
  /// every other word, ebb's own name among them.
  init?(_ word: CString?) {
    guard var name = word else { return nil }
    if let slash = strrchr(name.pointer, Int32(UInt8(ascii: "/"))) { name = CString(slash + 1) }
    func begins(_ known: StaticString) -> Bool {
      guard name.hasPrefix(known) else { return false }
      // The names that releases have: tini-static-amd64, dumb-init_1.2.5_x86_64, catatonit.x86_64.
      switch UInt8(bitPattern: name.dropFirst(known.utf8CodeUnitCount).pointer.pointee) {
      case 0, UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): return true
      default: return false
      }
    }
    if begins("tini") || name == "docker-init" || name == "podman-init" {
      self = .tini
    } else if begins("dumb-init") {
      self = .dumbInit
    } else if begins("catatonit") {
      self = .catatonit
    } else {
      return nil
    }
  }

  private var table: OptionTable {
    switch self {
    case .tini: TiniOption.table
    case .dumbInit: DumbInitOption.table
    case .catatonit: CatatonitOption.table
    }
  }

  /// Runs as this program does; the exit code.
  func run(_ words: Arguments) -> Int32 {
    var configuration = Configuration(arguments: words.pointer)
    let table = table
    do throws(UsageError) {
      let outcome = try outcome(words, &configuration)
      switch outcome {
      case .run: return Int32(Supervisor.run(configuration))
      case .pause: return Int32(Pause.run(configuration.manners))
      case .help, .version, .license:
        // Each writes where the original does.
        let isError = outcome == .help ? self != .tini : outcome == .version && self == .dumbInit
        let file = isError ? FileDescriptor.standardError : .standardOutput
        return (try? answer(outcome, table).write(to: file)) == nil ? 1 : 0
      }
    } catch {
      try? Text("\(table.command): \(error.text)\n").write(to: .standardError)
      return InitProgram.usageExitCode
    }
  }

  /// What its command line and the environment come to.
  func outcome(_ words: Arguments, _ configuration: inout Configuration) throws(UsageError) -> Outcome {
    var arguments = words
    arguments.skip()
    try InitProgram.configure(&configuration, arguments)
    let options = Options(table, arguments)
    let goesOn = try options.take()
    var outcome: Outcome
    switch self {
    case .tini: outcome = try TiniOption.apply(options, to: &configuration)
    case .dumbInit: outcome = try DumbInitOption.apply(options, to: &configuration)
    case .catatonit: outcome = try CatatonitOption.apply(options, to: &configuration)
    }
    if !goesOn && (outcome == .run || outcome == .pause) { outcome = .help }
    guard outcome == .run else { return outcome }
    guard options.arguments.first != nil else {
      throw UsageError("a command is missing: \(table.command) [options] [--] command [arg...]")
    }
    configuration.arguments = options.arguments.pointer
    return .run
  }

  /// An init and no more; with one of the variables that ask for more (what `ebb run` would do), a stop of
  /// ebb's, in which whatever none of them asks for takes no time.
  private static func configure(
    _ configuration: inout Configuration, _ arguments: Arguments
  ) throws(UsageError) {
    configuration.lameDuckMax = .zero
    configuration.busyMax = .zero
    configuration.lingerMax = .zero
    configuration.manners.keepsStopSignal = true
    configuration.manners.endsDescendants = false
    var asksForMore = false
    var log: Verbosity?
    let options = Options(RunOptions.table, arguments)
    try options.takeVariables()
    while let option = RunOptions(rawValue: options.next()) {
      try option.apply(options, to: &configuration)
      switch option {
      case .verbose, .quiet: log = configuration.verbosity
      case .stopSignal:
        configuration.manners.keepsStopSignal = false
        asksForMore = true
      case .control: if !configuration.control.isOff { asksForMore = true }
      case .ports, .readyWhen, .readyWhileDraining, .drainOn, .lameDuck, .lameDuckMax, .quietChance,
        .ignorePeer, .busyMax, .undecidedMax, .lingerMax,
        .leftoversMax, .grace, .onDrain, .http, .httpDrain, .httpDrainAddress, .terminationLog:
        asksForMore = true
      case .rewrite, .group, .single, .mapExit, .parentDeathSignal, .subreaper, .noSubreaper, .warnOnReap,
        .log:
        break
      }
    }
    configuration.manners.hasStop = asksForMore
    configuration.verbosity = log ?? (asksForMore ? .report : .problems)
    if !asksForMore {
      configuration.control = .off
      configuration.drainOn = []
    }
  }

  /// Help, the version or the license.
  private func answer(_ outcome: Outcome, _ table: OptionTable) -> Text {
    switch outcome {
    case .license:
      "ebb is licensed under the Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0\n"
    // docker(1) reads the version of whatever its engine's init is.
    case .version:
      self == .dumbInit ? "dumb-init v\(ebbVersion)_ebb\n" : "tini version \(ebbVersion)_ebb\n"
    case .help, .run, .pause:
      "\(table.command) (ebb \(ebbVersion)) [options] [--] command [arg...]\n\n\(table.help)"
    }
  }
}

extension Configuration {
  /// A signal is not forwarded, whatever else is said of it.
  func drop(_ signal: Signal) { prefer([(signal, nil)]) }

  /// These are what is said of their signals, whatever was said before.
  func prefer(_ pairs: [(from: Signal, to: Signal?)]) {
    var all = pairs
    for pair in rewrites { all.append(pair) }
    rewrites = all
  }
}
