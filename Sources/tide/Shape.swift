import Linux

/// How a client sends its requests: those of real ones are not all tidy.
enum Shape {
  /// In one write.
  case plain
  /// The head, then the body, as Python's http.client, Java's HttpURLConnection and Node's flushHeaders do.
  case twoWrites
  /// The head, and the body only when the service has said so, with 100 Continue.
  case expect
  /// In one write, and then no more: our FIN follows the request.
  case halfClose

  init?(written word: [UInt8]) {
    if word == "plain" {
      self = .plain
    } else if word == "two-writes" {
      self = .twoWrites
    } else if word == "expect" {
      self = .expect
    } else if word == "half-close" {
      self = .halfClose
    } else {
      return nil
    }
  }

  /// Whether there is something in it only with a body.
  var needsBody: Bool {
    switch self {
    case .plain, .halfClose: false
    case .twoWrites, .expect: true
    }
  }
}

/// A request as it goes out: the same bytes each time.
struct OutgoingRequest {
  let shape: Shape
  /// One after the other, each of them at once; none is empty.
  let writes: [[UInt8]]

  /// A GET, or a POST where there is a body; that is ``Pattern``.
  init(_ options: LoadOptions) {
    shape = options.shape
    var head: Text = options.bodySize == nil ? "GET " : "POST "
    for byte in options.path { head.append(byte: byte) }
    head.append(" HTTP/1.1\r\nHost: tide\r\n")
    if let size = options.bodySize {
      head.append(contentsOf: "Content-Type: text/plain\r\nContent-Length: \(size)\r\n")
    }
    if case .expect = shape { head.append("Expect: 100-continue\r\n") }
    // Who wants one answer says so; a held connection is to be closed by the service when it likes.
    if options.keptConnections == nil && !options.holds { head.append("Connection: close\r\n") }
    head.append("\r\n")

    var body = [UInt8](repeating: 0, count: options.bodySize ?? 0)
    body.withUnsafeMutableBytes { Pattern.fill($0, from: 0) }
    if shape.needsBody && !body.isEmpty {
      writes = [head.bytes, body]
    } else {
      writes = [head.bytes + body]
    }
  }
}
