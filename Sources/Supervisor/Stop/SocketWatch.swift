import Inet
import Lifecycle
import Linux

/// What ebb knows of the service's sockets: which they are, what is busy among them, what dies, what is left
/// to the kernel. Reads tables when it is asked to, and keeps the counts for the report.
final class SocketWatch {
  /// The service's ports, as far as they are known.
  private(set) var ports: ServicePorts
  /// The listeners of our user that were there before the launch, where nothing better than the user tells
  /// whose a socket is.
  private var listenersBefore: [UInt64] = []

  /// Whose a connection at these ports is.
  let service = ServiceSockets()
  /// The connections at its Unix sockets.
  let unix: UnixConnections
  /// Its UDP ports.
  let datagrams: DatagramPorts
  /// ``DatagramPorts/received`` at the last look for arrivals.
  private var lastReceived: UInt64?
  /// The server is known to get one request a connection there.
  var unixIsOneRequest = false
  /// nil before the drain, and after the end of a drain that was only asked for.
  private var tracker: RequestTracker?
  private var arrivalWatch: ArrivalWatch?
  /// ``AcceptedConnections`` at the last look for arrivals, and when that was.
  private var lastAccepted: UInt64?
  private var lastLookForArrivals = Duration.zero
  /// New connections since the drain began; nil where some may not have been seen.
  private(set) var arrived: UInt64?
  /// The count had grown at the last look: a connection is counted a moment before it is in the table.
  private var mayBeIncomplete = false
  /// Whose connections are no traffic.
  var uncounted: Uncounted
  private(set) var notices: DeathNotices?
  /// What was lost from the start of the drain on.
  let lost = LossCounter()
  /// The same.
  var losses: Losses { lost.losses }
  private var excluded: [UInt16] = []
  private let counters = SocketCounters()
  /// How many sockets ebb itself has open for good.
  var ownSockets = 0
  /// The cookies of the listeners that were found to be the service's.
  private var knownListeners: [UInt64] = []
  private var lastArrivals: (count: UInt64, at: Duration, rate: Rate?)?
  private var table = SocketTable()
  /// Why the last look at it failed; nil where it did not.
  private var unreadable: Errno?
  /// No process of the service's shows in /proc.
  private var seesNoProcess = false
  /// Something new listens, and whose it is cannot be seen.
  private var hasUnknownListeners = false

  /// A watch over these ports, or over those that are found where there are none. What comes from `peers` is no
  /// traffic.
  init(given: [UInt16], udp: [UInt16], unix paths: [[UInt8]], ignoring peers: [PeerRange]) {
    uncounted = Uncounted(peers)
    unix = UnixConnections(given: paths)
    datagrams = DatagramPorts(given: udp)
    let isGiven = !(given.isEmpty && udp.isEmpty && paths.isEmpty)
    ports = ServicePorts(ports: given, origin: isGiven ? .given : nil)
  }

  /// Notes what is there before the launch: should neither the cgroup nor the descriptors tell whose a listener is, one
  /// that was there before is not the service's; nor are the last connections of a container before this one.
  func noteSocketsBefore() {
    // In a container's own network there is mostly nothing yet, and so nothing to ask for.
    guard counters.mayHaveConnections() else { return }
    let found = Listeners()
    guard (try? table.read(SocketQuery(states: [.listening, .delivering]), into: found)) != nil else {
      return
    }
    for socket in found.sockets {
      if socket.state == .listen {
        listenersBefore.append(socket.cookie)
      } else {
        service.forget(socket.cookie)
      }
    }
  }

  /// What listens at these ports, or at all where there are none; nil where the table cannot be read.
  private func listeners(ports: [UInt16] = []) -> [TCPSocket]? {
    let listeners = Listeners()
    do throws(Errno) {
      try table.read(Listeners.query(ports: ports), into: listeners)
      unreadable = nil
      return listeners.sockets
    } catch {
      unreadable = error
      return nil
    }
  }

  /// Notes whose the listeners at the service's ports are, so that strangers at the same number are known.
  private func noteOwners(_ family: [ProcessRecord]? = nil) {
    guard let listening = listening(), !listening.isEmpty else { return }
    let cgroup = Cgroup.own
    var known = false
    if let cgroup {
      for socket in listening where socket.cgroup == cgroup { known = true }
    }
    if known {
      for socket in listening { service.note(socket, isService: socket.cgroup == cgroup) }
      return
    }
    let family = processes(family)
    let owners = SocketOwners(family)
    for socket in listening where owners.hold(socket.inode) { known = true }
    if known {
      for socket in listening { service.note(socket, isService: owners.hold(socket.inode)) }
      return
    }
    // Descriptors may not be looked at (a service that has changed its user, without CAP_SYS_PTRACE): their users.
    let users = ProcessTable.users(of: family)
    for socket in listening where users.contains(socket.user) { known = true }
    // Where nobody is seen to hold one, whoever listens there is the service.
    for socket in listening { service.note(socket, isService: !known || users.contains(socket.user)) }
  }

  /// Takes a port out of what can be found: ebb's own pages are served there.
  func exclude(_ port: UInt16) { excluded.append(port) }

  /// Looks for the service's listening sockets, unless the user named the ports. `family` is the
  /// service's processes, where they are known already.
  func findPorts(of family: [ProcessRecord]? = nil) {
    defer { noteOwners(family) }
    guard ports.origin != .given else { return }
    guard let listeners = listeners() else { return }
    var others: [TCPSocket] = []
    for socket in listeners where !excluded.contains(socket.local.port) { others.append(socket) }
    if others.isEmpty { return }
    hasUnknownListeners = false
    let family = processes(family)
    let found = ServicePorts.find(among: others, cgroup: Cgroup.own, before: listenersBefore, family: family)
    if found.origin == nil && seesNoProcess {
      for socket in others where !listenersBefore.contains(socket.cookie) { hasUnknownListeners = true }
    }
    // Ports once found stay: a server closes its listeners when it begins to stop.
    if found.origin != nil { ports = found }
  }

  /// The numbers of these processes, or of the service's.
  private func processes(_ family: [ProcessRecord]? = nil) -> [ProcessID] {
    var processes: [ProcessID] = []
    for record in family ?? (try? ProcessTable.descendants(of: .own)) ?? [] {
      processes.append(record.process)
    }
    seesNoProcess = processes.isEmpty
    return processes
  }

  /// Why the service's ports, or its connections, are not seen; nil where they are, as far as is known.
  var blindness: Text? {
    if let unreadable { return "the socket table cannot be read (\(unreadable))" }
    if ports.ports.isEmpty && hasUnknownListeners {
      return "whose the listening sockets are cannot be seen (--ports names the service's)"
    }
    return nil
  }

  /// Which of the ports are listened on now; nil where the table cannot be read.
  func listening() -> [TCPSocket]? {
    ports.ports.isEmpty ? [] : listeners(ports: ports.ports)
  }

  /// Whether listeners on a given port are the service's, as far as that can be seen: a service that did not
  /// get its port must not be called ready because somebody else has it.
  func mayBeServices(_ listeners: [TCPSocket]) -> Bool {
    if let cgroup = Cgroup.own {
      for socket in listeners where socket.cgroup == cgroup { return true }
    }
    let family = processes()
    let owners = SocketOwners(family)
    if family.isEmpty || !owners.isComplete { return true }
    for socket in listeners where socket.inode == 0 || owners.hold(socket.inode) { return true }
    return false
  }

  /// Remembers listeners as the service's. (From /proc they have no cookies that another could not get.)
  func remember(_ listeners: [TCPSocket]) {
    knownListeners = table.source == .netlink ? cookies(listeners) : []
  }

  private func cookies(_ sockets: [TCPSocket]) -> [UInt64] {
    var cookies: [UInt64] = []
    for socket in sockets { cookies.append(socket.cookie) }
    return cookies
  }

  /// Whether all listeners that are remembered are there still. Then they need not be looked for, and nobody
  /// has to be asked whose they are: what a probe asks every few seconds costs one short dump.
  func listensAsBefore() -> Bool {
    guard !knownListeners.isEmpty, let listening = listening() else { return false }
    let cookies = cookies(listening)
    for known in knownListeners where !cookies.contains(known) { return false }
    return true
  }

  /// What is going on at the service's ports now; empty where none is known or the table cannot be read.
  func portTraffic() -> [PortTraffic] {
    if ports.ports.isEmpty { return [] }
    let traffics = PortTraffics(ports: ports.ports, of: service)
    guard (try? table.read(traffics.query, into: traffics)) != nil else { return [] }
    return traffics.ports
  }

  /// New connections a second since this was asked before, at least half a second ago.
  func arrivals(at now: Duration) -> Rate? {
    guard let count = AcceptedConnections.count else { return nil }
    guard let before = lastArrivals else {
      lastArrivals = (count, now, nil)
      return nil
    }
    let elapsed = (now - before.at).inMilliseconds
    if elapsed < 500 { return before.rate }
    let rate = Rate(count: count &- min(before.count, count), in: now - before.at)
    lastArrivals = (count, now, rate)
    return rate
  }

  /// How many have come so far, as the counters of the namespace tell: connections, and datagrams where nobody else gets
  /// any. nil where they cannot be read.
  func countOfArrivals() -> UInt64? {
    guard let accepted = AcceptedConnections.count else { return nil }
    datagrams.look()
    return accepted &+ (datagrams.areAlone ? DatagramPorts.received ?? 0 : 0)
  }

  /// How long ago the last request on an open connection was; nil where there was none, or that is not seen.
  func sinceLastRequest() -> Duration? {
    if ports.ports.isEmpty { return nil }
    let last = LastRequest(of: service, besides: uncounted)
    guard (try? table.read(RequestTracker.query(ports: ports.ports), into: last)) != nil else { return nil }
    return last.silence
  }

  /// Begins to look for arrivals: what is there now is not new.
  func beginArrivals(at now: Duration) {
    arrivalWatch = ArrivalWatch(of: service, besides: uncounted)
    arrived = 0
    _ = lookAtArrivals(wantsRequests: true, at: now)
  }

  /// The traffic so far, as the counter of the whole namespace tells, is the service's: nothing else listens there.
  func hasNamespaceForItself() -> Bool {
    guard let listeners = listeners() else { return false }
    for socket in listeners {
      // 127.0.0.11 is Docker's own resolver in its networks.
      if socket.local.ipv4 == 0x7f00_000b { continue }
      if !ports.ports.contains(socket.local.port) && !excluded.contains(socket.local.port) { return false }
    }
    return true
  }

  /// Looks at what has arrived since this was asked before; nil where that cannot be told. `wantsRequests`:
  /// those on connections that were there before, too.
  func lookAtArrivals(wantsRequests: Bool, at now: Duration) -> Arrivals? {
    guard let watch = arrivalWatch else {
      arrived = nil
      return nil
    }
    if ports.ports.isEmpty {
      arrived = nil
      return datagrams.ports.isEmpty ? nil : lookAtDatagrams()
    }
    let accepted = AcceptedConnections.count
    // No new connection in the whole namespace: the table need not be read for them.
    let hasGrown = accepted == nil || accepted != lastAccepted
    let elapsed = now - lastLookForArrivals
    lastAccepted = accepted
    lastLookForArrivals = now
    if !hasGrown && !mayBeIncomplete && (!wantsRequests || watch.open == 0) {
      watch.lookAtNotices()
    } else {
      watch.beginLook(after: wantsRequests ? elapsed : nil)
      let query = ArrivalWatch.query(ports: ports.ports, wantsRequests: wantsRequests)
      guard (try? table.read(query, into: watch)) != nil else {
        arrived = nil
        return nil
      }
      watch.endLook()
    }
    mayBeIncomplete = hasGrown
    // Where short connections can pass unseen, or new ones cannot be told from old ones, the count of the whole
    // namespace has to do.
    let isBlind = losses.notMeasured != nil || watch.isOverfull
    arrived = isBlind ? nil : arrived.map { $0 &+ UInt64(watch.connections) }
    var found = Arrivals(
      connections: isBlind && hasGrown ? max(1, watch.connections) : watch.connections,
      requests: watch.requests)
    if !datagrams.ports.isEmpty {
      guard let more = lookAtDatagrams() else { return nil }
      found.connections += more.connections
    }
    return found
  }

  /// The datagrams that have come since; nil where they may be somebody else's.
  private func lookAtDatagrams() -> Arrivals? {
    let received = DatagramPorts.received
    defer { lastReceived = received }
    datagrams.look()
    guard datagrams.areAlone, let received, let before = lastReceived else { return nil }
    return Arrivals(connections: Int(clamping: received &- min(before, received)), requests: 0)
  }

  /// Ends that, and gives its memory back.
  func endArrivals() { arrivalWatch = nil }

  /// Begins to listen for deaths. From here on losses are counted.
  func listenForDeaths() {
    guard notices == nil else { return }
    if ports.ports.isEmpty {
      if !unix.listeners.isEmpty {
        lost.losses.notMeasured = .unixSockets
      } else if !datagrams.ports.isEmpty {
        lost.losses.notMeasured = .datagrams
      }
      return
    }
    // Where the kernel has no inet_diag, it takes the subscription, and never sends a notice.
    if table.source == .proc {
      lost.losses.notMeasured = .refused(table.netlinkError ?? .noSuchFile)
      return
    }
    do throws(Errno) {
      notices = try DeathNotices(ports: ports.ports)
      lost.losses.notMeasured = nil
    } catch {
      lost.losses.notMeasured = .refused(error)
    }
  }

  /// Waits for the notices that are under way, so that what is not counted then was not lost.
  func awaitNotices() {
    guard notices != nil, losses.notMeasured == nil else { return }
    if !DeathNotices.waitForThoseUnderWay(atMost: .milliseconds(100)) { lost.losses.notMeasured = .late }
  }

  /// Takes in the notices that have come, at most `limit`; false when there may be more.
  func takeNotices(limit: Int = 1024, _ tell: (Death) -> Void) -> Bool {
    guard let notices else { return true }
    for _ in 0..<limit {
      switch notices.next() {
      case .none: return true
      case .missed: lost.losses.notMeasured = .missed
      case .death(let death):
        arrivalWatch?.take(death)
        if service.owned(death.socket), lost.count(death, tracker) { tell(death) }
      }
    }
    return false
  }

  /// The open connections, and what goes on on them.
  struct Traffic {
    var connections: Int
    /// With a request in progress.
    var inProgress: Int
    /// Of which that cannot be told.
    var undecided: Int
    /// That hold off the stop signal; before the waiting, none.
    var waitedFor: Int
    /// Not followed one by one, since there is no memory for it.
    var notFollowed: Int
    /// With a request in progress, or one that may have come a moment ago.
    var active = 0
    /// The client of one that is waited for.
    var example: Endpoint?

    /// What there is at Unix sockets and UDP ports: a datagram that nobody has read is in progress.
    init(of unix: UnixConnections, _ datagrams: DatagramPorts) {
      connections = unix.connections
      inProgress = 0
      undecided = unix.connections
      waitedFor = unix.waitedFor
      notFollowed = 0
      for port in datagrams.ports where port.waiting > 0 {
        inProgress += 1
        waitedFor += 1
      }
    }
  }

  /// Finds the Unix sockets on which the service listens, and its UDP ports.
  func findOtherSockets(of family: [ProcessRecord]? = nil) {
    let owners = SocketOwners(processes(family))
    unix.find(heldBy: owners)
    if ports.origin != .given { datagrams.find(heldBy: owners) }
  }

  /// Nobody can send the service anything new, as far as can be seen: it has no port, and no Unix socket that was named.
  var servesNobody: Bool {
    ports.origin == nil && datagrams.ports.isEmpty && !datagrams.hasUnknown && unreadable == nil
      && !hasUnknownListeners && !seesNoProcess
  }

  /// Looks at the open connections; nil where they cannot be read, or no port is known.
  func lookAtTraffic(at now: Duration) -> Traffic? {
    unix.look(at: now, isOneRequest: unixIsOneRequest)
    datagrams.look()
    if ports.ports.isEmpty {
      return unix.listeners.isEmpty && datagrams.ports.isEmpty ? nil : Traffic(of: unix, datagrams)
    }
    do throws(Errno) {
      let traffic = try trafficOrError(at: now)
      unreadable = nil
      return traffic
    } catch {
      unreadable = error
      return nil
    }
  }

  /// The same, with the reason where they cannot be read.
  func trafficOrError(at now: Duration) throws(Errno) -> Traffic {
    let tracker = tracker ?? RequestTracker(of: service)
    self.tracker = tracker
    try table.read(tracker, ports: ports.ports, at: now)
    var traffic = Traffic(of: unix, datagrams)
    traffic.connections += tracker.connections
    traffic.inProgress += tracker.inProgress
    traffic.undecided += tracker.undecided
    traffic.waitedFor += tracker.waitedFor
    traffic.notFollowed = tracker.notFollowed
    traffic.active = tracker.active
    traffic.example = tracker.example
    return traffic
  }

  /// What keeps a service that has been told to stop; nil where there is nothing, or that is not seen.
  func lookAtOpen() -> OpenConnections? {
    if ports.ports.isEmpty { return nil }
    let collector = OpenConnectionsCollector(of: service)
    guard (try? table.read(RequestTracker.query(ports: ports.ports), into: collector)) != nil else {
      return nil
    }
    return collector.open.count > 0 ? collector.open : nil
  }

  /// From the next look on, the connections of that moment are waited for.
  func beginWaiting(at now: Duration, undecidedMax: Duration, serverFinishes: Bool = false) {
    if tracker == nil { tracker = RequestTracker(of: service) }
    tracker?.serverFinishes = serverFinishes
    tracker?.beginWaiting(at: now, undecidedMax: undecidedMax)
    unix.beginWaiting(at: now, undecidedMax: undecidedMax)
  }

  /// Ends the looking of a drain that was only asked for, and gives its memory back.
  func endFollowing() {
    tracker = nil
    arrivalWatch = nil
  }

  /// The service is told to stop, or has ended: how its connections stand now decides whose request is cut off.
  func beginStop(at now: Duration, _ server: KnownServer?, hasEnded: Bool = false) {
    if lost.isStopping { return }
    arrivalWatch = nil
    let isSeen = lookAtTraffic(at: now) != nil
    let serverFinishes = server?.finishesRequests == true
    tracker?.serverFinishes = serverFinishes
    tracker?.serverAborts = server?.finishesRequests == false
    if isSeen && !hasEnded { tracker?.beginStop() }
    lost.beginStop(tracker, hasEnded: hasEnded, at: now)
    // The kernel tells of no end of theirs.
    if !serverFinishes { lost.losses.undecided += unix.connections }
  }

  /// The service is told to end at once, whatever it has begun: what keeps it.
  func beginHurry(at now: Duration) -> OpenConnections? {
    tracker?.serverHurries = true
    _ = lookAtTraffic(at: now)
    return lookAtOpen()
  }

  /// Judges the connections that the service has closed and whose peers have not heard of it yet: no notice of them will
  /// come in time.
  func judgeClosing() {
    guard lost.isStopping, let tracker, !ports.ports.isEmpty else { return }
    let closing = ClosingConnections(of: service, tracker)
    guard (try? table.read(closing.query(ports: ports.ports), into: closing)) != nil else { return }
    closing.judge { lost.note($0) }
  }

  /// Counts the connections of which no end was seen.
  func judgeRest() {
    if lost.isStopping && losses.notMeasured == nil { tracker?.judgeRest { lost.note($0) } }
  }

  /// The same look once, for the report, where nothing was lingered for: only at ports that are known, and not in the
  /// host's network, where the kernel goes on delivering.
  func lookAtLeftovers() -> LingerLook? {
    ports.ports.isEmpty || NetworkNamespace.isHosts ? nil : lookAtLingering()
  }

  /// Whether the service can have left anything to the kernel.
  var mayLinger: Bool { counters.mayHaveConnections(besides: ownSockets) }

  /// Looks at what the service has left to the kernel; nil where that cannot be read. Where no port is known
  /// (a service that ended before anybody asked), all those of our cgroup count, or of the namespace.
  func lookAtLingering() -> LingerLook? {
    guard mayLinger else { return LingerLook() }
    let collector = LingerCollector(of: service, cgroup: ports.ports.isEmpty ? Cgroup.own : nil)
    guard (try? table.read(LingerLook.query(ports: ports.ports), into: collector)) != nil else { return nil }
    return collector.look
  }
}

extension QuietChance: TextRepresentable {
  /// "0.001".
  public func write(to text: inout Text) {
    text.append(millionths / 1_000_000)
    var rest = millionths % 1_000_000
    if rest > 0 { text.append(".") }
    while rest > 0 {
      text.append(rest / 100_000)
      rest = rest % 100_000 * 10
    }
  }
}
