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
    var index = words.count
    while index > 0 {
      index -= 1
      pointer -= 1
      left += 1
      pointer.pointee = UnsafeMutablePointer(mutating: words[index].pointer)
    }
  }
}

/// A command line (or a variable) that makes no sense: one line that names the word and says what was
/// expected.
struct UsageError: Error {
  /// EX_USAGE, sysexits.h.
  static var exitCode: Int32 { 64 }

  let text: Text

  init(_ text: Text) { self.text = text }

  /// A word, made safe for one line, and what is wrong with it.
  init(_ word: CString, _ wrong: StaticString) { text = "\(word)\(wrong)" }
}

/// The place of a word in a list of words with a blank between each; nil where it is none of them.
func place(of word: CString, in list: StaticString) -> Int? {
  var rest = CString(list)
  let length = word.count
  var place = 0
  while true {
    let end = strcspn(rest.pointer, CString(" ").pointer)
    if end == length && strncmp(rest.pointer, word.pointer, length) == 0 { return place }
    rest = rest.dropFirst(end)
    if rest.pointer.pointee == 0 { return nil }
    rest = rest.dropFirst(1)
    place += 1
  }
}
