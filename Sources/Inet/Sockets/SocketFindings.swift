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
    return decimal(text.prefix { $0 != UInt8(ascii: "\n") })
  }
}

/// A process that holds sockets which a finding is about.
struct SocketCulprit {
  let process: ProcessID
  let name: [UInt8]
  /// How many of the sockets looked for are its.
  var sockets: Int

  /// Who holds these sockets, the one with the most first.
  static func find(_ holders: [SocketHolder], _ inodes: [UInt64]) -> [SocketCulprit] {
    var culprits: [SocketCulprit] = []
    for holder in holders where inodes.contains(holder.inode) {
      if let place = culprits.firstIndex(where: { $0.process == holder.process }) {
        culprits[place].sockets += 1
      } else {
        culprits.append(SocketCulprit(process: holder.process, name: holder.name, sockets: 1))
      }
    }
    var sorted: [SocketCulprit] = []
    for culprit in culprits {
      sorted.insert(culprit, at: sorted.firstIndex { $0.sockets < culprit.sockets } ?? sorted.count)
    }
    return sorted
  }

  /// ", and 15 of 1024 descriptors open"; nothing where that cannot be read.
  var descriptors: Text {
    guard let open = ProcessTable.openDescriptors(of: process),
      let limit = ProcessTable.descriptorLimit(of: process)
    else { return Text() }
    return ", and \(open) of \(limit) descriptors open"
  }
}

extension SocketSummary {
  /// What is wrong in it. Looks for the processes that some of it is about.
  ///
  /// - `settings`: the kernel's.
  /// - `before`: CLOSE_WAIT sockets at an earlier look; nil where there was none.
  public func findings(_ settings: SocketSettings, closeWaitsBefore before: Int? = nil) -> [SocketFinding] {
    var wanted: [UInt64] = []
    for port in ports where port.waiting > 0 && (port.isFull || notAccepted.count > 0) {
      wanted.append(port.inode)
    }
    let holders = SocketHolders(of: wanted + notClosedInodes, all: false).holders
    var findings: [SocketFinding] = []
    closeWaitFinding(holders, before).map { findings.append($0) }
    if notAccepted.count > 0 {
      var text: Text = "\(notAccepted.count, "connection") ESTABLISHED that no process has accepted"
      append(notAccepted, limit: SocketSummary.acceptLimit, &text)
      for culprit in SocketCulprit.find(holders, wanted).prefix(3) {
        text.append(contentsOf: "; \(culprit.name) (pid \(culprit.process)) listens\(culprit.descriptors)")
      }
      findings.append(
        SocketFinding(
          kind: "without_process", text: text,
          advice: "the application accepts too slowly, or no more: look at what it is doing"))
    }
    if stuck.silent > 0 {
      var text: Text = "\(stuck.silent, "closed connection") whose peer does not acknowledge, with "
      text.append(byteCount: stuck.silentBytes)
      var advice: Text =
        "the kernel gives up by itself (net.ipv4.tcp_orphan_retries is \(value(settings.orphanRetries))"
      if settings.orphanRetries == 0 { advice.append(", which means 8") }
      advice.append("); ebb sockets --destroy --state fin-wait-1,closing,last-ack does at once")
      findings.append(SocketFinding(kind: "not_draining", text: text, advice: advice))
    }
    for port in ports where port.isFull && port.counts.total > 0 {
      var text: Text =
        "port \(port.port): \(Int(port.waiting), "connection") waiting to be accepted, where \(port.backlog ?? 0) may"
      for culprit in SocketCulprit.find(holders, [port.inode]).prefix(1) {
        text.append(contentsOf: "; \(culprit.name) (pid \(culprit.process)) listens")
      }
      findings.append(
        SocketFinding(
          kind: "listen_queue", text: text,
          advice:
            "new ones are dropped: the application accepts too slowly, or asks for too small a backlog in listen(2) (net.core.somaxconn is \(value(settings.maximumBacklog)))"
        ))
    }
    if let overflows = settings.listenOverflows, overflows > 0, isOfEverything {
      findings.append(
        SocketFinding(
          kind: "listen_overflows",
          text:
            "\(Int(clamping: overflows), "time") since this network namespace was made, a client was turned away by a full accept queue",
          advice:
            "a larger backlog in listen(2), up to net.core.somaxconn (\(value(settings.maximumBacklog))), or more workers"
        ))
    }
    if let range = settings.ephemeralPorts {
      let size = settings.ephemeralCount
      for destination in destinations where destination.count * 10 >= size * 8 {
        let least: StaticString = areDestinationsLeast ? "at least " : ""
        findings.append(
          SocketFinding(
            kind: "ephemeral_ports",
            text:
              "\(least)\(destination.count) of \(size) ephemeral ports are used towards \(destination.peer), \(min(destination.count, destination.timeWaits)) in TIME_WAIT",
            advice:
              "keep connections open and use them again; net.ipv4.ip_local_port_range is \(range.lowerBound)-\(range.upperBound), net.ipv4.tcp_tw_reuse \(value(settings.timeWaitReuse))"
          ))
      }
    }
    timeWaitFinding(settings).map { findings.append($0) }
    return findings
  }

  private func value(_ setting: UInt64?) -> Text { setting.map { "\($0)" } ?? "not readable" }

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

  private func closeWaitFinding(_ holders: [SocketHolder], _ before: Int?) -> SocketFinding? {
    if notClosed.count == 0 { return nil }
    var text: Text = "\(notClosed.count, "connection") in CLOSE_WAIT"
    append(notClosed, limit: SocketSummary.closeLimit, &text)
    if let before, all.count(.closeWait) > before {
      text.append(contentsOf: ", \(all.count(.closeWait) - before) more than when the watch began")
    }
    text.append(": the peer has closed, the application has not")
    for culprit in SocketCulprit.find(holders, notClosedInodes).prefix(3) {
      text.append(contentsOf: "; \(culprit.name) (pid \(culprit.process)) has \(culprit.sockets)")
      if notClosedInodes.count < notClosed.count {
        text.append(contentsOf: " of the first \(notClosedInodes.count)")
      }
      text.append(contentsOf: culprit.descriptors)
    }
    return SocketFinding(
      kind: "close_wait", text: text,
      advice:
        "no setting of the kernel ends them: the application must close the socket when a read gives 0 (a leak, or a handler that hangs)"
    )
  }

  /// TIME_WAIT is normal. It is worth a word where it is most of what there is.
  private func timeWaitFinding(_ settings: SocketSettings) -> SocketFinding? {
    let count = all.count(.timeWait)
    guard count >= 1000, count > all.count(.established) else { return nil }
    let own = others.count(.timeWait)
    var advice: Text
    if own * 2 > count {
      advice = "this side opens and closes them: keep connections to a peer open and use them again"
    } else {
      advice =
        "this side serves and closes first: let clients keep connections open (keep-alive); a server that sets SO_REUSEADDR is not hindered"
    }
    advice.append(
      contentsOf:
        "; each lasts 60 s whatever net.ipv4.tcp_fin_timeout (\(value(settings.finTimeout))) says; at most net.ipv4.tcp_max_tw_buckets (\(value(settings.maximumTimeWaits)))"
    )
    return SocketFinding(
      kind: "time_wait", text: "\(count) connections in TIME_WAIT, kept by the side that closes first",
      advice: advice)
  }
}

extension SocketSummary.Port {
  /// Whether its fullest listener takes no more, or one more: the kernel lets in one above the backlog.
  fileprivate var isFull: Bool {
    guard let backlog else { return false }
    return waiting > 0 && waiting >= backlog
  }
}
