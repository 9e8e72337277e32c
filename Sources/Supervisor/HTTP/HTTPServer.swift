import CLinux
import Linux

/// The few pages that ebb serves: one request a connection, answered and closed. All is bounded: connections,
/// the bytes of a request, the time of each. Where all places are taken, who has its answer already or has not
/// asked yet gives way to the next who comes, so that slow clients cannot keep a probe out.
struct HTTPServer {
  /// Connections at once.
  static var places: Int { 32 }
  /// Places that drains, which are long, leave to the probes, which are short.
  static var placesForProbes: Int { 24 }
  /// How long a request may take to arrive, an answer to leave, and a peer to hang up.
  static var patience: Duration { .seconds(2) }
  /// How long nobody is taken in when no descriptor is left: they wait in the backlog.
  static var pause: Duration { .milliseconds(100) }
  /// How much a peer may say beside its request before it is closed.
  static var chatter: Int { 64 * 1024 }

  /// An address to listen on, and whether /drain is to be had there.
  struct Listener {
    var descriptor: FileDescriptor
    var servesPages: Bool
    var servesDrain: Bool
  }

  /// What a connection waits for.
  private enum State: Equatable {
    case request
    case answer(Waiting)
    case sending
    case hangUp
  }

  /// What an answer waits for.
  enum Waiting: Equatable {
    case readiness(isVerbose: Bool)
    case drain
  }

  private struct Place {
    var descriptor: FileDescriptor
    var listener: Int
    var state = State.request
    /// Until when it may stay in this state; nil while it waits for our own answer.
    var deadline: Duration?
    var bytes: [UInt8] = []
    var isHead = false
    /// The loop waits for room to write, and for nothing else.
    var waitsForRoom = false
    /// What has been read and thrown away.
    var discarded = 0
  }

  private(set) var listeners: [Listener] = []
  private let poll: EventPoll
  private var taken: [Place?] = []
  /// Connections wait that there is no place for.
  private var isFull = false
  /// Until when nobody is taken in; nil while they are.
  private var pausedUntil: Duration?

  /// A server without an address.
  init(poll: EventPoll) { self.poll = poll }

  /// Whether it wants to hear of those who come.
  var isListening: Bool { !isFull && pausedUntil == nil }

  /// Adds an address.
  mutating func listen(on address: ListenAddress, servesPages: Bool, servesDrain: Bool) throws(Errno) {
    let descriptor = try address.listen()
    do throws(Errno) {
      try poll.add(descriptor, token: Token(.httpListener, listeners.count).rawValue)
    } catch {
      descriptor.close()
      throw error
    }
    listeners.append(Listener(descriptor: descriptor, servesPages: servesPages, servesDrain: servesDrain))
  }

  /// Takes the connections that wait, while there are places. (The listener stays readable while there are
  /// more.)
  mutating func accept(_ listener: Int, at now: Duration) {
    guard listener < listeners.count else { return }
    for _ in 0..<HTTPServer.places {
      guard let place = freePlace else {
        isFull = true
        return
      }
      do throws(Errno) {
        let descriptor = FileDescriptor(
          try checked {
            clinux_accept_leaving(listeners[listener].descriptor.rawValue, FileDescriptor.spare)
          })
        taken[place] = Place(descriptor: descriptor, listener: listener, deadline: now + HTTPServer.patience)
        do throws(Errno) {
          try poll.add(descriptor, token: Token(.http, place).rawValue)
        } catch {
          close(place)
        }
      } catch {
        // No descriptor is left, most likely. The listener would go on being readable, and wake us without end.
        if error != .wouldBlock && error != Errno(ECONNABORTED) { pausedUntil = now + HTTPServer.pause }
        return
      }
    }
  }

  /// A place: a free one, a new one, or that of who has least to lose by it.
  private var freePlace: Int? {
    mutating get {
      if let free = taken.firstIndex(where: { $0 == nil }) { return free }
      if taken.count < HTTPServer.places {
        taken.append(nil)
        return taken.count - 1
      }
      guard let place = longest(in: .hangUp) ?? longest(in: .request) else { return nil }
      close(place)
      return place
    }
  }

  /// The connection that has been in this state for longest.
  private func longest(in state: State) -> Int? {
    let candidates = taken.indices.compactMap { place -> (place: Int, until: Duration)? in
      guard let connection = taken[place], connection.state == state, let until = connection.deadline else {
        return nil
      }
      return (place, until)
    }
    return candidates.min { $0.until < $1.until }?.place
  }

  /// What a connection is ready for: its request, once; or more of what is under way.
  mutating func advance(_ place: Int, at now: Duration) -> HTTPRequest? {
    guard place < taken.count, let connection = taken[place] else { return nil }
    switch connection.state {
    case .request: return read(place, at: now)
    // It says more than was asked, or it is gone.
    case .answer, .hangUp: discard(place)
    case .sending: send(place)
    }
    return nil
  }

  private mutating func read(_ place: Int, at now: Duration) -> HTTPRequest? {
    guard var connection = taken[place] else { return nil }
    let isOpen = withUnsafeTemporaryAllocation(byteCount: HTTPRequest.limit, alignment: 1) { buffer in
      do throws(Errno) {
        let count = try connection.descriptor.read(into: buffer)
        connection.bytes += UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
        return count > 0
      } catch {
        return error == .wouldBlock
      }
    }
    taken[place] = connection
    if !isOpen {
      close(place)
      return nil
    }
    switch HTTPRequest.read(connection.bytes) {
    case .incomplete: return nil
    case .refused(let status):
      answer(place, status, "\(status.reason)\n", at: now)
      return nil
    case .request(let request):
      taken[place]?.bytes = []
      taken[place]?.isHead = request.isHead
      return request
    }
  }

  /// Throws away what a connection says, a bounded amount of it; closes it at its end.
  private mutating func discard(_ place: Int) {
    guard let connection = taken[place] else { return }
    let count = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer -> Int? in
      do throws(Errno) {
        let count = try connection.descriptor.read(into: buffer)
        return count > 0 ? count : nil
      } catch {
        return error == .wouldBlock ? 0 : nil
      }
    }
    taken[place]?.discarded += count ?? 0
    if count == nil || connection.discarded > HTTPServer.chatter { close(place) }
  }

  /// What is served at the address that a connection came in by.
  func listener(of place: Int) -> Listener? {
    guard place < taken.count, let connection = taken[place] else { return nil }
    return listeners[connection.listener]
  }

  /// Lets a connection wait for an answer that is not there yet; false where too many drains do.
  mutating func wait(_ place: Int, for waiting: Waiting) -> Bool {
    if waiting == .drain && drains >= HTTPServer.places - HTTPServer.placesForProbes { return false }
    taken[place]?.state = .answer(waiting)
    taken[place]?.deadline = nil
    return true
  }

  private var drains: Int { taken.count { $0?.state == .answer(.drain) } }

  /// The connections that wait for something.
  func waiting(where matches: (Waiting) -> Bool) -> [(place: Int, waiting: Waiting)] {
    var found: [(place: Int, waiting: Waiting)] = []
    for place in taken.indices {
      if case .answer(let waiting) = taken[place]?.state, matches(waiting) { found.append((place, waiting)) }
    }
    return found
  }

  /// Answers a connection.
  mutating func answer(
    _ place: Int, _ status: HTTPStatus, _ body: Text, type: StaticString = "text/plain; charset=utf-8",
    at now: Duration
  ) {
    guard place < taken.count, let connection = taken[place] else { return }
    var head: Text = "HTTP/1.1 \(status.rawValue) \(status.reason)\r\nContent-Type: \(type)\r\n"
    head.append(contentsOf: "Content-Length: \(body.bytes.count)\r\n")
    if status == .methodNotAllowed { head.append("Allow: GET, HEAD\r\n") }
    head.append("Cache-Control: no-store\r\nConnection: close\r\n\r\n")
    if !connection.isHead { head.append(contentsOf: body) }
    taken[place]?.bytes = head.bytes
    taken[place]?.state = .sending
    taken[place]?.deadline = now + HTTPServer.patience
    send(place)
  }

  private mutating func send(_ place: Int) {
    guard let connection = taken[place] else { return }
    let count = connection.bytes.withUnsafeBufferPointer { buffer -> Int? in
      do throws(Errno) {
        return try connection.descriptor.writeNow(UnsafeRawBufferPointer(buffer))
      } catch {
        return error == .wouldBlock ? 0 : nil
      }
    }
    guard let count else {
      close(place)
      return
    }
    taken[place]?.bytes.removeFirst(min(count, connection.bytes.count))
    let isSent = count >= connection.bytes.count
    if isSent {
      // The FIN now; the socket when the peer hangs up. Closed with something unread it would send a reset,
      // which can overtake the answer.
      _ = shutdown(connection.descriptor.rawValue, clinux_shut_write())
      taken[place]?.state = .hangUp
    }
    // While it is being sent, what the peer says is left to wait: it would wake us without end.
    if isSent == connection.waitsForRoom {
      try? poll.modify(
        connection.descriptor, token: Token(.http, place).rawValue, readable: isSent, writable: !isSent)
      taken[place]?.waitsForRoom = !isSent
    }
  }

  /// When the next connection has taken too long, or connections are taken again; nil when there is no such
  /// moment.
  var deadline: Duration? {
    let slow = taken.compactMap { $0?.deadline }.min()
    guard let pausedUntil else { return slow }
    return min(slow ?? pausedUntil, pausedUntil)
  }

  /// Ends what has taken too long, and a pause that is over. A request that never came whole is told so.
  mutating func tick(at now: Duration) {
    if let pausedUntil, pausedUntil <= now { self.pausedUntil = nil }
    for place in taken.indices {
      guard let connection = taken[place], let deadline = connection.deadline, deadline <= now else {
        continue
      }
      if connection.state == .request && !connection.bytes.isEmpty {
        answer(place, .timeout, "Request Timeout\n", at: now)
        taken[place]?.deadline = now + .milliseconds(200)
      } else {
        close(place)
      }
    }
  }

  private mutating func close(_ place: Int) {
    guard let connection = taken[place] else { return }
    // Closing alone takes it out of the loop only if no child holds a copy, as one does between fork and exec.
    poll.remove(connection.descriptor)
    connection.descriptor.close()
    taken[place] = nil
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
    let colon = text.lastIndex(of: UInt8(ascii: ":"))
    let digits = colon.map { text[($0 + 1)...] } ?? text[...]
    guard let port = decimal(digits).flatMap({ UInt16(exactly: $0) }), port > 0 else { return nil }
    var address = Array(colon.map { text[..<$0] } ?? [])
    if address.first == UInt8(ascii: "["), address.last == UInt8(ascii: "]") {
      address = Array(address.dropFirst().dropLast())
      if address.isEmpty { return nil }
    } else if address.contains(UInt8(ascii: ":")) {
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
