import Linux
import Supervisor

/// `ebb status`.
enum StatusCommand {
  /// Its options, in the order of its help.
  enum Option: Int, CaseIterable {
    case json, watch, control
  }

  static var table: OptionTable {
    OptionTable(
      command: "status",
      help: """
        ebb status [--json] [--watch] [--control @name|/path]

        What the supervisor knows: phase, readiness and each probe's last answer, the service's processes, each
        port with its listener, connections, busy ones, bytes not acknowledged, arrivals a second.

          --json                      one JSON object (with --watch: one a second)
          --watch                     again every second, until it is interrupted or the supervisor has gone
          --control @name|/path       where the supervisor is asked (a name made from the mount namespace)

        """)
  }

  static func run(_ arguments: Arguments) throws(UsageError) -> Int32 {
    var address = ControlAddress.automatic
    var isJSON = false
    var isWatch = false
    let options = Options(table, arguments)
    guard try options.take() else { return options.showHelp() }
    while let option = Option(rawValue: options.next()) {
      switch option {
      case .json: isJSON = true
      case .watch: isWatch = true
      case .control: address = try options.control()
      }
    }
    do throws(ControlClient.Failure) {
      if !isWatch { return output(try ask(address, isJSON ? .statusJSON : .status)) }
      return try watch(address, isJSON: isJSON)
    } catch {
      complain(error.text)
      return Answer.cannotTell
    }
  }

  private static func ask(
    _ address: ControlAddress, _ request: ControlRequest
  ) throws(ControlClient.Failure) -> Text {
    let client = try ControlClient(address, request, limit: ControlClient.probeLimit)
    switch try client.next() {
    case .yes(let text): return text
    case .no(let why), .refused(let why), .progress(let why): throw .silent(why)
    }
  }

  /// Asks once a second. On a terminal each answer takes the place of the one before, with the history of the
  /// connections under it; elsewhere they follow each other.
  private static func watch(_ address: ControlAddress, isJSON: Bool) throws(ControlClient.Failure) -> Int32 {
    var history = History()
    var next = MonotonicClock.now
    let width =
      FileDescriptor.standardOutput.isTerminal ? FileDescriptor.standardOutput.terminalWidth ?? 80 : nil
    while true {
      if isJSON {
        if output(try ask(address, .statusJSON)) != 0 { return 1 }
      } else {
        let answer = try ask(address, .statusWatch).bytes
        if output(screen(answer, &history, width: width)) != 0 { return 1 }
      }
      next = max(next + .seconds(1), MonotonicClock.now)
      MonotonicClock.sleep(until: next)
    }
  }

  /// What is drawn of an answer: "12 3" and a newline, then what a person reads.
  static func screen(_ answer: [UInt8], _ history: inout History, width: Int?) -> Text {
    var place = 0
    while place < answer.count && answer[place] != UInt8(ascii: "\n") { place += 1 }
    history.add(decimal(answer[..<place].field(0)) ?? 0)
    var screen = Text()
    // Home; every line is then cleared to its end as it is drawn, and what is below at last: no flicker.
    if let width {
      screen.append("\u{1b}[H")
      screen.append(linesOf: answer, from: place, width: width, end: "\u{1b}[K\n")
      screen.append(contentsOf: history.text(width: width))
      screen.append("\u{1b}[J")
    } else {
      screen.append(linesOf: answer, from: place, width: .max, end: "\n")
      screen.append("\n")
    }
    return screen
  }

  /// The number of connections at each of the last looks.
  struct History {
    private var counts: [UInt64] = []

    mutating func add(_ count: UInt64) {
      if counts.count < 240 {
        counts.append(count)
        return
      }
      for index in 1..<counts.count { counts[index - 1] = counts[index] }
      counts[counts.count - 1] = count
    }

    /// "connections ▁▂▅█ 12, at most 40": as many looks as fit, a column each.
    func text(width: Int) -> Text {
      let first = max(0, counts.count - max(1, width - 40))
      var highest: UInt64 = 0
      var last: UInt64 = 0
      for index in first..<counts.count {
        last = counts[index]
        highest = max(highest, last)
      }
      var text: Text = "  connections "
      for index in first..<counts.count {
        let count = counts[index]
        // Eighths of the highest; U+2581 to U+2588.
        let eighths = highest == 0 || count == 0 ? 0 : (count * 8 + highest - 1) / highest
        if eighths == 0 {
          text.append("_")
        } else {
          text.append(byte: 0xe2)
          text.append(byte: 0x96)
          text.append(byte: 0x80 + UInt8(truncatingIfNeeded: eighths))
        }
      }
      text.append(contentsOf: " \(last), at most \(highest)\u{1b}[K\n")
      return text
    }
  }
}

extension Text {
  /// Adds the lines that are not empty, each cut to a width, with this behind it.
  mutating func append(linesOf text: [UInt8], from start: Int, width: Int, end: StaticString) {
    var column = 0
    for index in start..<text.count {
      if text[index] != UInt8(ascii: "\n") {
        if column < width { append(byte: text[index]) }
        column += 1
      } else {
        if column > 0 { append(end) }
        column = 0
      }
    }
    if column > 0 { append(end) }
  }
}
