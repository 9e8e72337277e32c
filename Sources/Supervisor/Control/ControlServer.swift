import Linux

/// The supervisor's end of the control socket: it takes connections, checks who is there, reads one request
/// from each, and keeps it until its answer is there.
///
/// All is bounded: the places, the bytes of a request, the time that a connection may take to speak. A stranger
/// is turned away as it comes in, so strangers never hold a place.
struct ControlServer {
  /// Connections at once.
  static var places: Int { 16 }
  /// Places that drains, which are long, leave to the probes, which are short.
  static var placesForProbes: Int { 8 }
  /// How long a connection may take to say what it wants.
  static var patience: Duration { .milliseconds(500) }

  /// One connection.
  private struct Place {
    var socket: UnixSocket
    /// Until when it may stay silent; nil once it has spoken.
    var deadline: Duration?
    var request: ControlRequest?
  }

  let listener: UnixSocket
  private var taken: [Place?] = []

  init(name: CString) throws(Errno) { listener = try UnixSocket(listeningOn: name) }

  /// Takes the connections that wait, a bounded number at a time (the listener stays readable while there are
  /// more); calls `add` for each that may stay, which begins to wait for its request.
  mutating func accept(at now: Duration, _ add: (_ place: Int, FileDescriptor) throws(Errno) -> Void) {
    for _ in 0..<32 {
      // Out of descriptors, and they wait in the backlog: the next turn of the loop tries again.
      guard let socket = (try? listener.accept()) ?? nil else { return }
      guard let peer = try? Peer(of: socket), peer.mayTalkToUs() else {
        refuse(socket, "only ebb's own user, or root, in this container may ask")
        continue
      }
      let place = freePlace
      guard let place else {
        refuse(socket, "too many at once")
        continue
      }
      taken[place] = Place(socket: socket, deadline: now + ControlServer.patience)
      if (try? add(place, socket.descriptor)) == nil { close(place) }
    }
  }

  private var freePlace: Int? {
    mutating get {
      if let free = taken.firstIndex(where: { $0 == nil }) { return free }
      guard taken.count < ControlServer.places else { return nil }
      taken.append(nil)
      return taken.count - 1
    }
  }

  private func refuse(_ socket: UnixSocket, _ why: Text) {
    _ = socket.send(ControlAnswer.refused(why).text)
    socket.descriptor.close()
  }

  /// Takes in what a connection has to say; its request, once. One that says anything else, or more, or goes
  /// away, is closed.
  mutating func read(_ place: Int) -> ControlRequest? {
    guard place < taken.count, let connection = taken[place] else { return nil }
    switch connection.socket.receive(limit: ControlRequest.limit) {
    case .none: return nil
    case .end:
      close(place)
    case .tooLong:
      answer(place, .refused("the request is too long"))
    case .message(let message):
      guard connection.request == nil, let request = ControlRequest(message) else {
        answer(place, .refused("no such request"))
        return nil
      }
      if request == .drain && drains >= ControlServer.places - ControlServer.placesForProbes {
        answer(place, .refused("too many drains are being waited for"))
        return nil
      }
      taken[place]?.deadline = nil
      taken[place]?.request = request
      return request
    }
    return nil
  }

  /// Whether somebody waits for a drain.
  var hasDrains: Bool { taken.contains { $0?.request == .drain } }

  private var drains: Int { taken.count { $0?.request == .drain } }

  /// Answers a connection, and closes it.
  mutating func answer(_ place: Int, _ answer: ControlAnswer) {
    guard place < taken.count, let connection = taken[place] else { return }
    _ = connection.socket.send(answer.text)
    close(place)
  }

  /// Answers all that asked one thing.
  mutating func answerAll(_ request: ControlRequest, _ answer: ControlAnswer) {
    for place in taken.indices where taken[place]?.request == request { self.answer(place, answer) }
  }

  /// Tells all that wait for a drain how it goes. One that does not read is closed.
  mutating func tellDrains(_ line: Text) {
    for place in taken.indices {
      guard let connection = taken[place], connection.request == .drain else { continue }
      if !connection.socket.send(ControlAnswer.progress(line).text) { close(place) }
    }
  }

  /// When the next silent connection has been silent for too long; nil when none is.
  var deadline: Duration? { taken.compactMap { $0?.deadline }.min() }

  /// Closes the connections that were silent for too long.
  mutating func closeSilent(at now: Duration) {
    for place in taken.indices {
      if let deadline = taken[place]?.deadline, deadline <= now { close(place) }
    }
  }

  private mutating func close(_ place: Int) {
    // Closing takes it out of epoll too: nobody else has it.
    taken[place]?.socket.descriptor.close()
    taken[place] = nil
  }
}
