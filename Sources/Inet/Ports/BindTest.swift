import CLinux
import Linux

/// The kernel's own word on whether a port is free: bind(2) with SO_REUSEADDR, the way servers do it, on
/// IPv4 and IPv6. No table has this answer.
///
/// The socket never listens, and holds the port for some microseconds.
public enum BindTest {
  /// What the kernel said.
  public enum Verdict: Equatable, Sendable {
    /// It accepts the bind.
    case free
    /// It refuses it: EADDRINUSE.
    case inUse
    /// It cannot be asked: a port under 1024 without CAP_NET_BIND_SERVICE, no descriptor left, …
    case cannotTell(Errno)
  }

  /// As which kind of server is asked.
  public struct Manner: Equatable, Sendable {
    /// UDP instead of TCP.
    public var isUDP = false
    /// SO_REUSEADDR is set, as servers do; `--strict` does not.
    public var reusesAddress = true
    /// SO_REUSEPORT is set.
    public var reusesPort = false
    /// One address alone; nil for every one, of both families.
    public var address: Endpoint?

    /// A TCP server that sets SO_REUSEADDR, on every address.
    public init() {}

    /// A UDP server. It sets nothing: with SO_REUSEADDR any two UDP sockets share a port.
    public static var udp: Manner {
      var manner = Manner()
      manner.isUDP = true
      manner.reusesAddress = false
      return manner
    }
  }

  /// Asks for a port.
  public static func ask(_ port: UInt16, _ manner: Manner = Manner()) -> Verdict {
    if let address = manner.address {
      // An IPv4 address mapped into IPv6 is the IPv4 one.
      if let ipv4 = address.ipv4 {
        var manner = manner
        manner.address = Endpoint(isIPv6: false, high: 0, low: UInt64(ipv4), port: 0)
        return ask(port, manner, ipv6: false)
      }
      return ask(port, manner, ipv6: true)
    }
    // One socket for both families, so that all of it is refused or all accepted: of a bind with SO_REUSEPORT
    // that it accepts, the kernel keeps a note with the port for as long as anybody is on that, and lets others
    // in by it with no further look (net/ipv4/inet_connection_sock.c, sk_reuseport_match()).
    let verdict = ask(port, manner, ipv6: true)
    // A namespace without IPv6 has nothing to say about it.
    if verdict == .cannotTell(.addressFamilyNotSupported) || verdict == .cannotTell(.addressNotAvailable) {
      return ask(port, manner, ipv6: false)
    }
    return verdict
  }

  private static func ask(_ port: UInt16, _ manner: Manner, ipv6: Bool) -> Verdict {
    do throws(Errno) {
      let descriptor = FileDescriptor(
        try checked {
          socket(
            ipv6 ? AF_INET6 : AF_INET,
            manner.isUDP ? clinux_socket_datagram_cloexec() : clinux_socket_stream_cloexec(), 0)
        })
      defer { descriptor.close() }
      func set(_ level: Int32, _ option: Int32, _ isOn: Bool) {
        try? descriptor.set(level, option, isOn ? 1 : 0)
      }
      if manner.reusesAddress { set(SOL_SOCKET, SO_REUSEADDR, true) }
      if manner.reusesPort { set(SOL_SOCKET, SO_REUSEPORT, true) }
      // net.ipv6.bindv6only may have it otherwise.
      if ipv6 { set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, manner.address != nil) }
      let address = manner.address
      _ = try checked {
        clinux_bind_port(descriptor.rawValue, ipv6, address?.high ?? 0, address?.low ?? 0, port)
      }
      return .free
    } catch {
      return error == .addressInUse ? .inUse : .cannotTell(error)
    }
  }
}
