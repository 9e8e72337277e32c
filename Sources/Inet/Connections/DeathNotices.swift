import CLinux
import Linux

/// How a connection ended, as the kernel's notice of it tells.
///
/// A notice is sent when the kernel frees the socket: for one that its application had closed, when our FIN is
/// acknowledged, or at the reset or time-out; for one still open, at the application's close. What happens
/// after our FIN was acknowledged sends none.
public struct Death: Sendable {
  /// The socket, as it was at last. The peer's port is 0 where the kernel had forgotten it.
  public let socket: TCPSocket
  /// Whether it was cut off: by a reset of either side, or because the kernel gave up on its peer.
  public var wasReset: Bool
  /// Payload bytes that the service had written and the peer had not acknowledged.
  public var unacknowledged: UInt64
  /// Payload bytes from the peer that the service had not read. The last of them may be the peer's FIN, which the receive
  /// queue counts: whoever knows takes it off, ``withoutFIN()``.
  public var unread: UInt64
  /// Whether the byte counts are known: not for a connection that never left the accept queue, nor for one
  /// that was closed with SO_LINGER 0.
  public var isMeasured: Bool

  /// The death that a notice tells of; nil where it is no connection's (a listener's, or a socket that never
  /// was connected).
  ///
  /// The kernel's numbers add up like this (each seen on Linux 6.18): the receive queue is what was not read,
  /// with one for the peer's FIN; the send queue what was not acknowledged, with one for our FIN, sent or
  /// not; tcpi_bytes_acked is the payload acknowledged, and one more once our FIN is.
  public init?(of socket: TCPSocket) {
    self.socket = socket
    wasReset = true
    unacknowledged = 0
    unread = 0
    isMeasured = true
    if socket.remote.port == 0 {
      if socket.remote.isUnspecified { return nil }
      isMeasured = false
      return
    }
    guard let history = socket.history else {
      isMeasured = false
      return
    }
    let sent = history.bytesSent &- min(history.bytesRepeated, history.bytesSent)
    let queued = UInt64(socket.sendQueue)
    if queued == 0 && history.bytesAcknowledged > sent {
      // All of the payload and our FIN are acknowledged. Only what came in after our FIN, and found nobody
      // to read it, is answered with a reset.
      wasReset = socket.receiveQueue > 1
      unread = wasReset ? UInt64(socket.receiveQueue) - 1 : 0
      return
    }
    // Without the FIN, which is in the queue when that is larger than what is known to be in flight or unsent.
    let inFlight = sent - min(history.bytesAcknowledged, sent)
    let notSent = UInt64(history.bytesNotSent)
    unacknowledged = notSent == 0 ? min(queued, inFlight) : queued
    unread = UInt64(socket.receiveQueue)
    // No segment with payload ever came: it is the FIN.
    if history.dataSegmentsReceived == 0 { unread = 0 }
  }

  /// The same, of a connection whose peer is known to have closed.
  public func withoutFIN() -> Death {
    var death = self
    death.unread = unread > 0 && UInt64(socket.receiveQueue) == unread ? unread - 1 : unread
    return death
  }
}

/// The kernel's notices of dying TCP sockets, SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY
/// (include/uapi/linux/sock_diag.h, Linux 4.3): no privilege needed, of this network namespace.
public struct DeathNotices {
  /// Readable when there is a notice.
  public let descriptor: FileDescriptor

  /// What ``next()`` found.
  public enum Answer {
    /// A connection has died.
    case death(Death)
    /// The kernel had to drop notices: from here on nothing can be said about losses.
    case missed
    /// There is none.
    case none
  }

  /// Begins to listen for the deaths of sockets with these local ports. The kernel sorts out the others, so
  /// that they neither wake us nor fill the buffer.
  public init(ports: [UInt16]) throws(Errno) {
    descriptor = try .openSocketDiagnostics()
    descriptor.setNonblocking()
    // 1,280 bytes are charged for a notice; the kernel grants what rmem_max allows.
    try? descriptor.set(SOL_SOCKET, SO_RCVBUF, 4 * 1024 * 1024)
    do throws(Errno) {
      try filter(ports)
      try takeAddress()
      try join(SKNLGRP_INET_TCP_DESTROY.rawValue)
      try join(SKNLGRP_INET6_TCP_DESTROY.rawValue)
    } catch {
      descriptor.close()
      throw error
    }
  }

  /// Has the kernel give the socket an address of its own. Without one it has port 0, which is the kernel's,
  /// and a multicast is not sent back to its sender (net/netlink/af_netlink.c, do_one_broadcast()).
  private func takeAddress() throws(Errno) {
    _ = try checked { clinux_bind_netlink(descriptor.rawValue) }
  }

  /// Waits until the notices of what has died by now have arrived, at most so long; false when they may not
  /// have.
  ///
  /// The kernel sends them from a work queue, one a processor (net/core/sock_diag.c,
  /// sock_diag_broadcast_destroy()), some time after the death: 2 of 60 services that closed with unread data
  /// as they exited were reaped before it, and with a crowd of notices for somebody who does not read them it
  /// takes seconds. So a socket of ours dies on every processor, and its notice comes
  /// behind the others.
  public static func waitForThoseUnderWay(atMost longest: Duration) -> Bool {
    var port: UInt16 = 0
    guard let held = try? FileDescriptor(checked({ clinux_shared_port(&port) })) else { return false }
    defer { held.close() }
    guard let notices = try? DeathNotices(ports: [port]) else { return false }
    defer { notices.close() }
    var missing = clinux_die_on_every_processor(port)
    let end = MonotonicClock.now + longest
    while missing > 0 {
      let left = end - MonotonicClock.now
      guard left > .zero else { return false }
      notices.descriptor.waitUntilReadable(for: left)
      while notices.take() { missing -= 1 }
    }
    return true
  }

  /// Waits for a notice, of a listener too, at most until a moment, and takes all that there are; false when
  /// none came.
  public func wait(until moment: Duration) -> Bool {
    descriptor.waitUntilReadable(for: max(.zero, moment - MonotonicClock.now))
    var hasAny = false
    while take() { hasAny = true }
    return hasAny
  }

  /// Takes whatever there is to read; false when that is nothing.
  private func take() -> Bool {
    var byte: UInt8 = 0
    return recv(descriptor.rawValue, &byte, 1, 0) >= 0
  }

  /// Ends the listening.
  public func close() { descriptor.close() }

  private func join(_ group: UInt32) throws(Errno) {
    try descriptor.set(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, Int32(group))
  }

  /// Has the kernel keep only the notices of these local ports (all of them, where there are none), without those of some
  /// peers, each an address with the port that it asks.
  ///
  /// A classic BPF program over the datagram, socket(7) SO_ATTACH_FILTER: struct nlmsghdr has 16 bytes; struct inet_diag_msg
  /// its ports behind four more, the peer's address behind 40 in all, of which the last four bytes of one are compared.
  public func filter(_ ports: [UInt16], besides peers: [Endpoint] = []) throws(Errno) {
    // A jump is at most 255 instructions long.
    let count = min(ports.count, 200)
    var program: [sock_filter] = []
    func add(_ code: Int32, _ number: UInt32, then: Int = 0, else other: Int = 0) {
      program.append(sock_filter(code: UInt16(code), jt: UInt8(then), jf: UInt8(other), k: number))
    }
    for peer in peers {
      add(BPF_LD | BPF_W | BPF_ABS, peer.isIPv6 ? 52 : 40)
      add(BPF_JMP | BPF_JEQ | BPF_K, UInt32(truncatingIfNeeded: peer.low), else: 3)
      add(BPF_LD | BPF_H | BPF_ABS, 20)
      add(BPF_JMP | BPF_JEQ | BPF_K, UInt32(peer.port), else: 1)
      add(BPF_RET | BPF_K, 0)
    }
    if count > 0 {
      add(BPF_LD | BPF_H | BPF_ABS, 20)
      for index in 0..<count { add(BPF_JMP | BPF_JEQ | BPF_K, UInt32(ports[index]), then: count - index) }
      add(BPF_RET | BPF_K, 0)
    }
    add(BPF_RET | BPF_K, .max)
    let fd = descriptor.rawValue
    try program.withUnsafeMutableBufferPointer { (buffer) throws(Errno) in
      var attachment = sock_fprog(len: UInt16(buffer.count), filter: buffer.baseAddress)
      _ = try checked {
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &attachment, socklen_t(MemoryLayout<sock_fprog>.size))
      }
    }
  }

  /// The next notice. Never waits.
  public func next() -> Answer {
    withUnsafeTemporaryAllocation(byteCount: 2048, alignment: 8) { buffer in
      while true {
        do throws(Errno) {
          let answer = DeathNotices.read(try descriptor.receive(into: buffer))
          if case .none = answer { continue }
          return answer
        } catch {
          return error == .noBufferSpace || error == .protocolError ? .missed : .none
        }
      }
    }
  }

  /// The notice in a datagram; one that cannot be read is a missed one.
  static func read(_ datagram: UnsafeRawBufferPointer) -> Answer {
    var messages = NetlinkMessages(datagram)
    do throws(Errno) {
      guard let message = try messages.next(), let socket = TCPSocket(inetDiagnostic: message.payload) else {
        return .missed
      }
      return Death(of: socket).map { .death($0) } ?? .none
    } catch {
      return .missed
    }
  }
}
