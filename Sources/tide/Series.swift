import Linux

/// What happened in each tenth of a second: for a picture of a stop.
struct Series {
  private struct Bin {
    var sent = 0
    var answered = 0
    var failed = 0
    /// At its end: requests without their answer, and open connections.
    var inProgress = 0
    var open = 0
  }

  private static var length: Duration { .milliseconds(100) }

  private let began: Duration
  private var bins: [Bin] = []
  private var current = Bin()

  /// A series that begins now.
  init(began: Duration) { self.began = began }

  /// A request was sent; `advance(to:)` comes before.
  mutating func addSent() {
    current.sent += 1
    current.inProgress += 1
  }

  mutating func addAnswered() {
    current.answered += 1
    current.inProgress -= 1
  }

  mutating func addFailed() {
    current.failed += 1
    current.inProgress -= 1
  }

  /// A request was taken back, or has not become one.
  mutating func takeBack() {
    current.sent -= 1
    current.inProgress -= 1
  }

  /// A connection was opened (1) or closed (-1).
  mutating func addOpen(_ change: Int) { current.open += change }

  /// Ends the bins that end before this moment.
  mutating func advance(to now: Duration) {
    while began + Series.length * (bins.count + 1) <= now {
      bins.append(current)
      var next = Bin()
      next.inProgress = current.inProgress
      next.open = current.open
      current = next
    }
  }

  /// A JSON object of arrays, a number for each bin.
  var json: Text {
    var text: Text = "{\"seconds\":"
    text.append(seconds: Series.length)
    append("sent", { $0.sent }, to: &text)
    append("answered", { $0.answered }, to: &text)
    append("failed", { $0.failed }, to: &text)
    append("in_progress", { $0.inProgress }, to: &text)
    append("open", { $0.open }, to: &text)
    text.append("}")
    return text
  }

  private func append(_ name: StaticString, _ value: (Bin) -> Int, to text: inout Text) {
    text.append(",\"")
    text.append(name)
    text.append("\":[")
    for (index, bin) in (bins + [current]).enumerated() {
      if index > 0 { text.append(",") }
      text.append(value(bin))
    }
    text.append("]")
  }
}
