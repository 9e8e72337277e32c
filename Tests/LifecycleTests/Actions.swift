#if canImport(Lifecycle)
  @testable import Lifecycle
#endif

extension Lifecycle {
  /// What it says is to be done about an event, as a list to compare.
  mutating func actions(after event: Event, at now: Duration) -> [Action] { Array(handle(event, at: now)) }
}
