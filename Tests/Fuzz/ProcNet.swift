import Linux

@testable import Inet

/// Lines of /proc/net/tcp, tcp6, udp and udp6.
func fuzzProcNet(_ input: UnsafeRawBufferPointer) {
  for line in pieces(input, "\n").prefix(16) {
    guard let socket = withCopy(line, { TCPSocket(procLine: $0) }) else { continue }
    checkAddress(socket.local)
    checkAddress(socket.remote)
    check(socket.expires >= .zero, "a timer ends in the future")
    check(socket.history == nil && socket.cgroup == nil, "/proc tells no history and no cgroup")
    // Written again by another writer, it is the same row.
    let again = Array(written(socket).utf8)
    guard let second = withCopy(again, { TCPSocket(procLine: $0) }) else {
      return check(false, "a row that is written again is one")
    }
    check(
      second.local == socket.local && second.remote == socket.remote && second.state == socket.state
        && second.sendQueue == socket.sendQueue && second.receiveQueue == socket.receiveQueue
        && second.timer == socket.timer && second.retransmissions == socket.retransmissions
        && second.user == socket.user && second.inode == socket.inode && second.expires == socket.expires
        && second.cookie == socket.cookie && second.isPingpong == socket.isPingpong,
      "a row that is written again is the same row")
  }
}

private func written(_ socket: TCPSocket) -> String {
  func hex(_ number: some BinaryInteger, _ digits: Int) -> String {
    let text = String(number, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }
  func end(_ endpoint: Endpoint) -> String {
    var words = [UInt32(truncatingIfNeeded: endpoint.low)]
    if endpoint.isIPv6 {
      words = [endpoint.high >> 32, endpoint.high, endpoint.low >> 32, endpoint.low].map {
        UInt32(truncatingIfNeeded: $0)
      }
    }
    return words.map { hex($0.byteSwapped, 8) }.joined() + ":" + hex(endpoint.port, 4)
  }
  let ticks = socket.expires.inMilliseconds / 10
  return
    " 0: \(end(socket.local)) \(end(socket.remote)) \(hex(socket.state.rawValue, 2))"
    + " \(hex(socket.sendQueue, 8)):\(hex(socket.receiveQueue, 8)) \(hex(socket.timer, 2)):\(hex(ticks, 8))"
    + " \(hex(socket.retransmissions, 8)) \(socket.user) 0 \(socket.inode) 1 0"
    + (socket.isPingpong.map { " 20 4 \($0 ? 31 : 30) 10 -1" } ?? "")
}
