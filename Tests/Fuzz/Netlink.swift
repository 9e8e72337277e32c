import CLinux
import Linux

@testable import Inet

/// Keeps every row.
private final class Rows: SocketCollector {
  var sockets: [TCPSocket] = []
  override func restart() { sockets = [] }
  override func take(_ socket: TCPSocket) { sockets.append(socket) }
}

/// The datagrams in an input: two bytes of length before each.
private func datagrams(_ input: UnsafeRawBufferPointer) -> [[UInt8]] {
  var datagrams: [[UInt8]] = []
  var rest = input[...]
  while rest.count >= 2, datagrams.count < 16 {
    let length = Int(rest[rest.startIndex]) | Int(rest[rest.startIndex + 1]) << 8
    datagrams.append(Array(rest.dropFirst(2).prefix(length)))
    rest = rest.dropFirst(2 + length)
  }
  return datagrams
}

/// The replies to a dump, as every collector takes them in, and the answer to SOCK_DESTROY.
func fuzzNetlink(_ input: UnsafeRawBufferPointer) {
  let datagrams = datagrams(input)
  let bytes = datagrams.reduce(0) { $0 + $1.count }

  func read(_ collector: SocketCollector) -> Bool {
    var reply = DumpReply(to: 1)
    for datagram in datagrams where !reply.isComplete {
      let failure = withCopy(datagram) { bytes -> Errno? in
        do throws(Errno) {
          try reply.take(bytes, into: collector)
          return nil
        } catch {
          return error
        }
      }
      if let failure {
        let text: Text = "\(failure)"
        check(isOneLine(text), "an error is one line")
        collector.restart()
        return false
      }
    }
    return true
  }

  if let first = datagrams.first {
    withCopy(first) { bytes in
      do throws(Errno) {
        _ = try SocketDestroyer.answer(bytes, to: 1)
      } catch {
        check(error.rawValue != 0, "a failure has a number")
      }
    }
  }

  let rows = Rows()
  let isRead = read(rows)
  let sockets = rows.sockets
  check(
    sockets.count * (MemoryLayout<nlmsghdr>.size + MemoryLayout<inet_diag_msg>.size) <= bytes,
    "there are no more rows than bytes for them")
  for socket in sockets.prefix(4) {
    checkAddress(socket.local)
    checkAddress(socket.remote)
    check(SocketDestroyer.request(socket, sequence: 1).count == 72, "a request is as long as it says")
  }

  let census = PortCensus(port: 8080)
  check(read(census) || !isRead, "every collector reads what another reads")
  // (Who counts a row by its head alone does not see that an attribute is broken: it may take what others refuse.)
  guard isRead else { return }
  let here = PortCensus(port: 8080, address: Endpoint(isIPv6: false, high: 0, low: 0x7f00_0001, port: 0))
  _ = read(here)
  let summary = SocketSummary(SocketFilter(), listeners: sockets.filter { $0.state == .listen })
  _ = read(summary)
  check(summary.all.total == sockets.count, "the summary counts every row once")
  for state in TCPState.all {
    let atPort = sockets.filter { $0.local.port == 8080 && $0.state == state }.count
    check(census.count(state) == atPort, "a port's census counts its rows, and no others")
    check(here.count(state) <= atPort, "an address's census counts rows of its port")
    if state == .synReceived || state == .newSynReceived { continue }
    check(
      summary.all.count(state) == sockets.filter { $0.state == state }.count, "the summary counts each state")
  }
  let inPorts = summary.ports.reduce(0) { $0 + $1.counts.total }
  check(inPorts + summary.others.total == summary.all.total, "every row is at a port, or at another")

  let listeners = Listeners()
  _ = read(listeners)
  check(listeners.sockets.count <= sockets.count, "listeners are rows")
  let traffic = PortTraffics(ports: [8080, 53])
  _ = read(traffic)
  for port in traffic.ports {
    check(
      port.connections >= port.busy + port.undecided && port.connections + port.closing <= sockets.count,
      "busy connections are connections, and those are rows")
    check(port.lingering <= port.unacknowledged, "what lingers is not acknowledged")
  }
  let collector = LingerCollector()
  _ = read(collector)
  let linger = collector.look
  check(linger.waiting + linger.silent <= sockets.count, "what lingers is rows")

  // Twice: what was seen at the first look is looked for at the second.
  let service = ServiceSockets()
  for socket in sockets where socket.state == .listen {
    service.note(socket, isService: socket.local.port % 2 == 0)
  }
  if let first = sockets.first { service.noteProbe(local: first.local, remote: first.remote) }
  let tracker = RequestTracker(of: service, tick: .milliseconds(5))
  let arrivals = ArrivalWatch(of: service)
  for number in 0..<3 {
    if number == 1 { tracker.beginWaiting(at: .seconds(1), undecidedMax: .seconds(number)) }
    tracker.beginLook(at: .seconds(number))
    _ = read(tracker)
    for place in tracker.ties.indices where place % 2 == 0 {
      tracker.resolve(place, isPingpong: tracker.ties[place].cookie % 2 == 0)
    }
    tracker.endLook()
    check(tracker.connections <= sockets.count, "connections are rows")
    check(
      tracker.inProgress + tracker.undecided <= tracker.connections
        && tracker.waitedFor <= tracker.connections,
      "what is waited for is a connection")
    check(number > 0 || tracker.waitedFor == 0, "nothing is waited for before the waiting")
    arrivals.beginLook(after: .milliseconds(100))
    _ = read(arrivals)
    check(arrivals.connections + arrivals.requests <= sockets.count, "who arrives is a row")
    arrivals.endLook()
  }
  check(arrivals.connections == 0, "who was there before has not arrived")
  for socket in sockets {
    let known = tracker.lastSeen(socket.cookie) != nil
    let first = tracker.judge(socket)
    if known, case .none = tracker.judge(socket) {} else { check(!known, "an end is judged once") }
    if socket.history?.bytesReceived == 0, socket.remote.port != 0, !known {
      if case .none = first {} else { check(false, "where nothing was asked nothing is cut off") }
    }
  }
}

/// A notice of a connection's death.
func fuzzNotices(_ input: UnsafeRawBufferPointer) {
  guard case .death(let death) = DeathNotices.read(input) else { return }
  check(input.count >= 88, "a death takes a message")
  checkAddress(death.socket.local)
  checkAddress(death.socket.remote)
  check(
    death.unacknowledged <= UInt64(UInt32.max) && death.unread <= UInt64(UInt32.max),
    "what was lost was in a queue")
  check(
    death.isMeasured || (death.unacknowledged == 0 && death.unread == 0),
    "nothing is told of what was not measured")
  let rest = death.withoutFIN()
  check(rest.unread <= death.unread && death.unread - rest.unread <= 1, "a FIN is one byte")
  check(death.wasReset || (death.unread == 0 && death.unacknowledged == 0), "who lost nothing was not reset")
  let arrivals = ArrivalWatch()
  arrivals.endLook()
  arrivals.take(death)
  arrivals.lookAtNotices()
  check(arrivals.connections == 1, "who came and went between two looks has arrived")
}
