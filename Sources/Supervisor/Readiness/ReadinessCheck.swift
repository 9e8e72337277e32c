import CLinux
import Inet
import Linux

/// One evaluation of all probes, from the moment that somebody asks to the answer: connections and commands
/// run beside each other, none waits longer than the whole may take.
enum ReadinessCheck {
  /// The whole check's limit: with it, every answer is out within 800 ms.
  static var limit: Duration { .milliseconds(700) }

  /// What the first twelve bytes of an answer mean; of fewer, that it is no HTTP.
  static func result(_ line: [UInt8]) -> ProbeResult {
    guard line.count >= 12, line.hasPrefix("HTTP/") else { return .fails("the answer is not HTTP") }
    let status = line.part(from: 9, to: 12)
    if let number = decimal(status), (200..<400).contains(number) { return .holds }
    return .fails("answered \(status)")
  }
}

/// One probe: what it came to last, and what is being done to know it anew.
final class ProbeRecord {
  let probe: Probe
  /// What it came to in the last check that is over; nil before.
  var last: ProbeResult?
  /// What it has come to in the check under way; nil while that is not known.
  private(set) var result: ProbeResult?

  /// How far an attempt has come.
  private enum Stage: UInt8 {
    case none
    /// To 127.0.0.1, or (it said why not) to ::1.
    case connecting
    /// Some of the request is sent; the rest of it is in `bytes`.
    case sending
    /// Some of the answer's first line is there, in `bytes`.
    case receiving
    /// The command runs.
    case running
    /// It has been killed, and has not ended yet.
    case killed
  }

  private var stage = Stage.none
  private var descriptor = FileDescriptor(-1)
  /// Why 127.0.0.1 did not answer, where ::1 is tried.
  private var refusal: Errno?
  private var bytes: [UInt8] = []
  private var command: Command?
  /// A probe that has not been asked yet.
  init(_ probe: Probe, _ last: ProbeResult? = nil) {
    self.probe = probe
    self.last = last
  }

  /// Begins to ask.
  func begin(_ index: Int, _ world: Supervisor) {
    result = nil
    refusal = nil
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
      if stage == .killed {
        result = last
        return
      }
      command = try Command(words, signalMask: world.signalMask, ignoresChildSignal: world.ignoresChildSignal)
      stage = .running
    case .tcp(let port), .http(let port, _):
      do throws(Errno) {
        try connect(port, index, world)
      } catch {
        refusal = error
        try connect(port, index, world)
      }
    case .unix(let path):
      // A Unix socket connects at once or not at all.
      let descriptor = FileDescriptor(try checked { clinux_unix_stream() })
      defer { descriptor.close() }
      _ = try path.withCString { (path) throws(Errno) in
        try checked { clinux_unix_connect(descriptor.rawValue, path.pointer) }
      }
      result = .holds
    }
  }

  /// Connects to 127.0.0.1, or, where that has been refused (or there is no IPv4), to ::1.
  private func connect(_ port: UInt16, _ index: Int, _ world: Supervisor) throws(Errno) {
    let isIPv6 = refusal != nil
    do throws(Errno) {
      descriptor = FileDescriptor(
        try checked { socket(isIPv6 ? AF_INET6 : AF_INET, clinux_socket_stream_nonblock(), 0) })
      do throws(Errno) {
        let descriptor = descriptor
        do throws(Errno) {
          _ = try checked { clinux_connect_loopback(descriptor.rawValue, isIPv6, port) }
        } catch {
          if error != Errno(EINPROGRESS) { throw error }
        }
        try world.wait(for: descriptor, of: index, isNew: true)
        world.sockets.service.noteProbe(
          local: .loopback(port, isIPv6: isIPv6),
          remote: .loopback(clinux_local_port(descriptor.rawValue), isIPv6: isIPv6))
        stage = .connecting
        result = nil
      } catch {
        descriptor.close()
        throw error
      }
    } catch {
      // The first refusal is the one to tell of: that there is no IPv6 is hardly the point.
      throw refusal ?? error
    }
  }

  /// Its descriptor is ready.
  func advance(_ index: Int, _ world: Supervisor) {
    switch stage {
    case .none, .running, .killed: return
    case .connecting:
      var error = clinux_socket_error(descriptor.rawValue)
      // To a port that nobody listens on it may have connected to itself.
      if case .tcp(let port) = probe, clinux_local_port(descriptor.rawValue) == port { error = ECONNREFUSED }
      if error != 0 {
        connectElsewhere(index, Errno(error), world)
      } else if case .http(let port, let path) = probe {
        var request: Text = "GET "
        request.append(contentsOf: Text(bytes: path))
        request.append(
          contentsOf: " HTTP/1.1\r\nHost: localhost:\(port)\r\nUser-Agent: ebb\r\nConnection: close\r\n\r\n")
        bytes = request.bytes
        send(index, world)
      } else {
        finish(.holds, world)
      }
    case .sending: send(index, world)
    case .receiving: receive(world)
    }
  }

  /// A connection was refused: the other address family is tried, once.
  private func connectElsewhere(_ index: Int, _ error: Errno, _ world: Supervisor) {
    finish(.fails("\(refusal ?? error)"), world)
    guard refusal == nil else { return }
    refusal = error
    switch probe {
    case .tcp(let port), .http(let port, _): try? connect(port, index, world)
    case .listen, .alive, .unix, .exec, .notify: return
    }
  }

  private func send(_ index: Int, _ world: Supervisor) {
    do throws(Errno) {
      bytes = bytes.part(from: try descriptor.writeSome(of: bytes))
    } catch {
      return finish(.fails("hung up: \(error)"), world)
    }
    stage = .sending
    if bytes.isEmpty {
      stage = .receiving
      // From now on only what arrives matters.
      try? world.wait(for: descriptor, of: index, isNew: false)
    }
  }

  /// "HTTP/1.1 200": twelve bytes decide.
  private func receive(_ world: Supervisor) {
    do throws(Errno) {
      _ = try descriptor.read(12 - bytes.count, addingTo: &bytes)
      if bytes.count >= 12 { finish(ReadinessCheck.result(bytes), world) }
    } catch {
      finish(.fails("no answer: \(error)"), world)
    }
  }

  private func finish(_ result: consuming ProbeResult, _ world: Supervisor) {
    world.waiter.remove(descriptor)
    descriptor.close()
    stage = .none
    bytes = []
    self.result = result
  }

  /// A command has been reaped; false where it is not this one's.
  func noteReaped(_ process: ProcessID, _ status: ExitStatus) -> Bool {
    let wasKilled = stage == .killed
    guard wasKilled || stage == .running, let command, command.process == process else { return false }
    stage = .none
    if wasKilled { return true }
    if let error = command.outcome() {
      result = .fails("cannot be run: \(error)")
    } else {
      result = status == .exited(0) ? .holds : .fails("\(status)")
    }
    return true
  }

  /// The time is up: if it has not answered it has failed. A command is killed with all that it started.
  func giveUp(_ world: Supervisor) {
    switch stage {
    case .none, .killed: return
    case .connecting, .sending, .receiving:
      finish(.fails("no answer within \(ReadinessCheck.limit)"), world)
    case .running:
      command?.kill()
      stage = .killed
      result = .fails("not finished within \(ReadinessCheck.limit)")
    }
  }
}
