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
    guard let lineEnd = bytes.position(of: UInt8(ascii: "\n")), lineEnd < end else {
      return .refused(.badRequest)
    }
    let hasReturn = lineEnd > 0 && bytes[lineEnd - 1] == UInt8(ascii: "\r")
    let words = bytes.part(from: 0, to: hasReturn ? lineEnd - 1 : lineEnd).pieces(
      separatedBy: UInt8(ascii: " "))
    guard words.count == 3, !words[1].isEmpty, words[2].hasPrefix("HTTP/") else {
      return .refused(.badRequest)
    }
    guard words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0" else { return .refused(.versionNotSupported) }
    let target = words[1]
    guard target[0] == UInt8(ascii: "/"), !target.contains(where: { $0 <= 0x20 || $0 == 0x7f }) else {
      return .refused(.badRequest)
    }
    let isHead = words[0] == "HEAD"
    guard isHead || words[0] == "GET" else { return .refused(.methodNotAllowed) }
    let pathEnd = target.position(of: UInt8(ascii: "?")) ?? target.count
    // A kubelet before 1.25 puts a slash of its own before a hook's path, and GETs //drain; it takes any answer
    // for a success, so a 404 would be a drain that nobody misses.
    var pathStart = 0
    while pathStart + 1 < pathEnd && target[pathStart + 1] == UInt8(ascii: "/") { pathStart += 1 }
    return .request(
      HTTPRequest(
        isHead: isHead, path: target.part(from: pathStart, to: pathEnd), query: target.part(from: pathEnd + 1)
      ))
  }

  /// Behind the empty line; a lone LF ends a line too, RFC 9112 section 2.2.
  static func endOfHead(_ bytes: [UInt8]) -> Int? {
    var isEmptyLine = false
    for index in 0..<bytes.count {
      let byte = bytes[index]
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
    return first >= UInt8(ascii: "A") && first <= UInt8(ascii: "Z") && bytes.position(of: 0) == nil
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
