import Glibc
import Linux

@testable import Supervisor
@testable import ebb

/// A whole command line and its environment, for every command and every other init's name.
///
/// The input is lines: the first word is the name that the program is started under; a line that begins with a
/// capital letter and has an equals sign is a variable, every other one a word. A vertical tab stands for a
/// newline within a word.
func fuzzCommandLine(_ input: UnsafeRawBufferPointer) {
  // What the libc keeps of putenv(3) and what a configuration points to lives until the end of the run.
  var kept: [UnsafeMutablePointer<CChar>] = []
  clearenv()
  defer {
    clearenv()
    for word in kept { free(word) }
  }
  var words: [UnsafeMutablePointer<CChar>?] = []
  for line in pieces(input, "\n").prefix(64) {
    let bytes = line.prefix { $0 != 0 }.map { $0 == 0x0b ? UInt8(ascii: "\n") : $0 }
    guard let word = bytes.withCString({ strdup($0.pointer) }) else { continue }
    kept.append(word)
    if let first = bytes.first, (65...90).contains(first), bytes.contains(UInt8(ascii: "=")) {
      putenv(word)
    } else {
      words.append(word)
    }
  }
  let given = words
  words.append(nil)
  words.withUnsafeMutableBufferPointer { buffer in
    guard let base = buffer.baseAddress else { return }
    let arguments = Arguments(base, count: given.count)
    do throws(UsageError) {
      if let program = InitProgram(arguments.first) {
        var configuration = Configuration(arguments: arguments.pointer)
        if try program.outcome(arguments, &configuration) == .run {
          checkConfiguration(configuration, given, base)
        }
      } else {
        try ask(ebb.Command(arguments), given, base)
      }
    } catch {
      check(!error.text.isEmpty && isOneLine(error.text), "an error is one line")
    }
  }
}

/// What each command reads of its words; nothing is carried out.
private func ask(
  _ command: ebb.Command, _ given: [UnsafeMutablePointer<CChar>?],
  _ base: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) throws(UsageError) {
  /// What is left to read when it is not help that is asked for.
  func options(_ table: OptionTable) throws(UsageError) -> Options? {
    let options = Options(table, command.arguments)
    return try options.take() ? options : nil
  }
  switch command.name {
  case .run:
    var configuration = Configuration(arguments: command.arguments.pointer)
    guard try RunOptions.read(command.arguments, &configuration) else { return }
    checkConfiguration(configuration, given, base)
    let tail = Array(given.dropFirst(configuration.arguments - base))
    check(words(configuration) == tail, "the service gets the end of the command line, untouched")
    check(configuration.arguments.pointee?.pointee != 0, "the command is no empty word")
  case .port:
    guard let options = try options(PortCommand.table) else { return }
    let request = try PortCommand.request(options)
    check(!request.ports.isEmpty, "a question names a port")
    check(request.ports.allSatisfy { $0.number > 0 }, "a port is above 0")
  case .sockets:
    guard let options = try options(SocketsCommand.table) else { return }
    let request = try SocketsCommand.request(options)
    check(!request.isDestroy || !request.filter.isEmpty, "nothing is ended without a filter")
  case .drain:
    guard let options = try options(DrainCommand.table) else { return }
    while let option = DrainCommand.Option(rawValue: options.next()) {
      if option == .timeout { _ = try options.duration() }
    }
  case .status: _ = try options(StatusCommand.table)
  case .ready: _ = try options(ProbeCommand.ready)
  case .live: _ = try options(ProbeCommand.live)
  case .help: check(!(try Help.text(command.arguments)).isEmpty, "who asks is answered")
  case .copy, nil: break
  }
}

private func words(_ configuration: Configuration) -> [UnsafeMutablePointer<CChar>?] {
  var words: [UnsafeMutablePointer<CChar>?] = []
  while let word = configuration.arguments[words.count] { words.append(word) }
  return words
}

private func checkConfiguration(
  _ configuration: Configuration, _ given: [UnsafeMutablePointer<CChar>?],
  _ base: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) {
  check(
    configuration.arguments > base && configuration.arguments < base + given.count,
    "the command is within the command line")
  // Options may be taken from between the words, whose order stays.
  var rest = given[...]
  for word in words(configuration) {
    guard let place = rest.firstIndex(of: word) else { return check(false, "words keep their order") }
    rest = rest[(place + 1)...]
  }
  check(
    configuration.ports.count <= 64 && configuration.udpPorts.count <= 64, "ports are 64 of a kind at most")
  check(configuration.readyWhen.count <= 16, "probes are 16 at most")
  check(configuration.ignoredPeers.count <= 16, "ignored networks are 16 at most")
  check(configuration.grace != .zero, "a grace is above 0")
  for time in [
    configuration.lameDuck, configuration.lameDuckMax, configuration.busyMax, configuration.undecidedMax,
    configuration.lingerMax,
    configuration.grace,
  ] {
    if let time { check(time >= .zero && time <= .seconds(366 * 24 * 3600), "a time is a year at most") }
  }
}
