import CLinux
import Linux

/// The options of a command. Its help is the table: what a user reads is what the parser finds its options in.
///
/// A line that begins with two blanks and a dash is an option: `  --name VALUE   what it does`, where the value is
/// one blank behind the name, and two or more come before what it does; another init's may have a letter, `  -c,
/// --name VALUE` or `  -c VALUE`. An option goes by its place among them; each command has an enum of its places,
/// in the same order.
struct OptionTable {
  /// The command, to name it in an error.
  let command: StaticString
  /// How options are written, and what else there may be.
  var syntax = OptionSyntax.ebb
  /// What follows the first options.
  var words = Words.none
  /// Options that say the opposite of the one below them: what is given on the command line outdoes the variables of
  /// both.
  var opposites = OptionPlaces.none
  /// Options without a variable.
  var withoutVariable = OptionPlaces.none
  /// Options that ask for an answer, as help does: what follows them is not read.
  var questions = OptionPlaces.none
  /// The help.
  let help: StaticString

  /// The words of a command line that are no options.
  enum Words {
    /// There are none.
    case none
    /// They stand before, between and behind the options; behind `--` there is no option.
    case anywhere
    /// They are a command, whose own options are not ours.
    case behind
  }

  /// An option by its place.
  func line(_ place: Int) -> OptionLine? {
    var line = OptionLine(below: CString(help))
    for _ in 0..<place { line = line?.next }
    return line
  }
}

/// How options may be written.
enum OptionSyntax {
  /// ebb's own: long names, in full; what the command line does not say may a variable, EBB_ and the name in
  /// capitals.
  case ebb
  /// getopt_long(3): letters, which may share a word, and long names, which may be cut short.
  case getopt
}

/// Some of a table's options.
struct OptionPlaces {
  private let bits: UInt32

  static var none: OptionPlaces { OptionPlaces(bits: 0) }
  static var all: OptionPlaces { OptionPlaces(bits: ~0) }

  private init(bits: UInt32) { self.bits = bits }

  init<Option: RawRepresentable>(_ option: Option) where Option.RawValue == Int {
    bits = 1 << UInt32(truncatingIfNeeded: option.rawValue)
  }

  static func | (left: OptionPlaces, right: OptionPlaces) -> OptionPlaces {
    OptionPlaces(bits: left.bits | right.bits)
  }

  func contains(_ place: Int) -> Bool { bits >> UInt32(truncatingIfNeeded: place) & 1 == 1 }
}

/// A line of a table of options.
final class OptionLine {
  /// The letter behind one dash; 0 where it has none.
  private(set) var letter: UInt8 = 0
  /// The name behind two dashes; empty where it has none.
  private(set) var name: [UInt8] = []
  /// What the help calls its value; nil where it takes none.
  private(set) var value: [UInt8]?
  /// What comes behind.
  private var rest: CString

  /// The first option below this place in the help; nil where there is none.
  init?(below text: CString) {
    var line = text
    repeat {
      guard let end = strchr(line.pointer, Int32(UInt8(ascii: "\n"))) else { return nil }
      line = CString(end).dropFirst(1)
    } while !line.hasPrefix("  -")
    rest = line.dropFirst(2)
    if !rest.hasPrefix("--") {
      rest = rest.dropFirst(1)
      letter = rest.first
      rest = rest.dropFirst(1)
      if rest.hasPrefix(", --") { rest = rest.dropFirst(2) }
    }
    if rest.hasPrefix("--") {
      rest = rest.dropFirst(2)
      name = rest.cut(" \n")
    }
    if rest.hasPrefix(" ") && !rest.hasPrefix("  ") {
      rest = rest.dropFirst(1)
      value = rest.cut(" \n")
    }
  }

  /// The option below it.
  var next: OptionLine? { OptionLine(below: rest) }

  /// Its variable's name.
  var variable: Text {
    var text: Text = "EBB_"
    for byte in name { text.append(byte: byte == UInt8(ascii: "-") ? UInt8(ascii: "_") : byte - 32) }
    return text
  }
}

extension CString {
  /// The first byte; 0 at the end.
  var first: UInt8 { UInt8(bitPattern: pointer.pointee) }

  /// Takes what comes before the first of these bytes, or everything.
  mutating func cut(_ ends: StaticString) -> [UInt8] {
    let length = strcspn(pointer, CString(ends).pointer)
    let piece = [UInt8](UnsafeRawBufferPointer(start: pointer, count: length))
    self = dropFirst(length)
    return piece
  }
}
