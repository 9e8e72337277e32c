import Glibc

/// Drains by the million, the release's own decision: how often it leaves too early, and how long it waits.
///
///     quiet [drains [seed]]
@main enum Main {
  static func main() {
    let words = CommandLine.arguments
    let drains = words.count > 1 ? Int(words[1]) ?? 1_000_000 : 1_000_000
    let seed = words.count > 2 ? UInt64(words[2]) ?? 1 : 1
    let ways: [(name: String, life: Double, isPool: Bool)] = [
      ("nothing known of the time before the drain", 0, false),
      ("new connections, 100 s of life before the drain", 100, false),
      ("new connections, three minutes before it", 180, false),
      ("a pool of kept connections, 100 s", 100, true),
      ("a pool of kept connections, three minutes", 180, true),
    ]
    let each = max(1, drains / (ways.count * Pattern.allCases.count))
    print(
      "\(each) drains of each kind, 0.5 to 500 arrivals a second, out of rotation after 0 to 9 s, 10 s at most,"
    )
    print("promised: too early in 0.100 % of them at most")
    for way in ways {
      print("\n\(way.name)")
      print(Row.head)
      for pattern in Pattern.allCases {
        var row = Row()
        var simulation = Simulation()
        simulation.life = way.life
        simulation.isPool = way.isPool
        for number in 0..<each {
          var random = Random(seed: seed &+ UInt64(number) &* 0x1_0000_0001)
          let drain = Drain(pattern, history: way.life, &random)
          row.take(simulation.run(drain), of: drain)
        }
        print(row.text(pattern.name))
      }
    }
    print(
      "\nAfter the last arrival, seconds of waiting: the mean, by arrivals a second. A clairvoyant waits 0.")
    print("Of fixed sleeps: how often one ends before the last arrival; each always lasts its whole time.")
  }
}

/// What became of the drains of one kind.
struct Row {
  private static let rates = [0.5, 2, 5, 20, 50, 200, 500]
  private var drains = 0
  private var early = 0
  private var waits = [Double](repeating: 0, count: Row.rates.count - 1)
  private var counts = [Int](repeating: 0, count: Row.rates.count - 1)
  private var left = 0.0
  private var last = 0.0
  private var sleeps = [5.0: 0, 10.0: 0, 15.0: 0]

  mutating func take(_ outcome: Outcome, of drain: Drain) {
    drains += 1
    if outcome.isEarly { early += 1 }
    left += outcome.left
    last += outcome.last
    for sleep in sleeps.keys where outcome.last > sleep { sleeps[sleep, default: 0] += 1 }
    if let index = Row.rates.lastIndex(where: { $0 <= drain.rate }), index < waits.count {
      waits[index] += outcome.left - outcome.last
      counts[index] += 1
    }
  }

  static var head: String {
    let rates = (0..<Row.rates.count - 1).map {
      pad("\(short(Row.rates[$0]))-\(short(Row.rates[$0 + 1]))/s", 9)
    }
    return pad("", -22) + pad("too early", 10) + rates.joined() + pad("leaves at", 11) + pad("last at", 9)
      + "   early: sleep 5    10    15"
  }

  func text(_ name: String) -> String {
    var line = pad(name, -22) + pad(percent(early), 10)
    for index in waits.indices { line += pad(fixed(waits[index] / Double(max(1, counts[index])), 2), 9) }
    line += pad(fixed(left / Double(drains), 2), 11) + pad(fixed(last / Double(drains), 2), 9) + "        "
    return line
      + [5.0, 10, 15].map { pad(fixed(Double(sleeps[$0] ?? 0) / Double(drains) * 100, 0) + " %", 7) }.joined()
  }

  private func percent(_ count: Int) -> String { fixed(Double(count) / Double(drains) * 100, 3) + " %" }
}

private func fixed(_ number: Double, _ decimals: Int) -> String {
  let scale = pow(10, Double(decimals))
  let whole = Int((number * scale).rounded())
  if decimals == 0 { return "\(whole)" }
  let rest = "\(whole % Int(scale))"
  return "\(whole / Int(scale))." + String(repeating: "0", count: decimals - rest.count) + rest
}

private func short(_ number: Double) -> String { number < 1 ? "\(number)" : "\(Int(number))" }

/// To the right in so many columns; to the left where that is negative.
private func pad(_ text: String, _ width: Int) -> String {
  let space = String(repeating: " ", count: max(0, abs(width) - text.count))
  return width < 0 ? text + space : space + text
}
