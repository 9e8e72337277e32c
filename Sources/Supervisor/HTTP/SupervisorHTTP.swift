import Lifecycle
import Linux

// The pages: /livez, /readyz, /status, /metrics, and /drain where that is wanted.
extension Supervisor {
  /// Opens the addresses. A service starts without them all the same: a line says so.
  func openHTTP() {
    guard let address = configuration.http else { return }
    let drainAddress = configuration.httpDrainAddress
    let isShared = configuration.httpServesDrain && drainAddress == nil
    var server = HTTPServer(poll: poll)
    open(address, in: &server, servesPages: true, servesDrain: isShared)
    if configuration.httpServesDrain, let drainAddress {
      open(drainAddress, in: &server, servesPages: false, servesDrain: true)
    }
    if !server.listeners.isEmpty { http = server }
  }

  private func open(
    _ address: ListenAddress, in server: inout HTTPServer, servesPages: Bool, servesDrain: Bool
  ) {
    do throws(Errno) {
      try server.listen(on: address, servesPages: servesPages, servesDrain: servesDrain)
      // Ours, not the service's.
      sockets.exclude(address.port)
    } catch {
      journal.write(
        .problems, "http", "http is off: cannot listen on port \(address.port): \(error)",
        [Field("port", address.port), Field("errno", error.rawValue)])
    }
  }

  func acceptHTTP(_ listener: Int) {
    http?.accept(listener, at: now)
    listenAsThereIsRoom()
  }

  /// While there is no place, or no descriptor, the listeners are not looked at: they would wake us for nothing.
  func listenAsThereIsRoom() {
    guard let http, http.isListening == httpIsPaused else { return }
    httpIsPaused = !http.isListening
    for (index, listener) in http.listeners.enumerated() {
      if httpIsPaused {
        poll.remove(listener.descriptor)
      } else {
        try? poll.add(listener.descriptor, token: Token(.httpListener, index).rawValue)
      }
    }
  }

  func advanceHTTP(_ place: Int) {
    if let request = http?.advance(place, at: now) { answer(request, place) }
  }

  private func answer(_ request: HTTPRequest, _ place: Int) {
    guard let listener = http?.listener(of: place) else { return }
    if listener.servesPages && request.path == "/livez" {
      answer(place, liveness)
    } else if listener.servesPages && request.path == "/readyz" {
      let isVerbose = request.query.hasPrefix("verbose")
      if let answer = readinessByPhase, !isVerbose {
        self.answer(place, answer)
      } else if http?.wait(place, for: .readiness(isVerbose: isVerbose)) == true {
        checkReadiness()
      }
    } else if listener.servesPages && request.path == "/status" {
      http?.answer(place, .ok, status().json, type: "application/json", at: now)
    } else if listener.servesPages && request.path == "/metrics" {
      http?.answer(place, .ok, status().metrics, type: "text/plain; version=0.0.4; charset=utf-8", at: now)
    } else if listener.servesDrain && request.path == "/drain" {
      if http?.wait(place, for: .drain) == true {
        drain()
      } else {
        http?.answer(place, .unavailable, "too many drains are being waited for\n", at: now)
      }
    } else {
      http?.answer(place, .notFound, "not found: /livez /readyz /status /metrics\n", at: now)
    }
  }

  private func answer(_ place: Int, _ answer: ControlAnswer) {
    switch answer {
    case .yes(let text): http?.answer(place, .ok, "\(text)\n", at: now)
    case .no(let text), .refused(let text), .progress(let text):
      http?.answer(place, .unavailable, "\(text)\n", at: now)
    }
  }

  /// Answers the pages that wait for a check.
  func answerReadyPages(_ answer: ControlAnswer) {
    let waiting = http?.waiting { if case .readiness = $0 { true } else { false } } ?? []
    for (place, waiting) in waiting {
      if waiting == .readiness(isVerbose: true) {
        let isReady = if case .yes = answer { true } else { false }
        http?.answer(place, isReady ? .ok : .unavailable, verboseReadiness(isReady), at: now)
      } else {
        self.answer(place, answer)
      }
    }
  }

  /// In the manner of Kubernetes' own /readyz?verbose.
  private func verboseReadiness(_ isReady: Bool) -> Text {
    var text = Text()
    for (probe, result) in zip(readiness.probes, readiness.last?.results ?? []) {
      switch result {
      case .holds: text.append(contentsOf: "[+]\(probe) ok\n")
      case .fails(let why): text.append(contentsOf: "[-]\(probe) failed: \(why)\n")
      }
    }
    text.append(isReady ? "[+]" : "[-]")
    text.append(contentsOf: "phase \(lifecycle.phase.name)\n")
    text.append(isReady ? "readyz check passed\n" : "readyz check failed\n")
    return text
  }

  /// Answers the pages that wait for the drain's end.
  func answerDrainPages(_ answer: ControlAnswer) {
    for (place, _) in http?.waiting(where: { $0 == .drain }) ?? [] { self.answer(place, answer) }
  }
}
