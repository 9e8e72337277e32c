import Linux
import Testing

@testable import Inet

private func parsed(_ line: String) -> TCPSocket? {
  Array(line.utf8).withUnsafeBytes { TCPSocket(procLine: $0) }
}

private let listener =
  "   0: 00000000:07E8 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 1576 1 000000002fc92a53 100 0 0 10 0                      "
private let connection =
  "  15: 0100007F:1F90 0302010A:EB62 01 0000000D:0000000B 01:000000C8 00000005    33        0 4000000000 2 0000000000000000 20 4 30 10 -1"
private let timeWait =
  "   1: 0100007F:1F90 0100007F:EB62 06 00000000:00000000 03:000006F1 00000000     0        0 0 3 000000004a812387                                      "
private let mapped =
  "   0: 0000000000000000FFFF00000100007F:46A0 0000000000000000FFFF00000302010A:CCD0 08 00000000:00000001 00:00000000 00000000  1000        0 88 3 000000006b10b003"
private let global =
  "   2: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9 1 0 100 0 0 10 0"

@Suite struct `A line of proc net tcp` {
  @Test func `says what the kernel said`() throws {
    let listener = try #require(parsed(listener))
    #expect(listener.state == .listen)
    #expect(listener.local == Endpoint(isIPv6: false, high: 0, low: 0, port: 2024))
    #expect(listener.remote.port == 0)
    #expect(listener.receiveQueue == 3)
    #expect(listener.inode == 1576)

    let connection = try #require(parsed(connection))
    #expect(connection.state == .established)
    #expect(connection.local == Endpoint(isIPv6: false, high: 0, low: 0x7f00_0001, port: 8080))
    #expect(connection.remote == Endpoint(isIPv6: false, high: 0, low: 0x0a01_0203, port: 60_258))
    #expect(connection.sendQueue == 13)
    #expect(connection.receiveQueue == 11)
    #expect(connection.timer == 1)
    #expect(connection.expires == .seconds(2))
    #expect(connection.retransmissions == 5)
    #expect(connection.user == 33)
    #expect(connection.inode == 4_000_000_000)
    #expect(connection.history == nil)
    #expect(connection.cgroup == nil)

    let timeWait = try #require(parsed(timeWait))
    #expect(timeWait.state == .timeWait)
    #expect(timeWait.inode == 0)
    #expect(timeWait.expires == .milliseconds(17_770))
  }

  @Test func `says whether the socket is in pingpong mode`() throws {
    // The field holds twice the quick acknowledgements that are left, and the mode.
    for (field, mode) in [
      ("0", false), ("1", true), ("30", false), ("31", true), ("510", false), ("511", true),
    ] {
      let line = connection.replacing("4 30 10", with: "4 \(field) 10")
      #expect(try #require(parsed(line)).isPingpong == mode)
      // And whatever is behind it.
      #expect(try #require(parsed(line.replacing(" 10 -1", with: " "))).isPingpong == mode)
    }
    // A TIME_WAIT has none, nor has a line that ends before, or says there what is no number.
    #expect(try #require(parsed(timeWait)).isPingpong == nil)
    #expect(try #require(parsed(mapped)).isPingpong == nil)
    for end in ["20 4", "20 4 ", "20 4 x", "20 4 -1 10", "20 4 1234567890123456789 10"] {
      #expect(
        try #require(parsed(connection.replacing("20 4 30 10 -1", with: end))).isPingpong == nil, "\(end)")
    }
  }

  @Test func `that was cut tells no other mode than the whole one`() throws {
    let whole = connection.replacing("4 30 10", with: "4 31 10")
    let bytes = Array(whole.utf8)
    for end in 0..<bytes.count {
      guard let cut = bytes[..<end].withUnsafeBytes({ TCPSocket(procLine: $0) }) else { continue }
      #expect(cut.isPingpong == nil || cut.isPingpong == true, "\(end)")
    }
  }

  @Test func `is of the connection that netlink shows with the same ends`() throws {
    let line = try #require(parsed(connection))
    var wire = Wire.Row()
    (wire.sourcePort, wire.destinationPort) = (0x1f90, 0xeb62)
    var socket = try #require(wire.payload.withUnsafeBytes { TCPSocket(inetDiagnostic: $0) })
    #expect(socket.endsHash == line.cookie)
    #expect(socket.cookie != line.cookie)
    socket.remote.port += 1
    #expect(socket.endsHash != line.cookie)
  }

  @Test func `may have an IPv6 address`() throws {
    let mapped = try #require(parsed(mapped))
    #expect(mapped.local.isIPv6)
    #expect(mapped.local.ipv4 == 0x7f00_0001)
    #expect(mapped.remote.ipv4 == 0x0a01_0203)
    #expect(mapped.peerHasClosed)
    #expect(mapped.unread == 0)
    let global = try #require(parsed(global))
    #expect(global.local == Endpoint(isIPv6: true, high: 0x2001_0db8_0000_0000, low: 1, port: 80))
  }

  @Test func `tells connections apart by both of their ends`() throws {
    let one = try #require(parsed(connection))
    let same = try #require(parsed(connection))
    let other = try #require(parsed(timeWait))
    #expect(one.cookie == same.cookie)
    #expect(one.cookie != other.cookie)
  }

  @Test(arguments: [
    "", " ",
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "0: 0100007F:1F90 0100007F:EB62 06 00000000:00000000 03:000006F1 00000000 0 0",
    "0: 0100007F 0100007F:EB62 06 00000000:00000000 03:000006F1 00000000 0 0 0 3",
    "0: 0100007F:11F90 0100007F:EB62 06 00000000:00000000 03:000006F1 00000000 0 0 0 3",
    "0: 100007F:1F90 0100007F:EB62 06 00000000:00000000 03:000006F1 00000000 0 0 0 3",
    "0: 00100007F:1F90 0100007F:EB62 06 00000000:00000000 03:000006F1 00000000 0 0 0 3",
    "0: 0100007G:1F90 0100007F:EB62 06 00000000:00000000 03:000006F1 00000000 0 0 0 3",
    "0: 0100007F:1F90 0100007F: 06 00000000:00000000 03:000006F1 00000000 0 0 0 3",
    "0: 0100007F:1F90 0100007F:EB62 00 00000000:00000000 03:000006F1 00000000 0 0 0 3",
    "0: 0100007F:1F90 0100007F:EB62 0D 00000000:00000000 03:000006F1 00000000 0 0 0 3",
    "0: 0100007F:1F90 0100007F:EB62 106 00000000:00000000 03:000006F1 00000000 0 0 0 3",
    "0: 0100007F:1F90 0100007F:EB62 06 00000000 03:000006F1 00000000 0 0 0 3",
    "0: 0100007F:1F90 0100007F:EB62 06 00000000:00000000 03 00000000 0 0 0 3",
    "0: 0100007F:1F90 0100007F:EB62 06 00000000:00000000 03:000006F1 x 0 0 0 3",
    "0: 0100007F:1F90 0100007F:EB62 06 00000000:00000000 03:000006F1 00000000 -1 0 0 3",
    // Larger than what it tells of can be: not to be taken for the rest of it.
    "0: 0100007F:1F90 0100007F:EB62 06 100000000:00000000 03:000006F1 00000000 0 0 0 3",
    "0: 0100007F:1F90 0100007F:EB62 06 00000000:100000000 03:000006F1 00000000 0 0 0 3",
    "0: 0100007F:1F90 0100007F:EB62 06 00000000:00000000 103:000006F1 00000000 0 0 0 3",
    "0: 0100007F:1F90 0100007F:EB62 06 00000000:00000000 03:000006F1 00000000 4294967296 0 0 3",
    "0: 0100007F:1F90 0100007F:EB62 06 00000000:00000000 03:000006F1 00000000 0 0 99999999999999999999 3",
  ])
  func `is none where it makes no sense`(line: String) {
    #expect(parsed(line) == nil)
  }

  @Test func `that was cut is none, or says the same`() {
    for line in [listener, connection, timeWait, mapped, global] {
      let whole = parsed(line)
      let bytes = Array(line.utf8)
      for end in 0..<bytes.count {
        guard let cut = bytes[..<end].withUnsafeBytes({ TCPSocket(procLine: $0) }) else { continue }
        #expect(cut.inode == whole?.inode)
        #expect(cut.user == whole?.user)
      }
    }
  }

  @Test func `never traps, however it is mutilated`() {
    let letters = Array("0123456789ABCDEFabcdef: -xF\u{0}".utf8)
    for line in [listener, connection, timeWait, mapped, global] {
      let bytes = Array(line.utf8)
      for end in 0..<bytes.count { _ = bytes[..<end].withUnsafeBytes { TCPSocket(procLine: $0) } }
      for _ in 0..<3000 {
        var broken = bytes
        for _ in 0..<Int.random(in: 1...4) {
          let place = Int.random(in: 0..<broken.count)
          switch Int.random(in: 0..<3) {
          case 0: broken[place] = letters.randomElement() ?? 0
          case 1: broken.remove(at: place)
          default: broken.insert(letters.randomElement() ?? 0, at: place)
          }
        }
        _ = broken.withUnsafeBytes { TCPSocket(procLine: $0) }
      }
    }
  }

  @Test func `may hold the largest numbers`() throws {
    let socket = try #require(
      parsed(
        "0: FFFFFFFF:FFFF FFFFFFFF:FFFF 01 FFFFFFFF:FFFFFFFF FF:FFFFFFFFFFFFFFFF FFFFFFFFFFFFFFFF 4294967295 0 999999999999999999 3"
      ))
    #expect(socket.retransmissions == 255)
    #expect(socket.sendQueue == .max)
    #expect(socket.receiveQueue == .max)
    #expect(socket.user == .max)
    #expect(socket.local.port == 65535)
    #expect(socket.expires > .zero)
  }
}

@Suite struct `An address` {
  private func text(_ endpoint: Endpoint) -> String {
    let text: Text = "\(endpoint)"
    return String(decoding: text.bytes, as: UTF8.self)
  }

  @Test(arguments: [
    (0 as UInt64, "0.0.0.0:80"), (0x7f00_0001, "127.0.0.1:80"), (0xffff_ffff, "255.255.255.255:80"),
    (0x0a01_0203, "10.1.2.3:80"),
  ])
  func `of IPv4 is four numbers`(low: UInt64, expected: String) {
    #expect(text(Endpoint(isIPv6: false, high: 0, low: low, port: 80)) == expected)
  }

  /// RFC 5952.
  @Test(arguments: [
    (0 as UInt64, 0 as UInt64, "::"), (0, 1, "::1"), (0x2001_0db8_0000_0000, 1, "2001:db8::1"),
    // 4.2.2: a single zero group stays.
    (0x2001_0db8_0000_0001, 0x0001_0001_0001_0001, "2001:db8:0:1:1:1:1:1"),
    // 4.2.3: the longest run, the first of equals.
    (0x2001_0000_0000_0001, 0x0000_0000_0000_0001, "2001:0:0:1::1"),
    (0x2001_0db8_0000_0000, 0x0001_0000_0000_0001, "2001:db8::1:0:0:1"),
    (0xfe80_0000_0000_0000, 0, "fe80::"), (0, 0x0001_0000_0000_0000, "::1:0:0:0"),
    (0x0001_0002_0003_0004, 0x0005_0006_0007_0008, "1:2:3:4:5:6:7:8"),
    (0x0001_0002_0003_0004, 0x0005_0006_0000_0000, "1:2:3:4:5:6::"),
    (0x0000_0000_0003_0004, 0x0005_0006_0007_0008, "::3:4:5:6:7:8"),
    (0x0000_0002_0003_0004, 0x0005_0006_0007_0008, "0:2:3:4:5:6:7:8"),
    // 4.3: lower case; 4.1: no leading zeros.
    (0xabcd_0ef0_0000_0000, 0x000a, "abcd:ef0::a"),
    // 5: mapped IPv4 in its own notation.
    (0, 0xffff_7f00_0001, "::ffff:127.0.0.1"), (0, 0x7f00_0001, "::7f00:1"),
  ])
  func `of IPv6 is written as RFC 5952 wants it`(high: UInt64, low: UInt64, expected: String) {
    #expect(text(Endpoint(isIPv6: true, high: high, low: low, port: 8080)) == "[\(expected)]:8080")
  }

  @Test func `knows an IPv4 address in IPv6`() {
    #expect(Endpoint(isIPv6: true, high: 0, low: 0xffff_0a00_0001, port: 1).ipv4 == 0x0a00_0001)
    #expect(Endpoint(isIPv6: false, high: 0, low: 0x0a00_0001, port: 1).ipv4 == 0x0a00_0001)
    #expect(Endpoint(isIPv6: true, high: 1, low: 0xffff_0a00_0001, port: 1).ipv4 == nil)
    #expect(Endpoint(isIPv6: true, high: 0, low: 0x0a00_0001, port: 1).ipv4 == nil)
    #expect(Endpoint(isIPv6: true, high: 0, low: 0, port: 1).isUnspecified)
  }
}
