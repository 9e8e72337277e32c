import Foundation
import Linux
import Testing

@testable import Supervisor

private func string(_ text: Text) -> String { String(decoding: text.bytes, as: UTF8.self) }

/// A new directory, while the body runs.
private func withDirectory(_ body: (String) throws -> Void) throws {
  let directory = FileManager.default.temporaryDirectory.appending(path: "ebb-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(at: directory) }
  try body(directory.path())
}

@Suite struct `A program that cannot be launched` {
  private func failure(_ error: Errno, _ program: String) -> LaunchFailure {
    Array(program.utf8).withCString { LaunchFailure(error, program: $0) }
  }

  @Test func `is 127 where there is none, and PATH is named where that was searched`() {
    let inPath = failure(.noSuchFile, "no such program of ours")
    #expect(inPath.exitCode == 127)
    #expect(string(inPath.text).hasPrefix("no such program of ours: not found in PATH ("))
    for error: Errno in [.noSuchFile, .notDirectory] {
      let named = failure(error, "/none/of/that")
      #expect(named.exitCode == 127)
      #expect(string(named.text) == "/none/of/that: not found")
    }
  }

  @Test func `is 126 where it is there without its interpreter`() throws {
    try withDirectory { directory in
      let script = directory + "/script"
      try Data("#!/none\n".utf8).write(to: URL(filePath: script))
      let failure = failure(.noSuchFile, script)
      #expect(failure.exitCode == 126)
      #expect(string(failure.text).contains("interpreter"))
    }
  }

  @Test func `is 126 where the kernel refuses it, and says how`() {
    let failure = failure(.permissionDenied, "/etc/passwd")
    #expect(failure.exitCode == 126)
    #expect(string(failure.text) == "/etc/passwd cannot be executed: Permission denied")
  }

  @Test func `is named on one line, whatever it is called`() {
    #expect(string(failure(.noSuchFile, "./a\nb\u{1b}[2J").text) == "./a\\x0ab\\x1b[2J: not found")
  }
}

@Suite struct `The termination log` {
  private func write(_ line: Text, to path: String) throws(Errno) {
    try Array(path.utf8).withCString { (path) throws(Errno) in try TerminationLog.write(line, to: path) }
  }

  private func content(_ path: String) -> String? {
    FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func `gets the line, in a file that is made where the user named it`() throws {
    try withDirectory { directory in
      try write("ebb: released\n", to: directory + "/log")
      #expect(content(directory + "/log") == "ebb: released\n")
    }
  }

  @Test func `is never written over a service's own message`() throws {
    try withDirectory { directory in
      let path = directory + "/log"
      try Data("mine".utf8).write(to: URL(filePath: path))
      try write("ebb: released\n", to: path)
      #expect(content(path) == "mine")
    }
  }

  @Test func `is kept under a KiB`() throws {
    try withDirectory { directory in
      var line = Text()
      for _ in 0..<5000 { line.append("x") }
      try write(line, to: directory + "/log")
      #expect(content(directory + "/log")?.count == 1023)
    }
  }

  @Test func `that cannot be written is an error, and none is where the platform has no such file`() {
    #expect(throws: Errno.noSuchFile) { try write("x", to: "/none/of/that") }
    if !FileManager.default.fileExists(atPath: "/dev/termination-log") {
      #expect(throws: Never.self) { try TerminationLog.write("x", to: nil) }
    }
  }
}
