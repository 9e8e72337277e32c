import Linux

/// Finds out about a port, with no more work than the answer needs.
public struct PortInquiry {
  private var table = SocketTable()
  /// The main process of the service that ebb supervises here, to tell it from strangers.
  public var service: ProcessID?
  /// Whether only the answer is wanted, and nobody reads who and why.
  public var isQuiet = false

  /// An inquiry.
  public init() {}

  /// Looks at the table, asks the kernel where nothing listens, and looks for owners where somebody reads them.
  public mutating func find(_ port: UInt16, isUDP: Bool, _ question: PortQuestion) -> PortFinding {
    var finding = PortFinding(port: port, isUDP: isUDP, question: question)
    finding.service = service
    finding.census = census(port, isUDP: isUDP, question)
    if case .released(let manner) = question, finding.isListening == false {
      finding.verdict = BindTest.ask(port, manner)
      if finding.verdict == .inUse && !isUDP {
        finding.bound = bound(port)
        if !manner.reusesAddress { finding.verdictWithReuse = BindTest.ask(port) }
      } else if case .cannotTell = finding.verdict {
        finding.bound = bound(port)
      }
    }
    if isQuiet { return finding }
    let shown = finding.listeners + finding.bound + (finding.census?.closeWaits.prefix(1) ?? [])
    if !shown.isEmpty { finding.holders = SocketHolders(of: shown.map { $0.inode }, all: true) }
    finding.isEphemeral = EphemeralPorts.contain(port)
    return finding
  }

  /// Whether something listens: the cheapest question, for a wait.
  public mutating func isListening(_ port: UInt16, isUDP: Bool) -> Bool? {
    if isUDP { return census(port, isUDP: true, .listening).map { !$0.listeners.isEmpty } }
    var census = PortCensus(port: port)
    do throws(Errno) { try table.read(census.query(onlyListeners: true), into: &census) } catch { return nil }
    return !census.listeners.isEmpty
  }

  /// How many sockets are in the way of a port that nothing listens on: connections, and bound ones.
  public mutating func left(on finding: PortFinding) -> Int {
    let census = census(finding.port, isUDP: finding.isUDP, finding.question)
    return (census?.connections ?? 0) + (finding.bound.isEmpty ? 0 : bound(finding.port).count)
  }

  private mutating func census(_ port: UInt16, isUDP: Bool, _ question: PortQuestion) -> PortCensus? {
    var address: Endpoint?
    if case .released(let manner) = question { address = manner.address }
    if isUDP {
      var sockets = UDPCensus(PortCensus(port: port, address: address))
      do throws(Errno) { try table.readUDP(sockets.census.query(), into: &sockets) } catch { return nil }
      return sockets.census
    }
    var census = PortCensus(port: port, address: address)
    do throws(Errno) {
      // Whoever wants a yes or no, and finds a listener, needs no further row.
      if isQuiet {
        try table.read(census.query(onlyListeners: true), into: &census)
        if question == .listening || !census.listeners.isEmpty { return census }
        census.restart()
      }
      try table.read(census.query(), into: &census)
      return census
    } catch {
      return nil
    }
  }

  private mutating func bound(_ port: UInt16) -> [TCPSocket] {
    var bound = BoundSockets(port: port)
    // Before Linux 6.8 the bit is not known, and gives nothing.
    do throws(Errno) { try table.read(bound.query, into: &bound) } catch { return [] }
    return bound.sockets
  }

  /// The rows of a UDP table, where a socket that is not connected takes what comes: a listener.
  private struct UDPCensus: SocketCollector {
    var census: PortCensus

    init(_ census: PortCensus) { self.census = census }

    mutating func restart() { census.restart() }
    mutating func take(_ socket: TCPSocket) {
      var socket = socket
      if socket.state == .close { socket.state = .listen }
      census.take(socket)
    }
  }
}

/// The ports that outgoing connections are given, ip(7) ip_local_port_range.
public enum EphemeralPorts {
  /// The range, and false where it cannot be read.
  public static var range: ClosedRange<UInt16>? {
    guard let text = try? File.read(CString("/proc/sys/net/ipv4/ip_local_port_range"), limit: 64) else {
      return nil
    }
    let fields = text.split {
      $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n")
    }
    guard fields.count == 2, let low = decimal(fields[0]).flatMap({ UInt16(exactly: $0) }),
      let high = decimal(fields[1]).flatMap({ UInt16(exactly: $0) }), low <= high
    else { return nil }
    return low...high
  }

  /// Whether an outgoing connection may be given this port: in the range, and not in ip_local_reserved_ports.
  public static func contain(_ port: UInt16) -> Bool {
    guard let range, range.contains(port) else { return false }
    guard let text = try? File.read(CString("/proc/sys/net/ipv4/ip_local_reserved_ports"), limit: 65536)
    else {
      return true
    }
    return !isListed(port, in: text)
  }

  /// Whether a port is in a list like "8080,9000-9010".
  static func isListed(_ port: UInt16, in list: [UInt8]) -> Bool {
    for item in list.split(whereSeparator: { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "\n") }) {
      let ends = item.split(separator: UInt8(ascii: "-"))
      guard let low = ends.first.flatMap({ decimal($0) }), let high = ends.last.flatMap({ decimal($0) })
      else { continue }
      if low <= UInt64(port) && UInt64(port) <= high { return true }
    }
    return false
  }
}
