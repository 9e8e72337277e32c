import Linux

/// Something in the table that is wrong, or looks it, and what to do about it.
public struct SocketFinding: Sendable {
  /// What it is about, in a word for programs.
  public let kind: StaticString
  /// What was seen.
  public let text: Text
  /// What to do.
  public let advice: Text
}

/// The settings of the kernel that an advice rests on, tcp(7), read from /proc/sys/net; nil where they cannot
/// be read.
public struct SocketSettings: Sendable {
  /// net.ipv4.tcp_fin_timeout: how long an orphan stays in FIN_WAIT2. It has nothing to do with TIME_WAIT.
  public var finTimeout: UInt64?
  /// net.ipv4.tcp_tw_reuse: whether an outgoing connection may take over one in TIME_WAIT.
  public var timeWaitReuse: UInt64?
  /// net.ipv4.tcp_orphan_retries: after how many retransmissions a closed connection is given up; 0 is 8.
  public var orphanRetries: UInt64?
  /// net.core.somaxconn: the most that listen(2) grants.
  public var maximumBacklog: UInt64?
  /// net.ipv4.tcp_max_tw_buckets.
  public var maximumTimeWaits: UInt64?
  /// net.ipv4.ip_local_port_range.
  public var ephemeralPorts: ClosedRange<UInt16>?
  /// How many of these outgoing connections may have: those that are not in ip_local_reserved_ports.
  public var ephemeralCount = 0
  /// TcpExt ListenOverflows of /proc/net/netstat: how often something for a listener was dropped since its queue
  /// was full. A client that tries again counts again.
  public var listenOverflows: UInt64?

  /// Settings that are not known.
  public init() {}

  /// Those of this namespace.
  public static var current: SocketSettings {
    var settings = SocketSettings()
    settings.finTimeout = read("/proc/sys/net/ipv4/tcp_fin_timeout")
    settings.timeWaitReuse = read("/proc/sys/net/ipv4/tcp_tw_reuse")
    settings.orphanRetries = read("/proc/sys/net/ipv4/tcp_orphan_retries")
    settings.maximumBacklog = read("/proc/sys/net/core/somaxconn")
    settings.maximumTimeWaits = read("/proc/sys/net/ipv4/tcp_max_tw_buckets")
    settings.ephemeralPorts = EphemeralPorts.range
    settings.ephemeralCount = settings.ephemeralPorts.map { EphemeralPorts.count(in: $0) } ?? 0
    settings.listenOverflows = KernelCounters.value(
      "TcpExt: ", "ListenOverflows", in: CString("/proc/net/netstat"))
    return settings
  }

  private static func read(_ path: StaticString) -> UInt64? {
    guard let text = try? File.read(CString(path), limit: 32) else { return nil }
    var rest = text[...]
    return rest.next(before: UInt8(ascii: "\n")).flatMap { decimal($0) }
  }
}

/// A process that holds sockets which a finding is about.
private struct SocketCulprit {
  let process: ProcessID
  let name: [UInt8]
  /// How many of the sockets looked for are its.
  var sockets: Int

  /// Who holds these sockets.
  static func find(_ holders: [SocketHolder], _ inodes: [UInt64]) -> [SocketCulprit] {
    var culprits: [SocketCulprit] = []
    for holder in holders where inodes.contains(holder.inode) {
      var place = 0
      while place < culprits.count && culprits[place].process != holder.process { place += 1 }
      if place == culprits.count {
        culprits.append(SocketCulprit(process: holder.process, name: holder.name, sockets: 0))
      }
      culprits[place].sockets += 1
    }
    return culprits
  }

  /// ", and 15 of 1024 descriptors open"; nothing where that cannot be read.
  func writeDescriptors(to text: inout Text) {
    guard let open = ProcessTable.openDescriptors(of: process),
      let limit = ProcessTable.descriptorLimit(of: process)
    else { return }
    text.append(", and ")
    text.append(open)
    text.append(" of ")
    text.append(limit)
    text.append(" descriptors open")
  }
}

extension [SocketFinding] {
  fileprivate mutating func add(_ kind: StaticString, _ text: Text, _ advice: Text) {
    append(SocketFinding(kind: kind, text: text, advice: advice))
  }
}

extension Text.StringInterpolation {
  /// A setting's value, as far as that could be read.
  fileprivate mutating func appendInterpolation(setting: UInt64?) {
    if let setting { text.append(setting) } else { text.append("not readable") }
  }
}

extension SocketSummary {
  /// What is wrong in it. Looks for the processes that some of it is about.
  ///
  /// - `settings`: the kernel's.
  /// - `before`: CLOSE_WAIT sockets at an earlier look; nil where there was none.
  public func findings(_ settings: SocketSettings, closeWaitsBefore before: Int? = nil) -> [SocketFinding] {
    var wanted: [UInt64] = []
    for place in ports.indices where ports[place].isFull || notAccepted.count > 0 {
      if ports[place].waiting > 0 { wanted.add(ports[place].inode) }
    }
    var inodes = wanted
    for inode in notClosedInodes { inodes.add(inode) }
    let holders = SocketHolders(of: inodes, all: false).holders
    var findings: [SocketFinding] = []
    if notClosed.count > 0 { addCloseWait(holders, before, to: &findings) }
    if notAccepted.count > 0 {
      var text: Text = "\(notAccepted.count, "connection") ESTABLISHED that no process has accepted"
      append(notAccepted, limit: SocketSummary.acceptLimit, &text)
      appendListeners(wanted, holders, &text)
      findings.add(
        "without_process", text, "the application accepts too slowly, or no more: look at what it is doing")
    }
    if stuck.silent > 0 {
      var text: Text = "\(stuck.silent, "closed connection") whose peer does not acknowledge, with "
      text.append(byteCount: stuck.silentBytes)
      var advice: Text =
        "the kernel gives up by itself (net.ipv4.tcp_orphan_retries is \(setting: settings.orphanRetries)"
      if settings.orphanRetries == 0 { advice.append(", which means 8") }
      advice.append("); ebb sockets --destroy --state fin-wait-1,closing,last-ack does at once")
      findings.add("not_draining", text, advice)
    }
    for place in ports.indices where ports[place].isFull && ports[place].counts.total > 0 {
      let port = ports[place]
      var text: Text =
        "port \(port.port): \(Int(port.waiting), "connection") waiting to be accepted, where \(port.backlog ?? 0) may"
      appendListeners([port.inode], holders, &text, isBrief: true)
      findings.add(
        "listen_queue", text,
        "new ones are dropped: the application accepts too slowly, or asks for too small a backlog in listen(2) (net.core.somaxconn is \(setting: settings.maximumBacklog))"
      )
    }
    if let overflows = settings.listenOverflows, overflows > 0, isOfEverything {
      findings.add(
        "listen_overflows",
        "\(Int(clamping: overflows), "time") since this network namespace was made, a client was turned away by a full accept queue",
        "a larger backlog in listen(2), up to net.core.somaxconn (\(setting: settings.maximumBacklog)), or more workers"
      )
    }
    if let range = settings.ephemeralPorts { addFullDestinations(range, settings, to: &findings) }
    addTimeWait(settings, to: &findings)
    return findings
  }

  /// "; nginx (pid 7) listens, and 15 of 1024 descriptors open", of at most three; briefly, of one and without
  /// its descriptors.
  private func appendListeners(
    _ inodes: [UInt64], _ holders: [SocketHolder], _ text: inout Text, isBrief: Bool = false
  ) {
    append(inodes, holders, atMost: isBrief ? 1 : 3, &text) { (culprit, text) in
      text.append(" listens")
      if !isBrief { culprit.writeDescriptors(to: &text) }
    }
  }

  /// "; nginx (pid 7)" and what `body` says of it, for those who hold these sockets: the ones with the most.
  private func append(
    _ inodes: [UInt64], _ holders: [SocketHolder], atMost limit: Int, _ text: inout Text,
    _ body: (SocketCulprit, inout Text) -> Void
  ) {
    var culprits = SocketCulprit.find(holders, inodes)
    for _ in 0..<min(limit, culprits.count) {
      var most = 0
      for place in culprits.indices where culprits[place].sockets > culprits[most].sockets { most = place }
      let culprit = culprits[most]
      culprits[most].sockets = 0
      text.append("; ")
      text.append(culprit.name, culprit.process)
      body(culprit, &text)
    }
  }

  /// " for 5s or more, the longest for 45s", as far as it is known.
  private func append(_ overdue: Overdue, limit: Duration, _ text: inout Text) {
    if let longest = overdue.longest {
      text.append(
        contentsOf:
          " for \(limit) or more, the longest for \(Duration.seconds(longest.inMilliseconds / 1000))")
    } else {
      text.append(" (since when, only netlink tells)")
    }
  }

  private func addCloseWait(_ holders: [SocketHolder], _ before: Int?, to findings: inout [SocketFinding]) {
    var text: Text = "\(notClosed.count, "connection") in CLOSE_WAIT"
    append(notClosed, limit: SocketSummary.closeLimit, &text)
    let more = all.count(.closeWait) - (before ?? .max)
    if more > 0 {
      text.append(", ")
      text.append(more)
      text.append(" more than when the watch began")
    }
    text.append(": the peer has closed, the application has not")
    let known = notClosedInodes.count
    append(notClosedInodes, holders, atMost: 3, &text) { (culprit, text) in
      text.append(" has ")
      text.append(culprit.sockets)
      if known < notClosed.count {
        text.append(" of the first ")
        text.append(known)
      }
      culprit.writeDescriptors(to: &text)
    }
    findings.add(
      "close_wait", text,
      "no setting of the kernel ends them: the application must close the socket when a read gives 0 (a leak, or a handler that hangs)"
    )
  }

  private func addFullDestinations(
    _ range: ClosedRange<UInt16>, _ settings: SocketSettings, to findings: inout [SocketFinding]
  ) {
    let size = settings.ephemeralCount
    for place in destinations.indices where destinations[place].count * 10 >= size * 8 {
      let destination = destinations[place]
      let least: StaticString = areDestinationsLeast ? "at least " : ""
      findings.add(
        "ephemeral_ports",
        "\(least)\(destination.count) of \(size) ephemeral ports are used towards \(destination.peer), \(min(destination.count, destination.timeWaits)) in TIME_WAIT",
        "keep connections open and use them again; net.ipv4.ip_local_port_range is \(range.lowerBound)-\(range.upperBound), net.ipv4.tcp_tw_reuse \(setting: settings.timeWaitReuse)"
      )
    }
  }

  /// TIME_WAIT is normal. It is worth a word where it is most of what there is.
  private func addTimeWait(_ settings: SocketSettings, to findings: inout [SocketFinding]) {
    let count = all.count(.timeWait)
    guard count >= 1000, count > all.count(.established) else { return }
    let isOwn = others.count(.timeWait) * 2 > count
    var advice = Text()
    advice.append(
      isOwn
        ? "this side opens and closes them: keep connections to a peer open and use them again"
        : "this side serves and closes first: let clients keep connections open (keep-alive); a server that sets SO_REUSEADDR is not hindered"
    )
    advice.append(
      contentsOf:
        "; each lasts 60 s whatever net.ipv4.tcp_fin_timeout (\(setting: settings.finTimeout)) says; at most net.ipv4.tcp_max_tw_buckets (\(setting: settings.maximumTimeWaits))"
    )
    findings.add(
      "time_wait", "\(count) connections in TIME_WAIT, kept by the side that closes first", advice)
  }
}

extension SocketSummary.Port {
  /// Whether its fullest listener takes no more, or one more: the kernel lets in one above the backlog.
  fileprivate var isFull: Bool {
    guard let backlog else { return false }
    return waiting > 0 && waiting >= backlog
  }
}
