import Foundation
import Testing

@testable import Linux

/// A file with these bytes, while the body runs.
private func withFile<Result>(_ bytes: [UInt8], _ body: (CString) throws -> Result) throws -> Result {
  let url = FileManager.default.temporaryDirectory.appending(path: "ebb-\(UUID().uuidString)")
  try Data(bytes).write(to: url)
  defer { try? FileManager.default.removeItem(at: url) }
  return try url.withUnsafeFileSystemRepresentation { path in
    guard let path else { throw Errno.noSuchFile }
    return try body(CString(path))
  }
}

@Suite struct `A copy of a file` {
  @Test func `has the name that it was given, whatever its bytes`() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "ebb-\(UUID().uuidString)").path
    // No UTF-8, and what a terminal would heed: shown, they become \xNN; as a name they are themselves.
    let strange = Array(folder.utf8) + [0x2f, 0xff, 0x1b, 0x5b]
    try #require(strange.withCString { mkdir(folder, 0o700) == 0 && mkdir($0.pointer, 0o700) == 0 })
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let target = strange + Array("/ebb".utf8)
    try withFile([1, 2, 3]) { source in
      try target.withCString { (target) throws(Errno) in try File.copy(source, to: target, mode: 0o755) }
    }
    #expect(try target.withCString { (path) throws(Errno) in try File.read(path) } == [1, 2, 3])
  }
}

@Suite struct `The lines of a file` {
  private func lines(_ text: String, bufferSize: Int) throws -> [String] {
    try withFile(Array(text.utf8)) { path in
      var lines: [String] = []
      try Lines.read(path, bufferSize: bufferSize) {
        lines.append(String(decoding: $0, as: UTF8.self))
        return true
      }
      return lines
    }
  }

  @Test func `are the same whatever the buffer's size, as long as each fits`() throws {
    let texts = [
      "", "\n", "a", "a\n", "a\nb", "a\nb\n", "\n\n\n", "abcdefg\nabcdefg\n", "abcdefg\n\nab\nabcdefg",
      "1\n22\n333\n4444\n55555\n666666\n7777777",
    ]
    for text in texts {
      var expected = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
      if expected.last == "" { expected.removeLast() }
      for size in 8...40 { #expect(try lines(text, bufferSize: size) == expected, "\(text) in \(size)") }
    }
  }

  @Test func `may just fit, newline and all`() throws {
    #expect(try lines("1234567\n1234567\n", bufferSize: 8) == ["1234567", "1234567"])
    #expect(try lines("1234567", bufferSize: 8) == ["1234567"])
  }

  @Test func `are an error where one is longer than the buffer, never a part of it`() throws {
    #expect(throws: Errno.protocolError) { try lines("12345678\n", bufferSize: 8) }
    #expect(throws: Errno.protocolError) { try lines("1\n2\n123456789", bufferSize: 8) }
    #expect(throws: Errno.protocolError) { try lines("12345678", bufferSize: 8) }
  }

  @Test func `are read no further than wanted`() throws {
    try withFile(Array("a\nb\nc\n".utf8)) { path in
      var count = 0
      try Lines.read(path) { _ in
        count += 1
        return count < 2
      }
      #expect(count == 2)
    }
  }

  @Test func `are an error of a file that is not there`() {
    #expect(throws: Errno.noSuchFile) { try Lines.read(CString("/proc/none of that name")) { _ in true } }
  }
}

@Suite struct `A whole file` {
  @Test func `is read up to its limit, and no further`() throws {
    try withFile(Array("0123456789".utf8)) { path in
      for limit in [0, 4, 10, 4096] {
        let bytes = try File.read(path, limit: limit)
        #expect(bytes == Array("0123456789".utf8.prefix(limit)))
      }
      #expect(File.exists(path))
    }
    #expect(!File.exists(CString("/proc/none of that name")))
  }

  @Test func `a directory's numbers are those of its names that are numbers`() throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "ebb-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: directory) }
    for name in ["1", "42", "007", "self", "1a", "a1", "99999999999", "-3", "2147483647"] {
      try Data().write(to: directory.appending(path: name))
    }
    var numbers: [Int32] = []
    let path: [UInt8] = Array(directory.path().utf8)
    try path.withCString { (path) throws(Errno) in
      try Directory.numbers(in: path) {
        numbers.append($0)
        return true
      }
    }
    #expect(numbers.sorted() == [1, 7, 42, .max])
  }
}

@Suite struct `Pipes and timers` {
  @Test func `a write that does not fit is refused at once, not waited for`() throws {
    let pipe = try FileDescriptor.pipe()
    defer {
      pipe.read.close()
      pipe.write.close()
    }
    let chunk = [UInt8](repeating: 0x61, count: 4096)
    var written = 0
    #expect(throws: Errno.wouldBlock) {
      for _ in 0..<10_000 {
        written += try chunk.withUnsafeBytes { (bytes) throws(Errno) in try pipe.write.writeNow(bytes) }
      }
    }
    #expect(written >= 4096)
  }

  @Test func `a timer for a past moment is due at once, and one for never is not`() throws {
    let timer = try TimerDescriptor()
    defer { timer.descriptor.close() }
    let poll = try EventPoll()
    try poll.add(timer.descriptor, token: 9)
    func tokens() -> [UInt64] {
      var tokens: [UInt64] = []
      poll.wait(for: .zero) { tokens.append($0.token) }
      return tokens
    }
    #expect(tokens() == [])
    for moment: Duration in [.zero, .nanoseconds(1), .seconds(-5), MonotonicClock.now] {
      timer.set(to: moment)
      #expect(tokens() == [9], "\(moment)")
      timer.acknowledge()
      #expect(tokens() == [])
    }
    timer.set(to: MonotonicClock.now + .seconds(1000))
    #expect(tokens() == [])
    timer.set(to: .zero)
    timer.set(to: nil)
    #expect(tokens() == [])
  }
}
