import Inet
import Lifecycle
import Linux

// The end: what became of the ports, what was lost, the last line.
extension Supervisor {
  func finish(_ code: UInt8) {
    var mapped = code
    for pair in configuration.exitCodes where pair.from == code { mapped = pair.to }
    guard configuration.manners.hasStop else {
      flushJournal()
      exitCode = mapped
      return
    }
    if lifecycle.isAsked {
      sockets.beginStop(at: now, knownServer)
      sockets.judgeClosing()
    }
    sockets.awaitNotices()
    while sockets.notices != nil {
      takeNotices()
      if !moreNotices { break }
    }
    if lifecycle.isAsked { sockets.judgeRest() }
    var report = Report(exitCode: mapped)
    if let began = lifecycle.drainBegan { report.duration = now - began }
    report.losses = sockets.losses
    report.busyMaxEnded = lastBusy > 0
    report.blindness = sockets.blindness
    report.leftServer = leftServerEnded
    report.held = held
    // With lingering off nothing was looked at.
    report.left = lastLinger ?? sockets.lookAtLeftovers()
    report.ports = portEnds()
    if lifecycle.isAsked {
      report.survivors = (try? ProcessTable.descendants(of: .own).count) ?? nil
      say(report.hasLosses ? .problems : .report, "released", report.text, report.facts)
      writeTerminationLog(report)
    } else if report.hasLosses {
      say(.problems, "released", report.text, report.facts)
    }
    flushJournal()
    exitCode = mapped
  }

  func portEnds() -> [Report.PortEnd] {
    guard lifecycle.isAsked || lastLinger != nil else { return [] }
    let listening = sockets.listening()
    var ends: [Report.PortEnd] = []
    for port in sockets.ports.ports {
      ends.append(Report.PortEnd(port: port, state: portEnd(port, listening)))
    }
    sockets.unix.look(at: now, isOneRequest: true)
    for listener in sockets.unix.listeners {
      ends.append(
        Report.PortEnd(port: 0, path: listener.path, state: listener.isListening ? .listening : .notListening)
      )
    }
    for port in sockets.datagrams.ports {
      let state = Report.PortEnd.State(BindTest.ask(port.number, .udp))
      ends.append(Report.PortEnd(port: port.number, isUDP: true, state: state))
    }
    return ends
  }

  private func portEnd(_ port: UInt16, _ listening: [TCPSocket]?) -> Report.PortEnd.State {
    for socket in listening ?? [] where socket.local.port == port && !sockets.service.isStrangers(socket) {
      return .listening
    }
    var answer = BindTest.ask(port)
    let addresses = sockets.service.addressesBesideStrangers(port)
    if !addresses.isEmpty {
      answer = .free
      for address in addresses where answer == .free {
        var manner = BindTest.Manner()
        manner.address = address
        answer = BindTest.ask(port, manner)
      }
    }
    // No table tells whether something listens: where a bind is accepted, nothing does.
    return listening == nil && answer != .free ? .unknown : Report.PortEnd.State(answer)
  }

  func writeTerminationLog(_ report: Report) {
    do throws(Errno) {
      try TerminationLog.write("ebb: \(report.text)\n", to: configuration.terminationLog)
    } catch {
      say(.problems, "termination-log", "cannot write the termination log: \(error)")
    }
  }

  /// The last lines get a moment more, where nobody reads them at once; the exit does not wait for them long.
  func flushJournal() {
    if !journal.isWaiting { return }
    let end = now + .milliseconds(100)
    while journal.isWaiting && now < end {
      FileDescriptor.standardError.waitUntilWritable(for: .milliseconds(10))
      journal.flush()
    }
  }
}

extension Report.PortEnd.State {
  fileprivate init(_ verdict: BindTest.Verdict) {
    switch verdict {
    case .free: self = .free
    case .inUse: self = .inUse
    case .cannotTell: self = .notListening
    }
  }
}

extension Configuration {
  /// The program's name, as the user typed it.
  var program: CString { CString(arguments[0] ?? UnsafeMutablePointer(mutating: CString("").pointer)) }

  /// Orphans of the service become our children: we are PID 1, or take its part.
  var isInit: Bool { subreaper != .no || ProcessID.own.rawValue == 1 }

  /// What `--rewrite` makes of a signal; nil where it is dropped.
  func rewritten(_ signal: Signal) -> Signal? {
    for rewrite in rewrites where rewrite.from == signal { return rewrite.to }
    return signal
  }
}
