import Linux

/// The supervisor's end of the control socket: it takes connections, checks who is there, reads one request
/// from each, and keeps it until its answer is there.
///
/// All is bounded: the places, the bytes of a request, the time that a connection may take to speak. A stranger
/// is turned away as it comes in, so strangers never hold a place; and who says nothing gives its place to the
/// next who comes, so that silence cannot keep a probe out.
final class ControlServer {
  /// Connections at once.
  static var places: Int { 16 }
  /// Places that drains, which are long, leave to the probes, which are short.
  static var placesForProbes: Int { 8 }
  /// How long a connection may take to say what it wants.
  static var patience: Duration { .milliseconds(500) }

  /// nil before it listens, and where control is off.
  private(set) var listener: UnixSocket?
  let places: Places
  private let waiter: Waiter

  /// A server without a name.
  init(waiter: Waiter) {
    self.waiter = waiter
    places = Places(ControlServer.places, .control, waiter: waiter)
  }

  /// Listens under a name, and waits in the loop for who comes.
  func listen(on name: CString) throws(Errno) {
    let socket = try UnixSocket(named: name)
    do throws(Errno) {
      try socket.listen()
      try waiter.add(socket.descriptor, token: Token(.controlListener).rawValue)
    } catch {
      socket.descriptor.close()
      throw error
    }
    listener = socket
  }

  /// Who has come.
  enum Arrival {
    /// Nobody.
    case nobody
    /// Somebody who was turned away.
    case refused
    /// Somebody who may ask, now in this place.
    case place(Int)
  }

  /// Takes the next connection that waits.
  func accept(at now: Duration) -> Arrival {
    guard let listener else { return .nobody }
    let socket: UnixSocket
    do throws(Errno) {
      guard let next = try listener.accept() else { return .nobody }
      socket = next
    } catch {
      // No descriptor is left. The listener would go on being readable, and wake us without end.
      waiter.remove(listener.descriptor)
      places.pausedUntil = now + Places.pause
      return .nobody
    }
    guard let peer = try? Peer(of: socket), peer.mayTalkToUs() else {
      socket.close(
        after: ControlAnswer.refused("only ebb's own user, or root, in this container may ask").text)
      return .refused
    }
    guard let place = places.free() else {
      socket.close(after: ControlAnswer.refused("too many at once").text)
      return .refused
    }
    places.put(Connection(socket.descriptor, until: now + ControlServer.patience), in: place)
    return .place(place)
  }

  /// Takes in what a connection has to say; its request, once. One that says anything else, or more, or goes
  /// away, is closed.
  func read(_ place: Int) -> ControlRequest? {
    guard let connection = places[place] else { return nil }
    switch UnixSocket(accepted: connection.descriptor).receive(limit: ControlRequest.limit) {
    case .none: return nil
    case .end:
      places.close(place)
    case .tooLong:
      answer(place, .refused("the request is too long"))
    case .message(let message):
      guard connection.state == .request, let request = ControlRequest(message) else {
        answer(place, .refused("no such request"))
        return nil
      }
      if request == .drain && places.count(of: .drain) >= ControlServer.places - ControlServer.placesForProbes
      {
        answer(place, .refused("too many drains are being waited for"))
        return nil
      }
      connection.deadline = nil
      connection.state = request == .drain ? .drain : .readiness
      return request
    }
    return nil
  }

  /// Whether somebody waits for a drain.
  var hasDrains: Bool { places.count(of: .drain) > 0 }

  /// Answers a connection, and closes it.
  func answer(_ place: Int, _ answer: ControlAnswer) {
    if let connection = places.release(place) {
      UnixSocket(accepted: connection.descriptor).close(after: answer.text)
    }
  }

  /// Answers all that wait for one thing.
  func answerAll(_ state: Connection.State, _ answer: ControlAnswer) {
    for place in places.all where places[place]?.state == state { self.answer(place, answer) }
  }

  /// Tells all that wait for a drain how it goes. One that does not read is closed.
  func tellDrains(_ line: Text) {
    for place in places.all {
      guard let connection = places[place], connection.state == .drain else { continue }
      if !UnixSocket(accepted: connection.descriptor).send(ControlAnswer.progress(line).text) {
        places.close(place)
      }
    }
  }

  /// Closes the connections that were silent for too long, and ends a pause that is over.
  func tick(at now: Duration) {
    for place in places.all {
      if let deadline = places[place]?.deadline, deadline <= now { places.close(place) }
    }
    if let listener, let pausedUntil = places.pausedUntil, pausedUntil <= now {
      let isBack = (try? waiter.add(listener.descriptor, token: Token(.controlListener).rawValue)) != nil
      places.pausedUntil = isBack ? nil : now + Places.pause
    }
  }
}
