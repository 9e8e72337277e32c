import CLinux
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

  /// Puts words that were taken back to the front, at most as many as were taken: in place, since the service's
  /// argv is this one.
  mutating func putBack(_ words: [CString]) {
    pointer -= words.count
    left += words.count
    for (index, word) in words.enumerated() { pointer[index] = UnsafeMutablePointer(mutating: word.pointer) }
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
protocol CommandOption: CaseIterable, Equatable where AllCases == [Self] {
  /// The command whose options these are, to name it in an error.
  static var command: StaticString { get }
  /// Where the options stand among the other words, and how they may be written.
  static var syntax: OptionSyntax { get }
  /// The name behind the two dashes; the variable is EBB_ and the same in capitals. Empty where it has none.
  var name: StaticString { get }
  /// The letter behind one dash; 0 where it has none.
  var letter: UInt8 { get }
  /// What the help calls its value; nil where it takes none.
  var value: StaticString? { get }
  /// What it does, in a line or two of the help.
  var help: StaticString { get }
  /// Another option that says the opposite, or nil: what was given on the command line then outdoes the
  /// variables of both.
  var opposite: Self? { get }
  /// Whether it has a variable.
  var hasVariable: Bool { get }
  /// Whether it asks for an answer, as help does: what follows it is not read.
  var isQuestion: Bool { get }
}

/// What ended a row of options.
private enum OptionsEnd {
  /// A word that is no option, or the end of the line.
  case word
  /// `--`: what follows is no option.
  case dashes
  /// `--help`, or another question.
  case help
}

/// Where options stand, and how they may be written.
enum OptionSyntax {
  /// ebb's own: long names, in full.
  case ebb
  /// getopt_long(3) with "+": letters, which may share a word, and long names, which may be cut short; none
  /// behind the first word that is no option.
  case upToFirstWord
  /// The same without "+": options anywhere, up to `--`.
  case anywhere
}

/// An option as the parser needs it: one type for every table, so that there is one parser.
private struct Spelling {
  let name: StaticString
  let letter: UInt8
  let value: StaticString?
  let isQuestion: Bool
  let hasVariable: Bool
  let opposite: Int?

  /// The variable's name.
  var variable: Text {
    var text: Text = "EBB_"
    for byte in CString(name).bytes {
      text.append(byte: byte == UInt8(ascii: "-") ? UInt8(ascii: "_") : byte - 32)
    }
    return text
  }
}

/// An option that was given: its place in the table, its value, and where that came from.
private struct Given {
  let place: Int
  let value: CString
  let source: UsageError.Source
}

/// Reads options off the front of a command line: one parser for every table.
private struct OptionReader {
  let table: [Spelling]
  let syntax: OptionSyntax
  let command: StaticString
  /// What is left of a word of several letters.
  private var letters: CString?

  /// What has been given so far.
  private(set) var given: [Given] = []

  enum Item {
    case option(Int, CString, UsageError.Source)
    case end(OptionsEnd)
  }

  init(_ table: [Spelling], _ syntax: OptionSyntax, _ command: StaticString) {
    self.table = table
    self.syntax = syntax
    self.command = command
  }

  /// Takes options off the front, up to a word that is none, and says what that was.
  mutating func take(_ arguments: inout Arguments) throws(UsageError) -> OptionsEnd {
    while true {
      switch try next(&arguments) {
      case .end(let end): return end
      case .option(let place, let value, let source):
        given.append(Given(place: place, value: value, source: source))
        if table[place].isQuestion { return .help }
      }
    }
  }

  /// Takes the options of the environment that the command line did not give.
  mutating func takeVariables() throws(UsageError) {
    let words = given
    for (place, option) in table.enumerated() where option.hasVariable {
      let isOutdone = words.contains { $0.place == place || $0.place == option.opposite }
      let name = option.variable
      guard !isOutdone, let value = name.bytes.withCString({ environmentVariable($0) }) else { continue }
      if option.value == nil {
        guard let isOn = OptionReader.flag(value) else {
          throw UsageError("\(name)=\(value): expected 1 or 0")
        }
        if !isOn { continue }
      }
      given.append(Given(place: place, value: value, source: .variable(name)))
    }
  }

  /// Takes the whole command line, and gives its words that are no options; nil when help was asked for.
  mutating func takeAll(_ arguments: inout Arguments) throws(UsageError) -> [CString]? {
    var words: [CString] = []
    var hasOptions = true
    while true {
      if hasOptions {
        switch try take(&arguments) {
        case .help: return nil
        case .dashes: hasOptions = false
        case .word: break
        }
      }
      guard let word = arguments.next() else { return words }
      words.append(word)
    }
  }

  /// Takes the options of a command line that is otherwise a command's. False when help was asked for.
  mutating func takeFromCommand(_ arguments: inout Arguments) throws(UsageError) -> Bool {
    var words: [CString] = []
    // getopt(3): whoever sets this wants no option behind the first word.
    let goesOn = syntax == .anywhere && environmentVariable(CString("POSIXLY_CORRECT")) == nil
    while true {
      let end = try take(&arguments)
      if end == .help { return false }
      guard goesOn, end == .word, let word = arguments.next() else { break }
      words.append(word)
    }
    arguments.putBack(words)
    return true
  }

  private static func flag(_ value: CString) -> Bool? {
    if value == "1" || value == "true" || value == "yes" { return true }
    if value == "" || value == "0" || value == "false" || value == "no" { return false }
    return nil
  }

  private mutating func next(_ arguments: inout Arguments) throws(UsageError) -> Item {
    if let letters { return try letter(letters, &arguments) }
    guard let word = arguments.first, word.hasPrefix("-"), !(word == "-") else { return .end(.word) }
    arguments.skip()
    if word == "--" { return .end(.dashes) }
    if word == "--help" || word == "-h" { return .end(.help) }
    if word.hasPrefix("--") { return try long(word, &arguments) }
    guard syntax != .ebb else { throw unknown("\(word)") }
    return try letter(word.dropFirst(1), &arguments)
  }

  private func long(_ word: CString, _ arguments: inout Arguments) throws(UsageError) -> Item {
    let name = word.dropFirst(2)
    let length = strcspn(name.pointer, "=")
    var found: Int?
    for (index, option) in table.enumerated() where option.name.utf8CodeUnitCount >= length {
      guard length > 0, strncmp(name.pointer, CString(option.name).pointer, length) == 0 else { continue }
      if option.name.utf8CodeUnitCount == length {
        found = index
        break
      }
      if syntax == .ebb { continue }
      if found != nil { throw UsageError("\(word): more than one option begins like this") }
      found = index
    }
    guard let found else { throw unknown("\(word)") }
    let option = table[found]
    let behind = name.dropFirst(length)
    let hasValue = behind.pointer.pointee != 0
    guard let expected = option.value else {
      if hasValue { throw UsageError("--\(option.name) takes no value, but has one: \(word)") }
      return .option(found, behind, .option(option.name))
    }
    guard let value = hasValue ? behind.dropFirst(1) : arguments.next() else {
      throw UsageError("--\(option.name) needs a value: \(expected)")
    }
    return .option(found, value, .option(option.name))
  }

  /// The first of some letters; those behind it are its value, or wait.
  private mutating func letter(_ word: CString, _ arguments: inout Arguments) throws(UsageError) -> Item {
    let letter = UInt8(bitPattern: word.pointer.pointee)
    let rest = word.dropFirst(1)
    letters = rest.pointer.pointee != 0 ? rest : nil
    if letter == UInt8(ascii: "h") { return .end(.help) }
    guard let index = table.firstIndex(where: { $0.letter == letter }) else {
      var text: Text = "-"
      text.append(printable: [letter])
      throw unknown(text)
    }
    guard let expected = table[index].value else { return .option(index, rest, .letter(letter)) }
    let value = letters
    letters = nil
    guard let value = value ?? arguments.next() else {
      var text: Text = "-"
      text.append(byte: letter)
      throw UsageError("\(text) needs a value: \(expected)")
    }
    return .option(index, value, .letter(letter))
  }

  private func unknown(_ word: Text) -> UsageError {
    let help: Text = syntax == .ebb ? "ebb help \(command)" : "\(command) -h"
    return UsageError("unknown option \(word) (\"\(help)\" lists them)")
  }
}

extension CommandOption {
  var opposite: Self? { nil }
  var hasVariable: Bool { true }
  var isQuestion: Bool { false }
  var letter: UInt8 { 0 }
  static var syntax: OptionSyntax { .ebb }

  private static var reader: OptionReader {
    let options = allCases
    return OptionReader(
      options.map { option in
        Spelling(
          name: option.name, letter: option.letter, value: option.value, isQuestion: option.isQuestion,
          hasVariable: option.hasVariable, opposite: option.opposite.flatMap { options.firstIndex(of: $0) })
      }, syntax, command)
  }

  private static func apply(
    _ reader: OptionReader, _ set: (Self, CString, UsageError.Source) throws(UsageError) -> Void
  ) throws(UsageError) {
    let options = allCases
    for given in reader.given { try set(options[given.place], given.value, given.source) }
  }

  /// Takes the options off the front of a command line, and then those of the environment that the command
  /// line did not give; stops at the first word that is none, or behind `--`. False when help was asked for.
  static func parse(
    _ arguments: inout Arguments, _ set: (Self, CString, UsageError.Source) throws(UsageError) -> Void
  ) throws(UsageError) -> Bool {
    var reader = reader
    if try reader.take(&arguments) == .help { return false }
    try reader.takeVariables()
    try apply(reader, set)
    return true
  }

  /// Takes the whole command line of a command whose options may stand before, between and behind its other
  /// words; behind `--` there is no option. False when help was asked for.
  static func parse(
    _ arguments: Arguments, word take: (CString) throws(UsageError) -> Void,
    _ set: (Self, CString, UsageError.Source) throws(UsageError) -> Void
  ) throws(UsageError) -> Bool {
    var arguments = arguments
    var reader = reader
    guard let words = try reader.takeAll(&arguments) else { return false }
    try reader.takeVariables()
    for word in words { try take(word) }
    try apply(reader, set)
    return true
  }

  /// Takes the options of a command line, of which what is left is a command; it has no variables. False when
  /// help was asked for, or another question.
  static func parseCommandLine(
    _ arguments: inout Arguments, _ set: (Self, CString, UsageError.Source) throws(UsageError) -> Void
  ) throws(UsageError) -> Bool {
    var reader = reader
    let goesOn = try reader.takeFromCommand(&arguments)
    try apply(reader, set)
    return goesOn
  }

  /// Takes the options of the environment alone.
  static func parseVariables(
    _ set: (Self, CString, UsageError.Source) throws(UsageError) -> Void
  ) throws(UsageError) {
    var reader = reader
    try reader.takeVariables()
    try apply(reader, set)
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

  /// The options as the help lists them.
  static var helpText: Text {
    var text = Text()
    for option in allCases {
      var left: Text = "  "
      if option.letter != 0 {
        left.append("-")
        left.append(byte: option.letter)
      }
      if option.name.utf8CodeUnitCount > 0 {
        left.append(option.letter != 0 ? ", --" : "--")
        left.append(option.name)
      }
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
    case letter(UInt8)
    case variable(Text)
  }

  /// A value that makes no sense.
  init(_ source: Source, _ value: CString, expected: StaticString) {
    switch source {
    case .option(let name): self.init("--\(name) \(value): expected \(expected)")
    case .letter(let letter):
      var text: Text = "-"
      text.append(byte: letter)
      text.append(contentsOf: " \(value): expected \(expected)")
      self.init(text)
    case .variable(let name): self.init("\(name)=\(value): expected \(expected)")
    }
  }
}
