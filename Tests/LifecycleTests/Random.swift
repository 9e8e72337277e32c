/// A small random generator that repeats from its seed, SplitMix64.
struct Random {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }

  /// A number from 0 to one below `limit`.
  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(1, limit))) }

  /// True so often in a hundred.
  mutating func chance(_ percent: Int) -> Bool { below(100) < percent }

  /// A time in microseconds: often short, sometimes as long as `longest`.
  mutating func time(upTo longest: Int) -> Int {
    switch below(4) {
    case 0: below(1000)
    case 1: below(longest / 50 + 1)
    case 2: below(longest / 4 + 1)
    default: below(longest + 1)
    }
  }
}
