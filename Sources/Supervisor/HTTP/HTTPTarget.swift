import Inet
import Linux

/// What ebb asks over HTTP, and whom: `[METHOD ][--unix-socket PATH ]http://HOST[:PORT][/path]`, in curl's words, or the
/// short `[METHOD ]http:PORT[/path]`, which asks this machine.
public final class HTTPTarget: Equatable, Sendable {
  /// Where a connection goes.
  enum Place: Equatable, Sendable {
    /// A port of 127.0.0.1, or, where that refuses, of ::1.
    case loopback(UInt16)
    case address(Endpoint)
    /// "/path", or "@name" for an abstract one.
    case unix([UInt8])
  }

  let place: Place
  let method: [UInt8]
  /// What the Host field says, RFC 9110.
  let host: [UInt8]
  /// The path, with its query.
  let path: [UInt8]
  /// As the user wrote it, up to the query, which may hold a secret.
  private let written: [UInt8]

  /// The longest that is taken.
  static var limit: Int { 1024 }

  /// Whether this is meant to be a request, right or wrong, and no command.
  public static func isMeant(by text: [UInt8]) -> Bool {
    let rest = HTTPTarget.cutMethod(text)?.rest ?? text
    return rest.hasPrefix("http:") || rest.hasPrefix("https:") || rest.hasPrefix("--unix-socket ")
  }

  /// The target that a user writes; nil where it makes no sense. Names are not looked up: a host is an address, or
  /// "localhost".
  public init?(_ text: [UInt8]) {
    guard text.count <= HTTPTarget.limit else { return nil }
    let (method, words) = HTTPTarget.cutMethod(text) ?? (Text("GET").bytes, text)
    var rest = words
    var unix: [UInt8]?
    if let option = rest.value(of: "--unix-socket ") {
      guard let blank = option.position(of: UInt8(ascii: " ")) else { return nil }
      let path = option.part(from: 0, to: blank)
      guard path.hasPrefix("/") || path.hasPrefix("@"), path.count > 1, path.count < 108 else { return nil }
      unix = path
      rest = option.part(from: blank + 1)
    }
    // What goes into a request: no blank, no control character.
    guard rest.allSatisfy({ $0 > 0x20 && $0 != 0x7f }), !rest.contains(UInt8(ascii: "#")) else { return nil }
    let authority: [UInt8]
    if let url = rest.value(of: "http://") {
      authority = url.part(from: 0, to: HTTPTarget.endOfAuthority(url))
      rest = url.part(from: authority.count)
      guard let place = unix.map({ .unix($0) }) ?? HTTPTarget.place(authority), !authority.isEmpty else {
        return nil
      }
      self.place = place
      host = authority
    } else {
      guard unix == nil, let short = rest.value(of: "http:") else { return nil }
      authority = short.part(from: 0, to: HTTPTarget.endOfAuthority(short))
      rest = short.part(from: authority.count)
      guard let port = Probe.port(authority) else { return nil }
      place = .loopback(port)
      let name: Text = "localhost:\(port)"
      host = name.bytes
    }
    self.method = method
    path = rest.hasPrefix("/") ? rest : Text("/").bytes + rest
    written = text.part(from: 0, to: text.position(of: UInt8(ascii: "?")) ?? text.count)
  }

  /// Whether both ask the same.
  public static func == (left: HTTPTarget, right: HTTPTarget) -> Bool {
    left.place == right.place && left.request == right.request
  }

  /// The request, RFC 9112.
  var request: [UInt8] {
    var text = Text(bytes: method)
    text.append(" ")
    text.append(contentsOf: Text(bytes: path))
    text.append(" HTTP/1.1\r\nHost: ")
    text.append(contentsOf: Text(bytes: host))
    text.append("\r\nUser-Agent: ebb\r\n")
    if !(method == "GET") { text.append("Content-Length: 0\r\n") }
    text.append("Connection: close\r\n\r\n")
    return text.bytes
  }

  /// "POST " in front: capital letters and a blank.
  private static func cutMethod(_ text: [UInt8]) -> (method: [UInt8], rest: [UInt8])? {
    guard let blank = text.position(of: UInt8(ascii: " ")), blank > 0 else { return nil }
    let method = text.part(from: 0, to: blank)
    guard method.allSatisfy({ $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "Z") }) else { return nil }
    return (method, text.part(from: blank + 1))
  }

  private static func endOfAuthority(_ url: [UInt8]) -> Int {
    for index in 0..<url.count where url[index] == UInt8(ascii: "/") || url[index] == UInt8(ascii: "?") {
      return index
    }
    return url.count
  }

  /// "127.0.0.1:9901", "[::1]", "localhost".
  private static func place(_ authority: [UInt8]) -> Place? {
    let isBracketed = authority.hasPrefix("[")
    let end: Int
    if isBracketed {
      guard let bracket = authority.position(of: UInt8(ascii: "]")) else { return nil }
      end = bracket + 1
    } else {
      end = authority.position(of: UInt8(ascii: ":")) ?? authority.count
    }
    let behind = authority.part(from: end)
    guard let port = behind.isEmpty ? 80 : behind.value(of: ":").map(Probe.port) ?? nil else { return nil }
    let name = isBracketed ? authority.part(from: 1, to: end - 1) : authority.part(from: 0, to: end)
    if name == "localhost" { return .loopback(port) }
    guard var endpoint = name.withCString({ Endpoint(address: $0) }), endpoint.isIPv6 == isBracketed else {
      return nil
    }
    endpoint.port = port
    return .address(endpoint)
  }
}

extension HTTPTarget: TextRepresentable {
  /// As the user wrote it, up to the query.
  public func write(to text: inout Text) { text.append(printable: written) }
}
