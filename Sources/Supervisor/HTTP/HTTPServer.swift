import CLinux
import Linux

/// The few pages that ebb serves: one request a connection, answered and closed. All is bounded: connections,
/// the bytes of a request, the time of each. Where all places are taken, who has its answer already or has not
/// asked yet gives way to the next who comes, so that slow clients cannot keep a probe out.
final class HTTPServer {
  /// Connections at once.
  static var places: Int { 32 }
  /// Places that drains, which are long, leave to the probes, which are short.
  static var placesForProbes: Int { 24 }
  /// How long a request may take to arrive, an answer to leave, and a peer to hang up.
  static var patience: Duration { .seconds(2) }
  /// How much a peer may say beside its request before it is closed.
  static var chatter: Int { 64 * 1024 }

  /// An address to listen on, and whether /drain is to be had there.
  struct Listener {
    var descriptor: FileDescriptor
    var servesPages: Bool
    var servesDrain: Bool
  }

  private(set) var listeners: [Listener] = []
  let places: Places
  private let waiter: Waiter
  /// Connections wait that there is no place for.
  private var isFull = false

  /// A server without an address.
  init(waiter: Waiter) {
    self.waiter = waiter
    places = Places(HTTPServer.places, .http, waiter: waiter)
  }

  /// Whether it wants to hear of those who come.
  var isListening: Bool { !isFull && places.pausedUntil == nil }

  /// Adds an address.
  func listen(on address: ListenAddress, servesPages: Bool, servesDrain: Bool) throws(Errno) {
    let descriptor = try address.listen()
    do throws(Errno) {
      try waiter.add(descriptor, token: Token(.httpListener, listeners.count).rawValue)
    } catch {
      descriptor.close()
      throw error
    }
    listeners.append(Listener(descriptor: descriptor, servesPages: servesPages, servesDrain: servesDrain))
  }

  /// Takes the connections that wait, while there are places. (The listener stays readable while there are
  /// more.)
  func accept(_ listener: Int, at now: Duration) {
    guard listener < listeners.count else { return }
    for _ in 0..<HTTPServer.places {
      guard let place = places.free() else {
        isFull = true
        return
      }
      do throws(Errno) {
        let descriptor = FileDescriptor(
          try checked {
            clinux_accept_leaving(listeners[listener].descriptor.rawValue, FileDescriptor.spare)
          })
        places.put(
          Connection(descriptor, until: now + HTTPServer.patience, listener: listener), in: place)
        places.follow(place)
      } catch {
        // No descriptor is left, most likely. The listener would go on being readable, and wake us without end.
        if error != .wouldBlock && error != Errno(ECONNABORTED) { places.pausedUntil = now + Places.pause }
        return
      }
    }
  }

  /// What a connection is ready for: its request, once; or more of what is under way.
  func advance(_ place: Int) -> HTTPRequest? {
    guard let connection = places[place] else { return nil }
    switch connection.state {
    case .request: return read(place, connection)
    // It says more than was asked, or it is gone.
    case .readiness, .verboseReadiness, .drain, .hangUp: discard(place, connection)
    case .sending: send(place, connection)
    }
    return nil
  }

  private func read(_ place: Int, _ connection: Connection) -> HTTPRequest? {
    if (try? connection.descriptor.read(HTTPRequest.limit, addingTo: &connection.bytes)) == nil {
      close(place)
      return nil
    }
    switch HTTPRequest.read(connection.bytes) {
    case .incomplete: return nil
    case .refused(let status):
      answer(place, status, "\(status.reason)\n")
      return nil
    case .request(let request):
      connection.bytes = []
      connection.isHead = request.isHead
      return request
    }
  }

  /// Throws away what a connection says, a bounded amount of it; closes it at its end.
  private func discard(_ place: Int, _ connection: Connection) {
    var bytes: [UInt8] = []
    let isOpen = (try? connection.descriptor.read(HTTPRequest.limit, addingTo: &bytes)) != nil
    if !isOpen || connection.discarded > HTTPServer.chatter { close(place) }
    connection.discarded += bytes.count
  }

  /// What is served at the address that a connection came in by.
  func listener(of place: Int) -> Listener? { places[place].map { listeners[$0.listener] } }

  /// Lets a connection wait for an answer that is not there yet; false where too many drains do.
  func wait(_ place: Int, for state: Connection.State) -> Bool {
    if state == .drain && places.count(of: .drain) >= HTTPServer.places - HTTPServer.placesForProbes {
      return false
    }
    places[place]?.state = state
    places[place]?.deadline = nil
    return true
  }

  /// Answers a connection.
  func answer(
    _ place: Int, _ status: HTTPStatus, _ body: consuming Text,
    type: StaticString = "text/plain; charset=utf-8"
  ) {
    guard let connection = places[place] else { return }
    var head: Text = "HTTP/1.1 \(status.rawValue) \(status.reason)\r\nContent-Type: \(type)\r\n"
    head.append("Content-Length: ", body.bytes.count, "\r\n")
    if status == .methodNotAllowed { head.append("Allow: GET, HEAD\r\n") }
    head.append("Cache-Control: no-store\r\nConnection: close\r\n\r\n")
    if !connection.isHead { head.append(contentsOf: body) }
    connection.bytes = head.bytes
    connection.state = .sending
    connection.deadline = MonotonicClock.now + HTTPServer.patience
    send(place, connection)
  }

  private func send(_ place: Int, _ connection: Connection) {
    guard let count = try? connection.descriptor.writeSome(of: connection.bytes) else {
      close(place)
      return
    }
    connection.bytes = connection.bytes.part(from: count)
    let isSent = connection.bytes.isEmpty
    if isSent {
      // The FIN now; the socket when the peer hangs up. Closed with something unread it would send a reset,
      // which can overtake the answer.
      _ = shutdown(connection.descriptor.rawValue, clinux_shut_write())
      connection.state = .hangUp
      isFull = false
    }
    // While it is being sent, what the peer says is left to wait: it would wake us without end.
    if isSent == connection.waitsForRoom {
      try? waiter.modify(
        connection.descriptor, token: Token(.http, place).rawValue, readable: isSent, writable: !isSent)
      connection.waitsForRoom = !isSent
    }
  }

  /// Ends what has taken too long, and a pause that is over. A request that never came whole is told so.
  func tick(at now: Duration) {
    if let pausedUntil = places.pausedUntil, pausedUntil <= now { places.pausedUntil = nil }
    for place in places.all {
      guard let connection = places[place], let deadline = connection.deadline, deadline <= now else {
        continue
      }
      if connection.state == .request && !connection.bytes.isEmpty {
        answer(place, .timeout, "Request Timeout\n")
        connection.deadline = now + .milliseconds(200)
      } else {
        close(place)
      }
    }
  }

  private func close(_ place: Int) {
    places.close(place)
    isFull = false
  }
}

/// Where to listen: "127.0.0.1:9100", "[::1]:9100", ":9100" or "9100" (every address).
public struct ListenAddress {
  /// The address without brackets; empty for every one.
  let address: [UInt8]
  /// The port.
  public let port: UInt16

  /// The address that a user writes; nil where it makes no sense.
  public init?(_ text: [UInt8]) {
    // Behind the last colon.
    var digitsStart = text.count
    while digitsStart > 0 && text[digitsStart - 1] != UInt8(ascii: ":") { digitsStart -= 1 }
    guard let number = decimal(text.part(from: digitsStart)), let port = UInt16(exactly: number), port > 0
    else {
      return nil
    }
    var address = text.part(from: 0, to: digitsStart - 1)
    if address.hasPrefix("["), address.last == UInt8(ascii: "]") {
      address = address.part(from: 1, to: address.count - 1)
      if address.isEmpty { return nil }
    } else if address.position(of: UInt8(ascii: ":")) != nil {
      return nil
    }
    if !address.isEmpty && !address.withCString({ clinux_is_address($0.pointer) }) { return nil }
    self.address = address
    self.port = port
  }

  func listen() throws(Errno) -> FileDescriptor {
    FileDescriptor(
      try address.withCString { (address) throws(Errno) in
        try checked { clinux_listen(address.pointer, port) }
      })
  }
}
