import Inet
import Lifecycle
import Linux

// What happens: signals, children, the launch, notices of the kernel. Each becomes an event of the machine.
extension Supervisor {
  func take(_ arrived: ArrivedSignal) {
    let signal = arrived.signal
    if signal == .child {
      moreChildren = true
      // A child's own word is not for the service; somebody's kill(1) is.
      if !arrived.sentByProcess { return }
    }
    // Our own, for writing to a pipe that nobody reads.
    if signal == .brokenPipe && arrived.sender == .own { return }
    if signal == .continue { service.handOverTerminal() }
    guard let rewritten = configuration.rewritten(signal) else { return suspendItself(by: signal) }
    if signal.stopsJob { forwardedJobStop = true }
    if isDrainSignal(signal) {
      if beganWith == nil {
        beganWith = rewritten
        prepareDrain()
      }
      handle(.drainSignal(SignalNumber(rewritten.rawValue)))
    } else {
      handle(.signal(SignalNumber(rewritten.rawValue)))
    }
    suspendItself(by: signal)
  }

  /// Suspends ebb where its manners say so for this signal, which the service has been sent; SIGCONT wakes both.
  func suspendItself(by signal: Signal) {
    guard configuration.manners.jobControl == .withSignal, signal.stopsJob else { return }
    ProcessControl.suspend()
  }

  /// Sends the main process's group its last signal, where it is to get one, before the main process is reaped:
  /// until then the group's number is nobody else's.
  private func sendLastSignal() {
    guard let last = configuration.manners.lastSignal, service.isAlive,
      let signal = configuration.rewritten(last), ChildChange.hasEnded(service.process)
    else { return }
    try? service.process.sendToGroup(signal)
  }

  func isDrainSignal(_ signal: Signal) -> Bool {
    if let chosen = configuration.drainOn {
      for one in chosen where one == signal { return true }
      return false
    }
    if signal == .terminate || signal == .interrupt { return true }
    // An image that is stopped with its server's own signal (STOPSIGNAL SIGQUIT in nginx's) is drained too.
    guard service.isAlive, knownStopSignals.contains(signal) else { return false }
    return KnownServer(process: service.process)?.stopSignal == signal
  }

  /// Reaps what has ended, a bounded number at a time, so that signals are not starved by orphans.
  func reap() {
    moreChildren = false
    // What a process said before it ended is heard while it can still be told who it was.
    takeNotifications()
    sendLastSignal()
    var ended: UInt8?
    for _ in 0..<256 {
      switch ChildChange.next() {
      case .nothing:
        if let ended { noteEnd(ended) }
        return
      case .childless:
        // No descendant is left, so neither is the main process, whoever has reaped it.
        if ended == nil && service.isAlive && configuration.isInit {
          service.noteReaped()
          ended = service.formerStatus.code
        }
        if let ended { noteEnd(ended) }
        handle(.childless)
        return
      case .change(let change):
        if case .ended = change.kind { counters.childrenReaped += 1 }
        if change.process == service.process && service.isAlive {
          ended = take(change.kind) ?? ended
        } else if case .ended(let status) = change.kind, service.noteFormerReaped(change.process, status) {
          // The process that named another one as its heir, MAINPID=.
          if !service.isAlive { ended = status.code }
        } else if case .ended(let status) = change.kind,
          noteProbeReaped(change.process, status)
        {
          concludeReadiness()
        } else if let command = drainSteps.command, change.process == command.process {
          take(change.kind, of: command)
        } else if case .ended(let status) = change.kind, let server = leftServers.server(change.process) {
          sayEnded(server, status)
        } else if case .ended(let status) = change.kind, configuration.warnsOnReap {
          var facts = Facts()
          facts.add("pid", change.process.rawValue)
          facts.add("status", status.code)
          say(.problems, "reaped", "reaped an orphan: pid \(change.process) \(status)", facts)
        }
      }
    }
    moreChildren = true
    if let ended { noteEnd(ended) }
  }

  private func noteEnd(_ code: UInt8) {
    // With no stop of ebb's own the time is given: none. Nor is there anything to wait for where there is no socket.
    lifecycle.plan.lingerMax =
      configuration.lingerMax ?? (lifecycle.isAsked || sockets.mayLinger ? Platform.lingerMax : .zero)
    if lifecycle.isAsked { sockets.beginStop(at: now, nil, hasEnded: stopSent == nil) }
    handle(.ended(code))
  }

  /// Takes in what happened to the main process; its exit code once it has ended.
  func take(_ kind: ChildChange.Kind) -> UInt8? {
    switch kind {
    case .stopped(let signal):
      service.note(isStopped: true)
      if signal.stopsJob || forwardedJobStop {
        forwardedJobStop = false
        service.suspendAlong(for: signal)
      }
      // It would not see the stop signal, and nobody else may be there to wake it.
      if lifecycle.phase == .stopping { service.send(.continue) }
      return nil
    case .continued:
      service.note(isStopped: false)
      return nil
    case .ended(let status):
      takeLaunchError()
      service.noteReaped()
      if let launchFailure { return launchFailure }
      if isHeard(.phases) { sayStopped(status) }
      return status.code
    }
  }

  private func sayStopped(_ status: ExitStatus) {
    var text: Text = "stopped: pid \(service.process) \(status)"
    if let sent = stopSent { text.append(" after ", now - sent, "") }
    var facts = Facts()
    facts.add("pid", service.process.rawValue)
    facts.add("status", status.code)
    facts.add("seconds", seconds: stopSent.map { now - $0 })
    say(.phases, "stopped", text, facts)
  }

  private func sayEnded(_ server: LeftServers.Server, _ status: ExitStatus) {
    leftServerEnded = (server.record.name, status)
    var text: Text = "stopped: pid \(server.record.process) ("
    text.append(printable: server.record.name)
    text.append(contentsOf: ") \(status), which had been left behind")
    var facts = Facts()
    facts.add("pid", server.record.process.rawValue)
    facts.add("status", status.code)
    say(.phases, "stopped", text, facts)
    // What is left of it need not be waited for so long.
    if !leftServers.remain { handle(.serversRemain(false)) }
  }

  /// Says so where the service could not be executed, which is what it has then ended with.
  private func takeLaunchError() {
    guard let error = service.launchError() else { return }
    let failure = LaunchFailure(error, program: configuration.program)
    let code = configuration.manners.launchFailure.code(failure, error)
    var facts = Facts()
    facts.add("exit", code)
    facts.add("errno", error.rawValue)
    say(.problems, "failed", failure.text, facts)
    launchFailure = code
  }

  private func say(_ death: Death) {
    var text: Text = "reset: \(death.socket.remote) to \(death.socket.local.port)"
    if death.isMeasured {
      text.append(": ", Int(clamping: death.unread), " bytes unread, ")
      text.append("", Int(clamping: death.unacknowledged), " not acknowledged")
    } else {
      text.append(", before it was read")
    }
    var facts = Facts()
    facts.add("port", death.socket.local.port)
    facts.add("bytes_unread", number: death.isMeasured ? Int64(clamping: death.unread) : nil)
    facts.add("bytes_unacknowledged", number: death.isMeasured ? Int64(clamping: death.unacknowledged) : nil)
    say(.phases, "reset", text, facts)
  }

  func takeNotices() {
    let isEmpty = sockets.takeNotices { death in
      // A line each, for those who asked for many; not for a flood.
      toldResets += 1
      if journal.writes(.phases) && toldResets <= 20 { say(death) }
    }
    moreNotices = !isEmpty
    // Something has died: what was waited for may be over. A storm of notices does not hasten the looks.
    if (lifecycle.phase == .lingering || lifecycle.isFinishing) && now >= nextUnaskedLook { look() }
  }
}
