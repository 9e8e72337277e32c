import CLinux
import Linux

/// Word to the supervisor, as sd_notify(3) sends it: a datagram to the socket named in NOTIFY_SOCKET.
enum Notify {
  /// Sends "READY=1" or the like; nothing where nobody asked for it, or nobody listens.
  static func send(_ message: StaticString) {
    guard let name = environmentVariable(CString("NOTIFY_SOCKET"))?.bytes else { return }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let offset = MemoryLayout<sa_family_t>.size
    // Both kinds fit whole or not at all: a path, and (with @ for the NUL) an abstract name.
    guard !name.isEmpty, name.count < MemoryLayout<sockaddr_un>.size - offset else { return }
    let isAbstract = name[0] == UInt8(ascii: "@")
    guard isAbstract || name[0] == UInt8(ascii: "/") else { return }
    withUnsafeMutableBytes(of: &address) { raw in
      UnsafeMutableRawBufferPointer(rebasing: raw[offset...]).copyBytes(from: name)
      if isAbstract { raw[offset] = 0 }
    }
    let length = socklen_t(offset + name.count + (isAbstract ? 0 : 1))
    let fd = clinux_datagram_socket(AF_UNIX)
    guard fd >= 0 else { return }
    defer { FileDescriptor(fd).close() }
    _ = clinux_sendto(fd, message.utf8Start, message.utf8CodeUnitCount, &address, length)
  }
}
