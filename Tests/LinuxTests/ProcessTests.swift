import Glibc
import Testing

@testable import Linux

@Suite struct `A process record` {
  private func record(_ line: String) -> ProcessRecord? {
    ProcessRecord(ProcessID(42), parsing: Array(line.utf8))
  }

  private let rest = "S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1000 200 18446744073709551615"

  @Test(arguments: [
    "nginx", "", " ", ")", "(", ") R 1 1 1 1", "a) S 1 (b", "((()))", "x\ny", "0 1 2 3 4 5", ")) Z 99 99",
    "größ\u{1b}[2J",
  ])
  func `is read right whatever the process calls itself`(name: String) {
    let record = record("42 (\(name)) \(rest)\n")
    #expect(record?.name == Array(name.utf8))
    #expect(record?.state == UInt8(ascii: "S"))
    #expect(record?.parent.rawValue == 7)
    #expect(record?.startTime == 123_456)
  }

  @Test(arguments: [
    "", "42", "42 nginx S 7", "42 (nginx", "42 nginx)", "42 )nginx(", "42 (nginx) S 7 42", "42 (nginx)",
    "42 (nginx) S x 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1000",
    "42 (nginx) S -7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1000",
    "42 (nginx) S 99999999999 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1000",
    "42 (nginx) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 -1 1000",
  ])
  func `is none where the line makes no sense`(line: String) {
    #expect(record(line) == nil)
  }

  @Test func `is none, and never a trap, at whatever byte the line ends`() {
    let line = Array("42 (a) b) \(rest)\n".utf8)
    for end in 0..<line.count { _ = ProcessRecord(ProcessID(42), parsing: Array(line[..<end])) }
  }

  @Test func `is had of this process`() throws {
    let own = try ProcessRecord(of: .own)
    #expect(own.parent.rawValue == getppid())
    #expect(own.startTime > 0)
    #expect(own.name == ProcessTable.name(of: .own))
    #expect(ProcessTable.user(of: .own) == geteuid())
    #expect(ProcessTable.firstArgument(of: .own)?.isEmpty == false)
    #expect(ProcessTable.handles(.user2, .own) == false)
  }

  @Test func `is an error of a process that is not there`() {
    #expect(throws: Errno.noSuchFile) { try ProcessRecord(of: ProcessID(-5)) }
    #expect(ProcessTable.name(of: ProcessID(-5)) == nil)
    #expect(ProcessTable.user(of: ProcessID(-5)) == nil)
    #expect(ProcessTable.handles(.user2, ProcessID(-5)) == false)
  }

  @Test func `kill never gets a number that means many processes`() {
    for number: pid_t in [0, -1, -2, .min] {
      #expect(throws: Errno.noSuchProcess) { try ProcessID(number).send(.terminate) }
    }
    for number: pid_t in [1, 0, -1, .min] {
      #expect(throws: Errno.noSuchProcess) { try ProcessID(number).sendToGroup(.terminate) }
    }
  }
}

@Suite struct `The descendants of a process` {
  private func record(_ process: Int32, parent: Int32, zombie: Bool) -> ProcessRecord? {
    ProcessRecord(
      ProcessID(process),
      parsing: Array(
        "\(process) (x) \(zombie ? "Z" : "S") \(parent) 0 0 0 0 0 0 0 0 0 0 0 0 0 20 0 1 0 \(process) 0".utf8)
    )
  }

  /// Whether a chain of parents leads to the ancestor.
  private func isDescendant(_ process: Int32, of ancestor: Int32, _ parents: [Int32: Int32]) -> Bool {
    var seen: Set<Int32> = []
    var current = process
    while let parent = parents[current], seen.insert(current).inserted {
      if parent == ancestor { return true }
      current = parent
    }
    return false
  }

  @Test func `are all that a chain of parents leads from, but for zombies`() {
    for _ in 0..<400 {
      let count = Int32.random(in: 1...60)
      var parents: [Int32: Int32] = [:]
      var zombies: Set<Int32> = []
      var records: [ProcessRecord] = []
      for process in 2...(count + 1) {
        // Mostly a tree; some parents are gone, and numbers that were reused make chains of any kind.
        let parent = Int32.random(in: 0...(Bool.random() ? process - 1 : count + 20))
        if Int.random(in: 0..<5) == 0 { zombies.insert(process) }
        guard parent != process,
          let record = record(process, parent: parent, zombie: zombies.contains(process))
        else { continue }
        parents[process] = parent
        records.append(record)
      }
      let ancestor = Int32.random(in: 1...(count + 1))
      let expected = Set(
        parents.keys.filter { isDescendant($0, of: ancestor, parents) && !zombies.contains($0) })
      let found = ProcessTable.descendants(of: ProcessID(ancestor), among: records)
      let numbers = found.map { $0.process.rawValue }
      #expect(Set(numbers) == expected)
      #expect(numbers.count == expected.count, "each once")
    }
  }

  @Test func `are found in a chain as long as the table`() {
    // A look for each generation would be two thousand million.
    let records = (2...65_000).compactMap { record($0, parent: $0 - 1, zombie: false) }
    #expect(ProcessTable.descendants(of: ProcessID(1), among: records).count == records.count)
  }

  @Test func `are found of a live child, which gets its signal only while it is the same`() throws {
    var pipe: [Int32] = [0, 0]
    try #require(Glibc.pipe(&pipe) == 0)
    defer {
      close(pipe[0])
      close(pipe[1])
    }
    var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("30"), nil]
    defer { for argument in arguments { free(argument) } }
    var child: pid_t = 0
    try #require(posix_spawnp(&child, "sleep", nil, nil, &arguments, nil) == 0)
    defer {
      kill(child, SIGKILL)
      waitpid(child, nil, 0)
    }
    let found = try ProcessTable.descendants(of: .own).first { $0.process.rawValue == child }
    let record = try #require(found)
    var status: Int32 = 0
    // KILL: a thread of Dispatch has all others blocked, and so has what it spawns.
    #expect(ProcessTable.send(.kill, to: record))
    #expect(waitpid(child, &status, 0) == child)
    #expect(status & 0x7f == SIGKILL)
    #expect(!ProcessTable.send(.kill, to: record))
  }
}
