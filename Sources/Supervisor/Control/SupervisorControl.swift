import Lifecycle
import Linux

// What `ebb ready`, `live`, `drain` and `status` ask, and what they are answered.
extension Supervisor {
  /// Opens the control socket. A service starts without it all the same: one line says so.
  func openControl() {
    guard let name = configuration.control.name else {
      if case .automatic = configuration.control {
        journal.write(
          .problems, "control",
          "control is off: there is no /proc to make its name from (--control names one)")
      }
      return
    }
    do throws(Errno) {
      control = try name.withCString { (name) throws(Errno) in try ControlServer(name: name, poll: poll) }
    } catch {
      journal.write(
        .problems, "control", "control is off: \(name): \(error)", [Field("errno", error.rawValue)])
    }
  }

  /// At the end: a path would be left behind.
  func closeControl() {
    guard let control else { return }
    control.listener.descriptor.close()
    // An abstract name goes with its socket.
    if case .named(let path) = configuration.control, path.hasPrefix("/") { File.remove(path) }
  }

  /// Takes the connections that wait, a bounded number at a time: the listener stays readable while there are
  /// more. Most have said what they want when they come in, and are answered at once.
  func acceptControl() {
    for _ in 0..<32 {
      switch control?.accept(at: now) ?? .nobody {
      case .nobody: return
      case .refused: break
      case .place(let place):
        readControl(place)
        control?.follow(place)
      }
    }
  }

  func readControl(_ place: Int) {
    guard let request = control?.read(place) else { return }
    switch request {
    case .ready:
      if let answer = readinessByPhase { control?.answer(place, answer) } else { checkReadiness() }
    case .live: control?.answer(place, liveness)
    case .drain: drain()
    case .status: control?.answer(place, .yes(status().text))
    case .main: control?.answer(place, service.isAlive ? .yes("\(service.process)") : .no("not live"))
    case .statusWatch:
      let status = status()
      control?.answer(place, .yes("\(status.connections) \(status.busy)\n\(status.text)"))
    case .statusJSON: control?.answer(place, .yes(status().json))
    }
  }

  /// Whether there is a service.
  var liveness: ControlAnswer {
    let phase = lifecycle.phase.name
    return service.isAlive ? .yes("live: \(phase)") : .no("not live: \(phase)")
  }

  /// Somebody asks for the drain, and waits for its end.
  func drain() {
    if !lifecycle.isAsked { prepareDrain() }
    handle(.drainRequest)
    answerDrains()
  }

  /// Answers those who wait for a drain, once the work has left.
  func answerDrains() {
    let answer: ControlAnswer
    switch lifecycle.phase {
    case .starting, .serving, .draining: return
    case .drained: answer = .yes("drained in \(now - (lifecycle.drainBegan ?? now))")
    case .stopping, .lingering, .done: answer = .yes("drained: \(lifecycle.phase.name)")
    }
    control?.answerAll(.drain, answer)
    answerDrainPages(answer)
  }
}
