@testable import Inet

/// Netlink messages as the kernel sends them, built byte by byte: the tests do not trust the C headers that the
/// code under test reads with. netlink(7), include/uapi/linux/inet_diag.h, include/uapi/linux/tcp.h.
enum Wire {
  /// Numbers in the machine's byte order (little-endian on every machine of ours).
  static func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
  }

  /// Numbers in network byte order.
  static func network(_ number: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
  }

  private static func padded(_ bytes: [UInt8]) -> [UInt8] {
    bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
  }

  static var done: UInt16 { 3 }
  static var error: UInt16 { 2 }
  static var noop: UInt16 { 1 }
  static var byFamily: UInt16 { 20 }
  static var getSocket: UInt16 { 18 }
  static var multi: UInt16 { 2 }
  static var interrupted: UInt16 { 0x10 }

  /// A whole message that answers the `sequence`-th request; `length` lies about it.
  static func message(
    _ type: UInt16, flags: UInt16 = multi, length: UInt32? = nil, sequence: UInt32 = 1, _ payload: [UInt8]
  ) -> [UInt8] {
    padded(
      bytes(length ?? UInt32(16 + payload.count)) + bytes(type) + bytes(flags) + bytes(sequence)
        + bytes(4711 as UInt32) + payload)
  }

  /// An attribute; `length` lies about it.
  static func attribute(_ type: UInt16, length: UInt16? = nil, _ value: [UInt8]) -> [UInt8] {
    padded(bytes(length ?? UInt16(4 + value.count)) + bytes(type) + value)
  }

  /// A row: struct inet_diag_msg and its attributes.
  struct Row {
    var isIPv6 = false
    var state: UInt8 = 1
    var timer: UInt8 = 0
    var retransmissions: UInt8 = 0
    var sourcePort: UInt16 = 8080
    var destinationPort: UInt16 = 40_000
    /// Sixteen bytes, of which IPv4 uses four.
    var source: [UInt8] = [127, 0, 0, 1] + [UInt8](repeating: 0, count: 12)
    var destination: [UInt8] = [10, 1, 2, 3] + [UInt8](repeating: 0, count: 12)
    var cookie: UInt64 = 0x1_0000_0002
    var expires: UInt32 = 0
    var receiveQueue: UInt32 = 0
    var sendQueue: UInt32 = 0
    var user: UInt32 = 0
    var inode: UInt32 = 77
    /// The interface that it is bound to.
    var interface: UInt32 = 0
    var attributes: [UInt8] = []

    var payload: [UInt8] {
      var payload: [UInt8] = [isIPv6 ? 10 : 2, state, timer, retransmissions]
      payload += network(sourcePort) + network(destinationPort) + source + destination
      payload += bytes(interface) + bytes(cookie)
      payload += bytes(expires) + bytes(receiveQueue) + bytes(sendQueue) + bytes(user) + bytes(inode)
      return payload + attributes
    }

    var message: [UInt8] { Wire.message(Wire.byFamily, payload) }
  }

  /// A struct tcp_info of 248 bytes, or of fewer as older kernels have it.
  static func info(
    received: UInt64 = 0, sent: UInt64 = 0, repeated: UInt64 = 0, acknowledged: UInt64 = 0,
    notSent: UInt32 = 0, segmentsSent: UInt32 = 9, dataSegmentsReceived: UInt32 = 4,
    dataSegmentsSent: UInt32 = 3,
    sinceSent: UInt32 = 0, sinceReceived: UInt32 = 0, sinceAcknowledged: UInt32 = 0, size: Int = 248
  ) -> [UInt8] {
    var info = [UInt8](repeating: 0xee, count: 248)
    func put(_ bytes: [UInt8], at offset: Int) {
      info.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
    }
    put(bytes(sinceSent), at: 44)
    put(bytes(sinceReceived), at: 52)
    put(bytes(sinceAcknowledged), at: 56)
    put(bytes(acknowledged), at: 120)
    put(bytes(received), at: 128)
    put(bytes(segmentsSent), at: 136)
    put(bytes(notSent), at: 144)
    put(bytes(dataSegmentsReceived), at: 152)
    put(bytes(dataSegmentsSent), at: 156)
    put(bytes(sent), at: 200)
    put(bytes(repeated), at: 208)
    return attribute(2, Array(info.prefix(size)))
  }

  static func cgroup(_ number: UInt64) -> [UInt8] { attribute(21, bytes(number)) }
}

/// Collects all rows.
final class Rows: SocketCollector {
  var sockets: [TCPSocket] = []
  var restarts = 0

  override func restart() {
    sockets.removeAll()
    restarts += 1
  }

  override func take(_ socket: TCPSocket) { sockets.append(socket) }
}
