import CLinux
import Linux

/// Whether somebody listens: one connection, closed at once.
enum Probe {
  /// Tries, and waits for the result no longer than this.
  static func connects(to address: SocketAddress, within time: Duration) -> Bool {
    guard let (socket, attempt) = try? Socket.connecting(to: address) else { return false }
    defer { socket.close() }
    if case .connected = attempt { return true }
    var ready = pollfd(fd: socket.descriptor.rawValue, events: Int16(POLLOUT), revents: 0)
    let milliseconds = Int32(clamping: time.inMilliseconds)
    return poll(&ready, 1, milliseconds) == 1 && socket.failure == nil
  }
}
