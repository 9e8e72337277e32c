import Linux
import Testing

@testable import Inet

private func ipv4(_ address: UInt64, _ port: UInt16 = 8080) -> Endpoint {
  Endpoint(isIPv6: false, high: 0, low: address, port: port)
}

private func ipv6(_ low: UInt64, _ port: UInt16 = 8080, high: UInt64 = 0) -> Endpoint {
  Endpoint(isIPv6: true, high: high, low: low, port: port)
}

private let anyIPv4 = ipv4(0)
private let anyIPv6 = ipv6(0)
private let here: UInt64 = 0x7f00_0001
private let there: UInt64 = 0x0a00_0002
private let mapped: UInt64 = 0xffff << 32

@Suite struct `Whose a connection is` {
  private let sockets = ServiceSockets()

  private func listen(_ local: Endpoint, cgroup: UInt64? = nil, isService: Bool) {
    var listener = row(.listen)
    listener.local = local
    listener.cgroup = cgroup
    sockets.note(listener, isService: isService)
  }

  private func client(
    of local: Endpoint, from remote: Endpoint = ipv4(0x0a09_0909, 5000), cgroup: UInt64? = nil,
    cookie: UInt64 = 1
  ) -> TCPSocket {
    var socket = connection(cookie: cookie)
    socket.local = local
    socket.remote = remote
    socket.cgroup = cgroup
    return socket
  }

  private func owns(_ local: Endpoint, cgroup: UInt64? = nil) -> Bool {
    sockets.owns(client(of: local, cgroup: cgroup, cookie: .random(in: 1 ... .max)))
  }

  @Test func `is the service's until more is known`() {
    #expect(owns(ipv4(here)))
    #expect(owns(ipv6(1), cgroup: 7))
    #expect(sockets.owned(client(of: ipv4(here))))
  }

  // MARK: - Addresses

  @Test func `is a stranger's where a stranger listens on that address of the same port`() {
    listen(ipv4(here), isService: true)
    listen(ipv4(there), isService: false)
    #expect(owns(ipv4(here)))
    #expect(!owns(ipv4(there)))
    // On another address of them nobody is known to listen; another port is none of theirs.
    #expect(owns(ipv4(0x0a00_0003)))
    #expect(owns(ipv4(there, 8081)))
  }

  @Test func `is told by the listener of that very address before one of every address`() {
    listen(anyIPv4, isService: false)
    listen(ipv4(here), isService: true)
    #expect(owns(ipv4(here)))
    #expect(!owns(ipv4(there)))
  }

  @Test func `is the service's that listens on every address but where a stranger has one of its own`() {
    listen(anyIPv4, isService: true)
    listen(ipv4(there), isService: false)
    #expect(owns(ipv4(here)))
    #expect(!owns(ipv4(there)))
  }

  @Test func `is told by an IPv4 address in IPv6 as well`() {
    listen(anyIPv6, isService: true)
    listen(ipv4(there), isService: false)
    // As a socket of both families shows it.
    #expect(owns(ipv6(mapped | here)))
    #expect(!owns(ipv6(mapped | there)))
    #expect(!owns(ipv4(there)))
  }

  @Test func `is the service's where both listen on one address, and nothing else tells`() {
    listen(ipv4(here), cgroup: 7, isService: false)
    listen(ipv4(here), cgroup: 8, isService: true)
    #expect(owns(ipv4(here)))
  }

  @Test func `of IPv6 is not a listener's of every IPv4 address`() {
    listen(anyIPv4, isService: true)
    listen(anyIPv6, isService: false)
    #expect(owns(ipv4(here)))
    #expect(!owns(ipv6(1)))
  }

  @Test func `changes with what is known of its listener, which is remembered when it has closed`() {
    listen(ipv4(here), isService: false)
    #expect(!owns(ipv4(here)))
    listen(ipv4(here), isService: true)
    #expect(owns(ipv4(here)))
    for number in 0..<UInt64(2 * ServiceSockets.limit) { listen(ipv4(there + number), isService: false) }
    #expect(owns(ipv4(here)))
    #expect(!owns(ipv4(there)))
  }

  // MARK: - Cgroups

  @Test func `is told by its cgroup before any address`() {
    listen(ipv4(here), cgroup: 7, isService: true)
    listen(ipv4(there), cgroup: 8, isService: false)
    #expect(owns(ipv4(there), cgroup: 7))
    #expect(!owns(ipv4(here), cgroup: 8))
    // One that no listener has tells nothing.
    #expect(owns(ipv4(here), cgroup: 9))
    #expect(!owns(ipv4(there), cgroup: 9))
    #expect(!owns(ipv4(there)))
  }

  @Test func `is told by its address where one cgroup has listeners of both`() {
    listen(ipv4(here), cgroup: 7, isService: true)
    listen(ipv4(there), cgroup: 7, isService: false)
    #expect(owns(ipv4(here), cgroup: 7))
    #expect(!owns(ipv4(there), cgroup: 7))
  }

  // MARK: - Probes

  private func look(_ found: [TCPSocket]) {
    sockets.beginLook()
    for socket in found { _ = sockets.owns(socket) }
    sockets.endLook()
  }

  @Test func `is nobody's where ebb itself asks, by both ends`() {
    let probe = client(of: ipv4(here), from: ipv4(here, 40_000))
    sockets.noteProbe(local: probe.local, remote: probe.remote)
    #expect(!sockets.owns(probe))
    #expect(!sockets.owned(probe))
    // As a server of both families shows it.
    #expect(!sockets.owns(client(of: ipv6(mapped | here), from: ipv6(mapped | here, 40_000), cookie: 2)))
    // From another address, or to another port or address, it is another's.
    for (cookie, other) in [
      client(of: ipv4(here), from: ipv4(0x7f00_0006, 40_000)),
      client(of: ipv4(here), from: ipv4(here, 40_001)),
      client(of: ipv4(here, 8081), from: ipv4(here, 40_000)),
      client(of: ipv4(there), from: ipv4(here, 40_000)),
      client(of: ipv6(1), from: ipv6(1, 40_000)),
    ].enumerated() {
      var other = other
      other.cookie = UInt64(10 + cookie)
      #expect(sockets.owns(other))
      #expect(sockets.owned(other))
    }
  }

  @Test func `is a client's once a look has not met the probe of the same ends`() {
    let probe = client(of: ipv4(here), from: ipv4(here, 40_000))
    sockets.noteProbe(local: probe.local, remote: probe.remote)
    look([probe])
    look([probe])
    #expect(!sockets.owned(probe))
    look([])
    // The kernel has given its port to another.
    let next = client(of: ipv4(here), from: ipv4(here, 40_000), cookie: 2)
    #expect(sockets.owns(next))
    #expect(sockets.owned(next))
    // The end of the probe itself is still nobody's loss.
    #expect(!sockets.owned(probe))
  }

  @Test func `is nobody's for each of many probes that a service leaves in its queue`() {
    let probes = (0..<100).map {
      client(of: ipv4(here), from: ipv4(here, 40_000 + UInt16($0)), cookie: UInt64(1 + $0))
    }
    for probe in probes { sockets.noteProbe(local: probe.local, remote: probe.remote) }
    for _ in 0..<2 { look(probes) }
    for probe in probes { #expect(!sockets.owns(probe)) }
  }

  @Test func `is remembered for its end where it was nobody's`() {
    listen(ipv4(there), isService: false)
    let stranger = client(of: ipv4(there), cookie: 5)
    #expect(!sockets.owns(stranger))
    // The kernel's notice does not always tell both ends.
    var dead = stranger
    dead.local = ipv4(here)
    #expect(!sockets.owned(dead))
  }
}
