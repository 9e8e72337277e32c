import Glibc
import Testing

@testable import Lifecycle

/// A number from the environment.
private func number(_ name: String) -> UInt64? {
  getenv(name).flatMap { UInt64(String(cString: $0)) }
}

@Suite struct `Random histories` {
  /// `SEED=n` begins at another history (each has the seed of the first plus its number), `COUNT=n` lives
  /// through so many. A failure names the seed that repeats it: `SEED=… COUNT=1`.
  @Test func `break no promise of a stop`() {
    let first = number("SEED") ?? 1
    let count = number("COUNT") ?? 100_000
    for seed in first..<(first + count) {
      var world = World(seed: seed)
      guard let fault = world.live() else { continue }
      var again = World(seed: seed, keepsTrace: true)
      _ = again.live()
      Issue.record("SEED=\(seed): the machine \(fault)\n\(again.trace.suffix(80).joined(separator: "\n"))")
      return
    }
  }
}
