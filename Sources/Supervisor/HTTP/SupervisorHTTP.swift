import Lifecycle
import Linux

// The pages: /livez, /readyz, /status, /metrics, and /drain where that is wanted.
extension Supervisor {
  /// Opens the addresses. A service starts without them all the same: a line says so.
  func openHTTP() {
    guard let address = configuration.http else { return }
    let drainAddress = configuration.httpDrainAddress
    let isShared = configuration.httpServesDrain && drainAddress == nil
    open(address, servesPages: true, servesDrain: isShared)
    if configuration.httpServesDrain, let drainAddress {
      open(drainAddress, servesPages: false, servesDrain: true)
    }
  }

  private func open(_ address: ListenAddress, servesPages: Bool, servesDrain: Bool) {
    do throws(Errno) {
      try http.listen(on: address, servesPages: servesPages, servesDrain: servesDrain)
      // Ours, not the service's.
      sockets.exclude(address.port)
    } catch {
      var facts = Facts()
      facts.add("port", address.port)
      facts.add("errno", error.rawValue)
      journal.write(.problems, "http", "http is off: cannot listen on port \(address.port): \(error)", facts)
    }
  }

  /// While there is no place, or no descriptor, the listeners are not looked at: they would wake us for nothing.
  func listenAsThereIsRoom() {
    guard http.isListening == httpIsPaused else { return }
    httpIsPaused = !http.isListening
    for index in 0..<http.listeners.count {
      let listener = http.listeners[index]
      if httpIsPaused {
        waiter.remove(listener.descriptor)
      } else {
        if (try? waiter.add(listener.descriptor, token: Token(.httpListener, index).rawValue)) == nil {
          http.places.pausedUntil = now + Places.pause
        }
      }
    }
  }

  func advanceHTTP(_ place: Int) {
    if let request = http.advance(place) { answer(request, place) }
  }

  private func answer(_ request: HTTPRequest, _ place: Int) {
    guard let listener = http.listener(of: place) else { return }
    let path = listener.servesPages ? request.path : []
    if path == "/livez" {
      answer(place, liveness)
    } else if path == "/readyz" {
      let isVerbose = request.query.hasPrefix("verbose")
      if let answer = readinessByPhase, !isVerbose {
        self.answer(place, answer)
      } else if http.wait(place, for: isVerbose ? .verboseReadiness : .readiness) {
        checkReadiness()
      }
    } else if path == "/status" {
      http.answer(place, .ok, status().json, type: "application/json")
    } else if path == "/metrics" {
      http.answer(place, .ok, status().metrics, type: "text/plain; version=0.0.4; charset=utf-8")
    } else if !listener.servesDrain || !(request.path == "/drain") {
      http.answer(place, .notFound, "not found: /livez /readyz /status /metrics\n")
    } else if http.wait(place, for: .drain) {
      drain()
    } else {
      http.answer(place, .unavailable, "too many drains are being waited for\n")
    }
  }

  private func answer(_ place: Int, _ answer: ControlAnswer) {
    http.answer(place, answer.isYes ? .ok : .unavailable, "\(answer.words)\n")
  }

  /// Answers the pages that wait for a check.
  func answerReadyPages(_ answer: ControlAnswer) {
    for place in http.places.all {
      switch http.places[place]?.state {
      case .readiness: self.answer(place, answer)
      case .verboseReadiness:
        http.answer(place, answer.isYes ? .ok : .unavailable, verboseReadiness(answer.isYes))
      case .request, .drain, .sending, .hangUp, nil: break
      }
    }
  }

  /// In the manner of Kubernetes' own /readyz?verbose.
  private func verboseReadiness(_ isReady: Bool) -> Text {
    var text = Text()
    for record in readiness.probes {
      switch record.last {
      case .holds:
        text.append("[+]")
        record.probe.write(to: &text)
        text.append(" ok\n")
      case .fails(let why):
        text.append("[-]")
        record.probe.write(to: &text)
        text.append(contentsOf: " failed: \(why)\n")
      case nil: break
      }
    }
    text.append(isReady ? "[+]" : "[-]")
    text.append("phase ")
    text.append(lifecycle.phase.name)
    text.append(isReady ? "\nreadyz check passed\n" : "\nreadyz check failed\n")
    return text
  }

  /// Answers the pages that wait for the drain's end.
  func answerDrainPages(_ answer: ControlAnswer) {
    for place in http.places.all where http.places[place]?.state == .drain {
      self.answer(place, answer)
    }
  }
}
