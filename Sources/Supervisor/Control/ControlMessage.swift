import Linux

/// What `ebb drain`, `ebb ready` and their like ask of the supervisor: one message of plain words.
public enum ControlRequest: Equatable, Sendable {
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
    if message == "ready" {
      self = .ready
    } else if message == "live" {
      self = .live
    } else if message == "drain" {
      self = .drain
    } else if message == "status" {
      self = .status
    } else if message == "status watch" {
      self = .statusWatch
    } else if message == "main" {
      self = .main
    } else if message == "status json" {
      self = .statusJSON
    } else {
      return nil
    }
  }

  /// The message.
  public var text: Text {
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
    switch self {
    case .yes(let words): "+ \(words)"
    case .no(let words): "- \(words)"
    case .refused(let words): "! \(words)"
    case .progress(let words): ". \(words)"
    }
  }
}
