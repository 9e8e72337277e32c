import Linux
import Testing

@testable import Inet

@Suite struct `A rate` {
  @Test(arguments: [
    (0 as UInt64, Duration.seconds(1), "0.0"), (98, .seconds(10), "9.8"), (1, .seconds(3), "0.3"),
    (5, .milliseconds(100), "50.0"), (1, .zero, "1000.0"), (1, .seconds(-1), "1000.0"),
    (.max, .milliseconds(1), "1099511627776000.0"), (1, .seconds(1 << 40), "0.0"),
  ])
  func `is events a second, and never a trap`(count: UInt64, time: Duration, expected: String) {
    let text: Text = "\(Rate(count: count, in: time))"
    #expect(String(decoding: text.bytes, as: UTF8.self) == expected)
  }
}

@Suite struct `The count of accepted connections` {
  private func count(_ text: String) -> UInt64? {
    KernelCounters.value("Tcp: ", "PassiveOpens", in: Array(text.utf8))
  }

  @Test func `is found by its name, wherever it stands`() {
    #expect(count("Ip: Forwarding\nIp: 1\nTcp: RtoMin ActiveOpens PassiveOpens X\nTcp: 200 -1 42 7\n") == 42)
    #expect(count("Tcp: PassiveOpens\nTcp: 9\nUdp: PassiveOpens\nUdp: 1\n") == 9)
  }

  @Test(arguments: [
    "", "Tcp: PassiveOpens\n", "Tcp: A PassiveOpens\nTcp: 1\n", "Tcp: A\nTcp: 1\n",
    "Tcp: PassiveOpens\nTcp: x\n",
    "TcpExt: PassiveOpens\nTcpExt: 5\n",
  ])
  func `is none where it is not there`(text: String) {
    #expect(count(text) == nil)
  }

  @Test func `goes up with a connection to this machine`() throws {
    let server = try Loopback.listen()
    defer { server.close() }
    let before = try #require(AcceptedConnections.count)
    let client = try Loopback.connect(server.port)
    client.close()
    #expect(try #require(AcceptedConnections.count) > before)
  }
}
