import Linux

/// How often each signal came.
struct SignalLog {
  private var counts = [Int](repeating: 0, count: 65)
  private(set) var total = 0

  mutating func add(_ signal: Signal) {
    counts[Int(signal.rawValue)] += 1
    total += 1
  }

  /// "3 SIGHUP, 1 SIGTERM", or "none".
  var summary: Text {
    var text = Text()
    for number in counts.indices where counts[number] > 0 {
      guard let signal = Signal(Int32(number)) else { continue }
      if !text.isEmpty { text.append(", ") }
      text.append(counts[number])
      text.append(" ")
      signal.write(to: &text)
    }
    return text.isEmpty ? "none" : text
  }
}
