import Linux

/// An HTTP/1 answer as it comes in: bytes in, how far it is, or what is wrong with it, RFC 9112.
struct ResponseParser {
  /// What a client holds against an answer.
  enum Fault: Error {
    /// It is no HTTP, or more came than the head had announced.
    case garbage
    /// It is an error of the service.
    case status(UInt64)
    /// A byte of the body is not the one that ``Pattern`` has there.
    case wrongByte(near: UInt64)
  }

  private enum State {
    case head
    case counted(left: UInt64)
    case chunkSize
    case chunk(left: UInt64)
    case chunkEnd
    case trailer
    case untilClose
    case complete
  }

  /// The largest head, line of a chunk's size, or trailer that is read.
  private static var largestLine: Int { 16 * 1024 }

  /// How many bytes of the body have come.
  private(set) var bodyBytes: UInt64 = 0
  /// Whether the connection can be used for another request, once this answer is complete.
  private(set) var keepsConnection = false
  /// Whether 100 Continue has come: the service waits for the body.
  private(set) var isToContinue = false

  private var state = State.head
  /// The head so far, or the line so far.
  private var line: [UInt8] = []
  private var verifies: Bool

  /// Before the first byte.
  ///
  /// `verifies`: the body is ``Pattern``, even where the head does not say so.
  init(verifies: Bool) { self.verifies = verifies }

  /// Whether the whole answer has come.
  var isComplete: Bool {
    if case .complete = state { return true }
    return false
  }

  /// Whether a byte of the answer has come: interim ones do not count.
  var hasBegun: Bool {
    if case .head = state { return !line.isEmpty }
    return true
  }

  /// Takes in the next bytes.
  mutating func take(_ bytes: UnsafeRawBufferPointer) throws(Fault) {
    var rest = bytes[...]
    while let first = rest.first {
      switch state {
      case .head:
        rest = rest.dropFirst()
        line.append(first)
        if line.count > ResponseParser.largestLine { throw .garbage }
        if first == UInt8(ascii: "\n"), endsHead { try endHead() }
      case .counted(let left):
        let part = rest.prefix(Int(min(left, UInt64(rest.count))))
        try takeBody(part)
        rest = rest.dropFirst(part.count)
        state = left == UInt64(part.count) ? .complete : .counted(left: left - UInt64(part.count))
      case .untilClose:
        try takeBody(rest)
        return
      case .chunk(let left):
        let part = rest.prefix(Int(min(left, UInt64(rest.count))))
        try takeBody(part)
        rest = rest.dropFirst(part.count)
        state = left == UInt64(part.count) ? .chunkEnd : .chunk(left: left - UInt64(part.count))
      case .chunkSize, .chunkEnd, .trailer:
        rest = rest.dropFirst()
        try takeOfLine(first)
      case .complete: throw .garbage
      }
    }
  }

  /// The end of the connection: whether the answer is complete with that.
  mutating func end() -> Bool {
    if case .untilClose = state { state = .complete }
    return isComplete
  }

  private var endsHead: Bool {
    line.suffix(4).elementsEqual([13, 10, 13, 10]) || line.suffix(2).elementsEqual([10, 10])
  }

  private mutating func endHead() throws(Fault) {
    let lines = line.split(separator: UInt8(ascii: "\n"))
    line.removeAll()
    // "HTTP/1.1 200 OK"
    guard let first = lines.first, first.count >= 12, Array(first).hasPrefix("HTTP/1."),
      let status = decimal(first.dropFirst(9).prefix(3))
    else { throw .garbage }
    // 100 Continue and its kin come before the answer.
    if status < 200 {
      if status == 100 { isToContinue = true }
      return
    }
    let isOld = first[first.startIndex + 7] == UInt8(ascii: "0")
    var fields = Fields()
    for var line in lines.dropFirst() {
      if line.last == UInt8(ascii: "\r") { line.removeLast() }
      if line.isEmpty { continue }
      do throws(Refusal) { try fields.take(line) } catch { throw .garbage }
    }
    if status >= 400 { throw .status(status) }
    keepsConnection = isOld ? fields.asksToKeep : !fields.asksToClose
    if fields.isPattern { verifies = true }
    if fields.isChunked {
      state = .chunkSize
    } else if status == 204 || status == 304 {
      state = .complete
    } else if let length = fields.bodyLength {
      state = length == 0 ? .complete : .counted(left: length)
    } else {
      keepsConnection = false
      state = .untilClose
    }
  }

  private mutating func takeBody(_ part: Slice<UnsafeRawBufferPointer>) throws(Fault) {
    if verifies && !Pattern.matches(UnsafeRawBufferPointer(rebasing: part), from: bodyBytes) {
      throw .wrongByte(near: bodyBytes)
    }
    bodyBytes &+= UInt64(part.count)
  }

  /// A byte of a line between the chunks: a size, the empty line behind a chunk, a trailer.
  private mutating func takeOfLine(_ byte: UInt8) throws(Fault) {
    if byte != UInt8(ascii: "\n") {
      line.append(byte)
      if line.count > ResponseParser.largestLine { throw .garbage }
      return
    }
    if line.last == UInt8(ascii: "\r") { line.removeLast() }
    let complete = line
    line.removeAll()
    switch state {
    case .chunkSize:
      // A chunk extension may follow the size.
      guard let size = hexadecimal(complete.prefix { $0 != UInt8(ascii: ";") }) else { throw .garbage }
      state = size == 0 ? .trailer : .chunk(left: size)
    case .chunkEnd:
      guard complete.isEmpty else { throw .garbage }
      state = .chunkSize
    default:
      if complete.isEmpty { state = .complete }
    }
  }
}

extension ResponseParser.Fault: TextRepresentable {
  /// "status 503", "wrong byte near position 4096".
  func write(to text: inout Text) {
    switch self {
    case .garbage: text.append("not an HTTP answer")
    case .status(let number):
      text.append("status ")
      text.append(number)
    case .wrongByte(let position):
      text.append("a wrong byte behind position ")
      text.append(position)
    }
  }
}
