import Foundation

/// What a process writes to a descriptor, read by a thread of its own, so that it never waits for us.
final class Output: @unchecked Sendable {
  /// The most that is kept; the rest is read and thrown away.
  static let limit = 8 << 20

  private let condition = NSCondition()
  private var bytes: [UInt8] = []
  private var ended = false

  /// Begins to read, and closes the descriptor at its end.
  func read(from file: Int32) {
    let thread = Thread { [self] in
      var buffer = [UInt8](repeating: 0, count: 65536)
      while true {
        let count = Glibc.read(file, &buffer, buffer.count)
        if count < 0 && errno == EINTR { continue }
        condition.lock()
        // The end, or EIO: the last process has closed the other side of a terminal.
        if count <= 0 { ended = true }
        if count > 0 { bytes += buffer.prefix(min(count, max(0, Output.limit - bytes.count))) }
        condition.broadcast()
        condition.unlock()
        if count <= 0 { break }
      }
      close(file)
    }
    thread.stackSize = 256 << 10
    thread.start()
  }

  /// Everything so far.
  var text: String { String(decoding: raw, as: UTF8.self) }

  /// Everything so far, byte by byte.
  var raw: [UInt8] {
    condition.lock()
    defer { condition.unlock() }
    return bytes
  }

  /// The whole lines so far.
  var lines: [String] { Output.lines(of: text) }

  /// The whole lines of a text, without their ends; a terminal's are "\r\n".
  static func lines(of text: String) -> [String] {
    let plain = text.replacingOccurrences(of: "\r\n", with: "\n")
    return plain.split(separator: "\n", omittingEmptySubsequences: false).map(String.init).dropLast()
  }

  /// Waits until nobody can write any more.
  func waitForEnd() throws {
    _ = try wait(for: "its end") { isEnd, _ in isEnd ? true : nil }
  }

  /// Waits until `find` finds something in what has been written (and whether that is all); nil when the
  /// output ends first.
  func wait<Found>(for what: String, _ find: (Bool, String) -> Found?) throws -> Found? {
    let end = Date() + hangsAfter
    condition.lock()
    defer { condition.unlock() }
    while true {
      if let found = find(ended, String(decoding: bytes, as: UTF8.self)) { return found }
      if ended { return nil }
      if !condition.wait(until: end) { throw Hanging("waited \(Int(hangsAfter)) s in vain for \(what)") }
    }
  }
}
