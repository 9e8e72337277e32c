import Linux

@testable import Supervisor

/// Messages to the supervisor, and its answers.
func fuzzControl(_ input: UnsafeRawBufferPointer) {
  let bytes = Array(input)
  if let request = ControlRequest(bytes) {
    check(request.text.bytes == bytes, "a request that is written again is the same message")
    check(bytes.count <= ControlRequest.limit, "a request is within its limit")
  }
  if let answer = ControlAnswer(bytes) {
    check(answer.text.bytes == bytes, "an answer that is written again is the same message")
  }
}
