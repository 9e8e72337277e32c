import Lifecycle
import Linux

// What `ebb ready`, `live`, `drain` and `status` ask, and what they are answered.
extension Supervisor {
  /// Opens the control socket. A service starts without it all the same: one line says so.
  func openControl() {
    var name = CString("/proc").bytes
    do throws(Errno) {
      guard let wanted = try configuration.control.name() else { return }
      name = wanted
      try name.withCString { (name) throws(Errno) in try control.listen(on: name) }
      sockets.ownSockets += 1
    } catch {
      var facts = Facts()
      facts.add("errno", error.rawValue)
      var text: Text = "control is off: "
      if case .automatic = configuration.control, error == .noSuchFile {
        text.append("there is no /proc, by which it is known who asks (--http answers all the same)")
      } else {
        text.append(contentsOf: "\(name): \(error)")
      }
      journal.write(.problems, "control", text, facts)
    }
  }

  /// At the end: a path would be left behind.
  func closeControl() {
    // An abstract name goes with its socket, and the socket with ebb.
    guard let listener = control.listener, case .named(let path) = configuration.control, path.hasPrefix("/")
    else { return }
    listener.descriptor.close()
    File.remove(path)
  }

  /// Takes the connections that wait, a bounded number at a time: the listener stays readable while there are
  /// more. Most have said what they want when they come in, and are answered at once.
  func acceptControl() {
    for _ in 0..<32 {
      switch control.accept(at: now) {
      case .nobody: return
      case .refused: break
      case .place(let place):
        readControl(place)
        control.places.follow(place)
      }
    }
  }

  func readControl(_ place: Int) {
    guard let request = control.read(place) else { return }
    let answer: ControlAnswer
    switch request {
    case .ready:
      guard let byPhase = readinessByPhase else { return checkReadiness() }
      answer = byPhase
    case .live: answer = liveness
    case .drain: return drain()
    case .status: answer = .yes(status().text)
    case .main: answer = service.isAlive ? .yes("\(service.process)") : .no("not live")
    case .statusWatch:
      let status = status()
      answer = .yes("\(status.connections) \(status.busy)\n\(status.text)")
    case .statusJSON: answer = .yes(status().json)
    }
    control.answer(place, answer)
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
    // Mostly nobody asks anything.
    if control.places.all.isEmpty && http.places.all.isEmpty { return }
    let answer: ControlAnswer
    switch lifecycle.phase {
    case .starting, .serving, .draining: return
    case .drained: answer = .yes("drained in \(drainTook)")
    case .stopping, .lingering, .done: answer = .yes("drained: \(lifecycle.phase.name)")
    }
    control.answerAll(.drain, answer)
    answerDrainPages(answer)
  }
}
