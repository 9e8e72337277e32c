import CLinux
import Linux

/// Sockets that are bound to a port and neither listen nor are connected: no line of `ss -tan` or /proc/net/tcp
/// shows them, and they are in the way of a bind. Linux 6.8 tells them (TCP_BOUND_INACTIVE, bit 13), with
/// state 7 in the row and no regard to the port asked for.
public final class BoundSockets: SocketCollector {
  private let port: UInt16
  private let address: Endpoint?
  /// The sockets; bounded.
  public private(set) var sockets: [TCPSocket] = []

  /// Those of a port that are in the way of an address; of every one where that is nil.
  public init(port: UInt16, address: Endpoint? = nil) {
    self.port = port
    self.address = address
  }

  /// What to ask the table for.
  public var query: SocketQuery { SocketQuery(states: TCPStates(rawValue: 1 << 13), ports: []) }

  /// Forgets all rows.
  public override func restart() { sockets.removeAll() }

  /// Takes one row.
  public override func take(_ socket: TCPSocket) {
    if socket.local.port == port && socket.isInTheWay(of: address) {
      sockets.keep(socket, atMost: PortCensus.kept)
    }
  }

  /// Looks for them among the descriptors of the processes that we may look into, where no table has them: each
  /// TCP socket is copied for as long as it takes to ask its address (pidfd_getfd(2)). For a port that the
  /// kernel refuses while nothing shows on it.
  public func lookAmongDescriptors() {
    _ = NetworkNamespace.visitProcesses { (process, isOurs) in
      // Of ourselves, nobody is in the way.
      if process != .own && isOurs { look(at: process) }
      return sockets.count < PortCensus.kept
    }
  }

  private func look(at process: ProcessID) {
    _ = SocketOwners.visit(process) { (descriptor, directory) in
      guard case .socket(let inode) = SocketOwners.target(of: descriptor, in: directory),
        !sockets.contains(where: { $0.inode == inode })
      else { return true }
      var bound = clinux_bound()
      let link: Text = "/proc/\(process)/fd/\(descriptor)"
      let isBound = link.bytes.withCString {
        clinux_bound_socket(process.rawValue, descriptor, $0.pointer, &bound)
      }
      if isBound { take(TCPSocket(bound, inode: inode)) }
      return true
    }
  }
}

extension TCPSocket {
  /// A socket that is bound and no more.
  fileprivate init(_ bound: clinux_bound, inode: UInt64) {
    self.init(
      state: .close,
      local: Endpoint(isIPv6: bound.ipv6, high: bound.high, low: bound.low, port: bound.port),
      remote: Endpoint(isIPv6: bound.ipv6, high: 0, low: 0, port: 0), cookie: 0, receiveQueue: 0,
      sendQueue: 0,
      timer: 0, retransmissions: 0, expires: .zero, user: bound.user, inode: inode,
      isIPv6Only: bound.ipv6_only)
  }
}
