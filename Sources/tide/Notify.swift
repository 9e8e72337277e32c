import CLinux
import Linux

/// Word to the supervisor, as sd_notify(3) sends it: a datagram to the socket named in NOTIFY_SOCKET.
enum Notify {
  /// Sends "READY=1" or the like; nothing where nobody asked for it, or nobody listens.
  static func send(_ message: StaticString) {
    guard let name = environmentVariable(CString("NOTIFY_SOCKET")) else { return }
    let socket = FileDescriptor(clinux_unix_datagram())
    guard socket.rawValue >= 0 else { return }
    defer { socket.close() }
    guard clinux_unix_connect(socket.rawValue, name.pointer) == 0 else { return }
    _ = CLinux.send(
      socket.rawValue, message.utf8Start, message.utf8CodeUnitCount, Int32(MSG_NOSIGNAL))
  }
}
