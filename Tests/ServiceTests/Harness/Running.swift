import Foundation

/// How a process ended.
enum Exit: Equatable {
  case code(Int32)
  case signal(Int32)
}

/// A process that a test has started: in a session of its own, its standard input empty, its output read by
/// threads. When this value goes, so does the process, and whatever it has left behind.
///
/// All waits block: a test waits for one thing after another, and Swift Testing runs as many tests at once as
/// there are cores.
final class Running: @unchecked Sendable {
  /// What the process writes its errors to.
  enum ErrorOutput {
    /// A pipe that is read.
    case captured
    /// A pipe that is full, and read by nobody before ``Running/readErrors()``.
    case stalled
  }

  /// Standard output; the terminal, where there is one.
  let output = Output()
  /// Standard error; empty where there is a terminal.
  let errors = Output()
  /// The process that was started; that may be `unshare`, see ``main()``.
  let pid: pid_t

  private let isInPIDNamespace: Bool
  private let mark: String
  private var terminal: Int32 = -1
  private var stalled: Int32 = -1
  private let ending: Ending

  /// Starts a program.
  ///
  /// - Parameters:
  ///   - words: its argv; the first word is looked up in PATH.
  ///   - environment: added to PATH, LC_ALL, HOME and, in a shared network namespace, EBB_CONTROL=off. Nothing of the tests' own environment is handed on.
  ///   - namespaces: the namespaces that it gets for itself.
  ///   - entering: a command before everything else, which enters namespaces of the test's own and becomes
  ///     what follows it.
  ///   - prepare: shell commands that run before it, inside of its namespaces, as the same process.
  ///   - terminal: whether it gets a controlling terminal for its three standard descriptors.
  ///   - errors: what its standard error is.
  convenience init(
    _ words: [String], environment: [String: String] = [:], entering: [String] = [],
    namespaces: [Namespace] = [], prepare: String? = nil, terminal: Bool = false,
    errors: ErrorOutput = .captured
  ) throws {
    try self.init(
      bytes: words.map { Array($0.utf8) }, environment: environment, entering: entering,
      namespaces: namespaces, prepare: prepare, terminal: terminal, errors: errors)
  }

  /// Starts ebb with these words behind it; otherwise as ``init(_:environment:namespaces:prepare:terminal:errors:)``.
  static func ebb(
    _ words: [String], environment: [String: String] = [:], namespaces: [Namespace] = [],
    prepare: String? = nil, terminal: Bool = false, errors: ErrorOutput = .captured
  ) throws -> Running {
    try Running(
      [try Binary.ebb.path()] + words, environment: environment, namespaces: namespaces, prepare: prepare,
      terminal: terminal, errors: errors)
  }

  /// The same for words (and further variables, "name=value") that need not be UTF-8.
  init(
    bytes words: [[UInt8]], environment: [String: String] = [:], variables: [[UInt8]] = [],
    entering: [String] = [], namespaces: [Namespace] = [], prepare: String? = nil,
    terminal hasTerminal: Bool = false,
    errors errorOutput: ErrorOutput = .captured
  ) throws {
    mark = "EBB_TEST_MARK=\(getpid()).\(Running.counter.next())"
    isInPIDNamespace = namespaces.contains(.pid)

    var argv = (entering + Namespace.command(namespaces)).map { Array($0.utf8) }
    var preparation = prepare ?? ""
    if namespaces.contains(.network) { preparation = "ip link set lo up\n" + preparation }
    if !preparation.isEmpty {
      argv += ["sh", "-c", "\(preparation)\nexec \"$@\"", "sh"].map { Array($0.utf8) }
    }
    argv += words
    var all = ["PATH": Tool.searchPath, "LC_ALL": "C.UTF-8", "HOME": "/"]
    // Tests side by side would contend for the one control socket of their mount and network namespace.
    if !namespaces.contains(.network) { all["EBB_CONTROL"] = "off" }
    all.merge(environment) { $1 }
    let envp =
      all.sorted { $0.key < $1.key }.map { Array("\($0)=\($1)".utf8) } + variables + [Array(mark.utf8)]

    guard let first = argv.first, let program = Tool.path(String(decoding: first, as: UTF8.self)) else {
      throw Unusable("no program \(argv.first.map { String(decoding: $0, as: UTF8.self) } ?? "")")
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    var childSide: [Int32] = []
    defer { for file in childSide { close(file) } }
    if hasTerminal {
      var (master, slave): (Int32, Int32) = (-1, -1)
      var name = [CChar](repeating: 0, count: 128)
      guard openpty(&master, &slave, &name, nil, nil) == 0 else {
        throw Unusable("no pseudo-terminal: errno \(errno)")
      }
      childSide.append(slave)
      terminal = master
      // Opened by the leader of a new session, it becomes that session's controlling terminal.
      posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
      posix_spawn_file_actions_adddup2(&actions, 0, 1)
      posix_spawn_file_actions_adddup2(&actions, 0, 2)
      output.read(from: try Running.checked(fcntl(master, F_DUPFD_CLOEXEC, 3)))
    } else {
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
      for target: Int32 in 1...2 {
        let ends = try Running.pipe()
        childSide.append(ends.write)
        posix_spawn_file_actions_adddup2(&actions, ends.write, target)
        if target == 1 {
          output.read(from: ends.read)
        } else if errorOutput == .stalled {
          try Running.fill(ends.write)
          stalled = ends.read
        } else {
          errors.read(from: ends.read)
        }
      }
    }

    // What the tests' own process has open is not for those that it starts. (Closing what is not open is no
    // error here, posix_spawn(3).)
    for file in Int32(3)..<512 { posix_spawn_file_actions_addclose(&actions, file) }

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    // Not sigfillset(3): that leaves 32 and 33 out, and posix_spawn(3) then has them ignored.
    memset(&signals, 0xff, MemoryLayout<sigset_t>.size)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(
      &attributes, Int16(Running.setSession | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    var pid: pid_t = 0
    let result = Running.withStrings(argv) { argv in
      Running.withStrings(envp) { envp in posix_spawn(&pid, program, &actions, &attributes, argv, envp) }
    }
    guard result == 0 else { throw Unusable("cannot start \(program): errno \(result)") }
    self.pid = pid
    ending = Ending(of: pid)
  }

  deinit {
    killAll()
    if terminal >= 0 { close(terminal) }
    if stalled >= 0 { close(stalled) }
  }

  // MARK: - Waiting

  /// Waits for the process to end.
  func waitForExit() throws -> Exit {
    guard let exit = ending.wait() else { throw hanging("the end of the process") }
    return exit
  }

  /// Waits for the end, and until all that was written has been read: nothing holds the pipes any more.
  func finish() throws -> Exit {
    let exit = try waitForExit()
    try output.waitForEnd()
    if terminal < 0 && stalled < 0 { try errors.waitForEnd() }
    return exit
  }

  /// Whether it has ended.
  var hasEnded: Bool { ending.exit != nil }

  /// Waits for a whole line with this text in it (any line, where no text is given), the `times`-th one, and gives it back.
  @discardableResult
  func waitForLine(containing text: String = "", times: Int = 1, on stream: Stream = .output) throws -> String
  {
    let found = try waitFor("a line with \"\(text)\"", on: stream) { written -> String? in
      let matching = Output.lines(of: written).filter { text.isEmpty || $0.contains(text) }
      return matching.count >= times ? matching[times - 1] : nil
    }
    return found
  }

  /// Waits for this text, the `times`-th one, be its line complete or not (a prompt is not).
  func waitForText(_ text: String, times: Int = 1, on stream: Stream = .output) throws {
    try waitFor("\"\(text)\"", on: stream) { written -> Bool? in
      written.components(separatedBy: text).count > times ? true : nil
    }
  }

  /// One of the two outputs.
  enum Stream {
    /// Standard output, or the terminal.
    case output
    /// Standard error.
    case errors
  }

  @discardableResult
  private func waitFor<Found>(_ what: String, on stream: Stream, _ find: (String) -> Found?) throws -> Found {
    let source = stream == .output ? output : errors
    do {
      if let found = try source.wait(for: what, { _, written in find(written) }) { return found }
    } catch {
      throw hanging(what)
    }
    throw Hanging("the output ended without \(what)\(seen)")
  }

  private func hanging(_ what: String) -> Hanging {
    Hanging("waited \(Int(hangsAfter)) s in vain for \(what)\(seen)")
  }

  private var seen: String {
    "; output: \(output.text.suffix(2000).debugDescription), errors: \(errors.text.suffix(2000).debugDescription)"
  }

  // MARK: - Processes

  /// The program's process, as this side numbers it: with a pid namespace not ``pid``, which is `unshare`.
  func main() throws -> pid_t {
    guard isInPIDNamespace else { return pid }
    var found: pid_t?
    try wait(until: "the namespace has its first process") {
      found = ProcessLook.descendants(of: pid).first { ProcessLook($0)?.innerPID == 1 }
      return found != nil || hasEnded
    }
    guard let found else { throw Hanging("the process ended before it began\(seen)") }
    return found
  }

  /// Sends the program a signal.
  func signal(_ number: Int32) throws {
    if !isInPIDNamespace { return try ending.signal(number) }
    guard kill(try main(), number) == 0 else { throw Unusable("kill: errno \(errno)") }
  }

  /// Every living process that came from this one, itself included: even one that was orphaned, or has a
  /// session of its own.
  func processes() -> [ProcessLook] {
    // (A process that writes its title over its environment has no mark left.)
    let found = Set(ProcessLook.marked(mark) + (hasEnded ? [] : [pid] + ProcessLook.descendants(of: pid)))
    return found.sorted().compactMap { ProcessLook($0) }.filter(\.isAlive)
  }

  /// The living process that has this number in its own pid namespace.
  func process(innerPID: pid_t) -> ProcessLook? { processes().first { $0.innerPID == innerPID } }

  /// Kills all of them.
  private func killAll() {
    for _ in 0..<50 {
      let left = processes()
      if left.isEmpty { return }
      for process in left {
        // By its group too, as what forks and ends at once is gone before it is its turn. Its session is one
        // that began here, and so all members of its group are of ours.
        let group = process.group
        if group > 1 && process.session != getsid(0) { kill(-group, SIGKILL) }
        kill(process.pid, SIGKILL)
      }
      usleep(1_000)
    }
  }

  // MARK: - Input

  /// Types at the terminal.
  func type(_ text: String) {
    let bytes = Array(text.utf8)
    _ = write(terminal, bytes, bytes.count)
  }

  /// The process group in the terminal's foreground.
  var foreground: pid_t { tcgetpgrp(terminal) }

  /// Begins to read the standard error that was stalled until now; what filled it is left out.
  func readErrors() {
    let file = stalled
    stalled = -1
    errors.read(from: file)
  }

  // MARK: - Making one

  private static let counter = Counter()

  private final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var value = 0
    func next() -> Int {
      lock.lock()
      defer { lock.unlock() }
      value += 1
      return value
    }
  }

  private static func checked(_ result: Int32) throws -> Int32 {
    if result < 0 { throw Unusable("errno \(errno)") }
    return result
  }

  private static func pipe() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [0, 0]
    _ = try checked(Glibc.pipe(&ends))
    return (ends[0], ends[1])
  }

  /// POSIX_SPAWN_SETSID of spawn.h, which needs _GNU_SOURCE.
  private static let setSession: Int32 = 0x80

  /// Writes line ends until the pipe takes no more.
  private static func fill(_ file: Int32) throws {
    let flags = try checked(fcntl(file, F_GETFL))
    _ = try checked(fcntl(file, F_SETFL, flags | O_NONBLOCK))
    let block = [UInt8](repeating: UInt8(ascii: "\n"), count: 4096)
    while write(file, block, block.count) > 0 {}
    _ = try checked(fcntl(file, F_SETFL, flags))
  }

  /// Lends the strings to a C function as an argv.
  private static func withStrings(
    _ strings: [[UInt8]], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Int32
  ) -> Int32 {
    var pointers = strings.map { strdup($0.map { CChar(bitPattern: $0) } + [0]) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeBufferPointer { $0.baseAddress.map(body) ?? EINVAL }
  }
}

/// Waits for a process on a thread of its own, and reaps it.
private final class Ending: @unchecked Sendable {
  private let pid: pid_t
  private let condition = NSCondition()
  private var found: Exit?

  init(of pid: pid_t) {
    self.pid = pid
    let thread = Thread { [self] in reap() }
    thread.stackSize = 256 << 10
    thread.start()
  }

  var exit: Exit? {
    condition.lock()
    defer { condition.unlock() }
    return found
  }

  func wait() -> Exit? {
    let end = Date() + hangsAfter
    condition.lock()
    defer { condition.unlock() }
    while found == nil && condition.wait(until: end) {}
    return found
  }

  /// While it has not been reaped, its number is its own.
  func signal(_ number: Int32) throws {
    condition.lock()
    defer { condition.unlock() }
    if found != nil { throw Unusable("the process has ended already") }
    if kill(pid, number) != 0 { throw Unusable("kill: errno \(errno)") }
  }

  private func reap() {
    var information = siginfo_t()
    while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) != 0 && errno == EINTR {}
    condition.lock()
    defer { condition.unlock() }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
    let signal = status & 0x7f
    found = signal == 0 ? .code((status >> 8) & 0xff) : .signal(signal)
    condition.broadcast()
  }
}
