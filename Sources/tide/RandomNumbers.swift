/// Numbers that look random, and are the same for the same seed: SplitMix64.
struct RandomNumbers {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  /// A number from 0 up to and without 1.
  mutating func unit() -> Double {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return Double((value ^ (value >> 31)) >> 11) * 0x1p-53
  }

  /// The time between two events that are independent of each other, where the mean is 1: exponentially
  /// distributed.
  ///
  /// By von Neumann's comparison of runs (1951), which needs no logarithm and so no mathematical library.
  mutating func exponential() -> Double {
    var whole = 0.0
    while true {
      let first = unit()
      var last = first
      var length = 1
      while true {
        let next = unit()
        if next >= last { break }
        last = next
        length += 1
      }
      if length % 2 == 1 { return whole + first }
      whole += 1
    }
  }
}
