/// The number that these bytes spell in decimal; nil where they are anything else, or too large. Up to 18
/// digits, so that it cannot overflow.
public func decimal(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
  guard !bytes.isEmpty, bytes.count <= 18 else { return nil }
  var value: UInt64 = 0
  for byte in bytes {
    guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
    value = value * 10 + UInt64(byte - UInt8(ascii: "0"))
  }
  return value
}

/// The same.
public func decimal(_ bytes: ArraySlice<UInt8>) -> UInt64? { bytes.withUnsafeBytes { decimal($0) } }
/// The same.
public func decimal(_ bytes: [UInt8]) -> UInt64? { bytes.withUnsafeBytes { decimal($0) } }

/// The same.
public func decimal(_ bytes: Slice<UnsafeRawBufferPointer>) -> UInt64? {
  decimal(UnsafeRawBufferPointer(rebasing: bytes))
}

/// The number that these bytes spell in hexadecimal; nil where they are anything else, or longer than 16.
public func hexadecimal(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
  guard !bytes.isEmpty, bytes.count <= 16 else { return nil }
  var value: UInt64 = 0
  for byte in bytes {
    let digit: UInt8
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
    default: return nil
    }
    value = value << 4 | UInt64(digit)
  }
  return value
}

/// The same.
public func hexadecimal(_ bytes: ArraySlice<UInt8>) -> UInt64? { bytes.withUnsafeBytes { hexadecimal($0) } }

/// The same.
public func hexadecimal(_ bytes: [UInt8]) -> UInt64? { bytes.withUnsafeBytes { hexadecimal($0) } }
/// The same.
public func hexadecimal(_ bytes: Slice<UnsafeRawBufferPointer>) -> UInt64? {
  hexadecimal(UnsafeRawBufferPointer(rebasing: bytes))
}

extension Duration {
  /// The time that a user writes: "250ms", "10s", "2m", "1h", "0", and "1.5s". nil where it makes no sense,
  /// is negative, or is longer than a year.
  public init?(written text: [UInt8]) {
    let digits = text.prefix {
      ($0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9")) || $0 == UInt8(ascii: ".")
    }
    let unit = Array(text.dropFirst(digits.count))
    let nanosecondsPerUnit: UInt64
    if unit == "ms" {
      nanosecondsPerUnit = 1_000_000
    } else if unit == "s" {
      nanosecondsPerUnit = 1_000_000_000
    } else if unit == "m" {
      nanosecondsPerUnit = 60_000_000_000
    } else if unit == "h" {
      nanosecondsPerUnit = 3_600_000_000_000
    } else if unit.isEmpty && digits.allSatisfy({ $0 == UInt8(ascii: "0") }) {
      nanosecondsPerUnit = 0
    } else {
      return nil
    }
    let parts = digits.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = parts.first, let whole = decimal(first), whole <= 366 * 24 * 3600 * 1000 else {
      return nil
    }
    var nanoseconds = whole.multipliedReportingOverflow(by: nanosecondsPerUnit)
    if nanoseconds.overflow { return nil }
    if parts.count == 2 {
      // The decimals: three of them mean something to us, nine are read.
      guard parts[1].count <= 9, let fraction = decimal(parts[1]) else { return nil }
      var scale: UInt64 = 1
      for _ in 0..<parts[1].count { scale *= 10 }
      nanoseconds = nanoseconds.partialValue.addingReportingOverflow(
        UInt64(Double(fraction) / Double(scale) * Double(nanosecondsPerUnit)))
    }
    guard !nanoseconds.overflow, nanoseconds.partialValue <= 366 * 24 * 3600 * 1_000_000_000 else {
      return nil
    }
    self = .nanoseconds(Int64(nanoseconds.partialValue))
  }
}
