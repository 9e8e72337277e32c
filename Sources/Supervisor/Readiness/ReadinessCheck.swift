import CLinux
import Linux

/// One evaluation of all probes, from the moment that somebody asks to the answer: connections and commands
/// run beside each other, none waits longer than the whole may take.
struct ReadinessCheck {
  /// The whole check's limit: with it, every answer is out within 800 ms.
  static var limit: Duration { .milliseconds(700) }

  /// A probe that is under way.
  private enum Attempt {
    case done(ProbeResult)
    /// To 127.0.0.1, or (it said why not) to ::1.
    case connecting(FileDescriptor, refusal: Errno?)
    /// Some of the request is sent.
    case sending(FileDescriptor, rest: [UInt8])
    /// Some of the answer's first line is there.
    case receiving(FileDescriptor, line: [UInt8])
    case running(Command)
  }

  private let probes: [Probe]
  private var attempts: [Attempt]
  /// When it ends, whatever has answered by then.
  let deadline: Duration

  /// What the probes need of the supervisor.
  struct World {
    var listening: () -> ProbeResult
    var notified: () -> ProbeResult
    var start: ([[UInt8]]) throws(Errno) -> Command
    /// Waits for a descriptor on a probe's behalf; from its second time on only for what arrives there.
    var wait: (FileDescriptor, Int, Bool) throws(Errno) -> Void
    /// Ends that wait. (Closing alone does so only if no child holds a copy, as one does between fork and exec.)
    var endWait: (FileDescriptor) -> Void
  }

  /// Begins all probes.
  init(_ probes: [Probe], at now: Duration, _ world: World) {
    self.probes = probes
    deadline = now + ReadinessCheck.limit
    attempts = []
    for index in probes.indices {
      do throws(Errno) {
        attempts.append(try ReadinessCheck.begin(probes[index], index, world))
      } catch {
        attempts.append(.done(.fails("\(error)")))
      }
    }
  }

  private static func begin(_ probe: Probe, _ index: Int, _ world: World) throws(Errno) -> Attempt {
    switch probe {
    case .listen: return .done(world.listening())
    case .notify: return .done(world.notified())
    case .exec(let words): return .running(try world.start(words))
    case .tcp(let port), .http(let port, _):
      do throws(Errno) {
        return try connect(port, index, world)
      } catch {
        return try connect(port, index, world, refusal: error)
      }
    case .unix(let path):
      // A Unix socket connects at once or not at all.
      let descriptor = FileDescriptor(try checked { clinux_unix_stream() })
      defer { descriptor.close() }
      _ = try path.withCString { (path) throws(Errno) in
        try checked { clinux_unix_connect(descriptor.rawValue, path.pointer) }
      }
      return .done(.holds)
    }
  }

  /// Connects to 127.0.0.1, or, where that has been refused (or there is no IPv4), to ::1.
  private static func connect(
    _ port: UInt16, _ index: Int, _ world: World, refusal: Errno? = nil
  ) throws(Errno) -> Attempt {
    let isIPv6 = refusal != nil
    do throws(Errno) {
      let descriptor = FileDescriptor(
        try checked { socket(isIPv6 ? AF_INET6 : AF_INET, clinux_socket_stream_cloexec(), 0) })
      descriptor.setNonblocking()
      do throws(Errno) {
        do throws(Errno) {
          _ = try checked { clinux_connect_loopback(descriptor.rawValue, isIPv6, port) }
        } catch {
          if error != Errno(EINPROGRESS) { throw error }
        }
        try world.wait(descriptor, index, true)
        return .connecting(descriptor, refusal: refusal)
      } catch {
        descriptor.close()
        throw error
      }
    } catch {
      // The first refusal is the one to tell of: that there is no IPv6 is hardly the point.
      throw refusal ?? error
    }
  }

  /// The results, each probe's own; nil while one is under way.
  var results: [ProbeResult]? {
    var results: [ProbeResult] = []
    for attempt in attempts {
      guard case .done(let result) = attempt else { return nil }
      results.append(result)
    }
    return results
  }

  /// A probe's descriptor is ready.
  mutating func advance(_ index: Int, _ world: World) {
    guard index < attempts.count else { return }
    switch attempts[index] {
    case .done, .running: return
    case .connecting(let descriptor, let refusal):
      let error = clinux_socket_error(descriptor.rawValue)
      if error != 0 {
        connectElsewhere(index, descriptor, refusal, Errno(error), world)
      } else if case .http(let port, let path) = probes[index] {
        var request: Text = "GET "
        for byte in path { request.append(byte: byte) }
        request.append(
          contentsOf: " HTTP/1.1\r\nHost: localhost:\(port)\r\nUser-Agent: ebb\r\nConnection: close\r\n\r\n")
        send(index, descriptor, request.bytes, world)
      } else {
        finish(index, descriptor, .holds, world)
      }
    case .sending(let descriptor, let rest): send(index, descriptor, rest, world)
    case .receiving(let descriptor, let line): receive(index, descriptor, line, world)
    }
  }

  /// A connection was refused: the other address family is tried, once.
  private mutating func connectElsewhere(
    _ index: Int, _ descriptor: FileDescriptor, _ refusal: Errno?, _ error: Errno, _ world: World
  ) {
    finish(index, descriptor, .fails("\(refusal ?? error)"), world)
    guard refusal == nil, index < probes.count else { return }
    switch probes[index] {
    case .tcp(let port), .http(let port, _):
      if let attempt = try? ReadinessCheck.connect(port, index, world, refusal: error) {
        attempts[index] = attempt
      }
    case .listen, .unix, .exec, .notify: return
    }
  }

  private mutating func send(_ index: Int, _ descriptor: FileDescriptor, _ bytes: [UInt8], _ world: World) {
    let count: Int
    do throws(Errno) {
      count = try bytes.withUnsafeBufferPointer { (buffer) throws(Errno) in
        try descriptor.writeNow(UnsafeRawBufferPointer(buffer))
      }
    } catch {
      if error != .wouldBlock { return finish(index, descriptor, .fails("hung up: \(error)"), world) }
      count = 0
    }
    if count >= bytes.count {
      attempts[index] = .receiving(descriptor, line: [])
      // From now on only what arrives matters.
      try? world.wait(descriptor, index, false)
    } else {
      attempts[index] = .sending(descriptor, rest: Array(bytes.dropFirst(count)))
    }
  }

  /// "HTTP/1.1 200": twelve bytes decide.
  private mutating func receive(
    _ index: Int, _ descriptor: FileDescriptor, _ line: [UInt8], _ world: World
  ) {
    var line = line
    let outcome = withUnsafeTemporaryAllocation(byteCount: 12, alignment: 1) { buffer -> Errno? in
      do throws(Errno) {
        let count = try descriptor.read(
          into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<(12 - line.count)]))
        line += UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
        return count == 0 ? Errno(ECONNRESET) : nil
      } catch {
        return error
      }
    }
    if let outcome {
      if outcome != .wouldBlock { finish(index, descriptor, .fails("no answer: \(outcome)"), world) }
    } else if line.count < 12 {
      attempts[index] = .receiving(descriptor, line: line)
    } else {
      finish(index, descriptor, ReadinessCheck.result(line), world)
    }
  }

  /// What the first twelve bytes of an answer mean; of fewer, that it is no HTTP.
  static func result(_ line: [UInt8]) -> ProbeResult {
    guard line.count >= 12, line.hasPrefix("HTTP/") else { return .fails("the answer is not HTTP") }
    let status = Array(line[9..<12])
    if let number = decimal(status), (200..<400).contains(number) { return .holds }
    return .fails("answered \(status)")
  }

  private mutating func finish(
    _ index: Int, _ descriptor: FileDescriptor, _ result: ProbeResult, _ world: World
  ) {
    world.endWait(descriptor)
    descriptor.close()
    attempts[index] = .done(result)
  }

  /// A command has been reaped; false where it is none of ours.
  mutating func noteReaped(_ process: ProcessID, _ status: ExitStatus) -> Bool {
    for index in attempts.indices {
      guard case .running(let command) = attempts[index], command.process == process else { continue }
      if let error = command.outcome() {
        attempts[index] = .done(.fails("cannot be run: \(error)"))
      } else {
        attempts[index] = .done(status == .exited(0) ? .holds : .fails("\(status)"))
      }
      return true
    }
    return false
  }

  /// The time is up: what has not answered has failed. Commands are killed with all that they started.
  mutating func giveUp(_ world: World) {
    for index in attempts.indices {
      switch attempts[index] {
      case .done: continue
      case .connecting(let descriptor, _), .sending(let descriptor, _), .receiving(let descriptor, _):
        finish(index, descriptor, .fails("no answer within \(ReadinessCheck.limit)"), world)
      case .running(let command):
        command.kill()
        attempts[index] = .done(.fails("not finished within \(ReadinessCheck.limit)"))
      }
    }
  }
}
