// Text of the kernel's, cut into lines and fields as it is read, with no array made of either.

extension ArraySlice<UInt8> {
  /// Takes what is in front of the next separator off the front, and the separator with it; nothing is passed over
  /// but further separators. nil where nothing is left.
  public mutating func next(before separator: UInt8) -> ArraySlice<UInt8>? {
    next(before: { $0 == separator })
  }

  @inline(__always)
  private mutating func next(before isSeparator: (UInt8) -> Bool) -> ArraySlice<UInt8>? {
    var start = startIndex
    while start < endIndex, isSeparator(self[start]) { start += 1 }
    var end = start
    while end < endIndex, !isSeparator(self[end]) { end += 1 }
    let field = self[start..<end]
    self = self[Swift.min(end + 1, endIndex)...]
    return field.isEmpty ? nil : field
  }

  /// The field at this place, counted from 0, among those that spaces and tabs separate; empty where there is none.
  public func field(_ place: Int) -> ArraySlice<UInt8> {
    var rest = self
    var place = place
    while let field = rest.next(before: { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }) {
      if place == 0 { return field }
      place -= 1
    }
    return []
  }

  /// The bytes as an array of their own.
  public var copy: [UInt8] { Array(self) }

  /// Whether the bytes begin with those of a literal.
  public func hasPrefix(_ prefix: StaticString) -> Bool {
    prefix.withUTF8Buffer { self.count >= $0.count && self.prefix($0.count).elementsEqual($0) }
  }
}

extension [UInt8] {
  /// What follows these words in the line that begins with them; empty where none does.
  public func line(_ name: StaticString) -> ArraySlice<UInt8> {
    var rest = self[...]
    while let line = rest.next(before: UInt8(ascii: "\n")) {
      if line.hasPrefix(name) { return line[(line.startIndex + name.utf8CodeUnitCount)...] }
    }
    return []
  }
}
