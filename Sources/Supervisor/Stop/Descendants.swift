import Linux

/// What is left of the service beside its main process: the descendants of ebb. Never anybody else: a shell
/// that `docker exec` started is no descendant, and a pid is signalled only while it is surely the same
/// process.
enum Descendants {
  /// What was done.
  final class Outcome {
    /// How many processes got the signal; nil where only a group could be signalled, since there is no /proc.
    var count: Int?
    /// One of them, to name, and what it is called.
    var example: ProcessID?
    var exampleName: [UInt8] = []
    /// The groups to which descendants belong: the main process's own, and those in sessions that are not ours.
    /// Only a member of a session makes or joins a group of it, and whoever made the session is a descendant,
    /// so all members of these are.
    var groups: [ProcessID]

    init(count: Int?, group: ProcessID) {
      self.count = count
      groups = [group]
    }

    func hasGroup(_ group: ProcessID) -> Bool {
      for one in groups where one == group { return true }
      return false
    }
  }

  /// Sends a signal to every descendant, and wakes those that are suspended.
  ///
  /// Without /proc there is only the main process's group, and it is signalled only while a child of ours is
  /// in it, since its number may have gone to strangers otherwise.
  static func send(
    _ signal: Signal, group: ProcessID, except servers: LeftServers = LeftServers()
  ) -> Outcome {
    guard let descendants = try? ProcessTable.descendants(of: .own) else {
      if ChildChange.isAnyInGroup(group) { try? group.sendToGroup(signal) }
      return Outcome(count: nil, group: group)
    }
    let outcome = Outcome(count: 0, group: group)
    let ownSession = ProcessID.ownSession
    for record in descendants {
      if record.session != ownSession && !outcome.hasGroup(record.group) {
        outcome.groups.append(record.group)
      }
      guard !servers.isMember(record.process), deliver(signal, record) else { continue }
      outcome.count = (outcome.count ?? 0) + 1
      if outcome.example == nil {
        outcome.example = record.process
        outcome.exampleName = record.name
      }
      if record.state == UInt8(ascii: "T") && signal != .kill { _ = deliver(.continue, record) }
    }
    return outcome
  }

  private static func deliver(_ signal: Signal, _ record: ProcessRecord) -> Bool {
    ProcessTable.send(signal, to: record)
  }

  /// Kills every descendant. What forks as it is killed is met by its group's own signal, which the kernel
  /// delivers to all members at once and which stops a fork in progress, fork(2); and by the next round. A group
  /// gets it only while a child of ours is in it, since its number may have gone to strangers otherwise.
  static func kill(group: ProcessID) -> Outcome {
    let outcome = send(.kill, group: group)
    for group in outcome.groups where ChildChange.isAnyInGroup(group) {
      // None was met by number, but the group has one: it had forked and gone before it was its turn.
      if (try? group.sendToGroup(.kill)) != nil, outcome.count == 0 {
        outcome.count = nil
        outcome.groups = [group]
      }
    }
    return outcome
  }
}
