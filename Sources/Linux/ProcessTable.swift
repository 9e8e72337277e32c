import CLinux

/// What /proc tells of a process, proc_pid_stat(5). Of another user's process too: stat, comm and cmdline
/// are world-readable.
public struct ProcessRecord {
  /// The process.
  public let process: ProcessID
  /// Its parent, 0 where that is in another pid namespace.
  public let parent: ProcessID
  /// Its process group.
  public let group: ProcessID
  /// Its session, and so that of all members of its group.
  public let session: ProcessID
  /// The one-letter state: R, S, D, T (stopped), Z (zombie), …
  public let state: UInt8
  /// The name that the kernel keeps, at most 15 bytes: the program's file name, unless the process changed it.
  public let name: [UInt8]
  /// When it began, in clock ticks after the boot: with the number, who it is.
  public let startTime: UInt64

  /// The record of a process; throws ``Errno/noSuchFile`` where it is gone.
  public init(of process: ProcessID) throws(Errno) {
    guard let line = File.contents("/proc/\(process)/stat", limit: 1024) else { throw .noSuchFile }
    guard let record = ProcessRecord(process, parsing: line) else { throw .protocolError }
    self = record
  }

  /// Whether the process of this record is still there, if only as a zombie: the number alone may be another's.
  public var isCurrent: Bool { (try? ProcessRecord(of: process))?.startTime == startTime }

  /// The record in a line of /proc/PID/stat; nil where that makes no sense. The name may hold anything,
  /// parentheses and blanks included, so what follows it is counted from the last parenthesis.
  public init?(_ process: ProcessID, parsing line: [UInt8]) {
    guard let open = line.firstIndex(of: UInt8(ascii: "(")),
      let close = line.lastIndex(of: UInt8(ascii: ")")), open < close
    else { return nil }
    let fields = line[(close + 1)...]
    guard let state = fields.field(0).first, let parent = ProcessID(decimal: fields.field(1)),
      let group = ProcessID(decimal: fields.field(2)), let session = ProcessID(decimal: fields.field(3)),
      let start = decimal(fields.field(19))
    else { return nil }
    self.process = process
    self.parent = parent
    self.group = group
    self.session = session
    self.state = state
    self.name = Array(line[(open + 1)..<close])
    self.startTime = start
  }
}

/// The processes of this pid namespace, as /proc lists them.
public enum ProcessTable {
  /// The first word of a process's command line (argv[0], which nginx and others rewrite as a title), at
  /// most 128 bytes of it; nil where it has none or is gone.
  public static func firstArgument(of process: ProcessID) -> [UInt8]? {
    guard let line = File.contents("/proc/\(process)/cmdline", limit: 128) else { return nil }
    let first = Array(line.prefix { $0 != 0 })
    return first.isEmpty ? nil : first
  }

  /// The name that the kernel keeps for a process, /proc/PID/comm; nil where it is gone.
  public static func name(of process: ProcessID) -> [UInt8]? {
    guard var name = File.contents("/proc/\(process)/comm", limit: 64) else { return nil }
    if name.last == UInt8(ascii: "\n") { name.removeLast() }
    return name
  }

  /// Whether a process deals with a signal itself: catches it, ignores it, or waits for it with sigwait(3) or a
  /// signalfd. nil where that cannot be told now: it runs, or waits for a vfork(2), with the signal blocked, as
  /// libc has it while it forks. False where it cannot be read.
  public static func handles(_ signal: Signal, _ process: ProcessID) -> Bool? {
    guard let status = File.contents("/proc/\(process)/status") else { return false }
    return handles(signal, status: status)
  }

  /// The same, of the text of /proc/PID/status.
  static func handles(_ signal: Signal, status: [UInt8]) -> Bool? {
    func has(_ name: StaticString) -> Bool {
      guard let set = hexadecimal(status.line(name).field(0)) else { return false }
      return SignalSet(rawValue: set).contains(signal)
    }
    if has("SigCgt:") || has("SigIgn:") { return true }
    if !has("SigBlk:") { return false }
    return status.line("State:").field(0).first == UInt8(ascii: "S") ? true : nil
  }

  /// The effective user of a process; nil where it is gone.
  public static func user(of process: ProcessID) -> UInt32? {
    File.contents("/proc/\(process)/status").flatMap { user(inStatus: $0) }
  }

  /// The effective users of some processes, as far as those are there.
  public static func users(of processes: [ProcessID]) -> [UInt32] {
    var users: [UInt32] = []
    for process in processes {
      if let user = user(of: process) { users.append(user) }
    }
    return users
  }

  /// The effective user in the text of /proc/PID/status.
  static func user(inStatus status: [UInt8]) -> UInt32? {
    // Real, effective, saved and file system user, with tabs between them.
    let users = status.line("Uid:")
    return users.field(3).isEmpty ? nil : decimal(users.field(1)).flatMap { UInt32(exactly: $0) }
  }

  /// How many descriptors a process has open; nil where it may not be looked into.
  public static func openDescriptors(of process: ProcessID) -> Int? {
    let path: Text = "/proc/\(process)/fd"
    var count = 0
    let isReadable = path.bytes.withCString { path in
      (try? Directory.numbers(in: path) { _ in
        count += 1
        return true
      }) != nil
    }
    return isReadable ? count : nil
  }

  /// How many descriptors it may have, the soft RLIMIT_NOFILE of /proc/PID/limits; nil where that cannot be
  /// read.
  public static func descriptorLimit(of process: ProcessID) -> UInt64? {
    File.contents("/proc/\(process)/limits").flatMap { descriptorLimit(in: $0) }
  }

  /// The same, of the text of that file.
  static func descriptorLimit(in limits: [UInt8]) -> UInt64? {
    decimal(limits.line("Max open files").field(0))
  }

  /// Whether /proc shows us under our own number. It does not where there is none, but an empty folder to mount
  /// it on; nor where it is that of another pid namespace, in which our numbers are those of strangers.
  static var showsOwnNamespace: Bool {
    var target = [CChar](repeating: 0, count: 16)
    let count = readlink(CString("/proc/self").pointer, &target, target.count)
    guard count > 0 else { return false }
    return target.withUnsafeBytes { decimal(UnsafeRawBufferPointer(rebasing: $0.prefix(count))) }
      == UInt64(exactly: getpid())
  }

  /// The descendants of a process that are alive (zombies are not), in no order; at most `limit`. Throws
  /// where there is no /proc.
  public static func descendants(of ancestor: ProcessID, limit: Int = 65536) throws(Errno) -> [ProcessRecord]
  {
    guard showsOwnNamespace else { throw .noSuchFile }
    var records: [ProcessRecord] = []
    var isWhole = true
    try Directory.numbers(in: CString("/proc")) { number in
      if let record = try? ProcessRecord(of: ProcessID(number)) { records.append(record) }
      // A table that could not grow is no table.
      isWhole = records.count % 1024 != 1023 || Memory.allows(records.count * 256)
      return isWhole && records.count < limit
    }
    if !isWhole { throw .noMemory }
    return descendants(of: ancestor, among: records)
  }

  /// The same, of records already read, in the order of their numbers, as /proc lists them. A parent's record may be
  /// missing, since processes come and go as they are read: its children are then found at the next look, as orphans.
  static func descendants(of ancestor: ProcessID, among records: [ProcessRecord]) -> [ProcessRecord] {
    var found: [ProcessRecord] = []
    var isFound = [UInt8](repeating: 0, count: records.count)
    var hasMore = true
    // Once, and once more: most are younger than their parents and so behind them, whatever the shape of the tree.
    // Each time that the numbers began anew between a parent and its child takes one round more.
    while hasMore {
      hasMore = false
      records.withUnsafeBufferPointer { records in
        for index in records.indices where isFound[index] == 0 {
          let parent = records[index].parent
          if parent != ancestor {
            guard let place = place(of: parent, in: records), isFound[place] != 0 else { continue }
          }
          isFound[index] = 1
          hasMore = true
          if records[index].state != UInt8(ascii: "Z") { found.append(records[index]) }
        }
      }
    }
    return found
  }

  /// Where the record of a process is among records in the order of their numbers; nil where it is missing.
  private static func place(of process: ProcessID, in records: UnsafeBufferPointer<ProcessRecord>) -> Int? {
    var place = 0
    var end = records.count
    while place < end {
      let middle = (place &+ end) >> 1
      if records[middle].process.rawValue < process.rawValue { place = middle &+ 1 } else { end = middle }
    }
    return place < records.count && records[place].process == process ? place : nil
  }

  /// Whether a process descends from another, by its parents; at most 1,000 generations.
  public static func isDescendant(_ process: ProcessID, of ancestor: ProcessID) -> Bool {
    var process = process
    for _ in 0..<1000 {
      guard process.rawValue > 1, let record = try? ProcessRecord(of: process) else { return false }
      if record.parent == ancestor { return true }
      process = record.parent
    }
    return false
  }

  /// Sends a signal to a process only if it still is the one of this record: pinned by a pidfd, looked at
  /// again, then signalled through it. Before Linux 5.3 there are none, and the look has to do.
  @discardableResult
  public static func send(_ signal: Signal, to record: ProcessRecord) -> Bool {
    let pin = clinux_pidfd_open(record.process.rawValue)
    defer { if pin >= 0 { close(pin) } }
    guard let now = try? ProcessRecord(of: record.process), now.startTime == record.startTime,
      now.state != UInt8(ascii: "Z")
    else { return false }
    if pin >= 0 { return clinux_pidfd_send_signal(pin, signal.rawValue) == 0 }
    return (try? record.process.send(signal)) != nil
  }
}
