import Linux

/// One look at the open connections that a service still has as it is told to stop: what keeps it.
public struct OpenConnections: Sendable {
  /// All of them.
  public private(set) var count = 0
  /// With a request in progress, or one that may be.
  public private(set) var waiting = 0
  /// On which the service goes on speaking, long after it was asked: a stream.
  public private(set) var streaming = 0
  /// How long ago the oldest of the requests was made that those are about; and by whom.
  public private(set) var oldest: (age: Duration, peer: Endpoint)?

  /// The service has spoken so lately…
  private static var lately: Duration { .seconds(30) }
  /// …and so long after it was asked.
  private static var answer: Duration { .seconds(1) }

  /// Whether the service goes on speaking on a connection, long after it was asked.
  static func isStreaming(_ history: TCPSocket.History) -> Bool {
    history.bytesReceived > 0 && history.sinceSent < lately
      && history.sinceReceived > history.sinceSent + answer
  }

  mutating func take(_ socket: TCPSocket, _ activity: Activity) {
    count += 1
    guard let history = socket.history else { return }
    if activity.verdict != .idle {
      waiting += 1
    } else if OpenConnections.isStreaming(history) {
      streaming += 1
    } else {
      return
    }
    if history.bytesReceived > 0, oldest.map({ history.sinceReceived > $0.age }) ?? true {
      oldest = (history.sinceReceived, socket.remote)
    }
  }
}

/// Who takes in the rows of such a look.
public final class OpenConnectionsCollector: SocketCollector {
  /// What was seen.
  public private(set) var open = OpenConnections()
  private let service: ServiceSockets
  private let tick = Activity.tick()

  /// One of a service's connections.
  public init(of service: ServiceSockets) { self.service = service }

  /// Forgets all rows.
  public override func restart() { open = OpenConnections() }

  /// Takes one connection.
  public override func take(_ socket: TCPSocket) {
    if service.owns(socket) { open.take(socket, Activity(of: socket, tick: tick)) }
  }
}

extension OpenConnections: TextRepresentable {
  /// "3 connections, 1 busy, 1 streaming, 1 idle; the oldest request 25.00s ago from 10.0.0.1:5000".
  public func write(to text: inout Text) {
    text.append(
      contentsOf:
        "\(count, "connection"), \(waiting) busy, \(streaming) streaming, \(count - waiting - streaming) idle"
    )
    if let oldest { text.append(contentsOf: "; the oldest request \(oldest.age) ago from \(oldest.peer)") }
  }
}
