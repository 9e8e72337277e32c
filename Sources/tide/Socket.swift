import CLinux
import Linux

/// A TCP socket, tcp(7).
///
/// It never blocks, and closes on exec.
struct Socket {
  let descriptor: FileDescriptor

  /// How a connection attempt stands.
  enum Attempt {
    case connected
    /// Writable once that is known; ``Socket/failure`` says how it went.
    case underWay
  }

  /// A socket that listens.
  ///
  /// Where `address` is `[::]`, it takes IPv4 as well.
  static func listening(on address: SocketAddress, reusesAddress: Bool) throws(Errno) -> Socket {
    let socket = Socket(
      descriptor: FileDescriptor(try checked { clinux_stream_socket(address.family) }))
    do throws(Errno) {
      if address.family == AF_INET6 { socket.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, 0) }
      if reusesAddress { socket.set(SOL_SOCKET, SO_REUSEADDR, 1) }
      let fd = socket.descriptor.rawValue
      _ = try checked { address.withBytes { clinux_bind(fd, $0, $1) } }
      _ = try checked { listen(fd, 4096) }
    } catch {
      socket.close()
      throw error
    }
    return socket
  }

  /// A socket that connects.
  ///
  /// `receiveBuffer` is set before, since it decides the window that the peer is offered, tcp(7).
  static func connecting(
    to address: SocketAddress, receiveBuffer: Int32? = nil
  ) throws(Errno) -> (Socket, Attempt) {
    let socket = Socket(
      descriptor: FileDescriptor(try checked { clinux_stream_socket(address.family) }))
    if let receiveBuffer { socket.set(SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
    socket.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    let fd = socket.descriptor.rawValue
    do throws(Errno) {
      _ = try checked { address.withBytes { clinux_connect(fd, $0, $1) } }
      return (socket, .connected)
    } catch {
      if error == Errno(EINPROGRESS) { return (socket, .underWay) }
      socket.close()
      throw error
    }
  }

  /// The next connection that waits; throws ``Errno/wouldBlock`` when none does.
  func accept() throws(Errno) -> Socket {
    let fd = descriptor.rawValue
    let socket = Socket(descriptor: FileDescriptor(try checked { clinux_accept(fd) }))
    socket.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    return socket
  }

  /// Why the connection failed, SO_ERROR; nil where it has not.
  var failure: Errno? {
    let error = clinux_socket_error(descriptor.rawValue)
    return error != 0 ? Errno(error) : nil
  }

  /// The local port, getsockname(2).
  var localPort: UInt16 {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    guard clinux_getsockname(descriptor.rawValue, &storage, &length) == 0 else { return 0 }
    // The port is in the same place for both families: after the family.
    return withUnsafeBytes(of: &storage) { UInt16(bigEndian: $0.load(fromByteOffset: 2, as: UInt16.self)) }
  }

  /// Reads what there is; 0 at the end.
  func receive(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
    try descriptor.read(into: buffer)
  }

  /// Writes what fits into the send buffer; a peer that is gone is an error and never a signal.
  func send(_ bytes: UnsafeRawBufferPointer) throws(Errno) -> Int {
    let (fd, address, count) = (descriptor.rawValue, bytes.baseAddress, bytes.count)
    return try checked { CLinux.send(fd, address, count, Int32(MSG_NOSIGNAL)) }
  }

  /// Makes the send buffer large enough for this many bytes at once, where that is allowed: with
  /// CAP_NET_ADMIN always, else where net.core.wmem_max is enough.
  ///
  /// Elsewhere it is left to grow by itself up to net.ipv4.tcp_wmem (a size that was set, even one too
  /// small, would end that).
  func makeRoom(for count: Int) {
    guard let wanted = Int32(exactly: count + count / 4) else { return }
    if clinux_set_option(descriptor.rawValue, SOL_SOCKET, SO_SNDBUFFORCE, wanted) == 0 { return }
    let limit = (try? File.read(CString("/proc/sys/net/core/wmem_max"))).flatMap { decimal($0.dropLast()) }
    if let limit, limit >= UInt64(wanted) { set(SOL_SOCKET, SO_SNDBUF, wanted) }
  }

  /// Sends our FIN: the peer reads the end, and we can still read.
  func shutdownWriting() { _ = shutdown(descriptor.rawValue, Int32(SHUT_WR)) }

  /// Closes it.
  ///
  /// The kernel sends a RST instead of a FIN where bytes are unread.
  func close() { descriptor.close() }

  /// Closes it with a RST, whatever is still to be sent or read.
  func reset() {
    _ = clinux_reset_on_close(descriptor.rawValue)
    descriptor.close()
  }

  private func set(_ level: Int32, _ option: Int32, _ value: Int32) {
    _ = clinux_set_option(descriptor.rawValue, level, option, value)
  }
}
