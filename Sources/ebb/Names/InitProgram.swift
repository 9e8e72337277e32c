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
    case run(Configuration)
    case pause(Manners)
    case answer(Text, to: FileDescriptor)
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

  private var name: StaticString {
    switch self {
    case .tini: TiniOption.command
    case .dumbInit: DumbInitOption.command
    case .catatonit: CatatonitOption.command
    }
  }

  /// Runs as this program does; the exit code.
  func run(_ words: Arguments) -> Int32 {
    do throws(UsageError) {
      switch try outcome(words) {
      case .run(let configuration): return Int32(Supervisor.run(configuration))
      case .pause(let manners): return Int32(Pause.run(manners))
      case .answer(let text, let file): return (try? text.write(to: file)) == nil ? 1 : 0
      }
    } catch {
      try? Text("\(name): \(error.text)\n").write(to: .standardError)
      return InitProgram.usageExitCode
    }
  }

  /// What its command line and the environment come to.
  func outcome(_ words: Arguments) throws(UsageError) -> Outcome {
    var arguments = words
    arguments.skip()
    var configuration = try InitProgram.configuration(arguments)
    let answer: Outcome?
    switch self {
    case .tini: answer = try TiniOption.apply(&arguments, to: &configuration)
    case .dumbInit: answer = try DumbInitOption.apply(&arguments, to: &configuration)
    case .catatonit: answer = try CatatonitOption.apply(&arguments, to: &configuration)
    }
    if let answer { return answer }
    guard arguments.first != nil else {
      throw UsageError("a command is missing: \(name) [options] [--] command [arg...]")
    }
    configuration.arguments = arguments.pointer
    return .run(configuration)
  }

  /// An init and no more; with one of the variables that ask for more (what `ebb run` would do), a stop of
  /// ebb's, in which whatever none of them asks for takes no time.
  private static func configuration(_ arguments: Arguments) throws(UsageError) -> Configuration {
    var configuration = Configuration(arguments: arguments.pointer)
    configuration.lameDuckMax = .zero
    configuration.busyMax = .zero
    configuration.lingerMax = .zero
    configuration.manners.keepsStopSignal = true
    configuration.manners.endsDescendants = false
    var asksForMore = false
    var log: Verbosity?
    try RunOptions.parseVariables { (option, value, source) throws(UsageError) in
      try option.apply(value, source, to: &configuration)
      switch option {
      case .verbose, .quiet: log = configuration.verbosity
      case .stopSignal:
        configuration.manners.keepsStopSignal = false
        asksForMore = true
      case .control: if configuration.control.name != nil { asksForMore = true }
      case .ports, .readyWhen, .readyWhileDraining, .drainOn, .lameDuck, .lameDuckMax, .quietChance,
        .ignorePeer, .busyMax, .lingerMax,
        .grace, .onDrain, .http, .httpDrain, .httpDrainAddress, .terminationLog:
        asksForMore = true
      case .rewrite, .group, .single, .mapExit, .parentDeathSignal, .noSubreaper, .warnOnReap, .log: break
      }
    }
    configuration.manners.hasStop = asksForMore
    configuration.verbosity = log ?? (asksForMore ? .report : .problems)
    if !asksForMore {
      configuration.control = .off
      configuration.drainOn = []
    }
    return configuration
  }

  /// What an option for help answers: what the program does, and its options.
  static func usage(_ program: StaticString, _ does: StaticString, _ options: Text) -> Text {
    """
    \(program) (ebb \(ebbVersion)) [options] [--] command [arg...]

    \(does)

    \(options)
    """
  }

  /// What `--version` answers: docker(1) reads it of whatever its engine's init is.
  static var version: Text { "tini version \(ebbVersion)_ebb\n" }

  /// What an option for the license answers.
  static var license: Text {
    "ebb is licensed under the Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0\n"
  }
}
