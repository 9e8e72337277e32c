import Linux

/// An answer as it comes in, RFC 9112: its status, and when it is over. Interim answers are read over.
struct HTTPAnswer {
  /// The longest head, and the most of an answer that is read.
  static var headLimit: Int { 16384 }
  static var limit: Int { 65536 }

  /// The status; nil before the head of the final answer is there.
  private(set) var status: UInt16?
  /// Nothing more is wanted.
  private(set) var isOver = false
  /// It is none: another protocol's.
  private(set) var isForeign = false
  private var taken = 0
  /// What there is of a head; behind it, the last few bytes of a body in chunks.
  private var bytes: [UInt8] = []
  /// What is left of a body whose length is known.
  private var left: UInt64?
  private var isChunked = false

  /// Takes in what has come.
  mutating func take(_ more: [UInt8]) {
    taken += more.count
    if status != nil { return takeBody(more) }
    bytes += more
    while let end = HTTPRequest.endOfHead(bytes) {
      let head = bytes.part(from: 0, to: end)
      let rest = bytes.part(from: end)
      guard let number = HTTPAnswer.status(of: head) else { return refuse() }
      bytes = rest
      if number < 200 && number != 101 { continue }
      status = number
      readFields(head)
      // What ends it stands on lines of its own.
      bytes = Text("\r\n").bytes
      if number == 204 || number == 304 || number == 101 { left = 0 }
      return takeBody(rest)
    }
    let start = Text("HTTP/").bytes
    if bytes.part(from: 0, to: start.count) != start.part(from: 0, to: bytes.count)
      || bytes.count >= HTTPAnswer.headLimit || taken >= HTTPAnswer.limit
    {
      refuse()
    }
  }

  private mutating func refuse() {
    isForeign = true
    isOver = true
    bytes = []
  }

  private mutating func takeBody(_ more: [UInt8]) {
    if let known = left {
      left = known - min(known, UInt64(more.count))
      if left == 0 { isOver = true }
    } else if isChunked {
      bytes += more
      bytes = bytes.part(from: bytes.count - min(bytes.count, 7))
      if bytes == "\r\n0\r\n\r\n" { isOver = true }
    }
    if taken >= HTTPAnswer.limit { isOver = true }
  }

  private mutating func readFields(_ head: [UInt8]) {
    for line in head.pieces(separatedBy: UInt8(ascii: "\n")) {
      if let value = HTTPAnswer.value(of: "content-length:", in: line) { left = decimal(value) }
      if HTTPAnswer.value(of: "transfer-encoding:", in: line) != nil { isChunked = true }
    }
    if isChunked { left = nil }
  }

  /// The value of the field with this name, in small letters and with its colon; nil where it is another one.
  private static func value(of name: StaticString, in line: [UInt8]) -> [UInt8]? {
    var small = line
    for index in 0..<small.count where small[index] >= UInt8(ascii: "A") && small[index] <= UInt8(ascii: "Z")
    {
      small[index] += 32
    }
    guard let value = small.value(of: name) else { return nil }
    return value.filter { $0 > 0x20 }
  }

  /// "HTTP/1.1 200 OK".
  private static func status(of head: [UInt8]) -> UInt16? {
    guard head.hasPrefix("HTTP/"), head.count >= 12, let number = decimal(head.part(from: 9, to: 12)),
      (100..<600).contains(number)
    else { return nil }
    return UInt16(number)
  }
}
