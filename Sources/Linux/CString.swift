import CLinux

/// Bytes that end in a NUL, as the kernel hands over arguments, environment and names. They are whatever
/// the user typed: not always UTF-8, and never turned into a `String` (whose comparison would bring the
/// Unicode tables into the binary).
public struct CString {
  /// The first byte; must stay valid while the value is used.
  public let pointer: UnsafePointer<CChar>

  /// The string that begins at `pointer`. Not for a literal, which would be a `String` then, copied for the time of
  /// this call alone.
  @_disfavoredOverload
  public init(_ pointer: UnsafePointer<CChar>) { self.pointer = pointer }

  /// A literal.
  public init(_ literal: StaticString) {
    self.pointer = UnsafeRawPointer(literal.utf8Start).assumingMemoryBound(to: CChar.self)
  }

  /// The number of bytes, the NUL not counted.
  public var count: Int { strlen(pointer) }

  /// The bytes, the NUL not among them.
  public var bytes: [UInt8] {
    [UInt8](UnsafeRawBufferPointer(start: pointer, count: count))
  }

  /// Whether these are the bytes of a literal.
  public static func == (left: CString, right: StaticString) -> Bool {
    strcmp(left.pointer, CString(right).pointer) == 0
  }

  /// Whether these bytes begin with those of a literal.
  public func hasPrefix(_ prefix: StaticString) -> Bool {
    strncmp(pointer, CString(prefix).pointer, prefix.utf8CodeUnitCount) == 0
  }

  /// What comes after the first `count` bytes; the caller knows that there are as many.
  public func dropFirst(_ count: Int) -> CString { CString(pointer + count) }
}

/// Whether an array holds the bytes of a literal.
public func == (left: [UInt8], right: StaticString) -> Bool {
  right.withUTF8Buffer { left.count == $0.count && left.elementsEqual($0) }
}

extension [UInt8] {
  /// Whether the bytes begin with those of a literal.
  public func hasPrefix(_ prefix: StaticString) -> Bool {
    prefix.withUTF8Buffer { self.count >= $0.count && self.prefix($0.count).elementsEqual($0) }
  }

  /// Whether the bytes end with those of a literal.
  public func hasSuffix(_ suffix: StaticString) -> Bool {
    suffix.withUTF8Buffer { self.count >= $0.count && self.suffix($0.count).elementsEqual($0) }
  }

  /// Whether these bytes stand anywhere in it.
  public func holds(_ words: StaticString) -> Bool {
    withUnsafeBytes { clinux_holds($0.baseAddress, $0.count, CString(words).pointer) }
  }

  /// The bytes with a NUL behind them, for a call that wants a C string.
  public func withCString<Result, Failure: Error>(
    _ body: (CString) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var terminated = self
    terminated.append(0)
    return try terminated.withUnsafeBufferPointer { (buffer) throws(Failure) -> Result in
      guard let base = buffer.baseAddress else { return try body(CString("")) }
      return try body(CString(UnsafeRawPointer(base).assumingMemoryBound(to: CChar.self)))
    }
  }
}

/// The value of an environment variable, getenv(3).
public func environmentVariable(_ name: CString) -> CString? {
  getenv(name.pointer).map { CString($0) }
}

/// Whether the environment has a variable whose name begins like this.
public func hasEnvironmentVariables(_ prefix: StaticString) -> Bool {
  guard var next = clinux_environ() else { return false }
  while let variable = next.pointee {
    if CString(variable).hasPrefix(prefix) { return true }
    next += 1
  }
  return false
}
