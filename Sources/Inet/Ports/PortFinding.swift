import Linux

/// What is asked about a port.
public enum PortQuestion: Equatable, Sendable {
  /// Can a server take it? Nothing listens, and the kernel accepts a bind in this manner.
  case released(BindTest.Manner)
  /// Does something listen, at this address or (nil) at any?
  case listening(Endpoint?)

  /// The one address that it is about; nil for all.
  public var address: Endpoint? {
    switch self {
    case .released(let manner): manner.address
    case .listening(let address): address
    }
  }
}

/// All that was found out about a port: the table, the kernel's word, who holds what. What it means is worked
/// out from here, with no further look at anything.
public struct PortFinding {
  /// The port.
  public var port: UInt16
  /// Whether it is the UDP one.
  public var isUDP: Bool
  /// What was asked.
  public var question: PortQuestion
  /// The table; nil where it cannot be read.
  public var census: PortCensus?
  /// Sockets that are bound and neither listen nor are connected; looked for where the kernel refused.
  public var bound: [TCPSocket] = []
  /// The kernel's word, in the manner that was asked for; nil where a listener answers the question.
  public var verdict: BindTest.Verdict?
  /// Its word to a server that sets SO_REUSEADDR, where another manner was asked for and refused.
  public var verdictWithReuse: BindTest.Verdict?
  /// Who holds those of ``shown``.
  public var holders: SocketHolders?
  /// An outgoing connection may be given this port: it is in ip_local_port_range.
  public var isEphemeral = false

  /// The answer to a question.
  public enum Answer: Equatable, Sendable {
    /// Yes.
    case yes
    /// No.
    case no
    /// It cannot be told.
    case cannotTell
  }

  /// A finding that is to be filled.
  public init(port: UInt16, isUDP: Bool, question: PortQuestion) {
    self.port = port
    self.isUDP = isUDP
    self.question = question
  }

  /// The listeners. A UDP socket listens when it is bound and not connected.
  public var listeners: [TCPSocket] { census?.listeners ?? [] }

  /// Whether something listens; nil where the table cannot be read.
  public var isListening: Bool? {
    guard let census else { return nil }
    return !census.listeners.isEmpty
  }

  /// How many sockets are on the port, as far as was looked.
  public var left: Int { listeners.count + bound.count + (census?.connections ?? 0) }

  /// Whether only the kernel can answer: nothing listens for certain, or a listener need not be in the way.
  var needsBind: Bool {
    guard case .released(let manner) = question else { return false }
    if manner.reusesPort { return true }
    let listeners = listeners
    for index in listeners.indices where manner.address == nil || !listeners[index].mayTakeIPv4Too {
      return false
    }
    return true
  }

  /// The answer.
  public var answer: Answer {
    switch question {
    case .listening:
      guard let isListening else { return .cannotTell }
      return isListening ? .yes : .no
    case .released:
      switch verdict {
      case .free: return .yes
      case .inUse: return .no
      case .cannotTell(let error):
        // A port below 1024: nothing at all in the tables is as good as a bind.
        let isForbidden = error == .permissionDenied || error == .notPermitted
        return isForbidden && census != nil && left == 0 ? .yes : .cannotTell
      case nil: return isListening == true ? .no : .cannotTell
      }
    }
  }

  // MARK: - For a person

  /// "8080", "53/udp", "127.0.0.1:8080".
  private func writeName(to text: inout Text) {
    if let address = question.address { address.write(to: &text) } else { text.append(port) }
    if isUDP { text.append("/udp") }
  }

  /// The sockets that are in the way whatever else is there.
  private var blockers: [TCPSocket] {
    var blockers = listeners
    blockers.add(bound)
    return blockers
  }

  /// The connections that are shown one by one, besides listeners and those that are bound: those that keep a
  /// server from binding, and one that its owner does not close.
  private var shownConnections: [TCPSocket] {
    guard let census else { return [] }
    var shown: [TCPSocket] = []
    if verdict == .inUse && listeners.isEmpty && bound.isEmpty { shown = census.established }
    if !census.closeWaits.isEmpty { shown.append(census.closeWaits[0]) }
    return shown
  }

  /// The sockets that are shown one by one, with who holds them.
  var shown: [TCPSocket] {
    var shown = blockers
    shown.add(shownConnections)
    return shown
  }

  /// The lines: the answer, what the table has, and what to do.
  public var text: Text {
    var text = Text()
    writeName(to: &text)
    text.append(": ")
    text.append(contentsOf: summary)
    text.append("\n")
    append(isUDP ? "UDP" : "LISTEN", listeners, &text)
    let census = census ?? PortCensus(port: port)
    let more = census.count(.listen) - listeners.count
    if more > 0 {
      text.append("  LISTEN: ")
      text.append(more)
      text.append(" more\n")
    }
    append("bound, not listening,", bound, &text)
    var isFirst = true
    for state in TCPState.all where state != .listen && census.count(state) > 0 {
      text.append(isFirst ? "  " : ", ")
      isFirst = false
      text.append(census.count(state))
      text.append(" ")
      text.append(state.name)
      if state == .timeWait {
        text.append(" (the last ends in ")
        text.append(census.longestTimeWait.wholeSeconds)
        text.append("s; no process owns one)")
      }
    }
    if census.notAccepted > 0 {
      text.append("; ")
      text.append(census.notAccepted)
      text.append(" not accepted yet")
    }
    if !isFirst { text.append("\n") }
    append(nil, shownConnections, &text)
    if isEphemeral {
      text.append("  note: ")
      text.append(port)
      text.append(
        " is in net.ipv4.ip_local_port_range and not in ip_local_reserved_ports: an outgoing connection may take it\n"
      )
    }
    if let advice {
      text.append("  ")
      text.append(contentsOf: advice)
      text.append("\n")
    }
    return text
  }

  /// A line for each of some sockets: what it is, where, and who holds it. Connections are called by their state,
  /// and have a peer.
  private func append(_ kind: StaticString?, _ sockets: [TCPSocket], _ text: inout Text) {
    for index in sockets.indices {
      text.append("  ")
      text.append(kind ?? sockets[index].state.name)
      text.append(" ")
      sockets[index].local.write(to: &text)
      if kind == nil {
        text.append(" to ")
        sockets[index].remote.write(to: &text)
      }
      text.append(": ")
      append(ownerOf: sockets[index].inode, of: sockets[index].user, &text)
      text.append("\n")
    }
  }

  /// The first line's words.
  public var summary: Text {
    if case .listening = question {
      guard let census else { return "cannot tell: the socket table cannot be read" }
      if !listeners.isEmpty { return "listening" }
      return census.connections > 0 ? "not listening (connections are left)" : "not listening"
    }
    switch verdict {
    case .free:
      if !listeners.isEmpty { return "free for \(manner), beside what listens" }
      return left > 0 ? "free for \(manner), whatever is left of old connections" : "free"
    case .inUse: return "not free for \(manner): \(obstacle)"
    case .cannotTell(let error):
      if answer == .yes { return "free, as far as the tables tell (no bind could be tried: \(error))" }
      if left > 0 { return "cannot tell: no bind could be tried (\(error)), and something is on the port" }
      return "cannot tell: no bind could be tried (\(error))"
    case nil: return "not free: something listens"
    }
  }

  /// What the kernel's refusal is about.
  private var obstacle: StaticString {
    guard let census else { return "by whom cannot be told, for the socket table cannot be read" }
    if !listeners.isEmpty { return "something listens" }
    if !bound.isEmpty { return "a socket is bound to it and does not listen" }
    return census.connections > 0 ? "old connections are left" : "no table shows what is on it"
  }

  private var manner: StaticString {
    guard case .released(let manner) = question else { return "" }
    if manner.reusesPort { return "a server that sets SO_REUSEPORT" }
    if manner.isUDP { return "a UDP server" }
    return manner.reusesAddress ? "a server that sets SO_REUSEADDR" : "a server that sets no SO_REUSEADDR"
  }

  /// Who holds a socket: "nginx (pid 7, descriptor 6), the service", or why nobody can be named.
  private func append(ownerOf inode: UInt64, of user: UInt32, _ text: inout Text) {
    if inode == 0 {
      text.append("no process has it any more")
      return
    }
    guard let holders, holders.isReadable else {
      text.append("owner not known: there is no /proc")
      return
    }
    let found = holders.of(inode)
    if found.isEmpty {
      text.append("owner not visible: user ")
      text.append(user)
      text.append("'s, ")
      if holders.refused > 0 {
        text.append("and ")
        text.append(holders.refused)
        text.append(holders.refused == 1 ? " process" : " processes")
        text.append(" may not be looked into (CAP_SYS_PTRACE)")
      } else {
        text.append(
          "in no process that shows here (another container's, hidden by hidepid, or the kernel's own)")
      }
      return
    }
    let first = found[0]
    text.append(printable: first.name)
    text.append(" (pid ")
    text.append(first.process.rawValue)
    text.append(", descriptor ")
    text.append(first.descriptor)
    text.append(")")
    if first.isStopped { text.append(", which is stopped") }
    switch first.relation {
    case .service: text.append(", the service")
    case .child: text.append(", a child of the service")
    case .stranger: text.append(", not of the service")
    case nil: break
    }
    var others = 0
    for other in found where other.process != first.process {
      others += 1
      if others > 4 { continue }
      text.append(others == 1 ? "; inherited by " : ", ")
      other.write(to: &text)
    }
    if others > 4 {
      text.append(" and ")
      text.append(others - 4)
      text.append(" more")
    }
  }

  /// The processes that hold some sockets, each once, the oldest first.
  private func processes(holding sockets: [TCPSocket]) -> [SocketHolder] {
    var processes: [SocketHolder] = []
    for index in sockets.indices {
      for holder in holders?.of(sockets[index].inode) ?? [] where !processes.have(holder.process) {
        processes.append(holder)
      }
    }
    return processes
  }

  // MARK: - What to do

  /// What to do, in a sentence; nil where there is nothing to do.
  public var advice: Text? {
    guard case .released(let manner) = question, answer != .yes else { return nil }
    if case .cannotTell(let error) = verdict {
      if error == .addressNotAvailable { return "to do: ask for an address of this network namespace" }
      if error == .permissionDenied { return "to do: ask again with CAP_NET_BIND_SERVICE" }
      return nil
    }
    guard let census else { return nil }
    let blockers = blockers
    if !blockers.isEmpty { return adviceToStop(processes(holding: blockers)) }
    let isTimeWaitAlone = census.connections == census.count(.timeWait)
    let seconds = census.longestTimeWait.wholeSeconds
    if !manner.reusesAddress && verdictWithReuse == .free {
      var text: Text = "to do: set SO_REUSEADDR in the new server, which may bind now; or wait "
      text.append(contentsOf: isTimeWaitAlone ? "\(seconds)s" : "until the connections have ended")
      return text
    }
    if census.connections == 0 {
      return "to do: look for a socket that is bound and does not listen (Linux 6.8 and later list them)"
    }
    if isTimeWaitAlone {
      return
        "to do: wait \(seconds)s; for the next time, set SO_REUSEADDR in the server before it binds: the old one did not"
    }
    var text = Text()
    if let holder = processes(holding: shownConnections).first {
      text.append("to do: stop ")
      holder.write(to: &text)
      text.append(", or end its connections")
    } else {
      text.append("to do: wait until the old connections have ended, or end them")
    }
    text.append(
      contentsOf:
        " (ebb sockets --destroy --ports \(port)); TIME_WAIT may follow, for 60s; for the next time, set SO_REUSEADDR in the server: the old one did not"
    )
    return text
  }

  private func adviceToStop(_ blockers: [SocketHolder]) -> Text {
    guard let first = blockers.first else {
      if let holders, holders.refused > 0 {
        return "to do: ask again as its user, or with CAP_SYS_PTRACE, to see which process it is"
      }
      if let holders, !holders.isReadable {
        return "to do: ask where there is a /proc, to see which process it is"
      }
      return
        "to do: ask in the pod's other containers, or on the host with --netns, to see which process it is"
    }
    var text: Text = "to do: stop "
    first.write(to: &text)
    if first.isStopped {
      text.append(", which must be continued first (kill -CONT ")
      text.append(first.process.rawValue)
      text.append(")")
    }
    // Who has one of the first one's sockets has inherited it, and the others have their own.
    var heirs: [SocketHolder] = []
    var others: [SocketHolder] = []
    for index in 1..<blockers.count {
      if isHeld(blockers[index].inode, by: first.process) {
        heirs.append(blockers[index])
      } else {
        others.append(blockers[index])
      }
    }
    if heirs.count > 1 {
      text.append(", and the ")
      text.append(heirs.count)
      text.append(" that inherited the socket")
    } else if let heir = heirs.first {
      text.append(", and ")
      heir.write(to: &text)
      text.append(", which inherited the socket")
    }
    for other in others {
      text.append(", and ")
      other.write(to: &text)
    }
    return text
  }

  private func isHeld(_ inode: UInt64, by process: ProcessID) -> Bool {
    for holder in holders?.of(inode) ?? [] where holder.process == process { return true }
    return false
  }
}

extension [SocketHolder] {
  /// Whether a process is among them.
  fileprivate func have(_ process: ProcessID) -> Bool {
    for holder in self where holder.process == process { return true }
    return false
  }
}

extension [TCPSocket] {
  /// Appends more of them.
  fileprivate mutating func add(_ sockets: [TCPSocket]) {
    for index in sockets.indices { append(sockets[index]) }
  }
}

extension Duration {
  /// Whole seconds, rounded up: what is promised to be over then is.
  var wholeSeconds: Int64 { (inMilliseconds + 999) / 1000 }
}
