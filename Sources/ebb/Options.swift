import CLinux
import Linux

/// The options that a command line and the environment give: read by its table, then gone through one by one.
///
///     let options = Options(table, arguments)
///     guard try options.take() else { return options.showHelp() }
///     while let option = Option(rawValue: options.next()) {
///       switch option { case .wait: wait = try options.duration() … }
///     }
final class Options {
  private let table: OptionTable
  /// The words that are left.
  private(set) var arguments: Arguments
  private var given: [Given] = []
  private var position = 0
  private var current = Given(place: -1, value: CString(""), source: .name)

  /// An option that was given.
  private struct Given {
    let place: Int
    let value: CString
    let source: Source
  }

  /// How it was given.
  private enum Source {
    case name
    case letter
    case variable
  }

  /// What ended a row of options.
  private enum End {
    /// A word that is no option, or the end of the line.
    case word
    /// `--`: what follows is no option.
    case dashes
    /// `--help`, or another question.
    case question
  }

  init(_ table: OptionTable, _ arguments: Arguments) {
    self.table = table
    self.arguments = arguments
  }

  /// Goes on to the next option that was given: its place in the table; -1 behind the last.
  func next() -> Int {
    guard position < given.count else { return -1 }
    current = given[position]
    position += 1
    return current.place
  }

  /// Its value.
  var value: CString { current.value }

  /// What is wrong with its value.
  func wrong(_ expected: StaticString) -> UsageError {
    var text = Text()
    if let option = table.line(current.place) {
      switch current.source {
      case .name: text = Options.long(option)
      case .letter: text = Options.short(option.letter)
      case .variable: text = option.variable
      }
    }
    text.append(current.source == .variable ? "=" : " ")
    text.append(contentsOf: "\(value): expected \(expected)")
    return UsageError(text)
  }

  /// Prints the help.
  func showHelp() -> Int32 { output(Text(stringLiteral: table.help)) }

  /// Takes the options of the command line, and then those of the environment that it did not give; what is left are
  /// its words, in their order. False when help was asked for, or another question.
  func take() throws(UsageError) -> Bool {
    var words: [CString] = []
    var isAnywhere = table.words == .anywhere
    // getopt(3): whoever sets this wants no option behind the first word.
    if table.syntax == .getopt && environmentVariable(CString("POSIXLY_CORRECT")) != nil {
      isAnywhere = false
    }
    while true {
      let end = try takeRow()
      if end == .question { return false }
      guard isAnywhere, end == .word, let word = arguments.next() else { break }
      words.append(word)
    }
    arguments.putBack(words)
    if table.words == .none, let word = arguments.first {
      let command = table.command
      throw UsageError(
        "\(word): ebb \(command) takes no words but its options (\"ebb help \(command)\" lists them)")
    }
    if table.syntax == .ebb { try takeVariables() }
    return true
  }

  /// Takes the options of the environment that the command line did not give.
  func takeVariables() throws(UsageError) {
    // Mostly there is none, and then no name has to be made up.
    guard hasEnvironmentVariables("EBB_") else { return }
    let words = given
    var line = OptionLine(below: CString(table.help))
    var place = 0
    while let option = line {
      if !table.withoutVariable.contains(place) && !isOutdone(place, by: words) {
        try takeVariable(option, place)
      }
      line = option.next
      place += 1
    }
  }

  private func takeVariable(_ option: OptionLine, _ place: Int) throws(UsageError) {
    let name = option.variable
    guard let value = name.bytes.withCString({ environmentVariable($0) }) else { return }
    if option.value == nil {
      let isOn = ebb.place(of: value, in: "0 false no 1 true yes")
      if value.first == 0 || isOn.map({ $0 < 3 }) == true { return }
      if isOn == nil { throw UsageError("\(name)=\(value): expected 1 or 0") }
    }
    given.append(Given(place: place, value: value, source: .variable))
  }

  /// Whether the command line gave this option, or one that says the opposite.
  private func isOutdone(_ place: Int, by words: [Given]) -> Bool {
    for word in words {
      if word.place == place { return true }
      if word.place == place + 1 && table.opposites.contains(place) { return true }
      if word.place == place - 1 && table.opposites.contains(word.place) { return true }
    }
    return false
  }

  /// Takes options off the front, up to a word that is none, and says what that was.
  private func takeRow() throws(UsageError) -> End {
    while let word = arguments.first, word.first == UInt8(ascii: "-"), word.dropFirst(1).first != 0 {
      arguments.skip()
      if word == "--" { return .dashes }
      if word == "--help" || word == "-h" { return .question }
      if word.hasPrefix("--") {
        try takeLong(word)
        if isQuestion { return .question }
        continue
      }
      guard table.syntax == .getopt else { throw unknown("\(word)") }
      var letters = word.dropFirst(1)
      repeat {
        if letters.first == UInt8(ascii: "h") { return .question }
        try takeLetter(&letters)
        if isQuestion { return .question }
      } while letters.first != 0
    }
    return .word
  }

  /// Whether the last option is a question.
  private var isQuestion: Bool { given.last.map { table.questions.contains($0.place) } ?? false }

  private func takeLong(_ word: CString) throws(UsageError) {
    var behind = word.dropFirst(2)
    let name = behind.cut("=")
    var found: OptionLine?
    var foundPlace = 0
    var line = OptionLine(below: CString(table.help))
    var place = 0
    while let option = line {
      let isWhole = option.name.count == name.count
      // With getopt a name may be cut short.
      if !name.isEmpty && (isWhole || table.syntax == .getopt) && option.name.begins(with: name) {
        if found != nil && !isWhole { throw UsageError(word, ": more than one option begins like this") }
        found = option
        foundPlace = place
        if isWhole { break }
      }
      line = option.next
      place += 1
    }
    guard let found else { throw unknown("\(word)") }
    var value = behind
    let hasValue = behind.first != 0
    if let expected = found.value {
      guard let given = hasValue ? behind.dropFirst(1) : arguments.next() else {
        throw needsValue(Options.long(found), expected)
      }
      value = given
    } else if hasValue {
      throw UsageError("\(Options.long(found)) takes no value, but has one: \(word)")
    }
    given.append(Given(place: foundPlace, value: value, source: .name))
  }

  /// The first of some letters; those behind it are its value, or options too.
  private func takeLetter(_ letters: inout CString) throws(UsageError) {
    let letter = letters.first
    letters = letters.dropFirst(1)
    var line = OptionLine(below: CString(table.help))
    var place = 0
    while let option = line, option.letter != letter {
      line = option.next
      place += 1
    }
    guard let option = line else { throw unknown(Options.short(letter)) }
    var value = letters
    if let expected = option.value {
      if letters.first == 0 {
        guard let next = arguments.next() else { throw needsValue(Options.short(letter), expected) }
        value = next
      }
      letters = letters.dropFirst(letters.count)
    }
    given.append(Given(place: place, value: value, source: .letter))
  }

  private func unknown(_ word: Text) -> UsageError {
    let help: Text = table.syntax == .ebb ? "ebb help \(table.command)" : "\(table.command) -h"
    return UsageError("unknown option \(word) (\"\(help)\" lists them)")
  }

  private func needsValue(_ option: Text, _ expected: [UInt8]) -> UsageError {
    UsageError("\(option) needs a value: \(expected)")
  }

  private static func long(_ option: OptionLine) -> Text { "--\(option.name)" }

  private static func short(_ letter: UInt8) -> Text {
    var text: Text = "-"
    text.append(printable: [letter])
    return text
  }
}

extension [UInt8] {
  /// Whether these bytes begin with others.
  fileprivate func begins(with others: [UInt8]) -> Bool {
    if others.count > count { return false }
    var index = 0
    while index < others.count && self[index] == others[index] { index += 1 }
    return index == others.count
  }
}
