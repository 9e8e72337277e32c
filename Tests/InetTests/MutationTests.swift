import Glibc
import Linux
import Testing

@testable import Inet

/// Replies and lines that were true once, mutated by chance (the same chance in every run): what is taken for a row
/// is what its bytes say to a second reader, written for these tests alone, that knows nothing of the first; and
/// what that one cannot read is refused. So no wrong count is taken for a right one, and nothing traps.
@Suite struct `A mutated table` {
  // MARK: - Netlink

  @Test func `over netlink is refused, or says what a second reader reads`() throws {
    var chance = Chance(state: 20_240_601)
    var taken = 0
    var refused = 0
    for round in 0..<20_000 {
      var datagrams = Self.reply(&chance)
      for _ in 0..<chance.below(4) { Self.mutate(&datagrams, &chance) }
      let expected = Reader.read(datagrams)
      var reply = DumpReply(to: 1)
      let rows = Rows()
      let census = PortCensus(port: 8080)
      var second = DumpReply(to: 1)
      let summary = SocketSummary(SocketFilter(), listeners: [])
      var third = DumpReply(to: 1)
      var isRefused = false
      do throws(Errno) {
        for datagram in datagrams where !reply.isComplete {
          try Self.take(datagram, &reply, rows)
          try Self.take(datagram, &second, census)
          try Self.take(datagram, &third, summary)
        }
      } catch {
        isRefused = true
      }
      guard let expected else {
        refused += 1
        if !isRefused { Issue.record("round \(round): taken, \(datagrams)") }
        continue
      }
      // Who sums them up as they stream by comes to the same.
      var (all, atPort) = ([Int](repeating: 0, count: 13), [Int](repeating: 0, count: 13))
      for row in expected.rows {
        all[Int(row.state)] += 1
        if row.localPort == 8080 { atPort[Int(row.state)] += 1 }
      }
      let states = TCPState.all.filter { $0 != .synReceived }
      let isSame =
        !isRefused && reply.isComplete == expected.isComplete
        && reply.wasInterrupted == expected.wasInterrupted
        && rows.sockets.map { Fields($0) } == expected.rows && summary.all.total == expected.rows.count
        && states.allSatisfy {
          summary.all.count($0) == all[Int($0.rawValue)] && census.count($0) == atPort[Int($0.rawValue)]
        }
      if !isSame { Issue.record("round \(round): \(datagrams)") }
      taken += 1
    }
    // Both come often, or this shows little.
    #expect(taken > 3000 && refused > 3000, "\(taken) taken, \(refused) refused")
  }

  private static func take(
    _ datagram: [UInt8], _ reply: inout DumpReply, _ collector: SocketCollector
  ) throws(Errno) {
    try datagram.withUnsafeBufferPointer { (bytes) throws(Errno) in
      try reply.take(UnsafeRawBufferPointer(bytes), into: collector)
    }
  }

  /// A reply of some rows in some datagrams, and its end.
  private static func reply(_ chance: inout Chance) -> [[UInt8]] {
    var datagrams: [[UInt8]] = [[]]
    for _ in 0..<(1 + chance.below(3)) {
      var row = Wire.Row()
      row.isIPv6 = chance.below(2) == 0
      row.state = UInt8(1 + chance.below(12))
      row.sourcePort = chance.below(2) == 0 ? 8080 : UInt16(chance.below(65536))
      row.inode = chance.below(3) == 0 ? 0 : UInt32(truncatingIfNeeded: chance.next())
      row.expires = UInt32(chance.below(60_000))
      row.receiveQueue = UInt32(chance.below(1000))
      row.sendQueue = UInt32(chance.below(1000))
      row.cookie = chance.next()
      row.interface = UInt32(chance.below(3))
      if chance.below(2) == 0 { row.attributes += Wire.attribute(11, [UInt8(chance.below(2))]) }
      if chance.below(2) == 0 { row.attributes += Wire.cgroup(chance.next()) }
      if chance.below(4) == 0 {
        row.attributes += Wire.info(received: chance.next(), sent: 5, sinceSent: 6, sinceAcknowledged: 7)
      }
      datagrams[datagrams.count - 1] += row.message
      if chance.below(2) == 0 { datagrams.append([]) }
    }
    datagrams[datagrams.count - 1] += Wire.message(Wire.done, Wire.bytes(0 as Int32))
    return datagrams
  }

  /// Does one thing to it that a broken or hostile kernel could.
  private static func mutate(_ datagrams: inout [[UInt8]], _ chance: inout Chance) {
    guard !datagrams.isEmpty else { return }
    let index = chance.below(datagrams.count)
    let count = datagrams[index].count
    switch chance.below(11) {
    case 0 where count > 0: datagrams[index][chance.below(count)] = UInt8(truncatingIfNeeded: chance.next())
    case 1 where count > 0: datagrams[index][chance.below(count)] ^= 1 << UInt8(chance.below(8))
    // A byte of a header, where the lengths are.
    case 2 where count > 20:
      datagrams[index][chance.below(20)] = [0, 1, 4, 16, 72, 0x7f, 0xff][chance.below(7)]
    case 3: datagrams[index].removeLast(chance.below(count + 1))
    case 4:
      for _ in 0..<chance.below(40) { datagrams[index].append(UInt8(truncatingIfNeeded: chance.next())) }
    case 5: datagrams.swapAt(index, chance.below(datagrams.count))
    case 6: datagrams.insert(datagrams[index], at: chance.below(datagrams.count + 1))
    case 7: datagrams.remove(at: index)
    // Another request's answer, in the middle of this one's.
    case 8:
      let row = Wire.message(Wire.byFamily, sequence: UInt32(chance.below(3)), Wire.Row().payload)
      let end = Wire.message(Wire.done, sequence: UInt32(chance.below(3)), [])
      datagrams.insert(chance.below(2) == 0 ? row : end, at: chance.below(datagrams.count + 1))
    case 9:
      datagrams.insert(
        Wire.message(Wire.error, Wire.bytes(Int32(truncatingIfNeeded: chance.next()) % 3)),
        at: chance.below(datagrams.count + 1))
    case 10:
      let message = Wire.message(
        [Wire.noop, 99, Wire.getSocket][chance.below(3)], flags: chance.below(2) == 0 ? 0x10 : 2,
        Wire.Row().payload)
      datagrams[index] = message + datagrams[index]
    default: break
    }
  }

  // MARK: - /proc

  @Test func `in proc is refused, or says what a second reader reads`() throws {
    var chance = Chance(state: 20_240_602)
    var name = Array("/tmp/ebb-mutations-XXXXXX".utf8CString)
    let file = mkstemp(&name)
    try #require(file >= 0)
    defer {
      close(file)
      unlink(name)
    }
    var taken = 0
    var refused = 0
    var lines = 0
    for round in 0..<3000 {
      var text = Array("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n".utf8)
      for _ in 0..<(3 + chance.below(6)) {
        text += Self.line(&chance)
        lines += 1
      }
      let head = 68
      for _ in 0..<chance.below(3) where text.count > head {
        let place = head + chance.below(text.count - head)
        let letters = Array("0123456789ABCDEFabcdef: -+x\n\u{0}".utf8)
        switch chance.below(8) {
        case 0, 1: text[place] = letters[chance.below(letters.count)]
        case 2: text.remove(at: place)
        case 3: text.insert(letters[chance.below(letters.count)], at: place)
        case 4: text[place] = UInt8(truncatingIfNeeded: chance.next())
        case 5: text.removeLast(chance.below(text.count - head))
        // A piece of one line in another.
        case 6:
          text.insert(
            contentsOf: text[place...].prefix(chance.below(100)), at: head + chance.below(place - head + 1))
        default:
          if chance.below(20) == 0 {
            text.insert(contentsOf: [UInt8](repeating: UInt8(ascii: " "), count: 66_000), at: place)
          }
        }
      }
      try #require(ftruncate(file, 0) == 0 && pwrite(file, text, text.count, 0) == text.count)
      let expected = Reader.read(proc: text)
      let rows = Rows()
      var isRefused = false
      do throws(Errno) {
        try name.withUnsafeBufferPointer { (name) throws(Errno) in
          guard let base = name.baseAddress else { throw .protocolError }
          try ProcNetTCP.read(CString(base), SocketQuery(states: .all), into: rows)
        }
      } catch {
        isRefused = true
      }
      guard let expected else {
        refused += 1
        if !isRefused { Issue.record("round \(round): taken") }
        continue
      }
      if isRefused || rows.sockets.map({ Fields(proc: $0) }) != expected { Issue.record("round \(round)") }
      taken += 1
    }
    #expect(taken > 500 && refused > 500, "\(taken) taken, \(refused) refused")
    #expect(lines > 15_000)
  }

  private static func line(_ chance: inout Chance) -> [UInt8] {
    func hex(_ digits: Int, _ number: UInt64) -> String {
      let text = String(number, radix: 16, uppercase: true)
      return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    let width = chance.below(2) == 0 ? 8 : 32
    var ends: [String] = []
    for _ in 0..<2 {
      let address = (0..<(width / 8)).map { _ in hex(8, chance.next() >> 32) }.joined()
      ends.append("\(address):\(hex(4, UInt64(chance.below(65536))))")
    }
    let queues = "\(hex(8, chance.next() >> 40)):\(hex(8, chance.next() >> 40))"
    let timer = "\(hex(2, UInt64(chance.below(5)))):\(hex(8, UInt64(chance.below(6000))))"
    let mode = chance.below(4) == 0 ? "" : "20 4 \(chance.below(64)) 10 -1"
    return Array(
      "   \(chance.below(999)): \(ends[0]) \(ends[1]) \(hex(2, UInt64(1 + chance.below(12)))) \(queues) \(timer) \(hex(8, UInt64(chance.below(9))))  \(chance.below(70_000))        0 \(chance.below(1 << 32)) 1 0000000000000000 \(mode)\n"
        .utf8)
  }
}

/// SplitMix64: the same numbers in every run.
private struct Chance {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

/// Everything that a row says, as numbers.
private struct Fields: Equatable {
  var state: UInt8
  var isIPv6: Bool
  var localPort: UInt16
  var remotePort: UInt16
  var addresses: [UInt64]
  var cookie: UInt64 = 0
  var numbers: [UInt64]
  var cgroup: UInt64?
  var isIPv6Only: Bool?
  var history: [UInt64]?
  var isPingpong: Bool?

  init(_ socket: TCPSocket) {
    self.init(proc: socket)
    cookie = socket.cookie
    numbers.append(UInt64(socket.interface))
    cgroup = socket.cgroup
    isIPv6Only = socket.isIPv6Only
    history = socket.history.map {
      [
        $0.bytesReceived, $0.bytesSent, $0.bytesRepeated, $0.bytesAcknowledged, UInt64($0.bytesNotSent),
        Fields.milliseconds($0.sinceReceived), Fields.milliseconds($0.sinceSent),
        Fields.milliseconds($0.sinceAcknowledged), UInt64($0.segmentsSent), UInt64($0.dataSegmentsReceived),
        UInt64($0.dataSegmentsSent),
      ]
    }
  }

  /// What a line of /proc tells.
  init(proc socket: TCPSocket) {
    state = socket.state.rawValue
    isIPv6 = socket.local.isIPv6
    localPort = socket.local.port
    remotePort = socket.remote.port
    addresses = [socket.local.high, socket.local.low, socket.remote.high, socket.remote.low]
    numbers = [
      UInt64(socket.timer), UInt64(socket.retransmissions), Fields.milliseconds(socket.expires),
      UInt64(socket.receiveQueue), UInt64(socket.sendQueue), UInt64(socket.user), socket.inode,
    ]
    isPingpong = socket.isPingpong
  }

  init(
    state: UInt8, isIPv6: Bool, localPort: UInt16, remotePort: UInt16, addresses: [UInt64], numbers: [UInt64]
  ) {
    (self.state, self.isIPv6, self.localPort, self.remotePort) = (state, isIPv6, localPort, remotePort)
    (self.addresses, self.numbers) = (addresses, numbers)
  }

  private static func milliseconds(_ duration: Duration) -> UInt64 {
    UInt64(bitPattern: duration.inMilliseconds)
  }
}

/// The second reader.
private enum Reader {
  typealias Reply = (rows: [Fields], isComplete: Bool, wasInterrupted: Bool)

  private static func number(_ bytes: [UInt8], _ at: Int, _ count: Int) -> UInt64 {
    var value: UInt64 = 0
    for offset in (0..<count).reversed() { value = value << 8 | UInt64(bytes[at + offset]) }
    return value
  }

  private static func network(_ bytes: [UInt8], _ at: Int, _ count: Int) -> UInt64 {
    var value: UInt64 = 0
    for offset in 0..<count { value = value << 8 | UInt64(bytes[at + offset]) }
    return value
  }

  /// The reply to the first request; nil where something in it cannot be, or it is an error.
  static func read(_ datagrams: [[UInt8]]) -> Reply? {
    var reply: Reply = ([], false, false)
    for datagram in datagrams {
      if reply.isComplete { break }
      if datagram.isEmpty { return nil }
      var at = 0
      while at < datagram.count {
        if datagram.count - at < 16 { return nil }
        let length = number(datagram, at, 4)
        if length < 16 || length > UInt64(datagram.count - at) { return nil }
        let (type, flags) = (number(datagram, at + 4, 2), number(datagram, at + 6, 2))
        let payload = Array(datagram[(at + 16)..<(at + Int(length))])
        let answers = number(datagram, at + 8, 4)
        at += (Int(length) + 3) / 4 * 4
        if answers != 1 { continue }
        if flags & 0x10 != 0 { reply.wasInterrupted = true }
        if type == 2 && (payload.count < 4 || number(payload, 0, 4) != 0) { return nil }
        if type == 3 && payload.count >= 4 && number(payload, 0, 4) != 0 { return nil }
        if type == 2 || type == 3 {
          reply.isComplete = true
          break
        }
        if type == 18 || type == 20 {
          guard let row = row(payload) else { return nil }
          reply.rows.append(row)
        }
      }
    }
    return reply
  }

  private static func row(_ bytes: [UInt8]) -> Fields? {
    guard bytes.count >= 72, bytes[0] == 2 || bytes[0] == 10, (1...12).contains(bytes[1]) else { return nil }
    let isIPv6 = bytes[0] == 10
    let addresses =
      isIPv6
      ? [network(bytes, 8, 8), network(bytes, 16, 8), network(bytes, 24, 8), network(bytes, 32, 8)]
      : [0, network(bytes, 8, 4), 0, network(bytes, 24, 4)]
    var fields = Fields(
      state: bytes[1], isIPv6: isIPv6, localPort: UInt16(network(bytes, 4, 2)),
      remotePort: UInt16(network(bytes, 6, 2)), addresses: addresses,
      numbers: [UInt64(bytes[2]), UInt64(bytes[3])] + [52, 56, 60, 64, 68, 40].map { number(bytes, $0, 4) })
    fields.cookie = number(bytes, 44, 8)
    var at = 72
    while bytes.count - at >= 4 {
      let length = Int(number(bytes, at, 2))
      if length < 4 || length > bytes.count - at { return nil }
      let value = at + 4
      let count = length - 4
      switch number(bytes, at + 2, 2) {
      case 2:
        fields.history =
          count < 216
          ? nil
          : [128, 200, 208, 120].map { number(bytes, value + $0, 8) }
            + [144, 52, 44, 56, 136, 152, 156].map { number(bytes, value + $0, 4) }
      case 11: fields.isIPv6Only = count > 0 ? bytes[value] != 0 : nil
      case 21 where count >= 8: fields.cgroup = number(bytes, value, 8)
      default: break
      }
      at += (length + 3) / 4 * 4
    }
    return fields
  }

  /// The rows of a file like /proc/net/tcp; nil where a line makes no sense, or is too long to be one.
  static func read(proc text: [UInt8]) -> [Fields]? {
    var rows: [Fields] = []
    var lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    for line in lines.dropFirst() {
      guard line.count < 65_536, let row = row(proc: line) else { return nil }
      rows.append(row)
    }
    return rows
  }

  private static func digits(_ bytes: ArraySlice<UInt8>, radix: Int, atMost count: Int) -> UInt64? {
    let text = String(decoding: bytes, as: UTF8.self)
    guard bytes.count <= count, text.utf8.allSatisfy({ $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "+") })
    else { return nil }
    return UInt64(text, radix: radix)
  }

  private static func pair(_ field: ArraySlice<UInt8>) -> (ArraySlice<UInt8>, ArraySlice<UInt8>)? {
    guard let colon = field.firstIndex(of: UInt8(ascii: ":")) else { return nil }
    return (field[..<colon], field[(colon + 1)...])
  }

  private static func row(proc line: ArraySlice<UInt8>) -> Fields? {
    let fields = line.split(separator: UInt8(ascii: " "))
    guard fields.count >= 11 else { return nil }
    var ports: [UInt16] = []
    var addresses: [UInt64] = []
    var widths: [Int] = []
    for field in fields[1...2] {
      guard let (address, port) = pair(field), address.count == 8 || address.count == 32,
        let number = digits(port, radix: 16, atMost: 16), let port = UInt16(exactly: number)
      else { return nil }
      ports.append(port)
      widths.append(address.count)
      // Each word is in the machine's order.
      var bytes: [UInt8] = []
      var word = address
      while !word.isEmpty {
        guard let number = digits(word.prefix(8), radix: 16, atMost: 8) else { return nil }
        bytes += (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) }
        word = word.dropFirst(8)
      }
      addresses +=
        bytes.count == 4 ? [0, network(bytes, 0, 4)] : [network(bytes, 0, 8), network(bytes, 8, 8)]
    }
    guard let state = digits(fields[3], radix: 16, atMost: 16), (1...12).contains(state),
      let (sent, received) = pair(fields[4]), let (kind, when) = pair(fields[5]),
      let sendQueue = digits(sent, radix: 16, atMost: 16), sendQueue <= 0xffff_ffff,
      let receiveQueue = digits(received, radix: 16, atMost: 16), receiveQueue <= 0xffff_ffff,
      let timer = digits(kind, radix: 16, atMost: 16), timer <= 0xff,
      let ticks = digits(when, radix: 16, atMost: 16),
      let retransmissions = digits(fields[6], radix: 16, atMost: 16),
      let user = digits(fields[7], radix: 10, atMost: 18), user <= 0xffff_ffff,
      let inode = digits(fields[9], radix: 10, atMost: 18)
    else { return nil }
    var row = Fields(
      state: UInt8(state), isIPv6: widths[0] == 32, localPort: ports[0], remotePort: ports[1],
      addresses: addresses,
      numbers: [
        timer, min(retransmissions, 255), min(ticks, 1 << 32) * 10, receiveQueue, sendQueue, user, inode,
      ])
    // Behind the references, the pointer and two times; a TIME_WAIT has none of those.
    // Without a blank behind it, its last digit may be missing.
    if fields.count > 14, fields.count > 15 || line.last == UInt8(ascii: " ") {
      row.isPingpong = digits(fields[14], radix: 10, atMost: 18).map { $0 % 2 == 1 }
    }
    return row
  }
}
