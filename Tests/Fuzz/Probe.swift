import Linux

@testable import Supervisor

/// The first bytes of a service's answer to an HTTP probe.
func fuzzProbe(_ input: UnsafeRawBufferPointer) {
  let line = Array(input.prefix(12))
  switch ReadinessCheck.result(line) {
  case .holds:
    let status = Int(String(decoding: line.suffix(3), as: UTF8.self)) ?? 0
    check(
      line.hasPrefix("HTTP/") && (200..<400).contains(status), "2xx and 3xx of HTTP hold, and nothing else")
  case .fails(let why): check(!why.isEmpty && isOneLine(why), "a failure says why on one line")
  }
}
