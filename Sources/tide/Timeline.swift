import CLinux
import Linux

/// Lines with the time since the start, and who says so: on a terminal in colours, unless NO_COLOR is set.
struct Timeline {
  /// Who a line is from.
  enum Speaker {
    case demo, ebb, service, clients, failure

    /// All of the same width.
    var name: StaticString {
      switch self {
      case .demo: "demo   "
      case .ebb: "ebb    "
      case .service: "service"
      case .clients, .failure: "clients"
      }
    }

    var colour: StaticString {
      switch self {
      case .demo: "\u{1b}[1m"
      case .ebb: "\u{1b}[36m"
      case .service: "\u{1b}[33m"
      case .clients: "\u{1b}[32m"
      case .failure: "\u{1b}[31m"
      }
    }
  }

  let start: Duration
  private let isColoured: Bool

  /// A timeline that begins now.
  init(start: Duration) {
    self.start = start
    isColoured = isatty(STDOUT_FILENO) == 1 && environmentVariable(CString("NO_COLOR")) == nil
  }

  /// One line.
  func add(_ speaker: Speaker, _ text: Text) {
    var line = Text()
    let time: Text = "\(MonotonicClock.now - start)"
    for _ in time.bytes.count..<max(8, time.bytes.count) { line.append(" ") }
    if isColoured { line.append("\u{1b}[2m") }
    line.append(contentsOf: time)
    if isColoured { line.append("\u{1b}[0m") }
    line.append("  ")
    if isColoured { line.append(speaker.colour) }
    line.append(speaker.name)
    if isColoured { line.append("\u{1b}[0m") }
    line.append("  ")
    line.append(contentsOf: text)
    line.append("\n")
    try? line.write(to: .standardOutput)
  }

  /// A line of the summary: green where all is well, red where not.
  func conclude(_ name: StaticString, _ text: Text, isGood: Bool) {
    var line: Text = "  "
    line.append(name)
    for _ in name.utf8CodeUnitCount..<max(18, name.utf8CodeUnitCount) { line.append(" ") }
    if isColoured { line.append(isGood ? "\u{1b}[32m" : "\u{1b}[31m") }
    line.append(contentsOf: text)
    if isColoured { line.append("\u{1b}[0m") }
    line.append("\n")
    try? line.write(to: .standardOutput)
  }
}

/// Bytes in, whole lines out.
struct LineBuffer {
  private var bytes: [UInt8] = []

  /// Takes in bytes, and gives each line that is complete; a line without end is cut at 4 KiB.
  mutating func take(_ more: UnsafeRawBufferPointer, _ line: ([UInt8]) -> Void) {
    for byte in more {
      if byte == UInt8(ascii: "\n") || bytes.count == 4096 {
        line(bytes)
        bytes.removeAll(keepingCapacity: true)
      }
      if byte != UInt8(ascii: "\n") { bytes.append(byte) }
    }
  }
}
