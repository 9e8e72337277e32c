import Linux

/// What is still to be sent on a connection.
///
/// Long bodies are made as they are sent, so that memory does not grow with them.
struct Output {
  private enum Piece {
    case bytes([UInt8])
    case pattern(position: UInt64, count: UInt64)
  }

  private var pieces: [Piece] = []
  /// How much of the first piece has been sent.
  private var sent: UInt64 = 0

  var isEmpty: Bool { pieces.isEmpty }

  mutating func append(_ text: Text) {
    if !text.isEmpty { pieces.append(.bytes(text.bytes)) }
  }

  mutating func append(patternFrom position: UInt64, count: UInt64) {
    if count > 0 { pieces.append(.pattern(position: position, count: count)) }
  }

  mutating func removeAll() {
    pieces.removeAll()
    sent = 0
  }

  /// Sends until nothing is left (true), or the socket takes no more (false).
  ///
  /// `most` bounds how long one fast reader can keep the loop.
  mutating func send(
    to socket: Socket, through scratch: UnsafeMutableRawBufferPointer, most: Int
  ) throws(Errno) -> Bool {
    var rest = most
    while !pieces.isEmpty {
      guard rest > 0 else { return false }
      let count = copy(into: scratch)
      let accepted: Int
      do throws(Errno) {
        accepted = try socket.send(UnsafeRawBufferPointer(rebasing: scratch[..<count]))
      } catch {
        if error == .wouldBlock { return false }
        throw error
      }
      consume(accepted)
      rest -= accepted
    }
    return true
  }

  /// The next bytes, as many as fit.
  private func copy(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    var filled = 0
    var skipped = sent
    for piece in pieces {
      let room = buffer.count - filled
      if room == 0 { break }
      switch piece {
      case .bytes(let bytes):
        let part = bytes.dropFirst(Int(skipped)).prefix(room)
        part.withUnsafeBytes { source in
          UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]).copyMemory(from: source)
        }
        filled += part.count
      case .pattern(let position, let length):
        let count = Int(min(UInt64(room), length - skipped))
        Pattern.fill(
          UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<filled + count]), from: position &+ skipped)
        filled += count
      }
      skipped = 0
    }
    return filled
  }

  private mutating func consume(_ count: Int) {
    sent += UInt64(count)
    while let first = pieces.first {
      let length: UInt64
      switch first {
      case .bytes(let bytes): length = UInt64(bytes.count)
      case .pattern(_, let count): length = count
      }
      if sent < length { break }
      sent -= length
      pieces.removeFirst()
    }
  }
}
