import Linux

@testable import Supervisor
@testable import ebb

/// Messages to the supervisor, and its answers; what `ebb status --watch` draws of one.
func fuzzControl(_ input: UnsafeRawBufferPointer) {
  let bytes = Array(input)
  if let request = ControlRequest(bytes) {
    check(request.text.bytes == bytes, "a request that is written again is the same message")
    check(bytes.count <= ControlRequest.limit, "a request is within its limit")
  }
  if let answer = ControlAnswer(bytes) {
    check(answer.text.bytes == bytes, "an answer that is written again is the same message")
    // As on a terminal of few columns, and elsewhere.
    let width = [nil, 0, 1, 80][bytes.count % 4]
    var history = StatusCommand.History()
    let drawn = StatusCommand.screen(Array(bytes.dropFirst(2)), &history, width: width).bytes
    check(drawn.last == UInt8(ascii: width == nil ? "\n" : "J"), "what is drawn has an end")
    if let width {
      let lines = drawn.split(separator: UInt8(ascii: "\n")).dropLast(2)
      check(lines.allSatisfy { $0.count <= width + 6 }, "a line is cut at the terminal's width")
    } else {
      check(drawn.count <= bytes.count, "what is drawn is in the answer")
    }
  }
}
