import Linux

/// The supervisor's end of the control socket: it takes connections, checks who is there, reads one request
/// from each, and keeps it until its answer is there.
///
/// All is bounded: the places, the bytes of a request, the time that a connection may take to speak. A stranger
/// is turned away as it comes in, so strangers never hold a place; and who says nothing gives its place to the
/// next who comes, so that silence cannot keep a probe out.
struct ControlServer {
  /// Connections at once.
  static var places: Int { 16 }
  /// Places that drains, which are long, leave to the probes, which are short.
  static var placesForProbes: Int { 8 }
  /// How long a connection may take to say what it wants.
  static var patience: Duration { .milliseconds(500) }
  /// How long nobody is taken in when no descriptor is left: they wait in the backlog.
  static var pause: Duration { .milliseconds(100) }

  /// One connection.
  private struct Place {
    var socket: UnixSocket
    /// Until when it may stay silent; nil once it has spoken.
    var deadline: Duration?
    var request: ControlRequest?
    /// It is in the loop.
    var isFollowed = false
  }

  let listener: UnixSocket
  private let poll: EventPoll
  private var taken: [Place?] = []
  /// Until when nobody is taken in; nil while they are.
  private var pausedUntil: Duration?

  /// Listens under a name, and waits in the loop for who comes.
  init(name: CString, poll: EventPoll) throws(Errno) {
    self.poll = poll
    listener = try UnixSocket(listeningOn: name)
    try poll.add(listener.descriptor, token: Token(.controlListener).rawValue)
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
  mutating func accept(at now: Duration) -> Arrival {
    let socket: UnixSocket
    do throws(Errno) {
      guard let next = try listener.accept() else { return .nobody }
      socket = next
    } catch {
      // No descriptor is left. The listener would go on being readable, and wake us without end.
      poll.remove(listener.descriptor)
      pausedUntil = now + ControlServer.pause
      return .nobody
    }
    guard let peer = try? Peer(of: socket), peer.mayTalkToUs() else {
      socket.close(
        after: ControlAnswer.refused("only ebb's own user, or root, in this container may ask").text)
      return .refused
    }
    guard let place = freePlace else {
      socket.close(after: ControlAnswer.refused("too many at once").text)
      return .refused
    }
    taken[place] = Place(socket: socket, deadline: now + ControlServer.patience)
    return .place(place)
  }

  /// A place: a free one, a new one, or that of the connection that has been silent for longest.
  private var freePlace: Int? {
    mutating get {
      if let free = taken.firstIndex(where: { $0 == nil }) { return free }
      if taken.count < ControlServer.places {
        taken.append(nil)
        return taken.count - 1
      }
      let silent = taken.indices.compactMap { place in
        taken[place]?.deadline.map { (place: place, until: $0) }
      }
      let longest = silent.min { $0.until < $1.until }
      if let longest { close(longest.place) }
      return longest?.place
    }
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

  /// Waits in the loop for more of a connection that is still there: its request, or its end.
  mutating func follow(_ place: Int) {
    guard place < taken.count, let connection = taken[place], !connection.isFollowed else { return }
    do throws(Errno) {
      try poll.add(connection.socket.descriptor, token: Token(.control, place).rawValue)
      taken[place]?.isFollowed = true
    } catch {
      close(place)
    }
  }

  /// Whether somebody waits for a drain.
  var hasDrains: Bool { taken.contains { $0?.request == .drain } }

  private var drains: Int { taken.count { $0?.request == .drain } }

  /// Answers a connection, and closes it.
  mutating func answer(_ place: Int, _ answer: ControlAnswer) {
    guard place < taken.count, taken[place] != nil else { return }
    close(place, after: answer.text)
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

  /// When the next silent connection has been silent for too long, or connections are taken again; nil when
  /// there is no such moment.
  var deadline: Duration? {
    let silent = taken.compactMap { $0?.deadline }.min()
    guard let pausedUntil else { return silent }
    return min(silent ?? pausedUntil, pausedUntil)
  }

  /// Closes the connections that were silent for too long, and ends a pause that is over.
  mutating func tick(at now: Duration) {
    for place in taken.indices {
      if let deadline = taken[place]?.deadline, deadline <= now { close(place) }
    }
    if let pausedUntil, pausedUntil <= now {
      let isBack = (try? poll.add(listener.descriptor, token: Token(.controlListener).rawValue)) != nil
      self.pausedUntil = isBack ? nil : now + ControlServer.pause
    }
  }

  private mutating func close(_ place: Int, after message: Text? = nil) {
    guard place < taken.count, let connection = taken[place] else { return }
    // Closing alone takes it out of the loop only if no child holds a copy, as one does between fork and exec.
    if connection.isFollowed { poll.remove(connection.socket.descriptor) }
    if let message { connection.socket.close(after: message) } else { connection.socket.descriptor.close() }
    taken[place] = nil
  }
}
