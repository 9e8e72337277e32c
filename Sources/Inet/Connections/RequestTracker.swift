import Linux

/// The requests in progress of a service, connection by connection, from one look at the socket table to the next.
///
/// What one look cannot tell, two can: whether an answer goes on, whether a new request has come. So each connection is
/// remembered with what was learned of it. From ``beginWaiting(at:undecidedMax:)`` on, the connections of that moment
/// hold off the stop signal, each until it has answered and is quiet; those that come later do not. When a connection
/// dies, ``judge(_:)`` says whether a request was cut off with it.
public final class RequestTracker: SocketCollector {
  /// How many connections are remembered at most. Where there is no room for more, all that are not idle at a look are
  /// waited for: who was there first cannot be told any more.
  public static var capacity: Int { 65536 }
  /// A service that has answered is given so long to say more: heads come before their bodies, and answers in pieces.
  static var quiet: Duration { .milliseconds(1100) }
  /// What comes so soon after its request may be a head, whose body comes later…
  static var atOnce: Duration { .milliseconds(200) }
  /// …but not after so long a silence.
  static var certain: Duration { .seconds(3) }
  /// The most that the time which an answer took makes of that.
  static var longestGuess: Duration { .milliseconds(2500) }
  /// A connection that has just been accepted is about to speak.
  static var aboutToSpeak: Duration { .seconds(1) }
  /// What says no more than so many bytes is no request and no answer: an interim answer (100 Continue), a ping, a
  /// window's update.
  static var small: UInt64 { 64 }
  /// Small words with so much time between them are heartbeats…
  static var heartbeatPause: Duration { .milliseconds(900) }
  /// …and a connection that has had two of them is waited for no longer than this.
  static var heartbeatMax: Duration { .milliseconds(1900) }

  private var entries: [TrackedConnection] = []
  /// The places of `entries`.
  private var index = CookieIndex()
  private let service: ServiceSockets
  private let tick: Duration
  private var now = Duration.zero
  /// When the look before was.
  private var before = Duration.zero
  private var waitingSince: Duration?
  private var undecidedMax = Duration.zero
  private var isFirstWait = false

  /// The service finishes by itself what it has begun: only a request that is certainly in progress is waited for, and
  /// what was sent before a connection was closed was whole.
  public var serverFinishes = false
  /// The service aborts what it has begun, and may say so to its peers: what it sends as it stops is no answer.
  public var serverAborts = false

  /// The service is told to end at once: what it is still saying, or has not said, at the next look is cut off.
  public var serverHurries = false

  /// Connections of this look whose last words of both sides lie within one tick: ``Pingpong`` looks them up.
  private(set) var ties: [TCPSocket] = []
  private(set) var tieIndex = CookieIndex()

  /// Open connections at this look.
  public private(set) var connections = 0
  /// Those with a request in progress.
  public private(set) var inProgress = 0
  /// Those of which that cannot be told.
  public private(set) var undecided = 0
  /// Those that hold off the stop signal.
  public private(set) var waitedFor = 0
  /// Those with a request in progress, or one that may have come a moment ago, whoever is waited for.
  public private(set) var active = 0
  /// The client of one of those; nil where there is none.
  public private(set) var example: Endpoint?
  /// Connections that were given up though it could not be told whether a request is in progress on them.
  public private(set) var inDoubt = 0
  /// Connections for which there was no place.
  public private(set) var notFollowed = 0

  /// A tracker that has seen nothing, of this service's connections.
  public init(of service: ServiceSockets = ServiceSockets(), tick: Duration = Activity.tick()) {
    self.service = service
    self.tick = tick
  }

  /// What to ask the table for.
  public static func query(ports: [UInt16]) -> SocketQuery {
    SocketQuery(states: .open, ports: ports, wantsHistory: true)
  }

  /// From the next look on, the connections of that look are waited for: those that cannot be told for so long at most.
  public func beginWaiting(at now: Duration, undecidedMax: Duration) {
    if waitingSince != nil { return }
    waitingSince = now
    self.undecidedMax = undecidedMax
    isFirstWait = true
  }

  /// Begins a look: call it before the table is read.
  public func beginLook(at now: Duration) {
    self.now = now
    connections = 0
    inProgress = 0
    undecided = 0
    waitedFor = 0
    active = 0
    example = nil
    notFollowed = 0
    ties.removeAll()
    tieIndex.removeAll()
    service.beginLook()
  }

  /// Forgets this look's rows. What they taught stays: it is told again.
  public override func restart() { beginLook(at: now) }

  /// Takes one open connection.
  public override func take(_ socket: TCPSocket) {
    guard service.owns(socket) else { return }
    connections += 1
    let activity = Activity(of: socket, tick: tick)
    if activity.evidence == .sameTick {
      if let place = index.place(of: socket.cookie), entries[place].isUnchanged(socket) {
        return note(socket, entries[place].activity)
      }
      if ties.count < RequestTracker.capacity && tieIndex.hasRoom(besides: MemoryLayout<TCPSocket>.stride)
        && tieIndex.insert(socket.endsHash)
      {
        return ties.append(socket)
      }
    }
    note(socket, activity)
  }

  /// Takes what /proc/net/tcp says of a tie.
  func resolve(_ place: Int, isPingpong: Bool?) { ties[place].isPingpong = isPingpong }

  /// Ends a look that was read whole.
  public func endLook() {
    for socket in ties { note(socket, Activity(of: socket, tick: tick)) }
    ties.removeAll()
    tieIndex.removeAll()
    service.endLook()
    if entries.count > 2 * connections + 1024 { forgetGone() }
    before = now
    if waitingSince != nil { isFirstWait = false }
  }

  /// Forgets the connections that two looks have not met: short ones by the thousands would leave no room for others.
  /// (Whoever has gone since the look before may still have his notice to come.)
  private func forgetGone() {
    guard Memory.allows(entries.count * MemoryLayout<TrackedConnection>.stride) else { return }
    var kept: [TrackedConnection] = []
    var places = CookieIndex()
    for entry in entries where entry.lookedAt >= before {
      if places.insert(entry.cookie) { kept.append(entry) }
    }
    entries = kept
    index = places
  }

  private func note(_ socket: TCPSocket, _ activity: Activity) {
    switch activity.verdict {
    case .inProgress: inProgress += 1
    case .undecided: undecided += 1
    case .idle: break
    }
    let isActive = activity.verdict == .inProgress || activity.evidence == .young
    guard let place = place(of: socket, activity) else {
      notFollowed += 1
      if isActive { active += 1 }
      if activity.verdict != .idle && waitingSince != nil {
        waitedFor += 1
        example = socket.remote
      }
      return
    }
    if isActive && entries[place].heartbeats < 2 { active += 1 }
    if serverHurries {
      entries[place].isHeld =
        activity.verdict != .idle || (socket.history.map { OpenConnections.isStreaming($0) } ?? false)
    }
    if isFirstWait { entries[place].isWaitedFor = true }
    guard let waitingSince, entries[place].isWaitedFor else { return }
    if holds(&entries[place], socket, activity, for: now - waitingSince) {
      waitedFor += 1
      example = socket.remote
    } else {
      entries[place].isWaitedFor = false
    }
  }

  /// Where a connection is remembered, with what this look says of it; nil where there is no room.
  private func place(of socket: TCPSocket, _ activity: Activity) -> Int? {
    if let place = index.place(of: socket.cookie) {
      entries[place].learn(socket, activity, at: now)
      return place
    }
    guard entries.count < RequestTracker.capacity,
      index.hasRoom(besides: MemoryLayout<TrackedConnection>.stride), index.insert(socket.cookie)
    else { return nil }
    entries.append(TrackedConnection(socket, activity, at: now))
    return entries.count - 1
  }

  /// Whether a connection holds off the stop signal, which has waited for so long.
  private func holds(
    _ entry: inout TrackedConnection, _ socket: TCPSocket, _ activity: Activity, for waited: Duration
  ) -> Bool {
    if entry.heartbeats >= 2 && waited >= RequestTracker.heartbeatMax { return false }
    // What such a server has begun it finishes by itself, whatever that is.
    if serverFinishes && activity.verdict != .inProgress { return false }
    // The next request, once the one of then has been answered, is not waited for.
    if entry.hasAskedAgain && activity.evidence != .unacknowledged { return false }
    switch activity.verdict {
    case .inProgress:
      return true
    case .undecided:
      if activity.evidence == .young || waited < undecidedMax { return true }
      if !entry.isInDoubt { inDoubt += 1 }
      entry.isInDoubt = true
      return false
    case .idle:
      guard let history = socket.history else { return false }
      if activity.evidence == .silence {
        return !socket.peerHasClosed && history.sinceReceived < RequestTracker.aboutToSpeak
      }
      return history.sinceSent < entry.quiet(history)
    }
  }

  // MARK: - The end of a connection

  /// The stop signal goes out now. Connections that the last look has not met were closed by the service before, as it
  /// saw fit, though their ends may still be under way.
  public func beginStop() {
    for index in entries.indices where entries[index].lookedAt < now { entries[index].isJudged = true }
  }

  /// What became of the request that a connection had when it died.
  public enum Ending: Sendable {
    /// There was none, or it was answered.
    case none
    /// It was cut off.
    case cut
    /// That cannot be told.
    case undecided
  }

  /// Says what became of the requests of those connections of which no end has been seen: a part of a MPTCP connection, one
  /// that a process holds which could not be ended.
  public func judgeRest(_ tell: (Ending) -> Void) {
    for index in entries.indices where entries[index].lookedAt == now && !entries[index].isJudged {
      entries[index].isJudged = true
      tell(entries[index].ending)
    }
  }

  /// Judges a connection by the last that was seen of it, once: the kernel's notice of its death, or a row of one that
  /// the service has closed.
  public func judge(_ socket: TCPSocket) -> Ending {
    guard let place = index.place(of: socket.cookie) else {
      let ending = ending(of: socket, nil)
      if entries.count < RequestTracker.capacity,
        index.hasRoom(besides: MemoryLayout<TrackedConnection>.stride),
        index.insert(socket.cookie)
      {
        entries.append(TrackedConnection(socket, Activity(.undecided, .nothing), at: now))
        entries[entries.count - 1].isJudged = true
      }
      return ending
    }
    if entries[place].isJudged { return .none }
    entries[place].isJudged = true
    return ending(of: socket, entries[place])
  }

  private func ending(of socket: TCPSocket, _ known: TrackedConnection?) -> Ending {
    if let known, known.heartbeats >= 2 { return .none }
    // The kernel had thrown its figures away: it was aborted, or never accepted.
    guard let history = socket.history, socket.remote.port != 0 else {
      return known.map { $0.ending } ?? .undecided
    }
    if history.bytesReceived == 0 || history.dataSegmentsReceived == 0 { return .none }
    // So little may be the peer's last word and its FIN: TLS's close_notify.
    if socket.receiveQueue > RequestTracker.small + 1 { return .cut }
    let activity = Activity(atTheEndOf: socket, tick: tick)
    switch activity.evidence {
    case .noAnswer: return .cut
    case .peerSpokeLast:
      guard let known, known.activity.verdict == .idle, known.bytesSent == history.payloadSent,
        history.bytesReceived &- known.payloadReceived <= RequestTracker.small + 1
      else { return .cut }
      return .undecided
    case .serverSpokeLast, .greeting:
      if known?.isHeld == true { return .cut }
      // A server that finishes what it has begun, or a peer that has closed by itself, had the whole answer.
      if serverFinishes || known?.peerHasClosed == true { return .none }
      guard let known else { return history.sinceSent <= .milliseconds(50) ? .none : .undecided }
      // It has spoken since the stop signal, and gone: with an answer, or to say that there will be none.
      if known.bytesSent != history.payloadSent && history.sinceSent <= .milliseconds(50)
        && (known.activity.verdict != .idle || history.bytesReceived > known.payloadReceived + 1
          || known.mayGoOn)
      {
        return serverAborts && known.activity.verdict == .inProgress ? .cut : .undecided
      }
      guard known.isStreaming(history) else {
        return known.bytesSent == history.payloadSent ? known.ending : .none
      }
      // Closed as it had spoken: perhaps that was the end of it. One piece may have been the whole answer.
      return history.sinceSent <= .milliseconds(50) || known.pieces < 2 ? .undecided : .cut
    default:
      guard let known, known.bytesSent == history.payloadSent,
        known.payloadReceived == history.bytesReceived || known.payloadReceived &+ 1 == history.bytesReceived
      else { return .undecided }
      return known.ending
    }
  }

  /// What the last look saw of a connection: payload that the service had not read, whether it had accepted it, whether
  /// the peer had closed; nil where it was never seen.
  public func lastSeen(_ cookie: UInt64) -> (unread: UInt32, isAccepted: Bool, peerHasClosed: Bool)? {
    index.place(of: cookie).map { (entries[$0].unread, entries[$0].isAccepted, entries[$0].peerHasClosed) }
  }
}

extension Activity {
  /// The activity of a connection that has died: its queues tell of its own FIN, and there is no pingpong mode any more.
  public init(atTheEndOf socket: TCPSocket, tick: Duration) {
    var socket = socket
    socket.receiveQueue = 0
    socket.sendQueue = 0
    self.init(of: socket, tick: tick)
  }
}
