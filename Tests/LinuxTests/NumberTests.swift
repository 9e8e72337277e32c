import Testing

@testable import Linux

@Suite struct `A decimal number` {
  @Test(arguments: [
    ("0", 0 as UInt64), ("7", 7), ("007", 7), ("65536", 65536),
    ("999999999999999999", 999_999_999_999_999_999),
  ])
  func `is what its digits spell, up to eighteen`(text: String, number: UInt64) {
    #expect(decimal(Array(text.utf8)) == number)
  }

  @Test(arguments: [
    "", " ", "-1", "+1", "1 ", " 1", "0x1", "1.0", "1e3", "1000000000000000000", "18446744073709551616",
    "٣", "1\u{0}",
  ])
  func `is nothing else`(text: String) {
    #expect(decimal(Array(text.utf8)) == nil)
  }
}

@Suite struct `A hexadecimal number` {
  @Test(arguments: [
    ("0", 0 as UInt64), ("ff", 255), ("FF", 255), ("1F90", 8080), ("0000000000000001", 1),
    ("ffffffffffffffff", .max),
  ])
  func `is what its digits spell, up to sixteen`(text: String, number: UInt64) {
    #expect(hexadecimal(Array(text.utf8)) == number)
  }

  @Test(arguments: ["", "g", "0x1", "-1", " 1", "00000000000000001", "1:2"])
  func `is nothing else`(text: String) {
    #expect(hexadecimal(Array(text.utf8)) == nil)
  }
}

@Suite struct `A written duration` {
  @Test(arguments: [
    ("0", Duration.zero), ("00", .zero), ("0s", .zero), ("0ms", .zero), ("250ms", .milliseconds(250)),
    ("10s", .seconds(10)), ("2m", .seconds(120)), ("1h", .seconds(3600)), ("1.5s", .milliseconds(1500)),
    ("0.5m", .seconds(30)), ("0.001s", .milliseconds(1)), ("1.25ms", .microseconds(1250)),
    ("0.000000001s", .nanoseconds(1)), ("8784h", .seconds(366 * 24 * 3600)), ("010s", .seconds(10)),
    ("0.999999999h", .nanoseconds(3_599_999_996_400)),
  ])
  func `is the time that it says`(text: String, expected: Duration) {
    #expect(Duration(written: Array(text.utf8)) == expected)
  }

  @Test func `is exact to the millisecond`() {
    for milliseconds in 0..<3000 {
      let decimals = String(String(1000 + milliseconds % 1000).dropFirst())
      let text = "\(milliseconds / 1000).\(decimals)s"
      #expect(Duration(written: Array(text.utf8)) == .milliseconds(milliseconds), "\(text)")
    }
  }

  @Test(arguments: [
    "", ".", "1.", "1.s", ".5s", "1..2s", "1.2.3s", "s", "ms", "-1s", "+1s", " 1s", "1s ", "1 s", "1S", "10",
    "1.5", "0.0", "1d", "1sec", "s1", "1s1s", "1.0000000001s", "8785h", "1000000000000000000s",
    "99999999999999999999s", "18446744073709551616ms", "31622400001ms", "31622401s", "inf", "1e3s", "١s",
  ])
  func `is nothing where it makes no sense, or is longer than a year`(text: String) {
    #expect(Duration(written: Array(text.utf8)) == nil)
  }

  @Test func `never traps`() {
    let letters = Array("0123456789.smh-x".utf8)
    for _ in 0..<20_000 {
      let text = (0..<Int.random(in: 0...24)).map { _ in letters.randomElement() ?? 0 }
      if let duration = Duration(written: text) {
        #expect(duration >= .zero && duration <= .seconds(366 * 24 * 3600))
      }
    }
  }
}

@Suite struct `A signal's name` {
  private func named(_ text: String) -> Int32? { Signal(named: Array(text.utf8))?.rawValue }

  @Test func `is read back from its text, for every signal that has one`() {
    for number: Int32 in 1...64 {
      let signal = Signal(number)
      #expect(signal?.rawValue == number)
      guard let signal else { continue }
      let text: Text = "\(signal)"
      if number == 32 || number == 33 {
        // libc keeps them for itself and gives them no name.
        #expect(text.bytes == Array("signal \(number)".utf8))
      } else {
        #expect(Signal(named: text.bytes) == signal)
        #expect(Signal(named: Array(text.bytes.dropFirst(3))) == signal)
        #expect(named(String(decoding: text.bytes, as: UTF8.self).lowercased()) == number)
      }
      #expect(named("\(number)") == number)
    }
  }

  @Test(arguments: [
    ("TERM", 15 as Int32), ("SIGTERM", 15), ("sigterm", 15), ("Term", 15), ("15", 15), ("015", 15),
    ("HUP", 1), ("KILL", 9), ("WINCH", 28), ("SYS", 31), ("IOT", 6), ("SIGCLD", 17), ("POLL", 29),
    ("STKFLT", 16), ("RTMIN", 34), ("SIGRTMIN", 34), ("RTMIN+0", 34), ("RTMIN+3", 37), ("rtmin+30", 64),
    ("RTMAX", 64), ("RTMAX-1", 63), ("RTMAX-30", 34), ("SIGRTMAX-0", 64),
  ])
  func `may be written in these ways`(text: String, number: Int32) {
    #expect(named(text) == number)
  }

  @Test(arguments: [
    "", "0", "65", "-1", "+15", "SIG", "SIGSIGTERM", "SIG15", "TERMINATE", "TER", " TERM", "TERM ", "RTMIN+",
    "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMAX-31", "RTMIN+-1", "RTMIN3", "RTMI", "EXIT", "99999999999999",
    "TERM\u{0}", "ŤERM",
  ])
  func `is none otherwise`(text: String) {
    #expect(named(text) == nil)
  }

  @Test func `numbers outside of 1 to 64 are no signals`() {
    for number: Int32 in [.min, -1, 0, 65, .max] { #expect(Signal(number) == nil) }
  }

  @Test func `a set holds what was put in`() {
    var set = SignalSet.empty
    for number: Int32 in [1, 15, 32, 64] {
      guard let signal = Signal(number) else { continue }
      #expect(!set.contains(signal))
      set.insert(signal)
      #expect(set.contains(signal))
    }
    #expect(set.rawValue == (1 << 0 | 1 << 14 | 1 << 31 | 1 << 63) as UInt64)
    #expect((1...64).allSatisfy { Signal($0).map { SignalSet.all.contains($0) } == true })
  }

  @Test func `an end by signal n is the code 128+n`() {
    #expect(ExitStatus.killed(.kill).code == 137)
    #expect(ExitStatus.killed(.terminate).code == 143)
    #expect(Signal(64).map { ExitStatus.killed($0).code } == 192)
    #expect(ExitStatus.exited(255).code == 255)
  }
}
