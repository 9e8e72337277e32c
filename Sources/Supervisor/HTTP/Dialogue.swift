import CLinux
import Inet
import Linux

/// A connection that ebb makes, with a request and its answer, or with neither. Never waits: whoever has it in the loop
/// calls ``advance()`` when it is ready.
final class Dialogue {
  /// What it came to.
  enum Outcome {
    /// It is connected, and there was nothing to be asked.
    case connected
    /// The answer's status.
    case answered(UInt16)
    case failed(Text)
  }

  private let place: HTTPTarget.Place
  /// What is still to be sent.
  private var request: [UInt8]
  private let waiter: Waiter
  private let token: UInt64
  private let service: ServiceSockets
  private var descriptor = FileDescriptor(-1)
  /// Why 127.0.0.1 did not answer, where ::1 is tried.
  private var refusal: Errno?
  private var isConnected = false
  private var answer = HTTPAnswer()

  /// One with a place; its descriptor goes into the loop with this token. `service` is told that it is no client's.
  init(
    with place: HTTPTarget.Place, request: [UInt8], _ waiter: Waiter, token: Token,
    besides service: ServiceSockets
  ) {
    self.place = place
    self.request = request
    self.waiter = waiter
    self.token = token.rawValue
    self.service = service
  }

  /// Begins; what it came to, where that is known at once.
  func begin() -> Outcome? {
    do throws(Errno) {
      try connect()
    } catch {
      return retry(error)
    }
    return nil
  }

  /// 127.0.0.1 was refused (or there is no IPv4): ::1 is tried, once.
  private func retry(_ error: Errno) -> Outcome? {
    // The first refusal is the one to tell of: that there is no IPv6 is hardly the point.
    if case .loopback = place, refusal == nil {
      refusal = error
      do throws(Errno) {
        try connect()
        return nil
      } catch {}
    }
    return .failed("\(refusal ?? error)")
  }

  private func connect() throws(Errno) {
    switch place {
    case .unix(let path):
      descriptor = FileDescriptor(try checked { clinux_unix_stream() })
      try follow { (fd) throws(Errno) in
        // It connects at once or not at all.
        _ = try path.withCString { (path) throws(Errno) in
          try checked { clinux_unix_connect(fd, path.pointer) }
        }
      }
    case .loopback(let port): try connect(to: .loopback(port, isIPv6: refusal != nil))
    case .address(let endpoint): try connect(to: endpoint)
    }
  }

  private func connect(to end: Endpoint) throws(Errno) {
    descriptor = FileDescriptor(
      try checked { socket(end.isIPv6 ? AF_INET6 : AF_INET, clinux_socket_stream_nonblock(), 0) })
    try follow { (fd) throws(Errno) in
      do throws(Errno) {
        _ = try checked { clinux_connect_to(fd, end.isIPv6, end.high, end.low, end.port) }
      } catch {
        if error != Errno(EINPROGRESS) { throw error }
      }
    }
    var own = end
    own.port = clinux_local_port(descriptor.rawValue)
    service.noteProbe(local: end, remote: own)
  }

  /// Has the descriptor connect, and takes it into the loop; closes it where either cannot be.
  private func follow(_ connect: (Int32) throws(Errno) -> Void) throws(Errno) {
    do throws(Errno) {
      try connect(descriptor.rawValue)
      try waiter.add(descriptor, token: token, writable: true)
    } catch {
      descriptor.close()
      throw error
    }
  }

  /// Its descriptor is ready: what it came to, if it is over.
  func advance() -> Outcome? {
    if !isConnected {
      var error = clinux_socket_error(descriptor.rawValue)
      // To a port that nobody listens on it may have connected to itself.
      if case .loopback(let port) = place, clinux_local_port(descriptor.rawValue) == port {
        error = ECONNREFUSED
      }
      if error != 0 {
        close()
        return retry(Errno(error))
      }
      isConnected = true
      if request.isEmpty { return end(.connected) }
    }
    if !request.isEmpty {
      do throws(Errno) {
        request = request.part(from: try descriptor.writeSome(of: request))
      } catch {
        return end(.failed("hung up: \(error)"))
      }
      // From now on only what arrives matters.
      if request.isEmpty { try? waiter.modify(descriptor, token: token, writable: false) }
      return nil
    }
    do throws(Errno) {
      var more: [UInt8] = []
      if try descriptor.read(4096, addingTo: &more) == 0 { return nil }
      answer.take(more)
      return answer.isOver ? giveUp("") : nil
    } catch {
      return giveUp("no answer: \(error)")
    }
  }

  /// Ends it, whether the answer is whole or not: what it came to, or why it has come to nothing.
  func giveUp(_ why: Text) -> Outcome {
    if let status = answer.status { return end(.answered(status)) }
    return end(.failed(answer.isForeign ? "the answer is not HTTP" : why))
  }

  private func end(_ outcome: consuming Outcome) -> Outcome {
    close()
    return outcome
  }

  /// Takes it out of the loop.
  private func close() {
    waiter.remove(descriptor)
    descriptor.close()
  }
}
