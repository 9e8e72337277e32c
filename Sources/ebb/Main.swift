import CLinux
import Linux
import Supervisor

/// ebb's version.
var ebbVersion: StaticString { "0.1.0" }

/// The entry point: SwiftPM names the executable's main like this, and Embedded Swift has no `CommandLine`.
@c(ebb_main)
public func main(_ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Int32 {
  let words = Arguments(arguments, count: Int(count))
  if let program = InitProgram(words.first) { return program.run(words) }
  do throws(UsageError) {
    return try Command(words).run()
  } catch {
    try? Text("ebb: \(error.text)\n").write(to: .standardError)
    return UsageError.exitCode
  }
}

/// What the first word asks for.
enum Command {
  case run(Arguments)
  case drain(Arguments)
  case ready(Arguments)
  case live(Arguments)
  case status(Arguments)
  case port(Arguments)
  case sockets(Arguments)
  case copy(Arguments)
  case help(Arguments)
  case version

  /// A first word that is no command is the service's (or begins the options of `run`).
  init(_ arguments: Arguments) {
    var rest = arguments
    rest.skip()
    guard let word = rest.first else {
      self = .run(rest)
      return
    }
    var behind = rest
    behind.skip()
    if word == "run" {
      self = .run(behind)
    } else if word == "drain" {
      self = .drain(behind)
    } else if word == "ready" {
      self = .ready(behind)
    } else if word == "live" {
      self = .live(behind)
    } else if word == "status" {
      self = .status(behind)
    } else if word == "port" {
      self = .port(behind)
    } else if word == "sockets" {
      self = .sockets(behind)
    } else if word == "copy" {
      self = .copy(behind)
    } else if word == "help" || word == "--help" || word == "-h" {
      self = .help(behind)
    } else if word == "--version" || word == "-V" {
      self = .version
    } else {
      self = .run(rest)
    }
  }

  func run() throws(UsageError) -> Int32 {
    switch self {
    case .run(let arguments):
      guard let configuration = try RunOptions.configuration(arguments) else {
        return output(RunOptions.help)
      }
      return Int32(Supervisor.run(configuration))
    case .drain(let arguments): return try DrainCommand.run(arguments)
    case .ready(let arguments): return try ReadyCommand.run(arguments)
    case .live(let arguments): return try LiveCommand.run(arguments)
    case .status(let arguments): return try StatusCommand.run(arguments)
    case .port(let arguments): return try PortCommand.run(arguments)
    case .sockets(let arguments): return try SocketsCommand.run(arguments)
    case .copy(let arguments): return try CopyCommand.run(arguments)
    case .help(let arguments):
      return output(try Help.text(arguments))
    case .version:
      return output("ebb \(ebbVersion)\n")
    }
  }
}

/// Writes to standard output; the exit code says whether it got there.
func output(_ text: Text) -> Int32 {
  (try? text.write(to: .standardOutput)) == nil ? 1 : 0
}
