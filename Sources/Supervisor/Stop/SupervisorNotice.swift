import Inet
import Lifecycle
import Linux

// A stop that lasts says once who or what is waited for, and how long that may last: the platform may kill everything
// before the report is written.
extension Supervisor {
  func sayWaiting() {
    var text: Text = "still \(lifecycle.phase.name) after \(drainTook): "
    switch lifecycle.phase {
    case .starting, .serving, .drained, .done: return
    case .draining where lifecycle.isFinishing: sayRequests(to: &text)
    case .draining: sayTraffic(to: &text)
    case .stopping where service.isAlive:
      text.append("pid ")
      text.append(service.process.rawValue)
      text.append(" has not ended")
      if let sent = stopSent { text.append(" since ", now - sent, ", when it was told to") }
      if let open = sockets.lookAtOpen() { text.append(contentsOf: "; it has \(open)") }
      sayStopLimit(of: knownServer, to: &text)
    case .stopping:
      if let server = leftServers.first {
        text.append("pid ", Int(server.record.process.rawValue), " (")
        text.append(printable: server.record.name)
        text.append("), left behind, has not ended")
      } else {
        text.append("what the service left behind has not ended")
      }
    case .lingering:
      let left = lastLinger?.waiting ?? 0
      text.append("", left, of: "connection")
      text.append(" with ")
      text.append(byteCount: lastLinger?.waitingBytes ?? 0)
      text.append(" that the peer has not acknowledged")
    }
    if let end = lifecycle.waitsUntil { text.append("; ", max(.zero, end - now), " more at most") }
    if configuration.grace == nil {
      text.append(
        "; Docker kills after 10 s, Kubernetes after 30 s, unless told otherwise (--grace tells ebb)")
    }
    var facts = Facts()
    facts.add("seconds", seconds: drainTook)
    facts.add("busy", lastBusy)
    facts.add("seconds_left", seconds: lifecycle.waitsUntil.map { max(.zero, $0 - now) })
    say(.report, "waiting", text, facts)
  }

  private func sayRequests(to text: inout Text) {
    guard let traffic = lastTraffic, traffic.waitedFor > 0 else {
      text.append("--on-drain has not ended")
      return
    }
    text.append("", traffic.waitedFor, of: "connection")
    text.append(" waited for")
    if let example = traffic.example { text.append(contentsOf: " (one is \(example)'s)") }
    text.append("; of all that are open, requests in progress on ", traffic.inProgress, "")
    if traffic.undecided > 0 { text.append(", undecided ", traffic.undecided, "") }
  }

  private func sayTraffic(to text: inout Text) {
    text.append("serving on until the traffic has left")
    guard let quiet = lifecycle.quiet else { return }
    text.append("; nothing new for ", quiet.silent(at: now), "")
  }
}
