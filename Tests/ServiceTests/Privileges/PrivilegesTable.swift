/// The table of privileges: what each promise comes to in each confinement. The README shows it, and each cell is a
/// test.
enum PrivilegesTable {
  /// A cell.
  struct Cell: Sendable, CustomStringConvertible {
    var confinement: Confinement
    var promise: Promise
    var expected: Outcome { PrivilegesTable.expected(promise, in: confinement) }
    var description: String { "\(confinement.title): \(promise.sentence)? \(expected)" }
  }

  /// The cells of some rows.
  static func cells(_ confinements: [Confinement]) -> [Cell] {
    confinements.flatMap { confinement in
      Promise.allCases.map { Cell(confinement: confinement, promise: $0) }
    }
  }

  /// What is expected: the words are a part of those that a user reads.
  static func expected(_ promise: Promise, in confinement: Confinement) -> Outcome {
    exceptions(confinement)[promise] ?? .yes
  }

  private static func exceptions(_ confinement: Confinement) -> [Promise: Outcome] {
    switch confinement {
    case .otherUser: return [.holder: .no(notVisible)]
    case .stranger:
      return [.probes: .no(refused), .drain: .no(refused), .status: .no(refused), .holder: .no(notVisible)]
    case .hiddenOther:
      return [
        .probes: .partly(strangers), .pages: .partly(strangers), .status: .partly(strangers),
        .drain: .partly("whether anything is busy is not seen"), .lameDuck: .no(strangers),
        .busy: .no(strangers), .losses: .no("losses not measured"), .holder: .no("hidden by hidepid"),
      ]
    case .withoutProc:
      return [.probes: .no(nameless), .drain: .no(nameless), .status: .no(nameless), .holder: .no(unknown)]
    case .withoutNetlink, .strict:
      return [
        .lameDuck: .partly(queues), .busy: .partly(queues), .losses: .no(unmeasured),
        .sockets: .partly(fromProc),
      ]
    case .withoutBoth:
      return [
        .probes: .no(nameless), .drain: .no(nameless), .status: .no(nameless), .pages: .partly(blindReport),
        .lameDuck: .no(blind), .busy: .no(blind), .linger: .no(blindReport),
        .losses: .no("losses not measured"),
        .port: .partly(blindPort), .holder: .no(blindHolder), .sockets: .no(blindSockets),
      ]
    default: return [:]
    }
  }

  private static let notVisible = "may not be looked into (CAP_SYS_PTRACE)"
  private static let refused = "only that user, or root, may ask"
  private static let nameless = "no supervisor to ask: there is no /proc to make its name from"
  private static let strangers =
    "for whose the listening sockets are cannot be seen (--ports names the service's)"
  private static let unknown = "owner not known: there is no /proc"
  private static let queues = "by their queues alone, for netlink is refused (Operation not permitted)"
  private static let unmeasured = "losses not measured (Operation not permitted)"
  private static let fromProc =
    "from /proc/net, for netlink is refused: for how long anything has lasted is not known"
  private static let blind =
    "connections are not seen, for the socket table cannot be read (Operation not permitted)"
  private static let blindReport = "no port is known, for the socket table cannot be read"
  private static let blindPort = "cannot tell: the socket table cannot be read"
  private static let blindHolder = "by whom cannot be told, for the socket table cannot be read"
  private static let blindSockets = "the socket table cannot be read: Operation not permitted"

  /// The table as the README has it: a letter for the words that a user reads.
  static var markdown: String {
    var notes: [String] = []
    func cell(_ outcome: Outcome) -> String {
      func note(_ words: String) -> String {
        if !notes.contains(words) { notes.append(words) }
        return letter(notes.firstIndex(of: words) ?? 0)
      }
      return switch outcome {
      case .yes: "yes"
      case .partly(let words): "partly \(note(words))"
      case .no(let words): "no \(note(words))"
      case .broken: "broken"
      }
    }
    var lines = ["| | " + Promise.allCases.map(\.title).joined(separator: " | ") + " |"]
    lines.append("| --- |" + String(repeating: " --- |", count: Promise.allCases.count))
    for confinement in Confinement.allCases {
      let cells = Promise.allCases.map { cell(expected($0, in: confinement)) }
      lines.append("| \(confinement.title) | " + cells.joined(separator: " | ") + " |")
    }
    lines.append("")
    for (index, words) in notes.enumerated() { lines.append("- \(letter(index)) `\(words)`") }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func letter(_ index: Int) -> String { "(\(String(UnicodeScalar(UInt8(97 + index)))))" }
}
