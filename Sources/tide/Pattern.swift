import Linux

/// The bytes of every long body: lines of 16 bytes, each the position of its first byte, in hexadecimal.
///
/// A person sees where an answer was cut, and the load client sees a byte that is missing, doubled or wrong.
enum Pattern {
  private static var lineLength: Int { 16 }

  /// Fills a buffer with the bytes from a position on.
  static func fill(_ buffer: UnsafeMutableRawBufferPointer, from position: UInt64) {
    var position = position
    var index = 0
    while index < buffer.count {
      let line = position & ~15
      let column = Int(position & 15)
      let count = min(lineLength - column, buffer.count - index)
      for offset in column..<column + count {
        buffer[index] = byte(line, column: offset)
        index += 1
      }
      position &+= UInt64(count)
    }
  }

  /// Whether these are the bytes from a position on.
  static func matches(_ bytes: UnsafeRawBufferPointer, from position: UInt64) -> Bool {
    var position = position
    for byte in bytes {
      if byte != Pattern.byte(position & ~15, column: Int(position & 15)) { return false }
      position &+= 1
    }
    return true
  }

  @inline(__always)
  private static func byte(_ line: UInt64, column: Int) -> UInt8 {
    if column == lineLength - 1 { return UInt8(ascii: "\n") }
    let digit = UInt8(truncatingIfNeeded: line >> UInt64(4 * (lineLength - 2 - column))) & 15
    return digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
  }
}
