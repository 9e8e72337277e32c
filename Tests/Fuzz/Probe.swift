import Linux

@testable import Supervisor

/// A service's answer to an HTTP request of ebb's, in pieces.
func fuzzProbe(_ input: UnsafeRawBufferPointer) {
  let bytes = Array(input)
  var whole = HTTPAnswer()
  whole.take(bytes)
  var pieces = HTTPAnswer()
  for byte in bytes where !pieces.isOver { pieces.take([byte]) }
  check(whole.status == pieces.status, "an answer's status does not depend on how it comes in")
  check(!whole.isForeign || (whole.isOver && whole.status == nil), "what is no HTTP has no status")
  if let status = whole.status { check((101..<600).contains(status), "a status is one") }
}
