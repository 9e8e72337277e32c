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
    case connecting(FileDescriptor)
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
    /// Waits for a descriptor on a probe's behalf.
    var wait: (FileDescriptor, Int, Bool) throws(Errno) -> Void
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
    case .tcp(let port), .http(let port, _): return try connect(port, index, world)
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

  /// Connects to 127.0.0.1, and where that is refused at once, or there is no IPv4, to ::1.
  private static func connect(_ port: UInt16, _ index: Int, _ world: World) throws(Errno) -> Attempt {
    var last = Errno.noSuchFile
    for ipv6 in [false, true] {
      do throws(Errno) {
        let descriptor = FileDescriptor(
          try checked { socket(ipv6 ? AF_INET6 : AF_INET, clinux_socket_stream_cloexec(), 0) })
        descriptor.setNonblocking()
        do throws(Errno) {
          do throws(Errno) {
            _ = try checked { clinux_connect_loopback(descriptor.rawValue, ipv6, port) }
          } catch {
            if error != Errno(EINPROGRESS) { throw error }
          }
          try world.wait(descriptor, index, true)
          return .connecting(descriptor)
        } catch {
          descriptor.close()
          throw error
        }
      } catch {
        last = error
      }
    }
    throw last
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
    case .connecting(let descriptor):
      let error = clinux_socket_error(descriptor.rawValue)
      if error != 0 {
        finish(index, descriptor, .fails("\(Errno(error))"))
      } else if case .http(let port, let path) = probes[index] {
        var request: Text = "GET "
        for byte in path { request.append(byte: byte) }
        request.append(
          contentsOf: " HTTP/1.1\r\nHost: localhost:\(port)\r\nUser-Agent: ebb\r\nConnection: close\r\n\r\n")
        send(index, descriptor, request.bytes, world)
      } else {
        finish(index, descriptor, .holds)
      }
    case .sending(let descriptor, let rest): send(index, descriptor, rest, world)
    case .receiving(let descriptor, let line): receive(index, descriptor, line)
    }
  }

  private mutating func send(_ index: Int, _ descriptor: FileDescriptor, _ bytes: [UInt8], _ world: World) {
    let count = bytes.withUnsafeBufferPointer { (try? descriptor.writeNow(UnsafeRawBufferPointer($0))) ?? 0 }
    if count >= bytes.count {
      attempts[index] = .receiving(descriptor, line: [])
      // From now on only what arrives matters.
      try? world.wait(descriptor, index, false)
    } else {
      attempts[index] = .sending(descriptor, rest: Array(bytes.dropFirst(count)))
    }
  }

  /// "HTTP/1.1 200": twelve bytes decide.
  private mutating func receive(_ index: Int, _ descriptor: FileDescriptor, _ line: [UInt8]) {
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
      if outcome != .wouldBlock { finish(index, descriptor, .fails("no answer: \(outcome)")) }
    } else if line.count < 12 {
      attempts[index] = .receiving(descriptor, line: line)
    } else if line.hasPrefix("HTTP/"), let status = decimal(line[9..<12]), (200..<400).contains(status) {
      finish(index, descriptor, .holds)
    } else if line.hasPrefix("HTTP/") {
      finish(index, descriptor, .fails("answered \(Array(line[9..<12]))"))
    } else {
      finish(index, descriptor, .fails("the answer is not HTTP"))
    }
  }

  private mutating func finish(_ index: Int, _ descriptor: FileDescriptor, _ result: ProbeResult) {
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
  mutating func giveUp() {
    for index in attempts.indices {
      switch attempts[index] {
      case .done: continue
      case .connecting(let descriptor), .sending(let descriptor, _), .receiving(let descriptor, _):
        finish(index, descriptor, .fails("no answer within \(ReadinessCheck.limit)"))
      case .running(let command):
        command.kill()
        attempts[index] = .done(.fails("not finished within \(ReadinessCheck.limit)"))
      }
    }
  }
}
