import Foundation
import Testing

@testable import Linux

/// What the text looks like.
private func string(_ text: Text) -> String { String(decoding: text.bytes, as: UTF8.self) }

private func made(_ build: (inout Text) -> Void) -> String {
  var text = Text()
  build(&text)
  return string(text)
}

@Suite struct `A line of text` {
  @Test func `spells whole numbers of every size`() {
    #expect(string("\(0) \(-1) \(65535 as UInt16)") == "0 -1 65535")
    #expect(string("\(Int64.min) \(UInt64.max)") == "-9223372036854775808 18446744073709551615")
    #expect(string("\(Int8.min) \(Int32.max)") == "-128 2147483647")
    #expect(made { $0.append(digitsOf: 7, atLeast: 3) } == "007")
    #expect(made { $0.append(digitsOf: 1234, atLeast: 3) } == "1234")
    #expect(made { $0.append(digitsOf: 0, atLeast: 0) } == "0")
  }

  @Test func `spells hexadecimal numbers without zeros before them`() {
    for number: UInt64 in [0, 1, 9, 10, 15, 16, 255, 0xdead_beef, 1 << 60, .max] {
      #expect(made { $0.append(hexadecimal: number) } == String(number, radix: 16))
    }
  }

  @Test func `gives a noun its s unless there is just one`() {
    #expect(
      string("\(0, "connection"), \(1, "connection"), \(2, "connection")")
        == "0 connections, 1 connection, 2 connections")
  }

  @Test(arguments: [
    (Duration.zero, "0.00s"), (.milliseconds(9), "0.00s"), (.milliseconds(10), "0.01s"),
    (.milliseconds(80), "0.08s"), (.milliseconds(2959), "2.95s"), (.seconds(60), "60.00s"),
    (.seconds(-3), "0.00s"), (.nanoseconds(1), "0.00s"), (.seconds(31_536_000), "31536000.00s"),
  ])
  func `spells durations in seconds with two decimals, never rounded up`(duration: Duration, expected: String)
  {
    #expect(string("\(duration)") == expected)
  }

  @Test(arguments: [
    (0 as UInt64, "0 bytes"), (1, "1 byte"), (2, "2 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"),
    (219_136, "214 KiB"), (1_048_575, "1023 KiB"), (1_048_576, "1.0 MiB"), (3_145_728, "3.0 MiB"),
    (3_135_532, "2.9 MiB"), (10_485_759, "9.9 MiB"), (1 << 40, "1048576.0 MiB"),
    (.max, "17592186044415.9 MiB"),
  ])
  func `spells amounts of bytes as a person reads them`(count: UInt64, expected: String) {
    #expect(made { $0.append(byteCount: count) } == expected)
  }

  @Test func `truncates to a number of bytes, and no further`() {
    var text: Text = "abcdef"
    text.truncate(to: 10)
    #expect(string(text) == "abcdef")
    text.truncate(to: 4)
    #expect(string(text) == "abcd")
    text.truncate(to: 0)
    #expect(text.isEmpty)
  }

  @Test func `keeps an errno's own words`() {
    #expect(string("\(Errno.noSuchFile)") == "No such file or directory")
    #expect(string("\(Errno(4095))") == "Unknown error 4095")
  }
}

@Suite struct `Foreign bytes` {
  private func printable(_ bytes: [UInt8]) -> [UInt8] {
    var text = Text()
    text.append(printable: bytes)
    return text.bytes
  }

  @Test func `that are text stay as they are`() {
    for sample in ["", "nginx: master process", "größer", "日本", "🌊", "back\\slash"] {
      #expect(printable(Array(sample.utf8)) == Array(sample.utf8))
    }
  }

  @Test func `cannot end a line or move a cursor`() {
    #expect(printable(Array("a\nb\r\u{1b}[2J\u{7f}".utf8)) == Array("a\\x0ab\\x0d\\x1b[2J\\x7f".utf8))
    // U+009B is CSI to a terminal as ESC [ is, and so is the byte alone where it does not speak UTF-8.
    #expect(printable([0xc2, 0x9b, 0x41]) == Array("\\xc2\\x9bA".utf8))
    #expect(printable([0x9b, 0x41]) == Array("\\x9bA".utf8))
  }

  @Test func `come out as UTF-8 without a control character, whatever they are`() {
    for _ in 0..<2000 {
      let bytes = (0..<Int.random(in: 0...40)).map { _ in UInt8.random(in: 0...255) }
      let scalars = String(validating: printable(bytes), as: UTF8.self)?.unicodeScalars
      guard let scalars, scalars.allSatisfy({ $0.properties.generalCategory != .control }) else {
        Issue.record("\(bytes)")
        return
      }
    }
  }
}

@Suite struct `A JSON string` {
  private func json(_ bytes: [UInt8]) -> String { made { $0.append(jsonString: bytes) } }

  @Test func `has its quotes, backslashes and control characters escaped`() {
    #expect(json(Array("say \"hi\" \\ bye".utf8)) == #""say \"hi\" \\ bye""#)
    #expect(json([0, 0x0a, 0x1f, 0x7f]) == #""\u0000\u000a\u001f\u007f""#)
    #expect(json(Array("größer 🌊".utf8)) == "\"größer 🌊\"")
    #expect(json([]) == "\"\"")
  }

  @Test(
    arguments: [
      [0xff], [0xc0, 0x80], [0xc1, 0xbf], [0xe0, 0x9f, 0xbf], [0xed, 0xa0, 0x80], [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82], [0xc3], [0x80], [0xe2, 0x28, 0xa1],
    ] as [[UInt8]])
  func `has U+FFFD for what is no UTF-8`(bytes: [UInt8]) {
    let text = json(Array("a".utf8) + bytes + Array("z".utf8))
    #expect(text.hasPrefix("\"a\\ufffd"))
    #expect(text.hasSuffix("z\""))
  }

  @Test func `is read back as what it was, for every byte and for random ones`() throws {
    var samples: [[UInt8]] = (0...255).map { [UInt8($0)] }
    for _ in 0..<2000 { samples.append((0..<Int.random(in: 0...40)).map { _ in UInt8.random(in: 0...255) }) }
    for sample in samples {
      let array = Data("[\(json(sample))]".utf8)
      let back = try #require(try JSONSerialization.jsonObject(with: array) as? [String])
      if let expected = String(validating: sample, as: UTF8.self) { #expect(back == [expected]) }
      #expect(back.count == 1)
    }
  }
}

@Suite struct `A C string` {
  @Test func `compares with literals byte by byte`() {
    #expect(CString("abc") == "abc")
    #expect(!(CString("abc") == "abcd"))
    #expect(!(CString("") == "a"))
    #expect(CString("") == "")
    #expect(CString("lame-duck-max").hasPrefix("lame-duck"))
    #expect(!CString("lame").hasPrefix("lame-duck"))
    #expect(CString("--x").dropFirst(2) == "x")
    #expect(([0x61, 0x62] as [UInt8]) == "ab")
    #expect(!(([0x61] as [UInt8]) == "ab"))
    #expect(([] as [UInt8]) == "")
    #expect(([0x61, 0x62] as [UInt8]).hasPrefix("a"))
    #expect(!(([0x61] as [UInt8]).hasPrefix("ab")))
  }

  @Test func `holds any byte but NUL`() {
    let bytes = (1...255).map { UInt8($0) }
    bytes.withCString { #expect($0.bytes == bytes) }
    ([] as [UInt8]).withCString { #expect($0.count == 0) }
    // What is behind a NUL is not there.
    ([0x61, 0, 0x62] as [UInt8]).withCString { #expect($0 == "a") }
  }
}
