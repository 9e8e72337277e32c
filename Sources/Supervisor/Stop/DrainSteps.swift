import Inet
import Lifecycle
import Linux

/// What `--on-drain` says is to be done as the drain begins.
public enum DrainStep: Equatable, Sendable {
  /// A command, by its words.
  case command([[UInt8]])
  /// A request, for images that have neither a shell nor curl.
  case request(HTTPTarget)

  /// The step that a user writes; nil where it makes no sense.
  public init?(_ text: [UInt8]) {
    if HTTPTarget.isMeant(by: text) {
      guard let target = HTTPTarget(text) else { return nil }
      self = .request(target)
    } else {
      guard let words = CommandLineWords.split(text), words.first?.isEmpty == false else { return nil }
      self = .command(words)
    }
  }
}

/// How far the steps have come. One is done after the other, and one that fails does not keep the next from its turn.
struct DrainSteps {
  /// The next one's place.
  var next = 0
  /// The command that runs.
  var command: Command?
  /// The request that is under way, and when it is given up.
  var request: (target: HTTPTarget, dialogue: Dialogue, ends: Duration)?

  /// How long a request may take.
  static var requestMax: Duration { .seconds(5) }
}

extension Supervisor {
  /// Begins the next step of `--on-drain`; behind the last one, says that they are over.
  func takeDrainStep() {
    while drainSteps.next < configuration.onDrain.count {
      let step = configuration.onDrain[drainSteps.next]
      drainSteps.next += 1
      switch step {
      case .command(let words):
        do throws(Errno) {
          drainSteps.command = try Command(
            words, signalMask: signalMask, ignoresChildSignal: ignoresChildSignal)
          return
        } catch {
          say(.problems, "on-drain", "--on-drain: cannot start the command: \(error)")
        }
      case .request(let target):
        let dialogue = Dialogue(
          with: target.place, request: target.request, waiter, token: Token(.drainRequest, drainSteps.next),
          besides: sockets.service)
        guard let outcome = dialogue.begin() else {
          drainSteps.request = (target, dialogue, now + DrainSteps.requestMax)
          return
        }
        tell(outcome, of: target)
      }
    }
    handle(.onDrainEnded)
  }

  /// The request's descriptor is ready, unless the word comes of one before.
  func advanceDrainRequest(_ number: Int) {
    guard number == drainSteps.next, let request = drainSteps.request,
      let outcome = request.dialogue.advance()
    else { return }
    endDrainRequest(outcome)
  }

  /// Gives the request up whose time is over.
  func takeDrainTick() {
    guard let request = drainSteps.request, request.ends <= now else { return }
    endDrainRequest(request.dialogue.giveUp("no answer within \(DrainSteps.requestMax)"))
  }

  private func endDrainRequest(_ outcome: Dialogue.Outcome) {
    guard let request = drainSteps.request else { return }
    drainSteps.request = nil
    tell(outcome, of: request.target)
    takeDrainStep()
  }

  private func tell(_ outcome: Dialogue.Outcome, of target: HTTPTarget) {
    var text: Text = "--on-drain: "
    target.write(to: &text)
    var facts = Facts()
    var isDone = false
    switch outcome {
    case .connected: isDone = true
    case .answered(let status):
      isDone = (200..<400).contains(status)
      text.append(": answered ")
      text.append(status)
      facts.add("status", status)
    case .failed(let why):
      text.append(": ")
      text.append(contentsOf: why)
    }
    say(isDone ? .phases : .problems, "on-drain", text, facts)
  }

  /// The command has changed its state.
  func take(_ kind: ChildChange.Kind, of command: Command) {
    guard case .ended(let status) = kind else { return }
    drainSteps.command = nil
    if let error = command.outcome() {
      say(.problems, "on-drain", "--on-drain: cannot run the command: \(error)")
    } else if status != .exited(0) {
      var facts = Facts()
      facts.add("status", status.code)
      say(.problems, "on-drain", "--on-drain: the command \(status)", facts)
    }
    takeDrainStep()
  }
}
