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
public struct PortFinding: Sendable {
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
  public var isListening: Bool? { census.map { !$0.listeners.isEmpty } }

  /// How many sockets are on the port, as far as was looked.
  public var left: Int { listeners.count + bound.count + (census?.connections ?? 0) }

  /// Whether only the kernel can answer: nothing listens for certain, or a listener need not be in the way.
  var needsBind: Bool {
    guard case .released(let manner) = question else { return false }
    if manner.reusesPort { return true }
    return !listeners.contains { manner.address == nil || !$0.mayTakeIPv4Too }
  }

  /// The answer.
  public var answer: Answer {
    switch question {
    case .listening: return isListening.map { $0 ? .yes : .no } ?? .cannotTell
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
  private var name: Text {
    let name: Text = question.address.map { "\($0)" } ?? "\(port)"
    return isUDP ? "\(name)/udp" : name
  }

  /// Connections that keep a server from binding; the first few.
  private var blockingConnections: [TCPSocket] {
    guard verdict == .inUse, listeners.isEmpty, bound.isEmpty, let census else { return [] }
    return census.established
  }

  /// The connections that are shown one by one, besides listeners and those that are bound.
  private var shownConnections: [TCPSocket] { blockingConnections + (census?.closeWaits.prefix(1) ?? []) }

  /// The sockets that are shown one by one, with who holds them.
  var shown: [TCPSocket] { listeners + bound + shownConnections }

  /// The lines: the answer, what the table has, and what to do.
  public var text: Text {
    var text: Text = "\(name): \(summary)\n"
    for socket in listeners {
      text.append(isUDP ? "  UDP " : "  LISTEN ")
      text.append(contentsOf: "\(socket.local): \(owner(of: socket))\n")
    }
    if let census, census.count(.listen) > listeners.count {
      text.append(contentsOf: "  LISTEN: \(census.count(.listen) - listeners.count) more\n")
    }
    for socket in bound {
      text.append(contentsOf: "  bound, not listening, \(socket.local): \(owner(of: socket))\n")
    }
    if let census {
      var states = Text()
      for state in TCPState.all where state != .listen && census.count(state) > 0 {
        if !states.isEmpty { states.append(", ") }
        states.append(contentsOf: "\(census.count(state)) \(state)")
        if state == .timeWait {
          states.append(
            contentsOf: " (the last ends in \(census.longestTimeWait.wholeSeconds)s; no process owns one)")
        }
      }
      if census.notAccepted > 0 {
        states.append(contentsOf: "; \(census.notAccepted) not accepted yet")
      }
      if !states.isEmpty { text.append(contentsOf: "  \(states)\n") }
    }
    for socket in shownConnections {
      text.append(contentsOf: "  \(socket.state) \(socket.local) to \(socket.remote): \(owner(of: socket))\n")
    }
    if isEphemeral {
      text.append(
        contentsOf:
          "  note: \(port) is in net.ipv4.ip_local_port_range and not in ip_local_reserved_ports: an outgoing connection may take it\n"
      )
    }
    if let advice { text.append(contentsOf: "  \(advice)\n") }
    return text
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
  private var obstacle: Text {
    guard let census else { return "by whom cannot be told, for the socket table cannot be read" }
    if !listeners.isEmpty { return "something listens" }
    if !bound.isEmpty { return "a socket is bound to it and does not listen" }
    return census.connections > 0 ? "old connections are left" : "no table shows what is on it"
  }

  private var manner: Text {
    guard case .released(let manner) = question else { return "" }
    if manner.reusesPort { return "a server that sets SO_REUSEPORT" }
    if manner.isUDP { return "a UDP server" }
    return manner.reusesAddress ? "a server that sets SO_REUSEADDR" : "a server that sets no SO_REUSEADDR"
  }

  /// Who holds a socket: "nginx (pid 7, descriptor 6), the service", or why nobody can be named.
  private func owner(of socket: TCPSocket) -> Text {
    guard socket.inode != 0 else { return "no process has it any more" }
    guard let holders, holders.isReadable else { return "owner not known: there is no /proc" }
    let found = holders.of(socket.inode)
    guard let first = found.first else {
      if holders.refused > 0 {
        return
          "owner not visible: user \(socket.user)'s, and \(holders.refused, "process", plural: "processes") may not be looked into (CAP_SYS_PTRACE)"
      }
      return "owner not visible: user \(socket.user)'s, in no process that shows here (another container's, or the kernel's own)"
    }
    var text: Text = "\(first.name) (pid \(first.process), descriptor \(first.descriptor))"
    if first.isStopped { text.append(", which is stopped") }
    switch first.relation {
    case .service: text.append(", the service")
    case .child: text.append(", a child of the service")
    case .stranger: text.append(", not of the service")
    case nil: break
    }
    let others = found.dropFirst().filter { $0.process != first.process }
    if !others.isEmpty {
      text.append("; inherited by ")
      for (index, other) in others.prefix(4).enumerated() {
        if index > 0 { text.append(", ") }
        text.append(contentsOf: "\(other.name) (pid \(other.process))")
      }
      if others.count > 4 { text.append(contentsOf: " and \(others.count - 4) more") }
    }
    return text
  }

  /// The processes that hold some sockets, each once, the oldest first.
  private func processes(holding sockets: [TCPSocket]) -> [SocketHolder] {
    var processes: [SocketHolder] = []
    for socket in sockets {
      for holder in holders?.of(socket.inode) ?? []
      where !processes.contains(where: { $0.process == holder.process }) {
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
    if !listeners.isEmpty || !bound.isEmpty { return adviceToStop(processes(holding: listeners + bound)) }
    let isTimeWaitAlone = census.connections == census.count(.timeWait)
    if !manner.reusesAddress && verdictWithReuse == .free {
      let patience: Text =
        isTimeWaitAlone
        ? "wait \(census.longestTimeWait.wholeSeconds)s" : "wait until the connections have ended"
      return "to do: set SO_REUSEADDR in the new server, which may bind now; or \(patience)"
    }
    if census.connections == 0 {
      return "to do: look for a socket that is bound and does not listen (Linux 6.8 and later list them)"
    }
    if isTimeWaitAlone {
      return
        "to do: wait \(census.longestTimeWait.wholeSeconds)s; for the next time, set SO_REUSEADDR in the server before it binds: the old one did not"
    }
    var text: Text = "to do: "
    if let holder = processes(holding: blockingConnections + census.closeWaits.prefix(1)).first {
      text.append(
        contentsOf:
          "stop \(holder.name) (pid \(holder.process)), or end its connections (ebb sockets --destroy --ports \(port))"
      )
    } else {
      text.append(
        contentsOf:
          "wait until the old connections have ended, or end them (ebb sockets --destroy --ports \(port))")
    }
    text.append(
      "; TIME_WAIT may follow, for 60s; for the next time, set SO_REUSEADDR in the server: the old one did not"
    )
    return text
  }

  private func adviceToStop(_ blockers: [SocketHolder]) -> Text {
    guard let first = blockers.first else {
      return
        "to do: find the process where it can be seen: ebb port \(isUDP ? "\(port)/udp" : "\(port)") as root, or on the host with --netns"
    }
    var text: Text = "to do: stop \(first.name) (pid \(first.process))"
    if first.isStopped {
      text.append(contentsOf: ", which must be continued first (kill -CONT \(first.process))")
    }
    let heirs = blockers.dropFirst().filter { heir in
      holders?.holders.contains { $0.process == first.process && $0.inode == heir.inode } == true
    }
    if let heir = heirs.first {
      text.append(
        contentsOf: heirs.count == 1
          ? ", and \(heir.name) (pid \(heir.process)), which inherited the socket"
          : ", and the \(heirs.count) that inherited the socket")
    }
    for other in blockers.dropFirst()
    where !heirs.contains(where: { $0.process == other.process }) {
      text.append(contentsOf: ", and \(other.name) (pid \(other.process))")
    }
    return text
  }
}

extension Duration {
  /// Whole seconds, rounded up: what is promised to be over then is.
  var wholeSeconds: Int64 { (inMilliseconds + 999) / 1000 }
}

extension Text.StringInterpolation {
  /// A number and its noun, whose plural is another word: "1 process", "2 processes".
  fileprivate mutating func appendInterpolation(
    _ number: Int, _ noun: StaticString, plural: StaticString
  ) {
    text.append(number)
    text.append(" ")
    text.append(number == 1 ? noun : plural)
  }
}
