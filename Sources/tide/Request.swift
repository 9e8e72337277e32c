import Linux

/// A status of HTTP, RFC 9110.
enum Status: Int {
  case ok = 200
  case badRequest = 400
  case notFound = 404
  case methodNotAllowed = 405
  case headTooLarge = 431
  case notImplemented = 501
  case versionNotSupported = 505

  var reason: StaticString {
    switch self {
    case .ok: "OK"
    case .badRequest: "Bad Request"
    case .notFound: "Not Found"
    case .methodNotAllowed: "Method Not Allowed"
    case .headTooLarge: "Request Header Fields Too Large"
    case .notImplemented: "Not Implemented"
    case .versionNotSupported: "HTTP Version Not Supported"
    }
  }
}

/// Why a request cannot be answered as asked.
///
/// After one the connection is closed where it is not known where the next request would begin.
struct Refusal: Error {
  let status: Status
}

/// The head of an HTTP/1 request: bytes in, a value or a refusal out, RFC 9112.
struct Request {
  enum Method {
    case get, head, post, other
  }

  /// The largest head that is read, in bytes.
  static var largestHead: Int { 8192 }

  let method: Method
  /// The target up to the question mark.
  let path: [UInt8]
  let query: Query
  /// HTTP/1.0, which knows no chunks and closes after each answer unless told otherwise.
  let isOld: Bool
  /// Whether the client wants to use the connection again.
  let keepsAlive: Bool
  /// How many bytes of body follow the head.
  ///
  /// They are read before the answer, and thrown away.
  let bodyLength: UInt64
  /// Whether the client waits for a word of ours before it sends the body, RFC 9110 10.1.1.
  let expectsContinue: Bool

  /// What came of an attempt.
  enum Attempt {
    /// The end of the head has not come yet.
    case incomplete
    /// A head, and how many bytes it took.
    case complete(Request, length: Int)
  }

  /// Reads the head at the front of these bytes.
  ///
  /// What cannot become a request is refused as soon as that is seen, without waiting for an end that may
  /// never come.
  static func parse(_ bytes: [UInt8]) throws(Refusal) -> Attempt {
    // Empty lines before a request are skipped, RFC 9112 2.2.
    var start = 0
    while start < bytes.count, bytes[start] == UInt8(ascii: "\r") || bytes[start] == UInt8(ascii: "\n") {
      start += 1
    }
    guard start < bytes.count else {
      if start > largestHead { throw Refusal(status: .badRequest) }
      return .incomplete
    }
    if !isTokenByte(bytes[start]) { throw Refusal(status: .badRequest) }

    var lines = Lines(bytes: bytes, position: start)
    guard let first = lines.next() else {
      if bytes.count - start >= largestHead { throw Refusal(status: .headTooLarge) }
      return .incomplete
    }
    let line = try RequestLine(first)
    var fields = Fields()
    while let field = lines.next() {
      if lines.position - start > largestHead { throw Refusal(status: .headTooLarge) }
      if field.isEmpty {
        return .complete(try Request(line, fields), length: lines.position)
      }
      try fields.take(field)
    }
    if bytes.count - start >= largestHead { throw Refusal(status: .headTooLarge) }
    return .incomplete
  }

  private init(_ line: RequestLine, _ fields: Fields) throws(Refusal) {
    // HTTP/1.1 must name the host, RFC 9112 3.2.
    if !line.isOld && fields.hosts != 1 { throw Refusal(status: .badRequest) }
    if fields.isChunked { throw Refusal(status: .notImplemented) }
    method = line.method
    path = line.path
    query = Query(line.query)
    isOld = line.isOld
    keepsAlive = line.isOld ? fields.asksToKeep && !fields.asksToClose : !fields.asksToClose
    bodyLength = fields.bodyLength ?? 0
    // HTTP/1.0 has no interim answers.
    expectsContinue = fields.expectsContinue && !line.isOld
  }
}

/// The parameters behind the question mark, "ms=300&n=10".
struct Query {
  private let parts: [ArraySlice<UInt8>]

  init(_ bytes: [UInt8]) { parts = bytes.split(separator: UInt8(ascii: "&")) }

  /// A whole number, up to a limit; refused where it is anything else.
  func number(_ name: StaticString, default ordinary: Int, max limit: Int) throws(Refusal) -> Int {
    for part in parts {
      guard let equals = part.firstIndex(of: UInt8(ascii: "=")) else { continue }
      guard Array(part[..<equals]) == name else { continue }
      guard let value = decimal(part[(equals + 1)...]), value <= UInt64(limit) else {
        throw Refusal(status: .badRequest)
      }
      return Int(value)
    }
    return ordinary
  }

  /// A time in milliseconds, up to ten minutes.
  func milliseconds(_ name: StaticString, default ordinary: Int) throws(Refusal) -> Duration {
    .milliseconds(try number(name, default: ordinary, max: 600_000))
  }
}

/// The lines of a head, each without its CR LF.
///
/// A lone LF ends a line too, RFC 9112 2.2.
private struct Lines {
  let bytes: [UInt8]
  private(set) var position: Int

  init(bytes: [UInt8], position: Int) {
    self.bytes = bytes
    self.position = position
  }

  mutating func next() -> ArraySlice<UInt8>? {
    guard let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) else { return nil }
    var line = bytes[position..<end]
    if line.last == UInt8(ascii: "\r") { line.removeLast() }
    position = end + 1
    return line
  }
}

/// The first line, "GET /slow?ms=300 HTTP/1.1".
private struct RequestLine {
  let method: Request.Method
  let path: [UInt8]
  let query: [UInt8]
  let isOld: Bool

  init(_ line: ArraySlice<UInt8>) throws(Refusal) {
    let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard words.count == 3, !words[0].isEmpty, words[0].allSatisfy(isTokenByte),
      words[1].first == UInt8(ascii: "/"), words[1].allSatisfy({ $0 > 0x20 && $0 != 0x7f })
    else { throw Refusal(status: .badRequest) }

    let version = Array(words[2])
    guard version.hasPrefix("HTTP/"), version.count == 8, version[6] == UInt8(ascii: ".") else {
      throw Refusal(status: .badRequest)
    }
    guard version[5] == UInt8(ascii: "1") else { throw Refusal(status: .versionNotSupported) }
    isOld = version[7] == UInt8(ascii: "0")

    let name = Array(words[0])
    method = name == "GET" ? .get : name == "HEAD" ? .head : name == "POST" ? .post : .other
    let target = words[1]
    let mark = target.firstIndex(of: UInt8(ascii: "?"))
    path = Array(target[..<(mark ?? target.endIndex)])
    query = mark.map { Array(target[($0 + 1)...]) } ?? []
  }
}

/// The few header fields that decide how a message is framed and whether the connection stays.
struct Fields {
  private(set) var bodyLength: UInt64?
  private(set) var isChunked = false
  private(set) var asksToClose = false
  private(set) var asksToKeep = false
  private(set) var expectsContinue = false
  private(set) var hosts = 0
  /// The body is said to be that of ``Pattern``.
  private(set) var isPattern = false

  /// Takes in one line, "Name: value".
  mutating func take(_ line: ArraySlice<UInt8>) throws(Refusal) {
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
      line[..<colon].allSatisfy(isTokenByte)
    else { throw Refusal(status: .badRequest) }
    let name = lowercased(line[..<colon])
    let value = trimmed(line[(colon + 1)...])
    if name == "content-length" {
      // Two that differ are how requests are smuggled, RFC 9112 6.3.
      guard let length = decimal(value), bodyLength == nil || bodyLength == length else {
        throw Refusal(status: .badRequest)
      }
      bodyLength = length
    } else if name == "transfer-encoding" {
      isChunked = true
    } else if name == "expect" {
      expectsContinue = lowercased(value) == "100-continue"
    } else if name == "host" {
      hosts += 1
    } else if name == "body-pattern" {
      isPattern = true
    } else if name == "connection" {
      for word in value.split(separator: UInt8(ascii: ",")) {
        let option = lowercased(trimmed(word))
        if option == "close" { asksToClose = true }
        if option == "keep-alive" { asksToKeep = true }
      }
    }
  }
}

private func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
  var bytes = bytes
  while let first = bytes.first, isBlank(first) { bytes.removeFirst() }
  while let last = bytes.last, isBlank(last) { bytes.removeLast() }
  return bytes
}

private func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }

private func lowercased(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
  bytes.map { $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "Z") ? $0 + 32 : $0 }
}

/// The bytes that a method or a field name is made of, RFC 9110 5.6.2.
private func isTokenByte(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "!"), UInt8(ascii: "#")...UInt8(ascii: "'"),
    UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^"),
    UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
    true
  default: false
  }
}
