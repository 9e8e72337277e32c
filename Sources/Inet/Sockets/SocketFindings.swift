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
  /// net.core.somaxconn: the most that listen(2) grants.
  public var maximumBacklog: UInt64?
  /// net.ipv4.tcp_max_tw_buckets.
  public var maximumTimeWaits: UInt64?
  /// net.ipv4.ip_local_port_range.
  public var ephemeralPorts: ClosedRange<UInt16>?
  /// TcpExt ListenOverflows of /proc/net/netstat: connections dropped since a listener's queue was full.
  public var listenOverflows: UInt64?

  /// Settings that are not known.
  public init() {}

  /// Those of this namespace.
  public static var current: SocketSettings {
    var settings = SocketSettings()
    settings.finTimeout = read("/proc/sys/net/ipv4/tcp_fin_timeout")
    settings.timeWaitReuse = read("/proc/sys/net/ipv4/tcp_tw_reuse")
    settings.maximumBacklog = read("/proc/sys/net/core/somaxconn")
    settings.maximumTimeWaits = read("/proc/sys/net/ipv4/tcp_max_tw_buckets")
    settings.ephemeralPorts = EphemeralPorts.range
    settings.listenOverflows = KernelCounters.value(
      "TcpExt: ", "ListenOverflows", in: CString("/proc/net/netstat"))
    return settings
  }

  private static func read(_ path: StaticString) -> UInt64? {
    guard let text = try? File.read(CString(path), limit: 32) else { return nil }
    return decimal(text.prefix { $0 != UInt8(ascii: "\n") })
  }
}

/// A process that does not close what its peers have closed.
public struct CloseWaitOwner: Sendable {
  /// The process.
  public let process: ProcessID
  /// Its name.
  public let name: [UInt8]
  /// How many of the sockets looked at are its.
  public var sockets: Int
  /// How many descriptors it has open, and may have; nil where that cannot be read.
  public var descriptors: Int?
  /// RLIMIT_NOFILE.
  public var limit: UInt64?

  /// Who holds these sockets, the one with the most first.
  public static func find(_ sockets: [TCPSocket]) -> [CloseWaitOwner] {
    let holders = SocketHolders(of: sockets.map { $0.inode }, all: false).holders
    var owners: [CloseWaitOwner] = []
    for holder in holders {
      if let place = owners.firstIndex(where: { $0.process == holder.process }) {
        owners[place].sockets += 1
      } else {
        owners.append(
          CloseWaitOwner(
            process: holder.process, name: holder.name, sockets: 1,
            descriptors: ProcessTable.openDescriptors(of: holder.process),
            limit: ProcessTable.descriptorLimit(of: holder.process)))
      }
    }
    var sorted: [CloseWaitOwner] = []
    for owner in owners {
      sorted.insert(owner, at: sorted.firstIndex { $0.sockets < owner.sockets } ?? sorted.count)
    }
    return sorted
  }
}

extension SocketSummary {
  /// What is wrong in it.
  public func findings(_ settings: SocketSettings, _ owners: [CloseWaitOwner]) -> [SocketFinding] {
    var findings: [SocketFinding] = []
    closeWaitFinding(owners).map { findings.append($0) }
    if withoutProcess > 0 {
      findings.append(
        SocketFinding(
          kind: "without_process", text: "\(withoutProcess, "connection") ESTABLISHED that no process has",
          advice:
            "they wait to be accepted, so the application is behind; or their process is gone and the kernel delivers the rest"
        ))
    }
    if stuck.silent > 0 {
      var text: Text = "\(stuck.silent, "closed connection") whose peer does not acknowledge, with "
      text.append(byteCount: stuck.silentBytes)
      findings.append(
        SocketFinding(
          kind: "not_draining", text: text,
          advice:
            "the kernel gives up by itself (net.ipv4.tcp_orphan_retries); ebb sockets --destroy --state fin-wait-1 does at once"
        ))
    }
    for port in ports where port.waiting > port.backlog || (port.waiting > 0 && port.waiting == port.backlog)
    {
      findings.append(
        SocketFinding(
          kind: "listen_queue",
          text:
            "port \(port.port): \(Int(port.waiting), "connection") waiting to be accepted, where \(port.backlog) may",
          advice:
            "new ones are dropped: the application accepts too slowly, or asks for too small a backlog in listen(2) (net.core.somaxconn is \(value(settings.maximumBacklog)))"
        ))
    }
    if let overflows = settings.listenOverflows, overflows > 0 {
      findings.append(
        SocketFinding(
          kind: "listen_overflows",
          text:
            "\(Int(clamping: overflows), "connection") dropped since this network namespace was made: a listener's queue was full",
          advice:
            "a larger backlog in listen(2), up to net.core.somaxconn (\(value(settings.maximumBacklog))), or more workers"
        ))
    }
    if let range = settings.ephemeralPorts {
      let size = Int(range.upperBound) - Int(range.lowerBound) + 1
      for destination in destinations where destination.count * 10 >= size * 8 {
        findings.append(
          SocketFinding(
            kind: "ephemeral_ports",
            text:
              "\(destination.count) of \(size) ephemeral ports are used towards \(destination.peer), \(destination.timeWaits) in TIME_WAIT",
            advice:
              "keep connections open and use them again; net.ipv4.ip_local_port_range is \(range.lowerBound)-\(range.upperBound), net.ipv4.tcp_tw_reuse \(value(settings.timeWaitReuse))"
          ))
      }
    }
    timeWaitFinding(settings).map { findings.append($0) }
    return findings
  }

  private func value(_ setting: UInt64?) -> Text { setting.map { "\($0)" } ?? "not readable" }

  private func closeWaitFinding(_ owners: [CloseWaitOwner]) -> SocketFinding? {
    let count = all.count(.closeWait)
    if count == 0 { return nil }
    var text: Text = "\(count, "connection") in CLOSE_WAIT: the peer has closed, the application has not"
    for owner in owners.prefix(3) {
      text.append(contentsOf: "; \(owner.name) (pid \(owner.process)) has \(owner.sockets)")
      if closeWaits.count < count { text.append(contentsOf: " of the first \(closeWaits.count)") }
      if let open = owner.descriptors, let limit = owner.limit {
        text.append(contentsOf: ", and \(open) of \(limit) descriptors open")
      }
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
