import Inet
import Lifecycle
import Linux

@testable import Supervisor
@testable import ebb

/// The values of options: times, ports, addresses, signals, exit codes, chances, probes, states, command lines.
func fuzzValues(_ input: UnsafeRawBufferPointer) {
  // No word of a command line or a variable holds a NUL.
  let bytes = Array(input.prefix { $0 != 0 })
  let number = decimal(bytes)
  let plain = String(decoding: bytes, as: UTF8.self)
  let digits = !bytes.isEmpty && bytes.count <= 18 && bytes.allSatisfy { (48...57).contains($0) }
  check(number == (digits ? UInt64(plain) : nil), "a decimal number is what it says")
  let isHexadecimal =
    !bytes.isEmpty && bytes.count <= 16
    && bytes.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit && $0 < 128 }
  check(
    hexadecimal(bytes) == (isHexadecimal ? UInt64(plain, radix: 16) : nil),
    "a hexadecimal number is what it says")

  if let time = Duration(written: bytes) {
    check(
      time >= .zero && time <= .seconds(366 * 24 * 3600), "a time is not negative, and no longer than a year")
    var written = Text()
    written.append(time.inMilliseconds)
    written.append("ms")
    check(
      Duration(written: written.bytes) == .milliseconds(time.inMilliseconds),
      "a time that is written again is the same time")
  }

  if let signal = Signal(named: bytes) {
    check((1...64).contains(signal.rawValue), "a signal is one of 64")
    check(Signal(named: decimalText(signal.rawValue)) == signal, "a signal's number names it")
    let name: Text = "\(signal)"
    check(
      signal.rawValue == 32 || signal.rawValue == 33 || Signal(named: name.bytes) == signal,
      "a signal's name, as it is shown, names it")
  }

  if let probe = Probe(bytes) {
    let text: Text = "\(probe)"
    check(isOneLine(text), "a probe is shown on one line")
    switch probe {
    case .tcp(let port): check(port > 0, "a probe's port is above 0")
    case .http(let target):
      let lines = target.request.filter { $0 == UInt8(ascii: "\n") }.count
      check((5...6).contains(lines), "a request has the lines that it is given, and no other")
    case .exec(let words): check(words.first?.isEmpty == false, "a probe's command has a name")
    case .unix(let path): check(path.count < 108, "a socket's path fits in its address")
    case .listen, .alive, .notify: break
    }
    // What is shown of it is that probe again, where nothing in it had to be made safe for a terminal.
    if isOneLine(Text(bytes: bytes)), Probe(text.bytes) != probe {
      switch probe {
      case .exec, .http: break
      default: check(false, "a probe, as it is shown, is that probe")
      }
    }
  }
  if let words = CommandLineWords.split(bytes) {
    check(words.reduce(0) { $0 + $1.count } <= bytes.count, "words are no longer than their line")
    // Quoted, each word is itself.
    var line: [UInt8] = []
    for word in words {
      line += word.reduce(into: [UInt8(ascii: "\"")]) { line, byte in
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { line.append(UInt8(ascii: "\\")) }
        line.append(byte)
      }
      line += Array("\" ".utf8)
    }
    check(CommandLineWords.split(line) == words, "words in quotes are the same words")
  }

  if let range = PeerRange(bytes) {
    let address = Array(bytes.prefix { $0 != UInt8(ascii: "/") }).withCString { Endpoint(address: $0) }
    check(address.map { range.contains($0) } ?? false, "a network holds the address that it was written with")
  }
  if let states = TCPStates(named: bytes) {
    check(states.rawValue & ~TCPStates.all.rawValue == 0, "states are those that the table has")
    check(states.rawValue != 0, "states are some")
  }
  if let address = ListenAddress(bytes) {
    check(address.port > 0, "an address to listen on has a port")
    check(
      address.address.isEmpty != bytes.dropFirst().contains(UInt8(ascii: ":")),
      "only who names no address gets every one")
  }

  bytes.withCString { word in
    if let ports = Values.ports(word) {
      check(ports.tcp.count <= 64 && ports.udp.count <= 64, "ports are 64 of a kind at most")
      check(!ports.tcp.isEmpty || !ports.udp.isEmpty, "ports are some")
      check((ports.tcp + ports.udp).allSatisfy { $0 > 0 }, "a port is above 0")
      check(
        Set(ports.tcp).count == ports.tcp.count && Set(ports.udp).count == ports.udp.count,
        "no port is there twice")
      let again = (ports.tcp.map { "\($0)" } + ports.udp.map { "\($0)/udp" }).joined(separator: ",")
      let second = Array(again.utf8).withCString { Values.ports($0) }
      check(
        second?.tcp == ports.tcp && second?.udp == ports.udp,
        "ports that are written again are the same ports")
    }
    if let ports = Values.servicePorts(word) {
      check(ports.unix.count <= 16, "Unix sockets are 16 at most")
      check(!ports.tcp.isEmpty || !ports.udp.isEmpty || !ports.unix.isEmpty, "service ports are some")
      check(
        ports.unix.allSatisfy {
          (2...107).contains($0.count) && ($0[0] == UInt8(ascii: "/") || $0[0] == UInt8(ascii: "@"))
            && !$0.contains(UInt8(ascii: ","))
        }, "a Unix socket is an absolute path or a name, and fits in an address")
      let again =
        Array(
          (ports.tcp.map { "\($0)" } + ports.udp.map { "\($0)/udp" }).joined(separator: ",").utf8)
        + ports.unix.flatMap { Array(",unix:".utf8) + $0 }
      let second = Array(again.drop { $0 == UInt8(ascii: ",") }).withCString { Values.servicePorts($0) }
      check(
        second?.tcp == ports.tcp && second?.udp == ports.udp && second?.unix == ports.unix,
        "service ports that are written again are the same")
    }
    if let signals = Values.signals(word) { check(signals.count <= bytes.count, "a signal takes a byte") }
    if let pairs = Values.rewrites(word) {
      check(3 * pairs.count <= bytes.count + 1, "a pair takes three bytes")
    }
    if let pairs = Values.exitCodes(word) {
      check(3 * pairs.count <= bytes.count + 1, "a pair takes three bytes")
    }
    if let address = ControlAddress(word), case .named = address,
      let name = (try? address.name()) ?? nil
    {
      check(name == bytes && name.count < 108, "a socket's name fits in its address")
    }
    if let chance = Values.chance(word) {
      let text: Text = "\(chance)"
      check(
        text.bytes.withCString { again in Values.chance(again) == chance },
        "a chance that is written again is the same chance")
    }
    if let endpoint = Endpoint(address: word) { checkAddress(endpoint) }
  }
}

/// An address that is shown is the same address to the C library.
func checkAddress(_ endpoint: Endpoint) {
  let text: Text = "\(endpoint)"
  check(isOneLine(text), "an address is shown on one line")
  var address = text.bytes
  guard let colon = address.lastIndex(of: UInt8(ascii: ":")) else { return check(false, "a port is shown") }
  check(decimal(address[(colon + 1)...]) == UInt64(endpoint.port), "a port is shown as it is")
  address.removeSubrange(colon...)
  if endpoint.isIPv6 {
    check(
      address.first == UInt8(ascii: "[") && address.last == UInt8(ascii: "]"), "IPv6 is shown in brackets")
    address = Array(address.dropFirst().dropLast())
  }
  guard var again = address.withCString({ Endpoint(address: $0) }) else {
    return check(false, "an address that is shown is one")
  }
  again.port = endpoint.port
  check(again == endpoint, "an address that is shown is the same address")
}
