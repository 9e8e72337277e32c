import Linux

/// How the lines on stderr look: `--log`.
public enum LogFormat: Equatable, Sendable {
  /// For people.
  case text
  /// One JSON object a line.
  case json
}

/// Which lines are written: `--quiet`, neither, `--verbose`.
public enum Verbosity: UInt8, Comparable, Sendable {
  /// Losses and errors alone.
  case problems
  /// And the report at a stop.
  case report
  /// And a line a phase.
  case phases

  /// From few lines to many.
  public static func < (left: Verbosity, right: Verbosity) -> Bool { left.rawValue < right.rawValue }
}

/// The facts of a line, of a report or of a status, as they stand in a JSON object: `"pid":7,"seconds":2.957`.
///
/// What is not known is null, and so is given as nil.
struct Facts {
  private(set) var text = Text()

  /// A whole number.
  mutating func add(_ name: StaticString, _ number: some BinaryInteger) {
    add(name, number: Int64(truncatingIfNeeded: number))
  }

  /// A whole number.
  mutating func add(_ name: StaticString, number: Int64?) {
    begin(name)
    if let number { text.append(number) } else { text.append("null") }
  }

  /// A time in seconds.
  mutating func add(_ name: StaticString, seconds: Duration?) {
    begin(name)
    if let seconds { text.append(milliseconds: seconds) } else { text.append("null") }
  }

  /// Yes or no.
  mutating func add(_ name: StaticString, flag: Bool?) {
    begin(name)
    text.append(flag.map { $0 ? "true" : "false" } ?? "null")
  }

  /// Bytes, whatever they are.
  mutating func add(_ name: StaticString, text bytes: [UInt8]?) {
    begin(name)
    if let bytes { text.append(jsonString: bytes) } else { text.append("null") }
  }

  /// A word of ours.
  mutating func add(_ name: StaticString, word: StaticString) {
    add(name, text: Text(stringLiteral: word).bytes)
  }

  /// A signal.
  mutating func add(_ name: StaticString, _ signal: Signal?) {
    add(name, text: signal.map { signal -> Text in "\(signal)" }?.bytes)
  }

  /// Several numbers.
  mutating func add(_ name: StaticString, numbers: [UInt16]) {
    open(name, "[")
    for number in numbers {
      separate()
      text.append(number)
    }
    text.append("]")
  }

  /// Others.
  mutating func add(_ others: Facts) {
    if others.text.isEmpty { return }
    separate()
    text.append(contentsOf: others.text)
  }

  /// Begins an array or an object under a name.
  mutating func open(_ name: StaticString, _ bracket: StaticString) {
    begin(name)
    text.append(bracket)
  }

  /// Begins an object within an array.
  mutating func openObject() {
    separate()
    text.append("{")
  }

  /// Ends an array or an object.
  mutating func close(_ bracket: StaticString) { text.append(bracket) }

  private mutating func begin(_ name: StaticString) {
    separate()
    text.append("\"")
    text.append(name)
    text.append("\":")
  }

  /// A comma, but for what comes first.
  private mutating func separate() {
    guard let last = text.bytes.last, last != UInt8(ascii: "["), last != UInt8(ascii: "{") else { return }
    text.append(",")
  }
}

extension Text {
  /// Adds a time in seconds with three decimals, as programs read it: "2.957".
  mutating func append(milliseconds time: Duration) {
    let milliseconds = max(0, time.inMilliseconds)
    append(milliseconds / 1000)
    append(".")
    append(digitsOf: UInt64(milliseconds % 1000), atLeast: 3)
  }
}

/// ebb's own lines on stderr. Writing one never blocks: PID 1 must not hang because nobody reads the log. A
/// line that does not fit waits for the next one in a small buffer; what does not fit there is dropped, and
/// the number of dropped lines is said once there is room.
final class Journal {
  private let format: LogFormat
  private let verbosity: Verbosity
  private var waiting: [UInt8] = []
  private var dropped = 0

  static var waitingLimit: Int { 16 * 1024 }

  init(format: LogFormat, verbosity: Verbosity) {
    self.format = format
    self.verbosity = verbosity
  }

  func writes(_ level: Verbosity) -> Bool { level <= verbosity }

  /// Writes a line: what happened in a word, the same said to a person, and the facts of it.
  func write(
    _ level: Verbosity, _ event: StaticString, _ text: consuming Text, _ facts: consuming Facts = Facts()
  ) {
    if writes(level) { append(line(event, text, facts)) }
  }

  /// The line as it is written, its newline included.
  func line(_ event: StaticString, _ text: Text, _ facts: Facts) -> Text {
    if format == .text { return "ebb: \(text)\n" }
    var line = Facts()
    line.openObject()
    line.add("time", seconds: .milliseconds(WallClock.millisecondsSinceEpoch))
    line.add("event", word: event)
    line.add("message", text: text.bytes)
    line.add(facts)
    line.close("}\n")
    return line.text
  }

  private func append(_ line: consuming Text) {
    flush()
    if dropped > 0 && waiting.isEmpty {
      let count = dropped
      dropped = 0
      var facts = Facts()
      facts.add("lines", count)
      append(self.line("dropped", "\(count, "line") of this log could not be written", facts))
    }
    if waiting.count + line.bytes.count > Journal.waitingLimit {
      dropped += 1
      return
    }
    waiting.append(contentsOf: line.bytes)
    flush()
  }

  /// Writes what waits, as far as it goes without waiting.
  func flush() {
    while !waiting.isEmpty {
      do throws(Errno) {
        let count = try waiting.withUnsafeBufferPointer { (buffer) throws(Errno) -> Int in
          // A pipe takes up to 4,096 bytes whole or not at all, pipe(7).
          try FileDescriptor.standardError.writeNow(
            UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer).prefix(4096)))
        }
        if count <= 0 { return }
        waiting.removeFirst(min(count, waiting.count))
      } catch {
        // Closed, or nobody will ever read: there is nothing to wait for.
        if error != .wouldBlock { waiting = [] }
        return
      }
    }
  }

  /// Whether lines are still waiting to be written.
  var isWaiting: Bool { !waiting.isEmpty }
}
