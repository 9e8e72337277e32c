/// Bytes on their way to a person or a program: a line of the log, a table, JSON.
///
/// It is built by interpolation like a `String` ("\(port) is free"), but holds plain bytes and brings none
/// of the Unicode tables into the binary. What a type looks like in text is said once, in an `append` of
/// its own.
public struct Text: ExpressibleByStringInterpolation, Equatable, Sendable {
  /// The UTF-8 (or whatever bytes outside input had).
  public private(set) var bytes: [UInt8] = []

  /// Nothing yet.
  public init() {}

  /// These bytes, as they are.
  public init(bytes: [UInt8]) { self.bytes = bytes }

  /// A literal.
  public init(stringLiteral literal: StaticString) { append(literal) }

  /// The result of an interpolation.
  public init(stringInterpolation interpolation: StringInterpolation) { self = interpolation.text }

  /// Collects the pieces of "…\(value)…".
  public struct StringInterpolation: StringInterpolationProtocol, Sendable {
    /// Literals stay in the binary's read-only data.
    public typealias StringLiteralType = StaticString
    /// What has been collected.
    public var text = Text()

    /// Begins a line.
    public init(literalCapacity: Int, interpolationCount: Int) {}
    /// A literal piece.
    public mutating func appendLiteral(_ literal: StaticString) { text.append(literal) }
    /// A literal that was chosen at run time.
    public mutating func appendInterpolation(_ literal: StaticString) { text.append(literal) }
    /// A whole number, in decimal.
    public mutating func appendInterpolation(_ number: some SignedInteger) { text.append(number) }
    /// A whole number, in decimal.
    public mutating func appendInterpolation(_ number: some UnsignedInteger) { text.append(number) }
    /// A time, in seconds with two decimals.
    public mutating func appendInterpolation(_ duration: Duration) { text.append(duration) }
    /// Text.
    public mutating func appendInterpolation(_ other: Text) { text.append(contentsOf: other) }
    /// Something that knows what it looks like.
    public mutating func appendInterpolation(_ value: some TextRepresentable) { value.write(to: &text) }
    /// Foreign bytes, made safe for one line.
    public mutating func appendInterpolation(_ foreign: CString) { text.append(printable: foreign.bytes) }
    /// Foreign bytes, made safe for one line.
    public mutating func appendInterpolation(_ foreign: [UInt8]) { text.append(printable: foreign) }
    /// A number and its noun, which gets an s unless there is just one: "1 connection", "2 connections".
    public mutating func appendInterpolation(_ number: Int, _ noun: StaticString) {
      text.append(number)
      text.append(" ")
      text.append(noun)
      if number != 1 { text.append("s") }
    }
  }

  /// Whether there is nothing in it.
  public var isEmpty: Bool { bytes.isEmpty }

  /// Adds a literal.
  public mutating func append(_ literal: StaticString) {
    literal.withUTF8Buffer { bytes.append(contentsOf: $0) }
  }

  /// Adds text.
  public mutating func append(contentsOf other: Text) {
    other.bytes.withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
  }

  /// Adds one byte.
  public mutating func append(byte: UInt8) {
    withUnsafePointer(to: byte) { bytes.append(contentsOf: UnsafeBufferPointer(start: $0, count: 1)) }
  }

  /// Adds a whole number, in decimal.
  public mutating func append(_ number: some SignedInteger) { append(signed: Int64(number)) }

  /// Adds a whole number, in decimal.
  public mutating func append(_ number: some UnsignedInteger) { append(digitsOf: UInt64(number), atLeast: 1) }

  private mutating func append(signed number: Int64) {
    append(digitsOf: number.magnitude, atLeast: 1, isNegative: number < 0)
  }

  /// Adds a number in decimal, with zeros before it up to a number of digits.
  public mutating func append(digitsOf number: UInt64, atLeast digits: Int, isNegative: Bool = false) {
    if isNegative { bytes.append(UInt8(ascii: "-")) }
    let start = bytes.count
    var rest = number
    var written = 0
    repeat {
      bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
      rest /= 10
      written += 1
    } while rest > 0 || written < digits
    bytes[start...].reverse()
  }

  /// Adds a time in seconds with two decimals, "0.08s": what the lines of the log use.
  public mutating func append(_ duration: Duration) {
    let hundredths = max(0, duration.inMilliseconds) / 10
    append(hundredths / 100)
    append(".")
    append(digitsOf: UInt64(hundredths % 100), atLeast: 2)
    append("s")
  }

  /// Adds an amount of bytes as a person reads it: "512 bytes", "214 KiB", "3.0 MiB".
  public mutating func append(byteCount: UInt64) {
    if byteCount < 1024 {
      append(byteCount)
      append(byteCount == 1 ? " byte" : " bytes")
    } else if byteCount < 1024 * 1024 {
      append(byteCount / 1024)
      append(" KiB")
    } else {
      append(byteCount / (1024 * 1024))
      append(".")
      append(byteCount % (1024 * 1024) * 10 / (1024 * 1024))
      append(" MiB")
    }
  }

  /// Adds foreign bytes so that they stay on one line and cannot move a terminal's cursor: control characters
  /// (DEL and C1 among them: U+009B does what ESC [ does) and what is no UTF-8 come out as `\xNN`.
  public mutating func append(printable foreign: [UInt8]) {
    var index = 0
    while index < foreign.count {
      let byte = foreign[index]
      let length = Text.utf8Length(foreign[index...])
      let isC1 = byte == 0xc2 && length == 2 && foreign[index + 1] < 0xa0
      let character = foreign[index..<(index + max(1, length))]
      if length == 0 || byte < 0x20 || byte == 0x7f || isC1 {
        for byte in character {
          append("\\x")
          append(hex: byte)
        }
      } else {
        bytes.append(contentsOf: character)
      }
      index += character.count
    }
  }

  /// Adds bytes as a JSON string, quotes included, RFC 8259. Bytes that are not UTF-8 become U+FFFD.
  public mutating func append(jsonString foreign: [UInt8]) {
    append("\"")
    var index = 0
    while index < foreign.count {
      let byte = foreign[index]
      let length = Text.utf8Length(foreign[index...])
      if length == 0 {
        append("\\ufffd")
      } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        append("\\")
        append(byte: byte)
      } else if byte < 0x20 || byte == 0x7f {
        append("\\u00")
        append(hex: byte)
      } else {
        bytes.append(contentsOf: foreign[index..<(index + length)])
      }
      index += max(1, length)
    }
    append("\"")
  }

  /// The length of the UTF-8 sequence at the front, RFC 3629; 0 where there is none.
  private static func utf8Length(_ bytes: ArraySlice<UInt8>) -> Int {
    guard let first = bytes.first else { return 0 }
    let length: Int
    var lowest: UInt8 = 0x80
    var highest: UInt8 = 0xbf
    switch first {
    case 0..<0x80: return 1
    case 0xc2...0xdf: length = 2
    case 0xe0...0xef:
      length = 3
      if first == 0xe0 { lowest = 0xa0 }
      if first == 0xed { highest = 0x9f }
    case 0xf0...0xf4:
      length = 4
      if first == 0xf0 { lowest = 0x90 }
      if first == 0xf4 { highest = 0x8f }
    default: return 0
    }
    guard bytes.count >= length else { return 0 }
    for (offset, byte) in bytes.dropFirst().prefix(length - 1).enumerated() {
      if byte < (offset == 0 ? lowest : 0x80) || byte > (offset == 0 ? highest : 0xbf) { return 0 }
    }
    return length
  }

  private mutating func append(hex byte: UInt8) {
    append(hexDigit: byte >> 4)
    append(hexDigit: byte & 15)
  }

  private mutating func append(hexDigit digit: UInt8) {
    bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
  }

  /// Adds a number in hexadecimal, with no zeros before it.
  public mutating func append(hexadecimal number: UInt64) {
    var shift: UInt64 = 60
    while shift > 0 && number >> shift == 0 { shift -= 4 }
    while true {
      append(hexDigit: UInt8(truncatingIfNeeded: number >> shift & 15))
      if shift == 0 { return }
      shift -= 4
    }
  }

  /// Cuts it to at most this many bytes.
  public mutating func truncate(to count: Int) {
    if bytes.count > count { bytes.removeLast(bytes.count - count) }
  }

  /// Empties it, and keeps the memory for the next line.
  public mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

  /// Writes all of it to a descriptor that is ours to wait for (a command's standard output). Errors are
  /// given back for the caller to turn into an exit code: a full disk must not look like success.
  public func write(to descriptor: FileDescriptor) throws(Errno) {
    try bytes.withUnsafeBufferPointer { (buffer) throws(Errno) in
      var rest = UnsafeRawBufferPointer(buffer)[...]
      while !rest.isEmpty {
        let written = try descriptor.write(UnsafeRawBufferPointer(rebasing: rest))
        rest = rest.dropFirst(written)
      }
    }
  }
}

/// Something with one established look in text.
public protocol TextRepresentable {
  /// Adds it to the text.
  func write(to text: inout Text)
}
