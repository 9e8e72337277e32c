import Linux

/// What `ebb drain`, `ebb ready` and their like ask of the supervisor: one message of plain words.
public enum ControlRequest: CaseIterable, Equatable, Sendable {
  /// Should the service get traffic?
  case ready
  /// Is there a service?
  case live
  /// Begin the drain, and tell how it goes.
  case drain
  /// What there is to know, for a person.
  case status
  /// The same, with the number of connections and busy ones on a line before it, to draw from.
  case statusWatch
  /// The same, as JSON.
  case statusJSON

  /// The main process's number.
  case main

  /// The longest request that is read.
  static var limit: Int { 64 }

  /// The request in a message; nil where it is none.
  init?(_ message: [UInt8]) {
    for request in ControlRequest.allCases where message == request.words {
      self = request
      return
    }
    return nil
  }

  /// The message.
  public var text: Text { Text(stringLiteral: words) }

  private var words: StaticString {
    switch self {
    case .ready: "ready"
    case .live: "live"
    case .drain: "drain"
    case .status: "status"
    case .main: "main"
    case .statusWatch: "status watch"
    case .statusJSON: "status json"
    }
  }
}

/// What the supervisor answers: one message, but for a drain, which tells of its progress first.
public enum ControlAnswer: Equatable, Sendable {
  /// Yes, and a word about it.
  case yes(Text)
  /// No, and why.
  case no(Text)
  /// The question was not understood, or cannot be taken now.
  case refused(Text)
  /// A line about how the drain goes; more comes.
  case progress(Text)

  /// The longest answer that is read: a status with all its ports.
  public static var limit: Int { 64 * 1024 }

  /// The answer in a message: a sign, a blank, text. nil where it is none.
  public init?(_ message: [UInt8]) {
    guard message.count >= 2, message[1] == UInt8(ascii: " ") else { return nil }
    let text = Text(bytes: message.part(from: 2))
    switch message[0] {
    case UInt8(ascii: "+"): self = .yes(text)
    case UInt8(ascii: "-"): self = .no(text)
    case UInt8(ascii: "!"): self = .refused(text)
    case UInt8(ascii: "."): self = .progress(text)
    default: return nil
    }
  }

  /// The message.
  var text: Text {
    var text = Text()
    switch self {
    case .yes: text.append("+ ")
    case .no: text.append("- ")
    case .refused: text.append("! ")
    case .progress: text.append(". ")
    }
    text.append(contentsOf: words)
    return text
  }

  /// What it says.
  var words: Text {
    switch self {
    case .yes(let words), .no(let words), .refused(let words), .progress(let words): words
    }
  }

  /// Whether it is a yes.
  var isYes: Bool { if case .yes = self { true } else { false } }
}
