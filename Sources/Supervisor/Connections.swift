import Linux

/// A connection to one of ebb's own sockets: the control socket, or the pages'.
final class Connection {
  /// What it waits for.
  enum State: UInt8 {
    /// Its request.
    case request
    /// The end of a check of readiness.
    case readiness
    /// The same, to be told of every probe.
    case verboseReadiness
    /// The end of the drain.
    case drain
    /// Its answer to leave.
    case sending
    /// The peer to hang up.
    case hangUp
  }

  /// The socket.
  let descriptor: FileDescriptor
  var state = State.request
  /// Until when it may stay in this state; nil while it waits for our own answer.
  var deadline: Duration?
  /// It is in the loop.
  var isFollowed = false

  /// By which address it came in.
  let listener: Int
  /// What has come of a request, or is left of an answer.
  var bytes: [UInt8] = []
  /// The head of the answer is wanted, without its body.
  var isHead = false
  /// The loop waits for room to write, and for nothing else.
  var waitsForRoom = false
  /// How much has been read and thrown away.
  var discarded = 0

  /// One that has just been taken.
  init(_ descriptor: FileDescriptor, until deadline: Duration, listener: Int = 0) {
    self.descriptor = descriptor
    self.deadline = deadline
    self.listener = listener
  }
}

/// The connections of a server: so many at once, and never more.
final class Places {
  private(set) var taken: [Connection?]
  /// How many are taken: mostly none, and then no turn of the loop goes through them.
  private var count = 0
  /// Until when nobody is taken in; nil while they are.
  var pausedUntil: Duration?
  private let kind: Token.Kind
  private let waiter: Waiter

  /// How long nobody is taken in when no descriptor is left: they wait in the backlog.
  static var pause: Duration { .milliseconds(100) }

  /// So many free places; in the loop their connections are of this kind.
  init(_ count: Int, _ kind: Token.Kind, waiter: Waiter) {
    taken = [Connection?](repeating: nil, count: count)
    self.kind = kind
    self.waiter = waiter
  }

  /// All places, or none where none is taken.
  var all: Range<Int> {
    0..<(count == 0 ? 0 : taken.count)
  }

  /// The connection in a place; nil where there is none.
  subscript(place: Int) -> Connection? { taken.indices.contains(place) ? taken[place] : nil }

  /// A place for the next who comes, ``put(_:in:)``: a free one, or that of who has its answer already or has not asked
  /// yet, whoever did so longest. So neither silence nor slowness keeps a probe out. nil where all wait for an answer.
  func free() -> Int? {
    var best: Int?
    for place in taken.indices {
      guard let connection = taken[place] else { return place }
      guard connection.state == .hangUp || connection.state == .request, let until = connection.deadline
      else {
        continue
      }
      if let best, let other = taken[best], let otherUntil = other.deadline {
        let isBetter = connection.state == other.state ? until < otherUntil : connection.state == .hangUp
        if !isBetter { continue }
      }
      best = place
    }
    return best
  }

  /// Puts a connection into a place, and closes who was there.
  func put(_ connection: Connection, in place: Int) {
    close(place)
    count += 1
    taken[place] = connection
  }

  /// Waits in the loop for more of a connection, if it is still there; closes it where that cannot be.
  func follow(_ place: Int) {
    guard let connection = self[place], !connection.isFollowed else { return }
    do throws(Errno) {
      try waiter.add(connection.descriptor, token: Token(kind, place).rawValue)
      connection.isFollowed = true
    } catch {
      close(place)
    }
  }

  /// How many wait for something.
  func count(of state: Connection.State) -> Int {
    var count = 0
    for place in all where taken[place]?.state == state { count += 1 }
    return count
  }

  /// When the next connection has taken too long, or connections are taken again; nil when there is no such
  /// moment.
  var deadline: Duration? {
    var first = pausedUntil
    if count == 0 { return first }
    for connection in taken {
      if let deadline = connection?.deadline { first = min(first ?? deadline, deadline) }
    }
    return first
  }

  /// Takes a connection out of the loop and of its place. Closing alone takes it out of the loop only if no child
  /// holds a copy, as one does between fork and exec.
  func release(_ place: Int) -> Connection? {
    guard let connection = self[place] else { return nil }
    if connection.isFollowed { waiter.remove(connection.descriptor) }
    taken[place] = nil
    count -= 1
    return connection
  }

  /// Closes a connection.
  func close(_ place: Int) { release(place)?.descriptor.close() }
}
