import Testing

@testable import ebb

@Test func aShortTestOfTheTestTarget() { #expect(UsageError.exitCode == 64) }
