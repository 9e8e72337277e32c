import CLinux

/// Whole small files, above all those of /proc.
public enum File {
  /// The bytes of a file, at most `limit` of them; the rest is left. The corresponding C functions are
  /// `open` and `read`.
  public static func read(_ path: CString, limit: Int = 4096) throws(Errno) -> [UInt8] {
    let file = try FileDescriptor.open(path, O_RDONLY)
    defer { file.close() }
    var bytes = [UInt8](repeating: 0, count: limit)
    var filled = 0
    while filled < limit {
      let start = filled
      let count = try bytes.withUnsafeMutableBufferPointer { (buffer) throws(Errno) -> Int in
        try file.read(
          into: UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: buffer[start...])))
      }
      if count == 0 { break }
      filled += count
    }
    bytes.removeLast(limit - filled)
    return bytes
  }

  /// The same of a path that was put together; nil where it cannot be read.
  public static func contents(_ path: Text, limit: Int = 4096) -> [UInt8]? {
    path.bytes.withCString { try? read($0, limit: limit) }
  }

  /// The inode that a path leads to; 0 where it cannot be told. The corresponding C function is `stat`.
  public static func inode(_ path: CString) -> UInt64 {
    var status = stat()
    return stat(path.pointer, &status) == 0 ? UInt64(status.st_ino) : 0
  }

  /// Removes a name; the corresponding C function is `unlink`.
  public static func remove(_ path: CString) { _ = unlink(path.pointer) }

  /// Copies a file's bytes. They are written beside the target and take its name at the end, so that nobody ever
  /// finds a part of them; what had the name is replaced.
  public static func copy(_ source: CString, to target: CString, mode: mode_t) throws(Errno) {
    let input = try FileDescriptor.open(source, O_RDONLY)
    defer { input.close() }
    var beside = Text(bytes: target.bytes)
    beside.append(contentsOf: ".\(ProcessID.own)")
    try beside.bytes.withCString { (beside) throws(Errno) in
      let output = try FileDescriptor.open(beside, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
      do throws(Errno) {
        defer { output.close() }
        try withBuffer(of: 64 * 1024) { (buffer) throws(Errno) in
          while true {
            let count = try input.read(into: buffer)
            if count == 0 { break }
            var written = 0
            while written < count {
              written += try output.write(UnsafeRawBufferPointer(rebasing: buffer[written..<count]))
            }
          }
        }
        // Whatever the umask is.
        try checked(fchmod(output.rawValue, mode))
        try checked(rename(beside.pointer, target.pointer))
      } catch {
        remove(beside)
        throw error
      }
    }
  }

  /// Whether a path leads to a folder; the corresponding C function is `stat`.
  public static func isDirectory(_ path: CString) -> Bool {
    var status = stat()
    return stat(path.pointer, &status) == 0 && status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR)
  }

  /// Whether a path leads to a regular file; the corresponding C function is `stat`.
  public static func isRegular(_ path: CString) -> Bool {
    var status = stat()
    return stat(path.pointer, &status) == 0 && status.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG)
  }

  /// Whether a path leads anywhere; the corresponding C function is `access`.
  public static func exists(_ path: CString) -> Bool { access(path.pointer, F_OK) == 0 }
}

/// The lines of a large file, read through one fixed buffer, so that memory does not grow with the file.
public enum Lines {
  /// Calls `body` for every line, its newline not included, until that gives false. A line longer than the
  /// buffer is an error: nothing that we read has one, and a part of it must not be taken for the whole.
  public static func read(
    _ path: CString, bufferSize: Int = 64 * 1024, _ body: (UnsafeRawBufferPointer) -> Bool
  ) throws(Errno) {
    let file = try FileDescriptor.open(path, O_RDONLY)
    defer { file.close() }
    try withBuffer(of: bufferSize) { (raw) throws(Errno) in
      var filled = 0
      while true {
        let count = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: raw[filled...]))
        filled += count
        var start = 0
        while let end = raw[start..<filled].firstIndex(of: UInt8(ascii: "\n")) {
          if !body(UnsafeRawBufferPointer(rebasing: raw[start..<end])) { return }
          start = end + 1
        }
        if count == 0 {
          if start < filled { _ = body(UnsafeRawBufferPointer(rebasing: raw[start..<filled])) }
          return
        }
        if start == 0 && filled == raw.count { throw .protocolError }
        // The beginning of the next line moves to the front.
        let rest = filled - start
        if start > 0, rest > 0, let base = raw.baseAddress { memmove(base, base + start, rest) }
        filled = rest
      }
    }
  }
}

/// The names in a directory, getdents(2).
///
/// Not readdir(3), which asks for 32 KiB at a time: /proc makes what it lists as it is asked, a microsecond a
/// name, and whoever looks at a process's first descriptors would pay for a thousand.
public enum Directory {
  /// Enough for some forty names.
  private static var bufferSize: Int { 1024 }
  /// Where the name begins in a struct linux_dirent64, behind inode, offset, length and type.
  private static var nameOffset: Int { 19 }

  /// Calls `body` with each name that is a number (the processes of /proc, the descriptors of /proc/PID/fd),
  /// until that gives false.
  public static func numbers(in path: CString, _ body: (Int32) -> Bool) throws(Errno) {
    try numbers(in: path) { (number, _) in body(number) }
  }

  /// The same; `body` also gets the directory, for calls that look at what is in it.
  public static func numbers(in path: CString, _ body: (Int32, FileDescriptor) -> Bool) throws(Errno) {
    let directory = try FileDescriptor.open(path, O_RDONLY)
    defer { directory.close() }
    try withUnsafeTemporaryAllocation(byteCount: bufferSize, alignment: 8) { (buffer) throws(Errno) in
      while true {
        let (fd, address) = (directory.rawValue, buffer.baseAddress)
        let count = try checked { clinux_getdents(fd, address, bufferSize) }
        if count == 0 { return }
        let entries = UnsafeRawBufferPointer(rebasing: buffer[..<min(count, bufferSize)])
        if try !numbers(inEntries: entries, { body($0, directory) }) { return }
      }
    }
  }

  /// Calls `body` with each name that is a number, in what getdents(2) has written, until that gives false; whether
  /// it never did.
  static func numbers(
    inEntries entries: UnsafeRawBufferPointer, _ body: (Int32) -> Bool
  ) throws(Errno) -> Bool {
    var rest = entries[...]
    while !rest.isEmpty {
      guard rest.count > nameOffset else { throw .protocolError }
      let entry = UnsafeRawBufferPointer(rebasing: rest)
      let length = Int(entry.loadUnaligned(fromByteOffset: 16, as: UInt16.self))
      guard length > nameOffset, length <= rest.count else { throw .protocolError }
      let name = entry[nameOffset..<length].prefix { $0 != 0 }
      if let number = decimal(name).flatMap({ Int32(exactly: $0) }), !body(number) { return false }
      rest = rest.dropFirst(length)
    }
    return true
  }
}
