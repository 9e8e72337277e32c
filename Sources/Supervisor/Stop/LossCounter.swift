import Inet
import Linux

/// What was lost from the start of the drain on, as far as the kernel told.
struct Losses {
  /// Why nothing can be said; nil while everything was seen.
  var notMeasured: Reason? = .notListening
  /// Connections that were reset.
  var resets = 0
  /// Those of them that were thrown out by our side before anybody looked at them: their bytes are unknown.
  var thrownOut = 0
  /// Bytes that the service had written and nobody acknowledged, in those connections.
  var unacknowledged: UInt64 = 0
  /// Bytes that clients had sent and the service had not read, in those connections.
  var unread: UInt64 = 0
  /// Requests that got no answer, or not all of it.
  var cutRequests = 0
  /// Connections of which it could not be told whether a request was cut off.
  var undecided = 0

  /// Both together.
  var bytes: UInt64 {
    let sum = unread.addingReportingOverflow(unacknowledged)
    return sum.overflow ? .max : sum.partialValue
  }

  enum Reason {
    /// The drain had not begun, or no port is known.
    case notListening
    /// All are Unix sockets.
    case unixSockets
    /// All are UDP ports.
    case datagrams
    /// The kernel does not tell, or may not: no netlink, a seccomp profile.
    case refused(Errno)
    /// The kernel had to drop notices.
    case missed
    /// The kernel's notices were still under way when the report was due.
    case late
  }

  /// Whether all was seen, and nothing was lost.
  var isNone: Bool { notMeasured == nil && resets == 0 && cutRequests == 0 && undecided == 0 }
}

/// Counts what is lost: requests that are cut off, connections that are reset, bytes.
final class LossCounter {
  var losses = Losses()
  /// The stop signal is out, or the service has ended: requests that have no answer from here on are cut off.
  private(set) var isStopping = false
  /// Whether somebody speaks MPTCP in this namespace; nil where nobody has looked.
  private var hasMultipath: Bool?
  /// The last connections that died before the stop: should the service end by itself now, it has taken them along.
  private var recent: [(at: Duration, socket: TCPSocket)] = []

  /// The stop begins. `hasEnded`: by the service's own end, which may have taken connections along a moment ago.
  func beginStop(_ tracker: RequestTracker?, hasEnded: Bool, at now: Duration) {
    isStopping = true
    for death in recent where hasEnded && now - death.at < .milliseconds(500) {
      note(tracker?.judge(death.socket) ?? .undecided)
    }
    recent = []
  }

  /// Counts what was lost with a connection; true where it was reset.
  func count(_ death: Death, _ tracker: RequestTracker?) -> Bool {
    let seen = tracker?.lastSeen(death.socket.cookie)
    let death = seen?.peerHasClosed == true ? death.withoutFIN() : death
    var ending = RequestTracker.Ending.none
    if isStopping {
      ending = tracker?.judge(death.socket) ?? .undecided
    } else {
      if recent.count >= 256 { recent.removeFirst() }
      recent.append((MonotonicClock.now, death.socket))
    }
    if death.wasReset && !death.isMeasured {
      // Its figures are gone: it was never accepted, or aborted (SO_LINGER 0), or is a part of a MPTCP connection that has
      // ended well.
      if let seen {
        if seen.isAccepted ? usesMultipath : seen.peerHasClosed && seen.unread == 0 {
          note(ending)
          return false
        }
      } else if usesMultipath {
        losses.undecided += 1
        return false
      }
    }
    note(ending)
    guard death.wasReset else { return false }
    // A peer that is through with an idle connection may end it so (a proxy's pool, a health check): nothing is lost.
    if death.isMeasured && death.unacknowledged == 0 && death.unread == 0 && ending == .none
      && Activity(atTheEndOf: death.socket, tick: Activity.tick()).verdict == .idle
    {
      return false
    }
    losses.resets += 1
    if death.isMeasured {
      losses.unacknowledged += death.unacknowledged
      losses.unread += death.unread
    } else if let seen, !seen.isAccepted {
      losses.unread += UInt64(seen.unread)
    } else {
      losses.thrownOut += 1
    }
    return true
  }

  /// Counts what became of a request.
  func note(_ ending: RequestTracker.Ending) {
    switch ending {
    case .none: break
    case .cut: losses.cutRequests += 1
    case .undecided: losses.undecided += 1
    }
  }

  private var usesMultipath: Bool {
    if let hasMultipath { return hasMultipath }
    let answer = Multipath.isInUse
    hasMultipath = answer
    return answer
  }
}
