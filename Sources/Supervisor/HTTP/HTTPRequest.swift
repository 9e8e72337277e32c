import Linux

/// The head of an HTTP request, RFC 9112: what is needed of it.
struct HTTPRequest: Equatable {
  var isHead: Bool
  /// The path, without the query, as it was sent; but several slashes at its beginning are one.
  var path: [UInt8]
  /// What is behind the question mark; empty where there is none.
  var query: [UInt8]

  /// The longest head that is read.
  static var limit: Int { 4096 }

  /// What some bytes from the beginning of a connection are.
  enum Reading: Equatable {
    /// A head, whole.
    case request(HTTPRequest)
    /// The beginning of one.
    case incomplete
    /// Nothing that is answered with anything but this status.
    case refused(HTTPStatus)
  }

  /// Reads the head of a request, as far as it has come.
  static func read(_ bytes: [UInt8]) -> Reading {
    guard let end = endOfHead(bytes) else {
      return bytes.count >= limit
        ? .refused(.headTooLarge) : isPlausible(bytes) ? .incomplete : .refused(.badRequest)
    }
    let head = bytes[..<end]
    guard let lineEnd = head.firstIndex(of: UInt8(ascii: "\n")) else { return .refused(.badRequest) }
    var line = head[..<lineEnd]
    if line.last == UInt8(ascii: "\r") { line.removeLast() }
    let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard words.count == 3, let first = words[1].first, Array(words[2]).hasPrefix("HTTP/") else {
      return .refused(.badRequest)
    }
    guard Array(words[2]) == "HTTP/1.1" || Array(words[2]) == "HTTP/1.0" else {
      return .refused(.versionNotSupported)
    }
    guard first == UInt8(ascii: "/"), !words[1].contains(where: { $0 <= 0x20 || $0 == 0x7f }) else {
      return .refused(.badRequest)
    }
    let isHead = Array(words[0]) == "HEAD"
    guard isHead || Array(words[0]) == "GET" else { return .refused(.methodNotAllowed) }
    let target = words[1].prefix { $0 != UInt8(ascii: "?") }
    // A kubelet before 1.25 puts a slash of its own before a hook's path, and GETs //drain; it takes any answer
    // for a success, so a 404 would be a drain that nobody misses.
    let path = target.drop { $0 == UInt8(ascii: "/") }
    return .request(
      HTTPRequest(
        isHead: isHead, path: [UInt8(ascii: "/")] + path,
        query: Array(words[1].dropFirst(target.count + 1))))
  }

  /// Behind the empty line; a lone LF ends a line too, RFC 9112 section 2.2.
  private static func endOfHead(_ bytes: [UInt8]) -> Int? {
    var isEmptyLine = false
    for (index, byte) in bytes.enumerated() {
      if byte == UInt8(ascii: "\n") {
        if isEmptyLine { return index + 1 }
        isEmptyLine = index > 0
      } else if byte != UInt8(ascii: "\r") {
        isEmptyLine = false
      }
    }
    return nil
  }

  /// Whether this can become a request: it begins with a capital letter, and goes on without a NUL. So a peer
  /// that speaks something else hears about it at once.
  private static func isPlausible(_ bytes: [UInt8]) -> Bool {
    guard let first = bytes.first else { return true }
    return first >= UInt8(ascii: "A") && first <= UInt8(ascii: "Z") && !bytes.contains(0)
  }
}

/// The statuses that are answered, RFC 9110 section 15.
enum HTTPStatus: UInt16 {
  case ok = 200
  case badRequest = 400
  case notFound = 404
  case methodNotAllowed = 405
  case timeout = 408
  case headTooLarge = 431
  case unavailable = 503
  case versionNotSupported = 505

  var reason: StaticString {
    switch self {
    case .ok: "OK"
    case .badRequest: "Bad Request"
    case .notFound: "Not Found"
    case .methodNotAllowed: "Method Not Allowed"
    case .timeout: "Request Timeout"
    case .headTooLarge: "Request Header Fields Too Large"
    case .unavailable: "Service Unavailable"
    case .versionNotSupported: "HTTP Version Not Supported"
    }
  }
}
