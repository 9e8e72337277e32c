import Linux

/// Finds out about a port, with no more work than the answer needs.
public struct PortInquiry {
  private var table = SocketTable()
  /// The main process of the service that ebb supervises here, to tell it from strangers.
  public var service: ProcessID?
  /// Whether only the answer is wanted, and nobody reads who and why.
  public var isQuiet = false

  /// An inquiry.
  public init() {}

  /// Looks at the table, asks the kernel where nothing listens, and looks for owners where somebody reads them.
  public mutating func find(_ port: UInt16, isUDP: Bool, _ question: PortQuestion) -> PortFinding {
    var finding = PortFinding(port: port, isUDP: isUDP, question: question)
    // Whoever wants a yes or no needs the listeners and the kernel's word, and no further row.
    finding.census = census(of: finding, onlyListeners: isQuiet)
    if case .released(let manner) = question, finding.needsBind { ask(manner, &finding) }
    if isQuiet { return finding }
    let shown = finding.shown
    if !shown.isEmpty {
      var inodes: [UInt64] = []
      for index in shown.indices { inodes.add(shown[index].inode) }
      finding.holders = SocketHolders(of: inodes, all: true, service: service)
    }
    finding.isEphemeral = EphemeralPorts.contain(port)
    return finding
  }

  private mutating func ask(_ manner: BindTest.Manner, _ finding: inout PortFinding) {
    let verdict = BindTest.ask(finding.port, manner)
    finding.verdict = verdict
    switch verdict {
    case .free: return
    case .inUse:
      if isQuiet { return }
      if !manner.reusesAddress && !finding.isUDP {
        var other = manner
        other.reusesAddress = true
        finding.verdictWithReuse = BindTest.ask(finding.port, other)
      }
      // Nothing shows: whoever is in the way may have come after the look.
      if finding.left == 0 { finding.census = census(of: finding, onlyListeners: false) }
    case .cannotTell:
      // Then the tables are all there is.
      if isQuiet { finding.census = census(of: finding, onlyListeners: false) }
    }
    finding.bound = bound(of: finding)
  }

  /// Whether something listens: the cheapest question, for a wait.
  public mutating func isListening(_ finding: PortFinding) -> Bool? {
    guard let census = census(of: finding, onlyListeners: true) else { return nil }
    return !census.listeners.isEmpty
  }

  /// Looks at the tables again, and says how many sockets are on the port by now, those that are only bound
  /// included; nil where that cannot be read. For a wait.
  public mutating func count(_ finding: inout PortFinding) -> Int? {
    guard let census = census(of: finding, onlyListeners: false) else { return nil }
    finding.census = census
    finding.bound = []
    finding.bound = bound(of: finding)
    return finding.left
  }

  private mutating func census(of finding: PortFinding, onlyListeners: Bool) -> PortCensus? {
    let census = PortCensus(port: finding.port, address: finding.question.address, isUDP: finding.isUDP)
    do throws(Errno) {
      if finding.isUDP {
        try table.readUDP(census.query(), into: census)
      } else {
        try table.read(census.query(onlyListeners: onlyListeners), into: census)
      }
      return census
    } catch {
      return nil
    }
  }

  private mutating func bound(of finding: PortFinding) -> [TCPSocket] {
    // A UDP socket that is only bound takes what comes, and is in the census.
    if finding.isUDP { return [] }
    let bound = BoundSockets(port: finding.port, address: finding.question.address)
    // Before Linux 6.8 the bit is not known, and gives nothing; /proc has none of them either.
    do throws(Errno) { try table.read(bound.query, into: bound) } catch { bound.restart() }
    // Where nothing shows at all, processes are asked, which costs them nothing but us a look at all they have.
    if !isQuiet && finding.left == 0 && finding.verdict == .inUse && bound.sockets.isEmpty {
      bound.lookAmongDescriptors()
    }
    return bound.sockets
  }
}
