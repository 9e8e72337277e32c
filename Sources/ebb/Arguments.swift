import Linux

/// The words of a command line, as the kernel hands them over: read from the front, never copied, so that the
/// service gets its own untouched.
struct Arguments {
  /// The words that are left: an argv, its last element nil.
  private(set) var pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private var left: Int

  init(_ pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>, count: Int) {
    self.pointer = pointer
    left = max(0, count)
  }

  /// The next word; nil at the end.
  var first: CString? {
    guard left > 0, let word = pointer.pointee else { return nil }
    return CString(word)
  }

  /// Goes past the next word, where there is one.
  mutating func skip() {
    guard left > 0 else { return }
    pointer += 1
    left -= 1
  }

  /// Takes the next word.
  mutating func next() -> CString? {
    defer { skip() }
    return first
  }
}

/// A command line (or a variable) that makes no sense: one line that names the word and says what was
/// expected.
struct UsageError: Error {
  /// EX_USAGE, sysexits.h.
  static var exitCode: Int32 { 64 }

  let text: Text

  init(_ text: Text) { self.text = text }
}

/// The options of a command: one case an option, everything about it said once. Parsing, variables and help
/// all read it from here.
protocol CommandOption: CaseIterable, Equatable {
  /// The command whose options these are, to name it in an error.
  static var command: StaticString { get }
  /// The name behind the two dashes; the variable is EBB_ and the same in capitals.
  var name: StaticString { get }
  /// What the help calls its value; nil where it takes none.
  var value: StaticString? { get }
  /// What it does, in a line or two of the help.
  var help: StaticString { get }
  /// Another option that says the opposite, or nil: what was given on the command line then outdoes the
  /// variables of both.
  var opposite: Self? { get }
  /// Whether it has a variable.
  var hasVariable: Bool { get }
}

/// What ended a row of options.
private enum OptionsEnd {
  /// A word that is no option, or the end of the line.
  case word
  /// `--`: what follows is no option.
  case dashes
  /// `--help`.
  case help
}

extension CommandOption {
  var opposite: Self? { nil }
  var hasVariable: Bool { true }

  /// Takes the options off the front of a command line, and then those of the environment that the command
  /// line did not give; stops at the first word that is none, or behind `--`. False when help was asked for.
  static func parse(
    _ arguments: inout Arguments, _ set: (Self, CString, UsageError.Source) throws(UsageError) -> Void
  ) throws(UsageError) -> Bool {
    var given: [Self] = []
    if try parseOptions(&arguments, &given, set) == .help { return false }
    try parseVariables(given, set)
    return true
  }

  /// Takes the whole command line of a command whose options may stand before, between and behind its other
  /// words; behind `--` there is no option. False when help was asked for.
  static func parse(
    _ arguments: Arguments, word take: (CString) throws(UsageError) -> Void,
    _ set: (Self, CString, UsageError.Source) throws(UsageError) -> Void
  ) throws(UsageError) -> Bool {
    var arguments = arguments
    var given: [Self] = []
    var hasOptions = true
    while true {
      if hasOptions {
        switch try parseOptions(&arguments, &given, set) {
        case .help: return false
        case .dashes: hasOptions = false
        case .word: break
        }
      }
      guard let word = arguments.next() else { break }
      try take(word)
    }
    try parseVariables(given, set)
    return true
  }

  /// Takes options off the front, up to a word that is none, and says what that was.
  private static func parseOptions(
    _ arguments: inout Arguments, _ given: inout [Self],
    _ set: (Self, CString, UsageError.Source) throws(UsageError) -> Void
  ) throws(UsageError) -> OptionsEnd {
    while let word = arguments.first {
      guard word.hasPrefix("-"), !(word == "-") else { break }
      arguments.skip()
      if word == "--" { return .dashes }
      if word == "--help" || word == "-h" { return .help }
      guard word.hasPrefix("--"), let option = option(named: word.dropFirst(2)) else {
        throw UsageError("unknown option \(word) (\"ebb help \(command)\" lists them)")
      }
      given.append(option)
      try set(option, try value(of: option, word, &arguments), .option(option.name))
    }
    return .word
  }

  /// Takes the options of the environment that the command line did not give.
  private static func parseVariables(
    _ given: [Self], _ set: (Self, CString, UsageError.Source) throws(UsageError) -> Void
  ) throws(UsageError) {
    for option in allCases where option.hasVariable {
      let isOutdone = given.contains { $0 == option || $0 == option.opposite }
      guard !isOutdone, let value = variable(of: option) else { continue }
      if option.value == nil {
        guard let isOn = flag(value) else {
          throw UsageError("\(variableName(option))=\(value): expected 1 or 0")
        }
        if !isOn { continue }
      }
      try set(option, value, .variable(variableName(option)))
    }
  }

  /// Takes the whole command line of a command that has nothing but options. False when help was asked for.
  static func parseAll(
    _ arguments: Arguments, _ set: (Self, CString, UsageError.Source) throws(UsageError) -> Void
  ) throws(UsageError) -> Bool {
    var arguments = arguments
    guard try parse(&arguments, set) else { return false }
    if let word = arguments.first {
      throw UsageError(
        "\(word): ebb \(command) takes no words but its options (\"ebb help \(command)\" lists them)")
    }
    return true
  }

  /// The option with this name, which may have "=value" behind it.
  private static func option(named name: CString) -> Self? {
    allCases.first { option in
      guard name.hasPrefix(option.name) else { return false }
      let end = name.dropFirst(option.name.utf8CodeUnitCount).pointer.pointee
      return end == 0 || end == CChar(UInt8(ascii: "="))
    }
  }

  private static func value(
    of option: Self, _ word: CString, _ arguments: inout Arguments
  ) throws(UsageError) -> CString {
    let behind = word.dropFirst(2 + option.name.utf8CodeUnitCount)
    let hasValue = behind.pointer.pointee != 0
    guard let value = option.value else {
      if hasValue { throw UsageError("--\(option.name) takes no value, but has one: \(word)") }
      return behind
    }
    if hasValue { return behind.dropFirst(1) }
    guard let next = arguments.next() else {
      throw UsageError("--\(option.name) needs a value: \(value)")
    }
    return next
  }

  private static func variableName(_ option: Self) -> Text {
    var name: Text = "EBB_"
    option.name.withUTF8Buffer { bytes in
      for byte in bytes {
        name.append(byte: byte == UInt8(ascii: "-") ? UInt8(ascii: "_") : byte - 32)
      }
    }
    return name
  }

  private static func variable(of option: Self) -> CString? {
    let name = variableName(option)
    return name.bytes.withCString { environmentVariable($0) }
  }

  private static func flag(_ value: CString) -> Bool? {
    if value == "1" || value == "true" || value == "yes" { return true }
    if value == "" || value == "0" || value == "false" || value == "no" { return false }
    return nil
  }

  /// The options as the help lists them.
  static var helpText: Text {
    var text = Text()
    for option in allCases {
      var left: Text = "  --\(option.name)"
      if let value = option.value { left.append(contentsOf: " \(value)") }
      text.append(contentsOf: left)
      let column = 30
      if left.bytes.count > column - 2 {
        text.append("\n")
        for _ in 0..<column { text.append(" ") }
      } else {
        for _ in left.bytes.count..<column { text.append(" ") }
      }
      text.append(option.help)
      text.append("\n")
    }
    return text
  }
}

extension UsageError {
  /// Where a value came from, to name it in an error.
  enum Source {
    case option(StaticString)
    case variable(Text)
  }

  /// A value that makes no sense.
  init(_ source: Source, _ value: CString, expected: StaticString) {
    switch source {
    case .option(let name): self.init("--\(name) \(value): expected \(expected)")
    case .variable(let name): self.init("\(name)=\(value): expected \(expected)")
    }
  }
}
