import Glibc
import Linux
import Testing

@testable import Inet

/// The reply so far after these datagrams, and its rows.
private func reply(_ datagrams: [UInt8]...) throws(Errno) -> (reply: DumpReply, rows: Rows) {
  var reply = DumpReply(to: 1)
  let rows = Rows()
  for datagram in datagrams { try take(datagram, &reply, rows) }
  return (reply, rows)
}

private func take(_ datagram: [UInt8], _ reply: inout DumpReply, _ rows: Rows) throws(Errno) {
  try datagram.withUnsafeBufferPointer { (bytes) throws(Errno) in
    try reply.take(UnsafeRawBufferPointer(bytes), into: rows)
  }
}

/// Why a reply was refused; nil when it was not.
private func refusal(_ datagram: [UInt8]) -> Errno? {
  do throws(Errno) {
    _ = try reply(datagram)
    return nil
  } catch {
    return error
  }
}

private let end = Wire.message(Wire.done, Wire.bytes(0 as Int32))

@Suite struct `A row of the socket table` {
  private func parsed(_ row: Wire.Row) -> TCPSocket? {
    row.payload.withUnsafeBytes { TCPSocket(inetDiagnostic: $0) }
  }

  @Test func `says what the kernel said`() throws {
    var row = Wire.Row()
    row.state = 8
    row.timer = 1
    row.retransmissions = 5
    row.expires = 1250
    row.receiveQueue = 11
    row.sendQueue = 13
    row.user = 33
    row.inode = 4_000_000_000
    row.cookie = 0xfedc_ba98_7654_3210
    row.attributes =
      Wire.attribute(8, [0]) + Wire.cgroup(0x1_0000_002a)
      + Wire.info(
        received: 1 << 40, sent: 9, repeated: 2, acknowledged: 3, notSent: 4, sinceSent: 5, sinceReceived: 6)
    let socket = try #require(parsed(row))
    #expect(socket.state == .closeWait)
    #expect(socket.local == Endpoint(isIPv6: false, high: 0, low: 0x7f00_0001, port: 8080))
    #expect(socket.remote == Endpoint(isIPv6: false, high: 0, low: 0x0a01_0203, port: 40_000))
    #expect(socket.timer == 1)
    #expect(socket.retransmissions == 5)
    #expect(socket.expires == .milliseconds(1250))
    #expect(socket.receiveQueue == 11)
    #expect(socket.sendQueue == 13)
    #expect(socket.user == 33)
    #expect(socket.inode == 4_000_000_000)
    #expect(socket.cookie == 0xfedc_ba98_7654_3210)
    #expect(socket.cgroup == 0x1_0000_002a)
    let history = try #require(socket.history)
    #expect(history.bytesReceived == 1 << 40)
    #expect(history.bytesSent == 9)
    #expect(history.bytesRepeated == 2)
    #expect(history.bytesAcknowledged == 3)
    #expect(history.bytesNotSent == 4)
    #expect(history.sinceSent == .milliseconds(5))
    #expect(history.sinceReceived == .milliseconds(6))
  }

  @Test func `may have an IPv6 address`() throws {
    var row = Wire.Row()
    row.isIPv6 = true
    row.source = [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [1]
    row.destination = [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 10, 0, 0, 1]
    let socket = try #require(parsed(row))
    #expect(socket.local == Endpoint(isIPv6: true, high: 0x2001_0db8_0000_0000, low: 1, port: 8080))
    #expect(socket.remote.ipv4 == 0x0a00_0001)
  }

  @Test func `has no history where an old kernel's is too short, and no cgroup without one`() throws {
    for size in [0, 8, 104, 136, 192, 215] {
      var row = Wire.Row()
      row.attributes = Wire.info(sent: 1, size: size)
      let socket = try #require(parsed(row))
      #expect(socket.history == nil)
      #expect(socket.cgroup == nil)
    }
    var row = Wire.Row()
    row.attributes = Wire.info(sent: 1, repeated: 7, size: 216)
    #expect(parsed(row)?.history?.bytesRepeated == 7)
    row.attributes = Wire.attribute(21, [1, 2, 3, 4])
    #expect(parsed(row)?.cgroup == nil)
  }

  @Test func `is none where it is too short, or in a state that there is not`() {
    let payload = Wire.Row().payload
    #expect(payload.count == 72)
    for count in 0..<72 {
      #expect(payload[..<count].withUnsafeBytes { TCPSocket(inetDiagnostic: $0) } == nil)
    }
    for state in UInt8.min...UInt8.max {
      var row = Wire.Row()
      row.state = state
      #expect((parsed(row) != nil) == (1...12).contains(state))
    }
  }

  @Test func `is none of another family`() {
    for family in UInt8.min...UInt8.max {
      var payload = Wire.Row().payload
      payload[0] = family
      #expect(
        (payload.withUnsafeBytes { TCPSocket(inetDiagnostic: $0) } != nil) == (family == 2 || family == 10))
    }
  }

  @Test func `says of a listener whether it takes IPv4 too, where the kernel does`() {
    var row = Wire.Row()
    row.isIPv6 = true
    row.state = 10
    #expect(parsed(row)?.isIPv6Only == .some(nil))
    for only in [false, true] {
      row.attributes = Wire.attribute(11, [only ? 1 : 0])
      #expect(parsed(row)?.isIPv6Only == only)
    }
    row.attributes = Wire.attribute(11, [])
    #expect(parsed(row)?.isIPv6Only == .some(nil))
  }

  @Test func `is none where an attribute's length lies`() {
    for length: UInt16 in [0, 1, 2, 3, 13, 64, .max] {
      var row = Wire.Row()
      row.attributes = Wire.attribute(21, length: length, Wire.bytes(5 as UInt64))
      #expect(parsed(row) == nil, "\(length)")
    }
    // Fewer than four bytes at the end are padding.
    for count in 0..<4 {
      var row = Wire.Row()
      row.attributes = [UInt8](repeating: 0, count: count)
      #expect(parsed(row) != nil)
    }
  }
}

@Suite struct `A dump's reply` {
  @Test func `gives its rows in order, over as many datagrams as it takes`() throws {
    var second = Wire.Row()
    second.sourcePort = 8081
    var third = Wire.Row()
    third.sourcePort = 8082
    let all = try reply(
      Wire.Row().message + second.message, Wire.message(Wire.getSocket, third.payload), end)
    #expect(all.rows.sockets.map { $0.local.port } == [8080, 8081, 8082])
    #expect(all.reply.isComplete)
    #expect(!all.reply.wasInterrupted)
  }

  @Test func `is not complete before its end`() throws {
    #expect(try !reply(Wire.Row().message).reply.isComplete)
  }

  @Test func `ends with DONE, with a number or without`() throws {
    #expect(try reply(end).reply.isComplete)
    #expect(try reply(Wire.message(Wire.done, [])).reply.isComplete)
    #expect(try reply(Wire.Row().message + Wire.message(Wire.done, [0, 0])).reply.isComplete)
  }

  @Test func `skips what it does not know`() throws {
    let all = try reply(Wire.message(Wire.noop, []) + Wire.message(99, [1, 2, 3]) + Wire.Row().message + end)
    #expect(all.rows.sockets.count == 1)
    #expect(all.reply.isComplete)
  }

  @Test func `throws the kernel's error`() {
    #expect(refusal(Wire.message(Wire.error, Wire.bytes(-1 as Int32))) == .notPermitted)
    #expect(refusal(Wire.message(Wire.error, Wire.bytes(-2 as Int32) + end)) == .noSuchFile)
    #expect(refusal(Wire.message(Wire.done, Wire.bytes(-105 as Int32))) == .noBufferSpace)
    #expect(
      refusal(Wire.Row().message + Wire.message(Wire.error, Wire.bytes(-13 as Int32))) == .permissionDenied)
  }

  @Test func `takes no number that cannot be one for an error`() {
    // Its negative does not exist.
    #expect(refusal(Wire.message(Wire.error, Wire.bytes(Int32.min))) == .protocolError)
    #expect(refusal(Wire.message(Wire.done, Wire.bytes(Int32.min))) == .protocolError)
    #expect(refusal(Wire.message(Wire.error, Wire.bytes(Int32.max))) == Errno(.max))
    #expect(refusal(Wire.message(Wire.error, [])) == .protocolError)
    #expect(refusal(Wire.message(Wire.error, [1, 2, 3])) == .protocolError)
    #expect(refusal(Wire.message(Wire.error, Wire.bytes(0 as Int32))) == nil)
  }

  @Test func `knows that it was interrupted, by any of its messages`() throws {
    let row = Wire.message(Wire.byFamily, flags: Wire.multi | Wire.interrupted, Wire.Row().payload)
    #expect(try reply(row + Wire.Row().message, end).reply.wasInterrupted)
    #expect(
      try reply(Wire.message(Wire.done, flags: Wire.interrupted, Wire.bytes(0 as Int32))).reply.wasInterrupted
    )
  }

  @Test func `is refused where a length lies`() {
    for length: UInt32 in [0, 1, 15, 1000, 1 << 31, .max] {
      #expect(refusal(Wire.message(Wire.byFamily, length: length, Wire.Row().payload)) == .protocolError)
      #expect(refusal(Wire.message(Wire.noop, length: length, [])) == .protocolError)
    }
    // A row shorter than it must be.
    #expect(refusal(Wire.message(Wire.byFamily, length: 16 + 71, Wire.Row().payload)) == .protocolError)
    #expect(refusal([]) == .protocolError)
  }

  @Test func `cut at any byte is refused or waited for, never taken for whole`() {
    var row = Wire.Row()
    row.attributes = Wire.info(sent: 5) + Wire.cgroup(9)
    let whole = row.message + row.message + end
    for count in 1..<whole.count {
      var state = DumpReply(to: 1)
      let rows = Rows()
      do throws(Errno) {
        try take(Array(whole[..<count]), &state, rows)
        #expect(count % row.message.count == 0)
      } catch {
        #expect(error == .protocolError)
      }
      #expect(!state.isComplete)
      #expect(rows.sockets.count <= count / row.message.count)
    }
  }

  @Test func `of random bytes never traps`() {
    var row = Wire.Row()
    row.attributes = Wire.info(sent: 5) + Wire.cgroup(9) + Wire.attribute(8, [1])
    let whole = row.message + Wire.message(Wire.noop, []) + row.message + end
    for round in 0..<20_000 {
      var bytes: [UInt8]
      if round % 2 == 0 {
        bytes = whole
        for _ in 0..<Int.random(in: 1...8) {
          bytes[Int.random(in: 0..<bytes.count)] =
            [0, 1, 0x7f, 0x80, 0xff, .random(in: 0...255)].randomElement() ?? 0
        }
      } else {
        bytes = (0..<Int.random(in: 0...200)).map { _ in UInt8.random(in: 0...255) }
      }
      _ = refusal(bytes)
      _ = bytes.withUnsafeBytes { DeathNotices.read($0) }
      _ = bytes.withUnsafeBytes { TCPSocket(inetDiagnostic: $0) }
    }
  }
}

@Suite struct `A dump` {
  /// Lets the test be the kernel: its datagrams are there before they are asked for.
  private func dump(_ datagrams: [[UInt8]]) throws -> (rows: Rows, requests: Int, error: Errno?) {
    var ends: [Int32] = [0, 0]
    // Type 5 is SOCK_SEQPACKET: datagrams in order, and an end.
    try #require(socketpair(AF_UNIX, 5, 0, &ends) == 0)
    for datagram in datagrams { try #require(send(ends[1], datagram, datagram.count, 0) == datagram.count) }
    shutdown(ends[1], Int32(SHUT_WR))
    var diagnostics = SocketDiagnostics(FileDescriptor(ends[0]))
    let rows = Rows()
    var failure: Errno?
    do throws(Errno) {
      try diagnostics.dump(SocketQuery(states: .open, ports: [8080]), into: rows)
    } catch {
      failure = error
    }
    diagnostics.close()
    var requests = 0
    var buffer = [UInt8](repeating: 0, count: 4096)
    while recv(ends[1], &buffer, buffer.count, 0) > 0 { requests += 1 }
    close(ends[1])
    return (rows, requests, failure)
  }

  @Test func `that the table changed under is taken again from the start`() throws {
    let row = Wire.Row().message
    let second = Wire.message(Wire.byFamily, sequence: 2, Wire.Row().payload)
    let secondEnd = Wire.message(Wire.done, sequence: 2, Wire.bytes(0 as Int32))
    let interrupted = Wire.message(Wire.done, flags: Wire.interrupted, Wire.bytes(0 as Int32))
    let result = try dump([row + row, interrupted, second, secondEnd])
    #expect(result.error == nil)
    #expect(result.requests == 2)
    #expect(result.rows.restarts == 1)
    #expect(result.rows.sockets.count == 1)
  }

  @Test func `is given up after three more tries, with no rows left`() throws {
    let replies = (1...4).map { (sequence: UInt32) in
      Wire.message(Wire.byFamily, sequence: sequence, Wire.Row().payload)
        + Wire.message(Wire.done, flags: Wire.interrupted, sequence: sequence, Wire.bytes(0 as Int32))
    }
    let result = try dump(replies)
    #expect(result.error == .wouldBlock)
    #expect(result.requests == 4)
    #expect(result.rows.sockets.isEmpty)
  }

  @Test func `counts nothing that answers another request`() throws {
    let row = Wire.Row().message
    let others = Wire.message(Wire.byFamily, sequence: 7, Wire.Row().payload)
    let othersEnd = Wire.message(Wire.done, sequence: 7, Wire.bytes(0 as Int32))
    let othersError = Wire.message(Wire.error, sequence: 0, Wire.bytes(-1 as Int32))
    let result = try dump([others + row + othersEnd, othersError, row + others, end])
    #expect(result.error == nil)
    #expect(result.rows.sockets.count == 2)
  }

  @Test func `that breaks off is an error`() throws {
    #expect(try dump([Wire.Row().message]).error == .protocolError)
    #expect(try dump([Wire.Row().message + [1, 2, 3]]).error == .protocolError)
    #expect(try dump([Wire.message(Wire.error, Wire.bytes(-1 as Int32))]).error == .notPermitted)
  }

  @Test func `that is larger than the buffer is an error, never a part of it`() throws {
    let row = Wire.Row().message
    let large = [[UInt8]](repeating: row, count: 33 * 1024 / row.count).flatMap { $0 }
    #expect(large.count > 32 * 1024)
    #expect(try dump([large, end]).error == .protocolError)
  }
}

@Suite struct `The kernel's filter for ports` {
  /// What the kernel does with it, net/ipv4/inet_diag.c inet_diag_bc_run().
  private func accepts(_ program: [UInt8], _ port: UInt16) -> Bool? {
    var left = program.count
    while left > 0 {
      let place = program.count - left
      guard left >= 4 else { return nil }
      let (code, yes) = (program[place], Int(program[place + 1]))
      let no = Int(program[place + 2]) | Int(program[place + 3]) << 8
      var holds = true
      switch code {
      case 1: holds = false
      case 11:
        guard left >= 8 else { return nil }
        holds = UInt16(program[place + 6]) | UInt16(program[place + 7]) << 8 == port
      default: return nil
      }
      left -= holds ? yes : no
    }
    return left == 0
  }

  /// What the kernel checks before, inet_diag_bc_audit().
  private func isValid(_ program: [UInt8]) -> Bool {
    func operation(_ place: Int) -> (code: UInt8, yes: Int, no: Int) {
      (program[place], Int(program[place + 1]), Int(program[place + 2]) | Int(program[place + 3]) << 8)
    }
    func isReached(_ wanted: Int) -> Bool {
      var place = 0
      while place < wanted {
        let yes = operation(place).yes
        if yes < 4 || yes & 3 != 0 { return false }
        place += yes
      }
      return place == wanted
    }
    var place = 0
    while place < program.count {
      let (code, yes, no) = operation(place)
      let left = program.count - place
      let least = code == 11 ? 8 : 4
      if code != 1 && code != 11 || left < least { return false }
      if no < least || no > left + 4 || no & 3 != 0 { return false }
      if no < left && !isReached(place + no) { return false }
      if yes < least || yes > left + 4 || yes & 3 != 0 { return false }
      place += yes
    }
    return place == program.count
  }

  @Test func `is the one that was tried for three ports`() {
    let hexadecimal = SocketDiagnostics.portProgram([5001, 5002, 5004]).map { byte in
      String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
    }
    #expect(hexadecimal.joined() == "0b080c0000008913010418000b080c0000008a1301040c000b080c0000008c13")
    #expect(SocketDiagnostics.portProgram([]).isEmpty)
  }

  @Test func `accepts the ports that it was made for, and no other`() {
    for round in 0..<300 {
      let count = round < 66 ? round : Int.random(in: 1...64)
      let ports = (0..<count).map { _ in UInt16.random(in: 1...65535) }
      let program = SocketDiagnostics.portProgram(ports)
      #expect(isValid(program))
      if ports.isEmpty { continue }
      for port in ports { #expect(accepts(program, port) == true) }
      for _ in 0..<20 {
        let other = UInt16.random(in: 0...65535)
        #expect(accepts(program, other) == ports.contains(other))
      }
    }
  }

  @Test func `goes into a request whose lengths add up`() {
    for ports in [[], [80], [80, 443, 8080]] as [[UInt16]] {
      let request = SocketDiagnostics.request(
        SocketQuery(states: .open, ports: ports, wantsHistory: true), sequence: 0x0102_0304)
      #expect(Array(request[..<4]) == Wire.bytes(UInt32(request.count)))
      #expect(Array(request[4..<6]) == Wire.bytes(18 as UInt16))
      #expect(Array(request[6..<8]) == Wire.bytes(0x301 as UInt16))
      // struct inet_diag_req: family, source length, destination length, extensions, id of 48, states, dump bits.
      #expect(request[16 + 3] == 2)
      #expect(Array(request[68..<72]) == Wire.bytes((1 << 1 | 1 << 8) as UInt32))
      #expect(Array(request[8..<12]) == [4, 3, 2, 1])
      // One port is in the id, which costs the kernel less than a program.
      #expect(Array(request[20..<22]) == (ports == [80] ? [0, 80] : [0, 0]))
      #expect(request.count == 16 + 60 + (ports.count < 2 ? 0 : 4 + 12 * ports.count - 4))
      if ports.count > 1 {
        #expect(Array(request[76..<78]) == Wire.bytes(UInt16(12 * ports.count)))
        #expect(Array(request[78..<80]) == Wire.bytes(1 as UInt16))
      }
    }
  }
}
