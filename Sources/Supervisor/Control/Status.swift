import Inet
import Lifecycle
import Linux

/// What there is to know of a service at one moment: `ebb status`, `/status`, `/metrics`.
struct Status {
  var phase: Phase
  /// How long it has been in this phase, and since its launch.
  var inPhase: Duration
  var uptime: Duration
  /// Whether it should get traffic, as far as is known without asking the probes now; nil where they decide
  /// and have not been asked yet.
  var isReady: Bool?
  var probes: [ProbeRecord]
  /// How long ago the probes were asked.
  var sinceProbed: Duration?
  var process: ProcessID
  var name: [UInt8]
  /// The service's processes, the main one included; nil where they cannot be counted.
  var processes: Int?
  /// What the service says of itself, STATUS=.
  var says: [UInt8]?
  var origin: PortOrigin?
  /// Why the ports are not known; nil where they are, or none is listened on.
  var blindness: Text?
  var ports: [PortTraffic]
  /// The service's UDP ports.
  var datagrams: [DatagramPorts.Port]
  /// The service's Unix sockets.
  var unix: [UnixConnections.Listener]
  /// Connections a second that were accepted in this network namespace since it was asked before; nil the
  /// first time, and where the counter cannot be read.
  var arrivals: Rate?
  /// What the lame duck has seen of the traffic; nil before, and where it takes its whole time.
  var quiet: Quiet?
  /// For how long nothing new has come, if so.
  var silent = Duration.zero
  /// New connections since the drain began; nil where they were not all seen.
  var arrived: UInt64?
  var losses: Losses
  var counters: Counters

  /// Open connections of all ports.
  var connections: Int {
    var sum = 0
    for port in ports { sum += port.connections }
    for listener in unix { sum += listener.connections }
    return sum
  }
  /// Busy ones of all ports.
  var busy: Int {
    var sum = 0
    for port in ports { sum += port.busy }
    return sum
  }

  /// For a person.
  var text: Text {
    var text: Text = "\(phase.name) for \(inPhase); "
    if let isReady {
      text.append(isReady ? "ready" : "not ready")
    } else {
      text.append("readiness not asked yet")
    }
    text.append("; ")
    text.append(printable: name)
    text.append(" (pid ", Int(process.rawValue), "")
    if let processes { text.append(", ", processes, processes == 1 ? " process" : " processes") }
    text.append("), launched ", uptime, " ago\n")
    if let says {
      text.append("  says: ")
      text.append(printable: says)
      text.append("\n")
    }
    for probe in probes {
      text.append("  ")
      probe.probe.write(to: &text)
      text.append(": ")
      switch probe.last {
      case nil: text.append("not asked yet")
      case .holds: text.append("holds")
      case .fails(let why): text.append(contentsOf: why)
      }
      if probe.last != nil, let since = sinceProbed { text.append(" (", since, " ago)") }
      text.append("\n")
    }
    for port in ports {
      text.append("  port ", Int(port.port), port.isListening ? ": listening" : ": not listening")
      text.append(", ", port.connections, of: "connection")
      text.append(", ", port.busy, " busy")
      if port.undecided > 0 { text.append(", ", port.undecided, " undecided") }
      let closing = port.closing
      if closing > 0 { text.append(", ", closing, " closing") }
      if port.unacknowledged > 0 {
        text.append(", ")
        text.append(byteCount: port.unacknowledged)
        text.append(" not acknowledged")
      }
      text.append("\n")
    }
    for port in datagrams {
      text.append("  port ", Int(port.number), port.isBound ? "/udp: bound" : "/udp: not bound")
      if port.waiting > 0 {
        text.append(", ")
        text.append(byteCount: port.waiting)
        text.append(" not read")
      }
      text.append("\n")
    }
    for listener in unix {
      text.append("  unix:")
      text.append(printable: listener.path)
      text.append(listener.isListening ? ": listening, " : ": not listening, ")
      text.append("", listener.connections, of: "connection")
      text.append("\n")
    }
    if ports.isEmpty && datagrams.isEmpty && unix.isEmpty {
      if let blindness {
        text.append(contentsOf: "  no port is known, for \(blindness)\n")
      } else {
        text.append("  no port found yet\n")
      }
    }
    if let arrivals {
      text.append("  ")
      arrivals.write(to: &text)
      text.append(" new connections a second\n")
    }
    if phase == .draining, let quiet {
      text.append("  since the drain began: ")
      if let arrived {
        text.append("", Int(clamping: arrived), of: "new connection")
        text.append(", ")
      }
      text.append("nothing new for ", silent, "; ")
      if let silence = quiet.silence {
        text.append("", silence, " would be quiet\n")
      } else {
        text.append("not enough has come to tell what would be quiet\n")
      }
    }
    if phase != .starting && phase != .serving && losses.notMeasured == nil {
      text.append("  since the drain began: ", losses.resets, of: "connection")
      text.append(" reset, ", Int(clamping: losses.bytes), of: "byte")
      text.append(" lost\n")
    }
    return text
  }

  /// As JSON; the keys are a contract.
  var json: Text {
    var facts = Facts()
    facts.openObject()
    facts.add("phase", word: phase.name)
    facts.add("phase_seconds", seconds: inPhase)
    facts.add("uptime_seconds", seconds: uptime)
    facts.add("ready", flag: isReady)
    facts.open("probes", "[")
    for probe in probes { probe.write(to: &facts) }
    facts.close("]")
    facts.add("probed_seconds_ago", seconds: sinceProbed)
    facts.add("pid", process.rawValue)
    facts.add("name", text: name)
    facts.add("processes", number: processes.map { Int64($0) })
    facts.add("says", text: says)
    facts.add("ports_from", text: origin.map { origin -> Text in "\(origin)" }?.bytes)
    facts.open("ports", "[")
    for port in ports {
      facts.openObject()
      facts.add("port", port.port)
      facts.add("listening", flag: port.isListening)
      facts.add("connections", port.connections)
      facts.add("busy", port.busy)
      facts.add("undecided", port.undecided)
      facts.add("closing", port.closing)
      facts.add("unacknowledged_bytes", Int64(clamping: port.unacknowledged))
      facts.close("}")
    }
    facts.close("]")
    facts.open("udp", "[")
    for port in datagrams {
      facts.openObject()
      facts.add("port", port.number)
      facts.add("bound", flag: port.isBound)
      facts.add("waiting_bytes", Int64(clamping: port.waiting))
      facts.close("}")
    }
    facts.close("]")
    facts.open("unix", "[")
    for listener in unix {
      facts.openObject()
      facts.add("path", text: listener.path)
      facts.add("listening", flag: listener.isListening)
      facts.add("connections", listener.connections)
      facts.close("}")
    }
    facts.close("]")
    facts.add("arrivals_per_second", seconds: arrivals.map { .milliseconds($0.perThousandSeconds) })
    facts.add("arrived", number: arrived.map { Int64(clamping: $0) })
    facts.add("silent_seconds", seconds: quiet == nil ? nil : silent)
    facts.add("silence_wanted_seconds", seconds: quiet?.silence)
    let isMeasured = losses.notMeasured == nil
    facts.add("cut_requests", number: isMeasured ? Int64(losses.cutRequests) : nil)
    facts.add("undecided", number: isMeasured ? Int64(losses.undecided) : nil)
    facts.add("resets", number: isMeasured ? Int64(losses.resets) : nil)
    facts.add("lost_bytes", number: isMeasured ? Int64(clamping: losses.bytes) : nil)
    facts.add("signals_forwarded", counters.signalsForwarded)
    facts.add("children_reaped", counters.childrenReaped)
    facts.add("drains", counters.drains)
    facts.close("}\n")
    return facts.text
  }
}

extension ProbeRecord {
  /// As it stands in a status's JSON.
  fileprivate func write(to facts: inout Facts) {
    facts.openObject()
    let name: Text = "\(probe)"
    facts.add("probe", text: name.bytes)
    facts.add("holds", flag: last.map { $0.isHolding })
    if case .fails(let why) = last { facts.add("reason", text: why.bytes) }
    facts.close("}")
  }
}

/// The part of a status that has to be looked for in /proc and the socket tables.
struct StatusLook {
  let at: Duration
  /// Until when it is good, unless the phase changes: whoever asks more often, a thousand clients of /metrics at
  /// once, is answered from the last one. A look may take a tenth of the time between two.
  let end: Duration
  let process: ProcessID
  let name: [UInt8]?
  let processes: Int?
  let ports: [PortTraffic]
  let arrivals: Rate?
}

extension Supervisor {
  /// Everything that `ebb status` tells. The sockets and processes are as of a moment ago, at most a
  /// second, and never as of another phase.
  func status() -> Status {
    let look = statusLook()
    let isLameDuck = lifecycle.phase == .draining && !lifecycle.isFinishing
    let isReady: Bool?
    if let answer = readinessByPhase {
      isReady = answer.isYes
    } else {
      isReady = readiness.lastCheck.map { _ in readiness.allHold }
    }
    return Status(
      phase: lifecycle.phase, inPhase: now - phaseSince, uptime: now - started, isReady: isReady,
      probes: readiness.probes, sinceProbed: readiness.lastCheck.map { now - $0 }, process: service.process,
      name: look.name ?? configuration.program.bytes, processes: look.processes,
      says: readiness.saysStatus, origin: sockets.ports.origin, blindness: sockets.blindness,
      ports: look.ports, datagrams: sockets.datagrams.ports, unix: sockets.unix.listeners,
      arrivals: look.arrivals,
      quiet: isLameDuck ? lifecycle.quiet : nil, silent: lifecycle.quiet?.silent(at: now) ?? .zero,
      arrived: sockets.arrived, losses: sockets.losses, counters: counters)
  }

  private func statusLook() -> StatusLook {
    let began = now
    if let last = lastStatusLook, last.process == service.process, last.at > phaseSince, began < last.end {
      return last
    }
    let family = try? ProcessTable.descendants(of: .own)
    sockets.findPorts(of: family)
    sockets.findOtherSockets(of: family)
    sockets.unix.look(at: began, isOneRequest: sockets.unixIsOneRequest)
    sockets.datagrams.look()
    let ports = sockets.portTraffic()
    let took = now - began
    let look = StatusLook(
      at: began, end: began + min(max(took * 10, .milliseconds(100)), .seconds(1)), process: service.process,
      name: ProcessTable.name(of: service.process),
      // None shows, and one is there: hidepid hides another user's.
      processes: family.flatMap { $0.isEmpty && service.isAlive ? nil : $0.count },
      ports: ports, arrivals: sockets.arrivals(at: began))
    lastStatusLook = look
    return look
  }
}
