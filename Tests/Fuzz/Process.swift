@testable import Linux
@testable import Supervisor

/// /proc/PID/stat, status, limits and mountinfo, the names by which a server is known, and uWSGI's files.
func fuzzProcess(_ input: UnsafeRawBufferPointer) {
  let bytes = Array(input)
  if let record = ProcessRecord(ProcessID(7), parsing: bytes) {
    check(record.parent.rawValue >= 0 && record.group.rawValue >= 0, "a process's number is not negative")
    check(record.name.count < bytes.count, "a name is a part of its line")
    // The name may hold anything; what is behind it is counted all the same.
    let again =
      Array("7 (".utf8) + record.name + Array(") ".utf8) + [record.state]
      + Array(" \(record.parent.rawValue) \(record.group.rawValue) \(record.session.rawValue)".utf8)
      + Array(" 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 \(record.startTime) 0 0".utf8)
    guard let second = ProcessRecord(ProcessID(7), parsing: again) else {
      return check(false, "a record that is written again is one")
    }
    check(
      second.parent == record.parent && second.group == record.group && second.session == record.session
        && second.state == record.state && second.startTime == record.startTime && second.name == record.name,
      "a record that is written again is the same record")
    // Twenty of them, whose parents are each other in all ways that the input makes.
    let records = (1...20).map { number in
      ProcessRecord(ProcessID(number), parsing: again.map { $0 == 0x31 ? 0x30 + UInt8(number % 10) : $0 })
    }
    let family = ProcessTable.descendants(of: ProcessID(1), among: records.compactMap { $0 })
    check(family.count <= 20, "no process is its own descendant twice")
  }
  _ = UWSGIConfiguration(text: bytes).saysWhatTermDoes
  // One of the first, the middle and the last bit: each look goes through the whole file.
  if let signal = Signal([1, 15, 64][bytes.count % 3]) { _ = ProcessTable.handles(signal, status: bytes) }
  _ = ProcessTable.user(inStatus: bytes)
  if let limit = ProcessTable.descriptorLimit(in: bytes) {
    check(
      contains(bytes, decimalText(limit)) || bytes.contains(UInt8(ascii: "0")),
      "a limit is what the file says")
  }
  if let root = MountNamespace.root(in: bytes) {
    check(
      bytes.contains(UInt8(ascii: "0")) || bytes.starts(with: decimalText(root)), "a mount has its own number"
    )
  }
  _ = withCopy(bytes) { Platform.isMount("/dev/termination-log", $0) }

  let parts = pieces(input, "\n")
  if parts.count >= 2, let server = KnownServer(comm: parts[0], firstArgument: parts[1]) {
    check(!(Array(parts[0]).isEmpty && parts[1].isEmpty), "a server that is known has a name")
    check((1...31).contains(server.stopSignal.rawValue), "a server that is known has a signal")
  }
}

private func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
  bytes.count >= part.count && bytes.indices.contains { bytes[$0...].starts(with: part) }
}
