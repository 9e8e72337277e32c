import CLinux

/// An open file, socket, pipe or kernel object: a file descriptor of this process, open(2).
///
/// All that ebb opens is close-on-exec, so that the service inherits what ebb was given and nothing more.
public struct FileDescriptor: Equatable, Sendable {
  /// The number.
  public let rawValue: Int32

  /// The descriptor with this number.
  public init(_ rawValue: Int32) { self.rawValue = rawValue }

  /// Standard input.
  public static var standardInput: FileDescriptor { FileDescriptor(0) }
  /// Standard output.
  public static var standardOutput: FileDescriptor { FileDescriptor(1) }
  /// Standard error.
  public static var standardError: FileDescriptor { FileDescriptor(2) }

  /// How many descriptors those who ask leave to what a stop needs: /proc and a file in it, the sockets that
  /// tell of losses, the pipe of a command.
  public static var spare: Int32 { 4 }

  /// Opens a file; the corresponding C function is `open`.
  public static func open(_ path: CString, _ flags: Int32, mode: mode_t = 0) throws(Errno) -> FileDescriptor {
    FileDescriptor(try checked { clinux_open(path.pointer, flags | O_CLOEXEC, mode) })
  }

  /// A pipe whose two ends close on exec; the corresponding C function is `pipe2`.
  public static func pipe() throws(Errno) -> (read: FileDescriptor, write: FileDescriptor) {
    var ends: (Int32, Int32) = (-1, -1)
    _ = try withUnsafeMutableBytes(of: &ends) { (raw) throws(Errno) -> Int32 in
      try checked(clinux_pipe(raw.baseAddress?.assumingMemoryBound(to: Int32.self)))
    }
    return (FileDescriptor(ends.0), FileDescriptor(ends.1))
  }

  /// Closes what this process inherited beside the three standard descriptors: all that is open and does not
  /// close on exec. Without /proc it closes nothing.
  public static func closeInherited() {
    try? Directory.numbers(in: CString("/proc/self/fd")) { number in
      if number > 2 && !clinux_closes_on_exec(number) { FileDescriptor(number).close() }
      return true
    }
  }

  /// Reads what there is, up to the buffer's size; 0 at the end; the corresponding C function is `read`.
  public func read(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
    let (fd, address, count) = (rawValue, buffer.baseAddress, buffer.count)
    return try checked { CLinux.read(fd, address, count) }
  }

  /// Writes once, as much as fits; the corresponding C function is `write`.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(Errno) -> Int {
    let (fd, address, count) = (rawValue, bytes.baseAddress, bytes.count)
    return try checked { CLinux.write(fd, address, count) }
  }

  /// Writes once without ever blocking, even where the descriptor is shared and blocking (a log pipe
  /// whose reader has stalled); throws ``Errno/wouldBlock`` when nothing fits.
  public func writeNow(_ bytes: UnsafeRawBufferPointer) throws(Errno) -> Int {
    let (fd, address, count) = (rawValue, bytes.baseAddress, bytes.count)
    return try checked { clinux_write_nowait(fd, address, count) }
  }

  /// Waits until something can be read, or an error would be told; poll(2).
  public func waitUntilReadable(for duration: Duration) {
    var wanted = pollfd(fd: rawValue, events: Int16(POLLIN), revents: 0)
    _ = poll(&wanted, 1, Int32(clamping: duration.inMilliseconds + 1))
  }

  /// Waits until something can be written, or an error would be told; poll(2).
  public func waitUntilWritable(for duration: Duration) {
    var wanted = pollfd(fd: rawValue, events: Int16(POLLOUT), revents: 0)
    _ = poll(&wanted, 1, Int32(clamping: duration.inMilliseconds))
  }

  /// Makes calls on the file fail with EAGAIN instead of waiting, fcntl(2) O_NONBLOCK, and takes away the other flags that
  /// can be changed, O_ASYNC among them. Only for files that
  /// are ebb's alone: the flag belongs to the open file, which a service may share.
  public func setNonblocking() { _ = clinux_set_nonblocking(rawValue) }

  /// Closes it. There is nothing to be done about an error: the number is free either way, close(2).
  public func close() { _ = CLinux.close(rawValue) }
}
