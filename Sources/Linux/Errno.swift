import CLinux

/// Why a system call failed: an error number, errno(3).
public struct Errno: Error, Equatable, Sendable {
  /// The number that libc calls `errno`.
  public let rawValue: Int32

  /// The error with this number.
  public init(_ rawValue: Int32) { self.rawValue = rawValue }

  /// The error of the libc call that has just failed.
  public static var last: Errno { Errno(clinux_errno()) }

  /// EAGAIN: the call would block, or there are too few processes left to fork.
  public static var wouldBlock: Errno { Errno(EAGAIN) }
  /// EINTR: a signal came first.
  public static var interrupted: Errno { Errno(EINTR) }
  /// ENOENT: no such file or directory.
  public static var noSuchFile: Errno { Errno(ENOENT) }
  /// ENOTDIR: a part of the path is no directory.
  public static var notDirectory: Errno { Errno(ENOTDIR) }
  /// ESRCH: no such process.
  public static var noSuchProcess: Errno { Errno(ESRCH) }
  /// ECHILD: no child is left.
  public static var noChild: Errno { Errno(ECHILD) }
  /// EACCES: permission denied.
  public static var permissionDenied: Errno { Errno(EACCES) }
  /// EPERM: operation not permitted.
  public static var notPermitted: Errno { Errno(EPERM) }
  /// EINVAL: an argument that makes no sense.
  public static var invalidArgument: Errno { Errno(EINVAL) }
  /// EADDRINUSE: address already in use.
  public static var addressInUse: Errno { Errno(EADDRINUSE) }
  /// EADDRNOTAVAIL: no such address here.
  public static var addressNotAvailable: Errno { Errno(EADDRNOTAVAIL) }
  /// EAFNOSUPPORT: the kernel, or this namespace, has no such address family.
  public static var addressFamilyNotSupported: Errno { Errno(EAFNOSUPPORT) }
  /// ENOBUFS: the kernel had to drop messages to us.
  public static var noBufferSpace: Errno { Errno(ENOBUFS) }
  /// EPROTO: a reply that cannot be read; what a parser here says of bytes that make no sense.
  public static var protocolError: Errno { Errno(EPROTO) }
  /// EOPNOTSUPP: the kernel knows the call, and cannot do this.
  public static var notSupported: Errno { Errno(EOPNOTSUPP) }
  /// ENOMEM: no memory is left.
  public static var noMemory: Errno { Errno(ENOMEM) }
  /// ENOSYS: the kernel does not have this call.
  public static var notImplemented: Errno { Errno(ENOSYS) }
}

/// The result of a libc call that says -1 for an error, and that no signal interrupts.
@discardableResult
public func checked(_ result: Int32) throws(Errno) -> Int32 {
  if result == -1 { throw Errno.last }
  return result
}

/// The result of a libc call that says -1 for an error and may wait; EINTR is tried again, here and nowhere else.
@inline(__always)
public func checked<Result: SignedInteger>(_ call: () -> Result) throws(Errno) -> Result {
  while true {
    let result = call()
    if result != -1 { return result }
    let error = Errno.last
    if error != .interrupted { throw error }
  }
}

extension Errno: TextRepresentable {
  /// What strerror(3) of glibc says of it, whatever the libc: "No such file or directory".
  public func write(to text: inout Text) {
    if let message = clinux_error_text(rawValue) {
      text.append(printable: CString(message).bytes)
    } else {
      text.append("error ")
      text.append(rawValue)
    }
  }
}
