import Linux

/// A command line of the user's, taken apart without a shell.
public enum CommandLineWords {
  /// The words of a command line: separated by blanks, kept together by '…' or "…", a backslash taking the
  /// next byte as it is outside of '…'. No shell, so nothing is expanded; `sh -c '…'` has one. nil where a
  /// quote is not closed.
  public static func split(_ line: [UInt8]) -> [[UInt8]]? {
    var words: [[UInt8]] = []
    var word: [UInt8] = []
    /// There is a word, though it may be empty.
    var isWord = false
    var quote: UInt8 = 0
    var isEscaped = false
    for byte in line {
      let isQuote = byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"")
      let isBlank = byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\n")
      if !isEscaped && byte == UInt8(ascii: "\\") && quote != UInt8(ascii: "'") {
        isEscaped = true
      } else if !isEscaped && quote != 0 && byte == quote {
        quote = 0
      } else if !isEscaped && quote == 0 && isQuote {
        quote = byte
        isWord = true
      } else if !isEscaped && quote == 0 && isBlank {
        if isWord { words.append(word) }
        word = []
        isWord = false
      } else {
        word.append(byte)
        isWord = true
        isEscaped = false
      }
    }
    if quote != 0 || isEscaped { return nil }
    if isWord { words.append(word) }
    return words
  }
}
