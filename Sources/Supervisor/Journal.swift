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

/// A fact of a line, as a JSON field.
struct Field {
  enum Value {
    case number(Int64)
    case text([UInt8])
    case word(StaticString)
    case seconds(Duration)
    case flag(Bool)
    case numbers([UInt16])
    case null
  }

  let name: StaticString
  let value: Value

  init(_ name: StaticString, _ value: Value) {
    self.name = name
    self.value = value
  }

  init(_ name: StaticString, _ number: some BinaryInteger) {
    self.init(name, .number(Int64(truncatingIfNeeded: number)))
  }

  init(_ name: StaticString, _ signal: Signal) {
    let text: Text = "\(signal)"
    self.init(name, .text(text.bytes))
  }

  @inline(never)
  func write(to text: inout Text) {
    text.append("\"")
    text.append(name)
    text.append("\":")
    writeValue(to: &text)
  }

  /// The value alone.
  @inline(never)
  func writeValue(to text: inout Text) {
    switch value {
    case .number(let number): text.append(number)
    case .text(let bytes): text.append(jsonString: bytes)
    case .word(let word): word.withUTF8Buffer { text.append(jsonString: Array($0)) }
    case .seconds(let duration):
      let milliseconds = max(0, duration.inMilliseconds)
      text.append(milliseconds / 1000)
      text.append(".")
      text.append(digitsOf: UInt64(milliseconds % 1000), atLeast: 3)
    case .flag(let flag): text.append(flag ? "true" : "false")
    case .numbers(let numbers):
      text.append("[")
      for (index, number) in numbers.enumerated() {
        if index > 0 { text.append(",") }
        text.append(number)
      }
      text.append("]")
    case .null: text.append("null")
    }
  }
}

/// ebb's own lines on stderr. Writing one never blocks: PID 1 must not hang because nobody reads the log. A
/// line that does not fit waits for the next one in a small buffer; what does not fit there is dropped, and
/// the number of dropped lines is said once there is room.
struct Journal {
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
  @inline(never)
  mutating func write(_ level: Verbosity, _ event: StaticString, _ text: Text, _ fields: [Field] = []) {
    if writes(level) { append(line(event, text, fields)) }
  }

  /// The line as it is written, its newline included.
  func line(_ event: StaticString, _ text: Text, _ fields: [Field]) -> Text {
    if format == .text { return "ebb: \(text)\n" }
    var line: Text = "{\"time\":"
    Field("", .seconds(.milliseconds(WallClock.millisecondsSinceEpoch))).writeValue(to: &line)
    line.append(",\"event\":\"")
    line.append(event)
    line.append("\",\"message\":")
    line.append(jsonString: text.bytes)
    for field in fields {
      line.append(",")
      field.write(to: &line)
    }
    line.append("}\n")
    return line
  }

  @inline(never)
  private mutating func append(_ line: Text) {
    flush()
    if dropped > 0 && waiting.isEmpty {
      let count = dropped
      dropped = 0
      append(
        self.line("dropped", "\(count, "line") of this log could not be written", [Field("lines", count)]))
    }
    if waiting.count + line.bytes.count > Journal.waitingLimit {
      dropped += 1
      return
    }
    waiting.append(contentsOf: line.bytes)
    flush()
  }

  /// Writes what waits, as far as it goes without waiting.
  mutating func flush() {
    while !waiting.isEmpty {
      let count = waiting.withUnsafeBufferPointer { (buffer) -> Int in
        // A pipe takes up to 4,096 bytes whole or not at all, pipe(7).
        (try? FileDescriptor.standardError.writeNow(
          UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer).prefix(4096)))) ?? 0
      }
      if count <= 0 { return }
      waiting.removeFirst(min(count, waiting.count))
    }
  }

  /// Whether lines are still waiting to be written.
  var isWaiting: Bool { !waiting.isEmpty }
}
