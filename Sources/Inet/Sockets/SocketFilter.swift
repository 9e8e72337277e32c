import Linux

/// Which sockets of the table are meant: each part that is given narrows it.
public struct SocketFilter: Sendable {
  /// Local ports; empty is every one.
  public var ports: [UInt16] = []
  /// States; nil is every one.
  public var states: TCPStates?
  /// Sockets that this process holds; nil is everybody's.
  public var process: ProcessID?
  /// Only sockets that a connection still uses and no process has.
  public var isOrphansOnly = false
  /// The inodes of the process's sockets, by their hash, and zeros between them: a process may have very many, and
  /// each row of the table is looked up.
  private var inodes: [UInt64] = []

  /// Every socket.
  public init() {}

  /// Whether nothing narrows it.
  public var isEmpty: Bool { ports.isEmpty && states == nil && process == nil && !isOrphansOnly }

  /// Looks up what the process holds; throws where it may not be looked into, or is gone.
  public mutating func resolve() throws(Errno) {
    guard let process else { return }
    // As many as the kernel lets a process have (fs.nr_open).
    let owners = SocketOwners([process], atMost: 1 << 20)
    guard owners.isComplete else { throw .permissionDenied }
    var size = 16
    while size < 2 * owners.sockets.count { size *= 2 }
    inodes = [UInt64](repeating: 0, count: size)
    for inode in owners.sockets { inodes[place(of: inode)] = inode }
  }

  /// Where an inode is in the table, or would be.
  private func place(of inode: UInt64) -> Int {
    var place = Int(truncatingIfNeeded: (inode &* 0x9e37_79b9_7f4a_7c15) >> 32) & (inodes.count - 1)
    while inodes[place] != 0 && inodes[place] != inode { place = (place + 1) & (inodes.count - 1) }
    return place
  }

  /// What to ask the table for.
  public var query: SocketQuery { SocketQuery(states: states ?? .all, ports: ports) }

  /// Whether a row is meant, as far as the query has not seen to that.
  public func includes(_ socket: TCPSocket) -> Bool {
    if process != nil && (socket.inode == 0 || inodes.isEmpty || inodes[place(of: socket.inode)] == 0) {
      return false
    }
    return !isOrphansOnly || socket.isWithoutProcess
  }
}

extension TCPSocket {
  /// Whether no process has it although its application may not have closed it: not accepted yet, or closed
  /// and still delivering. (TIME_WAIT and SYN_RECV never have a process.)
  var isWithoutProcess: Bool {
    inode == 0 && state != .timeWait && state != .synReceived && state != .newSynReceived && state != .listen
  }
}

extension TCPStates {
  /// The states that a user names: "established", "CLOSE_WAIT", "close-wait", "time-wait,fin-wait-1", "all";
  /// nil where one is none.
  public init?(named text: [UInt8]) {
    self.init()
    // Capitals, without dashes and underscores: "fin-wait-1", "FIN_WAIT1" and "FINWAIT1" are one.
    var name: [UInt8] = []
    for index in 0...text.count {
      let byte = index < text.count ? text[index] : UInt8(ascii: ",")
      switch byte {
      case UInt8(ascii: "-"), UInt8(ascii: "_"): break
      case UInt8(ascii: "a")...UInt8(ascii: "z"): name.append(byte - 32)
      case UInt8(ascii: ","):
        guard let states = TCPStates(plainName: name) else { return nil }
        formUnion(states)
        name = []
      default: name.append(byte)
      }
    }
  }

  private init?(plainName name: [UInt8]) {
    if name == "ALL" {
      self = .all
    } else if name == "SYNRECV" {
      self = [TCPStates(.synReceived), TCPStates(.newSynReceived)]
    } else if name == "LISTENING" {
      self = .listening
    } else {
      for state in TCPState.all where state.hasPlainName(name) {
        self.init(state)
        return
      }
      return nil
    }
  }
}

extension TCPState {
  /// Whether these are the letters of its name.
  fileprivate func hasPlainName(_ plain: [UInt8]) -> Bool {
    name.withUTF8Buffer { bytes in
      var place = 0
      for byte in bytes where byte != UInt8(ascii: "_") {
        if place >= plain.count || plain[place] != byte { return false }
        place += 1
      }
      return place == plain.count
    }
  }
}
