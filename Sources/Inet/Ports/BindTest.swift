import CLinux
import Linux

/// The kernel's own word on whether a port is free: bind(2) with SO_REUSEADDR, the way servers do it, on
/// IPv4 and IPv6. No table has this answer.
///
/// The socket never listens, and holds the port for some microseconds.
public enum BindTest {
  /// What the kernel said.
  public enum Verdict: Equatable, Sendable {
    /// Both families accept it.
    case free
    /// One refuses it: EADDRINUSE.
    case inUse
    /// It cannot be asked: a port under 1024 without CAP_NET_BIND_SERVICE, no descriptor left, …
    case cannotTell(Errno)
  }

  /// Asks for a TCP port (or a UDP one) on every address.
  public static func ask(_ port: UInt16, udp: Bool = false) -> Verdict {
    let first = ask(port, udp: udp, ipv6: false)
    let second = ask(port, udp: udp, ipv6: true)
    if first == .inUse || second == .inUse { return .inUse }
    if case .cannotTell(let error) = first, error != .addressFamilyNotSupported, error != .addressNotAvailable
    {
      return first
    }
    // A namespace without IPv6 has nothing to say about it.
    if case .cannotTell(let error) = second, error != .addressFamilyNotSupported,
      error != .addressNotAvailable
    {
      return second
    }
    return .free
  }

  private static func ask(_ port: UInt16, udp: Bool, ipv6: Bool) -> Verdict {
    do throws(Errno) {
      let descriptor = FileDescriptor(
        try checked {
          socket(
            ipv6 ? AF_INET6 : AF_INET,
            udp ? clinux_socket_datagram_cloexec() : clinux_socket_stream_cloexec(), 0)
        })
      defer { descriptor.close() }
      var yes: Int32 = 1
      let size = socklen_t(MemoryLayout<Int32>.size)
      // For UDP it would let any two share the port, listening or not.
      if !udp { _ = setsockopt(descriptor.rawValue, SOL_SOCKET, SO_REUSEADDR, &yes, size) }
      // Without it the IPv6 socket would ask about IPv4 a second time.
      if ipv6 { _ = setsockopt(descriptor.rawValue, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &yes, size) }
      _ = try checked { clinux_bind_any(descriptor.rawValue, ipv6, port) }
      return .free
    } catch {
      return error == .addressInUse ? .inUse : .cannotTell(error)
    }
  }
}
