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
struct Command {
  /// The commands; a first word that is none is the service's (or begins the options of `run`).
  enum Name: Int {
    case run, drain, ready, live, status, port, sockets, copy, help

    /// The command with this name.
    init?(_ word: CString) {
      guard let place = place(of: word, in: "run drain ready live status port sockets copy help") else {
        return nil
      }
      self.init(rawValue: place)
    }
  }

  /// nil is the version.
  let name: Name?
  /// The words behind it.
  let arguments: Arguments

  init(_ arguments: Arguments) {
    var rest = arguments
    rest.skip()
    var behind = rest
    behind.skip()
    guard let word = rest.first else {
      self.name = .run
      self.arguments = rest
      return
    }
    if let name = Name(word) {
      self.name = name
    } else if word == "--help" || word == "-h" {
      name = .help
    } else if word == "--version" || word == "-V" {
      name = nil
    } else {
      name = .run
      behind = rest
    }
    self.arguments = behind
  }

  func run() throws(UsageError) -> Int32 {
    switch name {
    case .run: try Command.supervise(arguments)
    case .drain: try DrainCommand.run(arguments)
    case .ready: try ProbeCommand.run(arguments, ProbeCommand.ready, .ready)
    case .live: try ProbeCommand.run(arguments, ProbeCommand.live, .live)
    case .status: try StatusCommand.run(arguments)
    case .port: try PortCommand.run(arguments)
    case .sockets: try SocketsCommand.run(arguments)
    case .copy: try CopyCommand.run(arguments)
    case .help: output(try Help.text(arguments))
    case nil: output("ebb \(ebbVersion)\n")
    }
  }

  private static func supervise(_ arguments: Arguments) throws(UsageError) -> Int32 {
    var configuration = Configuration(arguments: arguments.pointer)
    guard try RunOptions.read(arguments, &configuration) else {
      return output(Text(stringLiteral: RunOptions.table.help))
    }
    return Int32(Supervisor.run(configuration))
  }
}

/// Writes to standard output; the exit code says whether it got there.
func output(_ text: Text) -> Int32 {
  (try? text.write(to: .standardOutput)) == nil ? 1 : 0
}
