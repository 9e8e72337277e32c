import CLinux
import Inet
import Lifecycle
import Linux

// Readiness: asked for, or looked at in the first moments for the log. An ebb that nobody asks sleeps.
extension Supervisor {
  /// What the phase alone says about readiness; nil where the probes decide.
  var readinessByPhase: ControlAnswer? {
    switch lifecycle.phase {
    case .starting, .serving:
      return readiness.saysStopping ? .no("not ready: the service says that it is stopping") : nil
    case .draining, .drained:
      let phase = lifecycle.phase.name
      // One that never was ready does not become so by being told to stop.
      if !readiness.wasReady { return .no("not ready: \(phase), and was not ready before") }
      let isReady = configuration.readyWhileDraining ?? Platform.isKubernetes
      return isReady ? .yes("ready: \(phase)") : .no("not ready: \(phase)")
    case .stopping, .lingering, .done:
      return .no("not ready: \(lifecycle.phase.name)")
    }
  }

  /// Begins a check, unless one is under way; its end answers all who wait.
  func checkReadiness() {
    guard readiness.checkEnds == nil else { return }
    readiness.nextLook = nil
    readiness.checks &+= 1
    readiness.checkEnds = now + ReadinessCheck.limit
    for index in 0..<readiness.probes.count { readiness.probes[index].begin(index, self) }
    concludeReadiness()
  }

  /// A probe's descriptor is ready, unless the word comes of a check that is over.
  func advanceProbe(_ token: Int) {
    let index = token & 0xff
    guard token >> 8 == readiness.checks & 0xff_ffff, index < readiness.probes.count else { return }
    readiness.probes[index].advance()
    concludeReadiness()
  }

  /// A child has been reaped; false where it is no probe's command.
  func noteProbeReaped(_ process: ProcessID, _ status: ExitStatus) -> Bool {
    for probe in readiness.probes where probe.noteReaped(process, status) { return true }
    return false
  }

  /// Time for an unasked check, or for the end of one that takes too long.
  func takeReadinessTick() {
    if let deadline = readiness.checkEnds {
      if deadline <= now {
        for probe in readiness.probes { probe.giveUp() }
        concludeReadiness()
      }
    } else if let look = readiness.nextLook, look <= now {
      readiness.nextLook = nil
      if lifecycle.phase == .starting && service.isAlive { checkReadiness() }
    }
  }

  /// If every probe has its result: keeps them, moves on, answers.
  func concludeReadiness() {
    guard readiness.checkEnds != nil, readiness.isComplete else { return }
    readiness.checkEnds = nil
    for probe in readiness.probes { probe.last = probe.result }
    readiness.lastCheck = now
    let holds = readiness.allHold
    if holds { readiness.wasReady = true }
    if lifecycle.phase == .starting {
      if holds {
        handle(.ready)
        sayServing()
        sayIfShell()
      } else if journal.writes(.phases) {
        readiness.putOff(since: started, at: now)
      }
    }
    // A drain may have begun while the probes were running.
    let answer = readinessByPhase ?? (holds ? .yes("ready") : .no(whyNotReady))
    control.answerAll(.readiness, answer)
    answerReadyPages(answer)
  }

  /// "not ready: listen: nothing listens on 8080".
  private var whyNotReady: Text {
    var text: Text = "not ready"
    for probe in readiness.probes {
      guard case .fails(let why) = probe.last else { continue }
      text.append(": ")
      probe.probe.write(to: &text)
      text.append(": ")
      text.append(contentsOf: why)
    }
    return text
  }

  /// `listen`: every port that was given, or at least one that was found, has a listener; of the service,
  /// where that can be seen.
  func listens() -> ProbeResult {
    if sockets.datagrams.ports.isEmpty && sockets.listensAsBefore() { return .holds }
    sockets.findPorts()
    if sockets.ports.ports.isEmpty { sockets.findOtherSockets() }
    sockets.datagrams.look()
    for port in sockets.datagrams.ports where !port.isBound {
      return .fails("nothing is bound to \(port.number)/udp")
    }
    if !configuration.unixPaths.isEmpty {
      sockets.unix.look(at: now, isOneRequest: true)
      for listener in sockets.unix.listeners where listener.isGiven && !listener.isListening {
        return .fails("nothing listens on unix:\(listener.path)")
      }
      if sockets.ports.ports.isEmpty { return .holds }
    }
    if sockets.ports.ports.isEmpty {
      if !sockets.datagrams.ports.isEmpty { return .holds }
      if let why = sockets.blindness { return .fails("no port is known, for \(why)") }
      return .fails(
        "the service listens on no port that could be found (--ports names them; a worker has --ready-when alive)"
      )
    }
    guard let listening = sockets.listening() else { return .fails("the socket table cannot be read") }
    for port in sockets.ports.ports {
      var listeners: [TCPSocket] = []
      for socket in listening where socket.local.port == port { listeners.append(socket) }
      if listeners.isEmpty { return .fails("nothing listens on \(port)") }
      if sockets.ports.origin == .given && !sockets.mayBeServices(listeners) {
        return .fails("a stranger listens on \(port)")
      }
    }
    sockets.remember(listening)
    return .holds
  }

  private func sayServing() {
    guard isHeard(.phases) else { return }
    var name = ProcessTable.name(of: service.process) ?? configuration.program.bytes
    // It has not been executed yet.
    if name == ProcessTable.name(of: .own) ?? [] { name = configuration.program.bytes }
    var text: Text = "serving: \(name) (pid \(service.process))"
    var ports: [UInt16] = []
    for socket in sockets.listening() ?? [] where !ports.contains(socket.local.port) {
      text.append(ports.isEmpty ? " listens on " : ", ")
      text.append(socket.local.port)
      ports.append(socket.local.port)
    }
    for port in sockets.datagrams.ports {
      text.append(ports.isEmpty ? " has " : ", ")
      text.append(port.number)
      text.append("/udp")
      ports.append(port.number)
    }
    text.append(ports.isEmpty ? " is ready after " : " after ", now - started, "")
    var facts = Facts()
    facts.add("name", text: name)
    facts.add("pid", service.process.rawValue)
    facts.add("ports", numbers: ports)
    facts.add("seconds", seconds: now - started)
    say(.phases, "serving", text, facts)
  }

  /// That the service's main process is a shell that dies of the stop signal, and what it runs hears nothing.
  private func sayIfShell() {
    guard service.isAlive, let name = ProcessTable.name(of: service.process), Shell.isName(of: name),
      ProcessTable.handles(.terminate, service.process) == false
    else { return }
    var text: Text = "the service is a shell ("
    text.append(printable: name)
    text.append("), which hands no signal on to what it runs: use exec in its script, or CMD [\"...\"]")
    say(.report, "shell", text)
  }

  // MARK: - sd_notify

  /// Takes in what the service says, a bounded number of datagrams at a time.
  func takeNotifications() {
    guard let socket = readiness.notifySocket else { return }
    var bytes = [UInt8](repeating: 0, count: Notification.limit)
    for _ in 0..<64 {
      var sender: Int32 = 0
      let count = bytes.withUnsafeMutableBufferPointer {
        clinux_receive_with_sender(socket.rawValue, $0.baseAddress, $0.count, &sender)
      }
      guard count >= 0 else { return }
      // Anybody can send to an abstract name: only the service's own processes are heard.
      guard sender > 0, ProcessTable.isDescendant(ProcessID(sender), of: .own) else { continue }
      take(Notification(bytes.part(from: 0, to: count)))
    }
  }

  private func take(_ notification: Notification) {
    if notification.isReady { readiness.saysReady = true }
    if notification.isStopping { readiness.saysStopping = true }
    if let status = notification.status { readiness.saysStatus = status }
    if let extend = notification.extend { readiness.saysExtend = extend }
    // Where orphans go elsewhere, the end of such a process would never be told to us.
    if let process = notification.mainProcess, process != service.process, configuration.isInit,
      ProcessTable.isDescendant(process, of: .own), let record = try? ProcessRecord(of: process)
    {
      say(.phases, "main", "main process: pid \(process) instead of \(service.process), as the service says")
      service.adopt(record)
    }
    if notification.isReady && lifecycle.phase == .starting { checkReadiness() }
  }
}

extension Phase {
  /// The name that users read.
  var name: StaticString {
    switch self {
    case .starting: "starting"
    case .serving: "serving"
    case .draining: "draining"
    case .drained: "drained"
    case .stopping: "stopping"
    case .lingering: "lingering"
    case .done: "done"
    }
  }
}
