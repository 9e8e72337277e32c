import Linux

/// A command line of the user's, taken apart without a shell.
public enum CommandLineWords {
  /// The words of a command line: separated by blanks, kept together by '…' or "…", a backslash taking the
  /// next byte as it is outside of '…'. No shell, so nothing is expanded; `sh -c '…'` has one. nil where a
  /// quote is not closed.
  public static func split(_ line: [UInt8]) -> [[UInt8]]? {
    var words: [[UInt8]] = []
    var word: [UInt8]?
    var quote: UInt8?
    var isEscaped = false
    for byte in line {
      if isEscaped {
        word = (word ?? []) + [byte]
        isEscaped = false
      } else if byte == UInt8(ascii: "\\") && quote != UInt8(ascii: "'") {
        isEscaped = true
      } else if let open = quote {
        if byte == open { quote = nil } else { word = (word ?? []) + [byte] }
      } else if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
        quote = byte
        word = word ?? []
      } else if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\n") {
        if let finished = word { words.append(finished) }
        word = nil
      } else {
        word = (word ?? []) + [byte]
      }
    }
    if quote != nil || isEscaped { return nil }
    if let finished = word { words.append(finished) }
    return words
  }
}
