/// What is going on at one port.
public struct PortTraffic: Sendable {
  /// The port.
  public let port: UInt16
  /// Whether a socket listens on it.
  public var isListening = false
  /// Open connections: ESTABLISHED and CLOSE_WAIT.
  public var connections = 0
  /// Those of them with a request in progress, as one look can tell.
  public var busy = 0
  /// Those of which one look cannot tell.
  public var undecided = 0
  /// Connections that the application has closed and the kernel still delivers.
  public var closing: Int { counts[2] + counts[3] + counts[4] }
  /// All of them by state, with the names that ss(8) and netstat(8) have made known.
  public var states: [(state: StaticString, count: Int)] {
    [
      ("established", counts[0]), ("close_wait", counts[1]), ("fin_wait1", counts[2]), ("closing", counts[3]),
      ("last_ack", counts[4]),
    ]
  }
  private var counts: InlineArray<5, Int> = .init(repeating: 0)
  /// Bytes not acknowledged in connections that the application has closed.
  public var lingering: UInt64 = 0
  /// Bytes that have been written and not acknowledged, in open and closing connections.
  public var unacknowledged: UInt64 = 0

  /// Nothing yet.
  public init(port: UInt16) { self.port = port }

  mutating func count(_ state: TCPState) {
    let index: Int
    switch state {
    case .established: index = 0
    case .closeWait: index = 1
    case .finWait1: index = 2
    case .closing: index = 3
    case .lastAck: index = 4
    case .synSent, .synReceived, .finWait2, .timeWait, .close, .listen, .newSynReceived: return
    }
    counts[index] += 1
  }
}

/// What is going on at some ports, in one reading of the table.
public final class PortTraffics: SocketCollector {
  private let numbers: [UInt16]
  private let service: ServiceSockets
  private let tick = Activity.tick()
  /// One for each port asked for, in that order.
  public private(set) var ports: [PortTraffic] = []

  /// Nothing yet, at these ports.
  public init(ports: [UInt16], of service: ServiceSockets = ServiceSockets()) {
    numbers = ports
    self.service = service
    super.init()
    restart()
  }

  /// What to ask the table for.
  public var query: SocketQuery {
    SocketQuery(states: [.listening, .open, .delivering], ports: numbers, wantsHistory: true)
  }

  /// Forgets all rows.
  public override func restart() {
    ports = []
    for number in numbers { ports.append(PortTraffic(port: number)) }
  }

  /// Takes one row.
  public override func take(_ socket: TCPSocket) {
    guard let index = ports.firstIndex(where: { $0.port == socket.local.port }) else { return }
    if socket.state == .listen {
      ports[index].isListening = true
      return
    }
    guard service.owns(socket) else { return }
    ports[index].unacknowledged += UInt64(socket.unacknowledged)
    ports[index].count(socket.state)
    if socket.state.isDelivering {
      ports[index].lingering += UInt64(socket.unacknowledged)
    } else {
      ports[index].connections += 1
      switch Activity(of: socket, tick: tick).verdict {
      case .inProgress: ports[index].busy += 1
      case .undecided: ports[index].undecided += 1
      case .idle: break
      }
    }
  }
}
