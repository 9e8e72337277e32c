import CLinux
import Linux

/// Another program, started as a child, posix_spawn(3).
enum Spawn {
  /// The path of this program, /proc/self/exe.
  static var ownPath: [UInt8]? {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { buffer in
      guard let address = buffer.baseAddress else { return nil }
      let count = readlink("/proc/self/exe", address, buffer.count)
      guard count > 0, count < buffer.count else { return nil }
      return buffer.prefix(count).map { UInt8(bitPattern: $0) }
    }
  }

  /// Starts a program in a process group of its own, so that what is typed at the terminal does not reach it.
  ///
  /// Nothing comes from its standard input; its standard output and error go into `output`.
  static func start(_ arguments: [[UInt8]], output: FileDescriptor) throws(Errno) -> ProcessID {
    let input = try FileDescriptor.pipe()
    input.write.close()
    defer { input.read.close() }

    var files = posix_spawn_file_actions_t()
    _ = posix_spawn_file_actions_init(&files)
    defer { posix_spawn_file_actions_destroy(&files) }
    _ = posix_spawn_file_actions_adddup2(&files, input.read.rawValue, 0)
    _ = posix_spawn_file_actions_adddup2(&files, output.rawValue, 1)
    _ = posix_spawn_file_actions_adddup2(&files, output.rawValue, 2)

    // The signals that our loop has blocked are none of the child's business.
    var unblocked = sigset_t()
    sigemptyset(&unblocked)
    var attributes = posix_spawnattr_t()
    _ = posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    _ = posix_spawnattr_setsigmask(&attributes, &unblocked)
    _ = posix_spawnattr_setpgroup(&attributes, 0)
    _ = posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))

    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { argument in
      argument.withCString { strdup($0.pointer) }
    }
    words.append(nil)
    defer { for word in words { free(word) } }
    guard let program = words[0] else { throw Errno(ENOMEM) }
    var pid: pid_t = 0
    let error = posix_spawn(&pid, program, &files, &attributes, words, clinux_environ())
    if error != 0 { throw Errno(error) }
    return ProcessID(pid)
  }
}
