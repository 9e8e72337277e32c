import Linux

/// What is asked about a port.
public enum PortQuestion: Equatable, Sendable {
  /// Can a server take it? Nothing listens, and the kernel accepts a bind in this manner.
  case released(BindTest.Manner)
  /// Does something listen?
  case listening
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
  /// Sockets that are bound and neither listen nor are connected.
  public var bound: [TCPSocket] = []
  /// The kernel's word, in the manner that was asked for; nil where something listens, or where only that was
  /// asked.
  public var verdict: BindTest.Verdict?
  /// Its word to a server that sets SO_REUSEADDR, where another manner was asked for and refused.
  public var verdictWithReuse: BindTest.Verdict?
  /// Who holds the listeners, the bound ones and those of CLOSE_WAIT.
  public var holders: SocketHolders?
  /// The main process of the service that ebb supervises here; nil where none does.
  public var service: ProcessID?
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

  /// The answer.
  public var answer: Answer {
    switch question {
    case .listening: return isListening.map { $0 ? .yes : .no } ?? .cannotTell
    case .released:
      if isListening == true { return .no }
      switch verdict {
      case .free: return .yes
      case .inUse: return .no
      case .cannotTell, nil:
        // The tables alone: nothing at all on the port is as good as a bind.
        if let census, census.connections == 0, bound.isEmpty, isListening == false { return .yes }
        return .cannotTell
      }
    }
  }

  // MARK: - For a person

  /// "8080", "53/udp".
  private var name: Text { isUDP ? "\(port)/udp" : "\(port)" }

  /// The lines: the answer, what the table has, and what to do.
  public var text: Text {
    var text: Text = "\(name): \(summary)\n"
    for socket in listeners {
      text.append(isUDP ? "  UDP " : "  LISTEN ")
      text.append(contentsOf: "\(socket.local): \(owner(of: socket))\n")
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
      if !states.isEmpty { text.append(contentsOf: "  \(states)\n") }
      if !census.closeWaits.isEmpty {
        text.append(contentsOf: "  CLOSE_WAIT: \(owner(of: census.closeWaits[0]))\n")
      }
    }
    if isEphemeral && !isUDP {
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
    guard let census else { return "cannot tell: the socket table cannot be read" }
    if !listeners.isEmpty {
      return question == .listening ? "listening" : "not free: something listens"
    }
    if question == .listening {
      return census.connections > 0
        ? "not listening (connections of an old listener are left)" : "not listening"
    }
    switch verdict {
    case .free:
      return census.connections > 0 ? "free for \(manner), whatever is left of old connections" : "free"
    case .inUse:
      return bound.isEmpty
        ? "not free for \(manner): left over from an old server"
        : "not free: bound by a socket that does not listen"
    case .cannotTell(let error):
      if answer == .yes { return "free, as far as the tables tell (no bind could be tried: \(error))" }
      return "cannot tell: no bind could be tried (\(error)), and something is left on the port"
    case nil: return "cannot tell"
    }
  }

  private var manner: Text {
    guard case .released(let manner) = question else { return "" }
    if manner.isUDP { return "a UDP server" }
    if manner.reusesPort { return "a server that sets SO_REUSEPORT" }
    return manner.reusesAddress ? "a server that sets SO_REUSEADDR" : "a server that sets no SO_REUSEADDR"
  }

  /// Who holds a socket: "nginx (pid 7, descriptor 6), the service", or why nobody can be named.
  private func owner(of socket: TCPSocket) -> Text {
    guard let holders, holders.isReadable else { return "owner not known: there is no /proc" }
    let found = holders.of(socket.inode)
    guard let first = found.first else {
      if socket.inode == 0 { return "no process has it (not accepted yet, or closed)" }
      if holders.refused > 0 {
        return
          "owner not visible: user \(socket.user)'s, and \(holders.refused, "process") may not be looked into (CAP_SYS_PTRACE)"
      }
      return "owner not visible: a process outside of this container (another of the pod)"
    }
    var text: Text = "\(first.name) (pid \(first.process), descriptor \(first.descriptor))"
    if first.isStopped { text.append(", which is stopped") }
    if let service {
      if first.process == service {
        text.append(", the service")
      } else if ProcessTable.isDescendant(first.process, of: service) {
        text.append(contentsOf: ", a child of the service (pid \(service))")
      } else {
        text.append(", not of the service")
      }
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

  /// The processes that hold the sockets in the way, each once, the oldest first.
  private var blockers: [SocketHolder] {
    var blockers: [SocketHolder] = []
    for socket in listeners + bound {
      for holder in holders?.of(socket.inode) ?? []
      where !blockers.contains(where: { $0.process == holder.process }) {
        blockers.append(holder)
      }
    }
    return blockers
  }

  /// What to do, in a sentence; nil where there is nothing to do.
  public var advice: Text? {
    guard case .released(let manner) = question, answer != .yes, let census else { return nil }
    if !listeners.isEmpty || !bound.isEmpty {
      let blockers = self.blockers
      guard let first = blockers.first else {
        return
          "to do: find the process where it can be seen: ebb port \(name) as root, or on the host with --netns"
      }
      var text: Text = "to do: stop \(first.name) (pid \(first.process))"
      if first.isStopped {
        text.append(contentsOf: ", which must be continued first (kill -CONT \(first.process))")
      }
      let heirs = blockers.dropFirst()
      if let heir = heirs.first {
        text.append(
          contentsOf: heirs.count == 1
            ? ", and \(heir.name) (pid \(heir.process)), which inherited the socket"
            : ", and the \(heirs.count) that inherited the socket")
      }
      return text
    }
    if case .cannotTell = verdict { return "to do: ask again with CAP_NET_BIND_SERVICE" }
    if !manner.reusesAddress && verdictWithReuse == .free {
      if census.connections == census.count(.timeWait) {
        return
          "to do: set SO_REUSEADDR in the new server, which may bind now; or wait \(census.longestTimeWait.wholeSeconds)s"
      }
      return
        "to do: set SO_REUSEADDR in the new server, which may bind now; or wait until the connections have ended"
    }
    if census.connections == 0 { return "to do: nothing shows in the tables; ask again" }
    if census.connections == census.count(.timeWait) {
      return
        "to do: wait \(census.longestTimeWait.wholeSeconds)s; for the next time, set SO_REUSEADDR in the server before it binds: the old one did not"
    }
    return
      "to do: wait until the old connections have ended, and 60s of TIME_WAIT after that, or end them (ebb sockets --destroy --ports \(port)); for the next time, set SO_REUSEADDR in the server: the old one did not"
  }
}

extension Duration {
  /// Whole seconds, rounded up: what is promised to be over then is.
  var wholeSeconds: Int64 { (inMilliseconds + 999) / 1000 }
}
