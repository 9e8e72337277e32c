import Linux

@testable import Supervisor

/// The head of a request.
func fuzzHTTP(_ input: UnsafeRawBufferPointer) {
  let bytes = Array(input)
  let reading = HTTPRequest.read(bytes)
  switch reading {
  case .request(let request):
    check(request.path.first == UInt8(ascii: "/"), "a path begins with a slash")
    check(!request.path.starts(with: Array("//".utf8)), "a path begins with one slash")
    let parts = request.path + request.query
    check(parts.allSatisfy { $0 > 0x20 && $0 != 0x7f }, "a path has neither blanks nor control bytes")
    check(!request.path.contains(UInt8(ascii: "?")), "a path ends where the query begins")
    check(parts.count < bytes.count, "a path is a part of its request")
    let again =
      Array((request.isHead ? "HEAD " : "GET ").utf8) + request.path + [UInt8(ascii: "?")] + request.query
      + Array(" HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
    check(HTTPRequest.read(again) == reading, "a request that is written again is the same request")
    // It came byte by byte: what is not whole yet is waited for, and is never another request.
    for end in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 16)) {
      switch HTTPRequest.read(Array(bytes[..<end])) {
      case .incomplete: break
      case .request(let earlier): check(earlier == request, "more bytes make no other request of it")
      case .refused(let status):
        check(status == .badRequest || status == .headTooLarge, "a beginning is refused as one")
        check(bytes.contains(0) || end >= HTTPRequest.limit, "the beginning of a request is not refused")
      }
    }
  case .incomplete:
    check(bytes.count < HTTPRequest.limit, "a head without an end is refused")
    check(!bytes.contains(0), "a NUL is refused at once")
  case .refused(let status): check(status.rawValue >= 400, "a refusal is an error")
  }
}
