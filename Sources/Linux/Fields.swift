extension ArraySlice<UInt8> {
  /// Takes what is in front of the next separator off the front, and the separator with it; nothing is passed over
  /// but further separators. nil where nothing is left: a text is read line by line, and a line field by field,
  /// with no array made of either.
  @inline(never)
  public mutating func next(before separator: UInt8) -> ArraySlice<UInt8>? {
    var start = startIndex
    while start < endIndex, self[start] == separator { start += 1 }
    var end = start
    while end < endIndex, self[end] != separator { end += 1 }
    let field = self[start..<end]
    self = self[Swift.min(end + 1, endIndex)...]
    return field.isEmpty ? nil : field
  }

  /// The bytes as an array of their own.
  @inline(never)
  public var copy: [UInt8] { Array(self) }

  /// Whether the bytes begin with those of a literal.
  @inline(never)
  public func hasPrefix(_ prefix: StaticString) -> Bool {
    prefix.withUTF8Buffer { self.count >= $0.count && self.prefix($0.count).elementsEqual($0) }
  }
}
