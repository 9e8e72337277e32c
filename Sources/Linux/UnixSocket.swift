import CLinux

/// A Unix socket that keeps messages apart, unix(7) SOCK_SEQPACKET: what is sent at once arrives at once, or
/// not at all.
public struct UnixSocket {
  /// The socket.
  public let descriptor: FileDescriptor

  /// One with a name: "@name" in the abstract namespace, which needs no file system, or a path. A socket there that is
  /// left over from a listener that is gone is taken over. It does not block.
  public init(named name: CString) throws(Errno) {
    let descriptor = FileDescriptor(
      try checked(socket(AF_UNIX, clinux_socket_seqpacket_nonblock(), 0)))
    do throws(Errno) {
      do throws(Errno) {
        try checked(clinux_unix_bind(descriptor.rawValue, name.pointer))
      } catch {
        guard error == .addressInUse, !name.hasPrefix("@"), UnixSocket.isLeftOver(name) else { throw error }
        _ = unlink(name.pointer)
        try checked(clinux_unix_bind(descriptor.rawValue, name.pointer))
      }
    } catch {
      descriptor.close()
      throw error
    }
    self.descriptor = descriptor
  }

  /// Lets others connect to its name.
  public func listen() throws(Errno) {
    clinux_refuse_descriptors(descriptor.rawValue)
    try checked(CLinux.listen(descriptor.rawValue, 64))
  }

  /// Connects to a name; gives up after `limit`, as does every later send and receive.
  public init(connectingTo name: CString, limit: Duration) throws(Errno) {
    let descriptor = FileDescriptor(
      try checked(socket(AF_UNIX, clinux_socket_seqpacket_cloexec(), 0)))
    self.descriptor = descriptor
    setLimit(limit)
    do throws(Errno) {
      _ = try checked { clinux_unix_connect(descriptor.rawValue, name.pointer) }
    } catch {
      descriptor.close()
      throw error
    }
  }

  /// A connection that was taken by others.
  public init(accepted: FileDescriptor) { descriptor = accepted }

  /// How long a send or receive may take, socket(7) SO_RCVTIMEO.
  public func setLimit(_ limit: Duration) {
    let microseconds = max(1, limit.inMilliseconds * 1000)
    var time = timeval(
      tv_sec: time_t(microseconds / 1_000_000), tv_usec: suseconds_t(microseconds % 1_000_000))
    let size = socklen_t(MemoryLayout<timeval>.size)
    _ = setsockopt(descriptor.rawValue, SOL_SOCKET, SO_RCVTIMEO, &time, size)
    _ = setsockopt(descriptor.rawValue, SOL_SOCKET, SO_SNDTIMEO, &time, size)
  }

  private static func isLeftOver(_ path: CString) -> Bool {
    // connect(2) says ECONNREFUSED of any file that is no socket too: that is nobody's to remove.
    var status = stat()
    guard lstat(path.pointer, &status) == 0, status.st_mode & mode_t(S_IFMT) == mode_t(S_IFSOCK) else {
      return false
    }
    do throws(Errno) {
      try UnixSocket(connectingTo: path, limit: .milliseconds(100)).descriptor.close()
      return false
    } catch {
      return error == Errno(ECONNREFUSED)
    }
  }

  /// The next connection; nil where none waits. Throws where one waits and cannot be taken (no descriptor is
  /// left).
  public func accept() throws(Errno) -> UnixSocket? {
    do throws(Errno) {
      return UnixSocket(
        accepted: FileDescriptor(
          try checked(clinux_accept_leaving(descriptor.rawValue, FileDescriptor.spare))))
    } catch {
      if error == .wouldBlock || error == Errno(ECONNABORTED) { return nil }
      throw error
    }
  }

  /// What ``receive(limit:)`` found.
  public enum Message: Equatable {
    /// A message, whole.
    case message([UInt8])
    /// A message that is longer than the limit.
    case tooLong
    /// None yet.
    case none
    /// The peer is gone.
    case end
  }

  /// The next message of at most `limit` bytes.
  public func receive(limit: Int) -> Message {
    let fd = descriptor.rawValue
    do throws(Errno) {
      var limit = limit
      if limit > 4096 {
        // Asked how long it is first: a page that is not touched costs a probe nothing.
        let length = try checked { recv(fd, nil, 0, Int32(MSG_TRUNC) | Int32(MSG_PEEK)) }
        if length > limit { return .tooLong }
        limit = max(1, length)
      }
      var bytes = [UInt8](repeating: 0, count: limit)
      let count = try bytes.withUnsafeMutableBufferPointer { (buffer) throws(Errno) -> Int in
        try checked { recv(fd, buffer.baseAddress, buffer.count, Int32(MSG_TRUNC)) }
      }
      if count == 0 { return .end }
      if count > limit { return .tooLong }
      bytes.removeLast(limit - count)
      return .message(bytes)
    } catch {
      return error == .wouldBlock ? .none : .end
    }
  }

  /// Sends a last message and closes. The peer can read it whatever it has sent meanwhile: a socket that is
  /// closed with something unread would have it find an error instead.
  public func close(after message: Text) {
    _ = send(message)
    _ = shutdown(descriptor.rawValue, clinux_shut_both())
    // Nothing more can come, so what is there has an end.
    var isEnd = false
    for _ in 0..<1024 where !isEnd {
      switch receive(limit: 1) {
      case .message, .tooLong: break
      case .none, .end: isEnd = true
      }
    }
    descriptor.close()
  }

  /// Sends a message, whole; false where the peer is gone or does not read.
  public func send(_ message: Text) -> Bool {
    message.bytes.withUnsafeBufferPointer { buffer in
      CLinux.send(descriptor.rawValue, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL)) == buffer.count
    }
  }
}

/// The process at the other end of a Unix socket.
public struct Peer {
  /// Its number here; 0 where it is in a pid namespace that we cannot see into.
  public let process: ProcessID
  /// Its effective user when it connected (or listened), as our user namespace has it.
  public let user: UInt32
  private let socket: UnixSocket

  /// Who is there, SO_PEERCRED.
  public init(of socket: UnixSocket) throws(Errno) {
    var peer = clinux_peer()
    try checked(clinux_peer(socket.descriptor.rawValue, &peer))
    process = ProcessID(peer.pid)
    user = peer.uid
    self.socket = socket
  }

  /// The user that stands for everybody from another user namespace, /proc/sys/kernel/overflowuid.
  static var overflowUser: UInt32 { 65534 }

  /// Whether it is of this container, and of our own user or root. A stranger of another user is known by that
  /// alone, which costs next to nothing: they may come in floods.
  ///
  /// Of this container means: the root of its mount namespace is the same mount. /proc/PID/ns/mnt would say it
  /// too, but is closed between different users.
  public func mayTalkToUs() -> Bool {
    guard user == ProcessControl.effectiveUser || user == 0 else { return false }
    return isOfThisContainer {
      // The overflow user may be anybody. It is our own only where the kernel lets us look into the process,
      // which it does for the real user alone, ptrace(2).
      user != Peer.overflowUser || isInOurUserNamespace
    }
  }

  /// Whether it may be the supervisor that we ask. As above; and root, who asks in a container whose service is
  /// another user's, believes its PID 1, which nobody else can be.
  public func mayAnswerUs() -> Bool {
    if ProcessControl.effectiveUser == 0 && process.rawValue == 1 { return isOfThisContainer { true } }
    return mayTalkToUs()
  }

  private func isOfThisContainer(_ alsoHolds: () -> Bool) -> Bool {
    guard process.rawValue > 0 else { return false }
    // Pinned where the kernel can, so that the number cannot become another's while it is looked at.
    let pin = clinux_peer_pidfd(socket.descriptor.rawValue)
    defer { if pin >= 0 { close(pin) } }
    guard let theirs = try? MountNamespace.root(of: process), let ours = try? MountNamespace.root(of: .own),
      theirs == ours, alsoHolds()
    else { return false }
    // What was read was read of this process only if it still is there. Where the call is refused or not known (a
    // seccomp profile, valgrind), it is as with a kernel that has no pin.
    return pin < 0 || clinux_pidfd_send_signal(pin, 0) == 0 || Errno.last != .noSuchProcess
  }

  private var isInOurUserNamespace: Bool {
    let theirs: Text = "/proc/\(process)/ns/user"
    return theirs.bytes.withCString { path in
      var their = stat()
      var our = stat()
      return stat(path.pointer, &their) == 0 && stat(CString("/proc/self/ns/user").pointer, &our) == 0
        && their.st_ino == our.st_ino && their.st_dev == our.st_dev
    }
  }
}

/// The mount namespace of a process, told by its root mount, mount_namespaces(7).
public enum MountNamespace {
  /// The id of the root mount: the first field of the first line of /proc/PID/mountinfo, which everybody may
  /// read; equal for all processes of a container and different in every other. Where there is no /proc, that is
  /// ``Errno/noSuchFile``.
  public static func root(of process: ProcessID) throws(Errno) -> UInt64 {
    let path: Text = "/proc/\(process)/mountinfo"
    let beginning = try path.bytes.withCString { (path) throws(Errno) in try File.read(path, limit: 64) }
    guard let root = root(in: beginning) else { throw .protocolError }
    return root
  }

  /// The same, of the beginning of that file.
  static func root(in line: [UInt8]) -> UInt64? {
    decimal(line.prefix { $0 != UInt8(ascii: " ") })
  }
}
