import Linux

/// A command line that cannot be meant: one line for the user, who gets exit code 64.
struct UsageError: Error {
  let text: Text
}

/// The words of a command line, taken one by one.
///
/// "--name value" and "--name=value" are the same.
struct Words {
  private var rest: ArraySlice<CString>
  private var inlineValue: [UInt8]?
  /// The word that was taken last, to be named in a complaint.
  private(set) var current: [UInt8] = []

  init(_ count: Int32, _ words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) {
    var all: [CString] = []
    for index in 0..<max(0, Int(count)) {
      if let word = words[index] { all.append(CString(word)) }
    }
    // The first is our own name.
    rest = all.dropFirst()
  }

  /// The next word, or the name of the next option.
  mutating func next() throws(UsageError) -> [UInt8]? {
    if inlineValue != nil { throw complaint("takes no value") }
    guard let word = rest.popFirst()?.bytes else { return nil }
    current = word
    if word.hasPrefix("--"), let equals = word.firstIndex(of: UInt8(ascii: "=")) {
      current = Array(word[..<equals])
      inlineValue = Array(word[(equals + 1)...])
    }
    return current
  }

  /// The value of the option just taken.
  mutating func value(_ expected: StaticString) throws(UsageError) -> [UInt8] {
    if let value = inlineValue {
      inlineValue = nil
      return value
    }
    guard let value = rest.popFirst()?.bytes else { throw complaint("expected \(expected) after it") }
    return value
  }

  /// A whole number within limits.
  mutating func number(_ expected: StaticString, _ range: ClosedRange<Int>) throws(UsageError) -> Int {
    let written = try value(expected)
    guard let number = decimal(written).flatMap({ Int(exactly: $0) }), range.contains(number) else {
      throw complaint("expected \(expected) (\(range.lowerBound) to \(range.upperBound)), not '\(written)'")
    }
    return number
  }

  /// A time, "250ms" or "10s".
  mutating func duration() throws(UsageError) -> Duration {
    let written = try value("a time such as 250ms or 10s")
    guard let duration = Duration(written: written) else {
      throw complaint("expected a time such as 250ms or 10s, not '\(written)'")
    }
    return duration
  }

  /// What is wrong with the word taken last.
  func complaint(_ what: Text) -> UsageError { UsageError(text: "\(current): \(what)") }

  /// The word taken last is none that we know.
  var unknown: UsageError { complaint("no such word here; see tide help") }
}
