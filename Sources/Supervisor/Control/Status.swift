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
  var probes: [(probe: Probe, result: ProbeResult?)]
  /// How long ago the probes were asked.
  var sinceProbed: Duration?
  var process: ProcessID
  var name: [UInt8]
  /// The service's processes, the main one included; nil where they cannot be counted.
  var processes: Int?
  /// What the service says of itself, STATUS=.
  var says: [UInt8]?
  var origin: PortOrigin?
  var ports: [PortTraffic]
  /// Connections a second that were accepted in this network namespace since it was asked before; nil the
  /// first time, and where the counter cannot be read.
  var arrivals: Rate?
  /// What the lame duck has seen of the traffic; nil before, and where it takes its whole time.
  var quiet: Quiet?
  /// For how long nothing new has come, if so.
  var silent = Duration.zero
  /// New connections since the drain began; nil where they were not all seen.
  var arrived: UInt64?
  var losses: SocketWatch.Losses
  var counters: Counters

  /// Open connections of all ports.
  var connections: Int { ports.reduce(0) { $0 + $1.connections } }
  /// Busy ones of all ports.
  var busy: Int { ports.reduce(0) { $0 + $1.busy } }

  /// For a person.
  var text: Text {
    var text: Text = "\(phase.name) for \(inPhase); "
    if let isReady {
      text.append(isReady ? "ready" : "not ready")
    } else {
      text.append("readiness not asked yet")
    }
    text.append(contentsOf: "; \(name) (pid \(process)")
    if let processes { text.append(contentsOf: ", \(processes) ") }
    if let processes { text.append(processes == 1 ? "process" : "processes") }
    text.append(contentsOf: "), launched \(uptime) ago\n")
    if let says { text.append(contentsOf: "  says: \(says)\n") }
    for (probe, result) in probes {
      text.append(contentsOf: "  \(probe): ")
      switch result {
      case nil: text.append("not asked yet")
      case .holds: text.append("holds")
      case .fails(let why): text.append(contentsOf: why)
      }
      if result != nil, let since = sinceProbed { text.append(contentsOf: " (\(since) ago)") }
      text.append("\n")
    }
    for port in ports {
      text.append(contentsOf: "  port \(port.port): ")
      text.append(port.isListening ? "listening" : "not listening")
      text.append(contentsOf: ", \(port.connections, "connection"), \(port.busy) busy")
      if port.closing > 0 { text.append(contentsOf: ", \(port.closing) closing") }
      if port.unacknowledged > 0 {
        text.append(", ")
        text.append(byteCount: port.unacknowledged)
        text.append(" not acknowledged")
      }
      text.append("\n")
    }
    if ports.isEmpty { text.append("  no port found yet\n") }
    if let arrivals {
      text.append(contentsOf: "  \(arrivals) new connections a second\n")
    }
    if phase == .draining, let quiet {
      text.append("  since the drain began: ")
      if let arrived { text.append(contentsOf: "\(Int(clamping: arrived), "new connection"), ") }
      text.append(contentsOf: "nothing new for \(silent); ")
      if let silence = quiet.silence {
        text.append(contentsOf: "\(silence) would be quiet\n")
      } else {
        text.append("not enough has come to tell what would be quiet\n")
      }
    }
    if phase != .starting && phase != .serving && losses.notMeasured == nil {
      text.append(
        contentsOf:
          "  since the drain began: \(losses.resets, "connection") reset, \(Int(clamping: losses.bytes), "byte") lost\n"
      )
    }
    return text
  }

  /// As JSON; the keys are a contract.
  var json: Text {
    var text: Text = "{"
    Field("phase", .word(phase.name)).write(to: &text)
    add(Field("phase_seconds", .seconds(inPhase)), &text)
    add(Field("uptime_seconds", .seconds(uptime)), &text)
    add(Field("ready", isReady.map { .flag($0) } ?? .null), &text)
    text.append(",\"probes\":[")
    for (index, item) in probes.enumerated() {
      let name: Text = "\(item.probe)"
      text.append(index > 0 ? ",{" : "{")
      Field("probe", .text(name.bytes)).write(to: &text)
      add(Field("holds", item.result.map { .flag($0.isHolding) } ?? .null), &text)
      if case .fails(let why) = item.result { add(Field("reason", .text(why.bytes)), &text) }
      text.append("}")
    }
    text.append("]")
    add(Field("probed_seconds_ago", sinceProbed.map { .seconds($0) } ?? .null), &text)
    add(Field("pid", process.rawValue), &text)
    add(Field("name", .text(name)), &text)
    add(Field("processes", processes.map { .number(Int64($0)) } ?? .null), &text)
    add(Field("says", says.map { .text($0) } ?? .null), &text)
    let origin = self.origin.map { origin -> Text in "\(origin)" }
    add(Field("ports_from", origin.map { .text($0.bytes) } ?? .null), &text)
    text.append(",\"ports\":[")
    for (index, port) in ports.enumerated() {
      text.append(index > 0 ? ",{" : "{")
      Field("port", port.port).write(to: &text)
      add(Field("listening", .flag(port.isListening)), &text)
      add(Field("connections", port.connections), &text)
      add(Field("busy", port.busy), &text)
      add(Field("closing", port.closing), &text)
      add(Field("unacknowledged_bytes", Int64(clamping: port.unacknowledged)), &text)
      text.append("}")
    }
    text.append("]")
    add(
      Field("arrivals_per_second", arrivals.map { .seconds(.milliseconds($0.perThousandSeconds)) } ?? .null),
      &text)
    add(Field("arrived", arrived.map { .number(Int64(clamping: $0)) } ?? .null), &text)
    add(Field("silent_seconds", quiet == nil ? .null : .seconds(silent)), &text)
    add(Field("silence_wanted_seconds", quiet?.silence.map { .seconds($0) } ?? .null), &text)
    let isMeasured = losses.notMeasured == nil
    add(Field("resets", isMeasured ? .number(Int64(losses.resets)) : .null), &text)
    add(
      Field(
        "lost_bytes", isMeasured ? .number(Int64(clamping: losses.bytes)) : .null),
      &text)
    add(Field("signals_forwarded", counters.signalsForwarded), &text)
    add(Field("children_reaped", counters.childrenReaped), &text)
    add(Field("drains", counters.drains), &text)
    text.append("}\n")
    return text
  }

  private func add(_ field: Field, _ text: inout Text) {
    text.append(",")
    field.write(to: &text)
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
      if case .yes = answer { isReady = true } else { isReady = false }
    } else {
      isReady = readiness.last.map { $0.results.allSatisfy { $0.isHolding } }
    }
    var probes: [(probe: Probe, result: ProbeResult?)] = []
    for (index, probe) in readiness.probes.enumerated() {
      probes.append((probe, readiness.last.map { $0.results[index] }))
    }
    return Status(
      phase: lifecycle.phase, inPhase: now - phaseSince, uptime: now - started, isReady: isReady,
      probes: probes, sinceProbed: readiness.last.map { now - $0.at }, process: service.process,
      name: look.name ?? configuration.program.bytes, processes: look.processes,
      says: readiness.saysStatus, origin: sockets.ports.origin, ports: look.ports, arrivals: look.arrivals,
      quiet: isLameDuck ? lifecycle.quiet : nil, silent: lifecycle.quiet?.silent(at: now) ?? .zero,
      arrived: sockets.arrived, losses: sockets.losses, counters: counters)
  }

  private func statusLook() -> StatusLook {
    let now = now
    if let last = lastStatusLook, last.process == service.process, last.at > phaseSince, now < last.end {
      return last
    }
    let family = try? ProcessTable.descendants(of: .own)
    sockets.findPorts(of: family)
    let ports = sockets.portTraffic()
    let took = self.now - now
    let look = StatusLook(
      at: now, end: now + min(max(took * 10, .milliseconds(100)), .seconds(1)), process: service.process,
      name: ProcessTable.name(of: service.process), processes: family?.count,
      ports: ports, arrivals: sockets.arrivals(at: now))
    lastStatusLook = look
    return look
  }
}
