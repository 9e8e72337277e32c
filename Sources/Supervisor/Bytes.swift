import CLinux
import Linux

/// What the parsers share: bytes cut up by index. A slice would have every reader of it made once more.
extension [UInt8] {
  /// The bytes from an index on, up to another; as far as there are any.
  func part(from start: Int, to end: Int = .max) -> [UInt8] {
    let end = Swift.min(end, count)
    return start < end && start >= 0 ? Array(self[start..<end]) : []
  }

  /// Where a byte comes first; nil where it does not.
  func position(of byte: UInt8) -> Int? {
    for index in 0..<count where self[index] == byte { return index }
    return nil
  }

  /// What is behind a prefix; nil where the bytes do not begin with it.
  public func value(of prefix: StaticString) -> [UInt8]? {
    hasPrefix(prefix) ? part(from: prefix.utf8CodeUnitCount) : nil
  }

  /// The pieces between separators, empty ones among them: one more than there are separators.
  func pieces(separatedBy separator: UInt8) -> [[UInt8]] {
    var pieces: [[UInt8]] = []
    var start = 0
    for index in 0...count where index == count || self[index] == separator {
      pieces.append(part(from: start, to: index))
      start = index + 1
    }
    return pieces
  }
}

extension FileDescriptor {
  /// Reads what there is, so many bytes at most (4,096), and adds it to others; 0 where there is nothing yet. The
  /// end is an error, ECONNRESET: whoever reads this way wants more.
  func read(_ limit: Int, addingTo bytes: inout [UInt8]) throws(Errno) -> Int {
    var failure: Errno?
    let old = bytes.count
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
      do throws(Errno) {
        let count = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(limit)))
        bytes += UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
        if count == 0 { failure = Errno(ECONNRESET) }
      } catch {
        failure = error
      }
    }
    if let failure, failure != .wouldBlock { throw failure }
    return bytes.count - old
  }

  /// Writes as much as fits without waiting, and says how much that was.
  func writeSome(of bytes: [UInt8]) throws(Errno) -> Int {
    try bytes.withUnsafeBufferPointer { (buffer) throws(Errno) -> Int in
      do throws(Errno) {
        return try writeNow(UnsafeRawBufferPointer(buffer))
      } catch {
        if error != .wouldBlock { throw error }
        return 0
      }
    }
  }
}

/// Pieces of a line that are made without a text in between.
extension Text {
  /// A number between words.
  mutating func append(_ before: StaticString, _ number: Int, _ after: StaticString) {
    append(before)
    append(number)
    append(after)
  }

  /// A number and its noun after words, as in "\(number, "noun")".
  mutating func append(_ before: StaticString, _ number: Int, of noun: StaticString) {
    append(before, number, " ")
    append(noun)
    if number != 1 { append("s") }
  }

  /// A time between words.
  mutating func append(_ before: StaticString, _ time: Duration, _ after: StaticString) {
    append(before)
    append(time)
    append(after)
  }
}
