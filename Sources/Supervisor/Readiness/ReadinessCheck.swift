import CLinux
import Inet
import Linux

/// One evaluation of all probes, from the moment that somebody asks to the answer: connections and commands
/// run beside each other, none waits longer than the whole may take.
enum ReadinessCheck {
  /// The whole check's limit: with it, every answer is out within 800 ms.
  static var limit: Duration { .milliseconds(700) }
}

/// One probe: what it came to last, and what is being done to know it anew.
final class ProbeRecord {
  let probe: Probe
  /// What it came to in the last check that is over; nil before.
  var last: ProbeResult?
  /// What it has come to in the check under way; nil while that is not known.
  private(set) var result: ProbeResult?

  /// The connection of the attempt under way.
  private var dialogue: Dialogue?
  private var command: Command?
  /// The command has been killed, and has not ended yet.
  private var isKilled = false

  /// A probe that has not been asked yet.
  init(_ probe: Probe, _ last: ProbeResult? = nil) {
    self.probe = probe
    self.last = last
  }

  /// Begins to ask.
  func begin(_ index: Int, _ world: Supervisor) {
    result = nil
    do throws(Errno) {
      try attempt(index, world)
    } catch {
      result = .fails("\(error)")
    }
  }

  private func attempt(_ index: Int, _ world: Supervisor) throws(Errno) {
    switch probe {
    case .listen: result = world.listens()
    case .alive: result = world.service.isAlive ? .holds : .fails("the service has ended")
    case .notify:
      if world.readiness.saysReady {
        result = .holds
      } else if (try? MountNamespace.root(of: .own)) == nil {
        result = .fails("there is no /proc, by which it is known who says READY=1")
      } else {
        result = .fails("the service has not said READY=1")
      }
    case .exec(let words):
      // One that hangs in the kernel cannot be killed: another one would hang beside it, and so on. It is as it was.
      if isKilled {
        result = last
        return
      }
      command = try Command(words, signalMask: world.signalMask, ignoresChildSignal: world.ignoresChildSignal)
    case .tcp(let port): begin(.loopback(port), [], index, world)
    case .http(let target): begin(target.place, target.request, index, world)
    case .unix(let path): begin(.unix(path), [], index, world)
    }
  }

  private func begin(
    _ place: HTTPTarget.Place, _ request: [UInt8], _ index: Int, _ world: Supervisor
  ) {
    let dialogue = Dialogue(
      with: place, request: request, world.waiter,
      token: Token(.probe, (world.readiness.checks & 0xff_ffff) << 8 | index),
      besides: world.sockets.service)
    self.dialogue = dialogue
    conclude(dialogue.begin())
  }

  /// Its descriptor is ready.
  func advance() {
    guard let dialogue else { return }
    conclude(dialogue.advance())
  }

  private func conclude(_ outcome: Dialogue.Outcome?) {
    switch outcome {
    case nil: return
    case .connected: result = .holds
    case .answered(let status):
      if (200..<400).contains(status) { result = .holds } else { result = .fails("answered \(status)") }
    case .failed(let why): result = .fails(why)
    }
    dialogue = nil
  }

  /// A command has been reaped; false where it is not this one's.
  func noteReaped(_ process: ProcessID, _ status: ExitStatus) -> Bool {
    guard let command, command.process == process else { return false }
    self.command = nil
    if isKilled {
      isKilled = false
    } else if let error = command.outcome() {
      result = .fails("cannot be run: \(error)")
    } else {
      result = status == .exited(0) ? .holds : .fails("\(status)")
    }
    return true
  }

  /// The time is up: if it has not answered it has failed. A command is killed with all that it started.
  func giveUp() {
    if let dialogue {
      conclude(dialogue.giveUp("no answer within \(ReadinessCheck.limit)"))
    } else if let command, !isKilled {
      command.kill()
      isKilled = true
      result = .fails("not finished within \(ReadinessCheck.limit)")
    }
  }
}
