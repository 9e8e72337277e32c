import CLinux
import Linux
import Supervisor

/// Asks the supervisor of this container.
struct ControlClient {
  /// Why there is no answer.
  struct Failure: Error {
    /// No supervisor listens; else one does, and does not answer in time, or not in a way that can be understood.
    let isNobody: Bool
    /// It hung up without a word: who came later took the place, and another time may be better.
    var isCrowdedOut = false
    let text: Text

    static func nobody(_ text: Text) -> Failure { Failure(isNobody: true, text: text) }
    static func silent(_ text: Text) -> Failure { Failure(isNobody: false, text: text) }
  }

  private let socket: UnixSocket

  /// Connects, and sends a request.
  init(_ address: ControlAddress, _ request: ControlRequest, limit: Duration) throws(Failure) {
    guard let name = (try? address.name()) ?? nil else {
      throw .nobody("no supervisor to ask: there is no /proc to make its name from, or --control is off")
    }
    do throws(Errno) {
      socket = try name.withCString { (name) throws(Errno) in
        try UnixSocket(connectingTo: name, limit: limit)
      }
    } catch {
      if error == .wouldBlock { throw .silent("the supervisor at \(name) takes no connection") }
      throw .nobody("no supervisor to ask at \(name): \(error)")
    }
    // Anybody may listen under an abstract name: a stranger is not believed.
    let peer = try? Peer(of: socket)
    guard let peer, peer.mayAnswerUs() else { throw .nobody(ControlClient.disbelief(peer, name)) }
    // Where that fails the supervisor has hung up: what it said before, if anything, is there to be read.
    _ = socket.send(request.text)
  }

  /// Why a listener is not believed.
  private static func disbelief(_ peer: Peer?, _ name: [UInt8]) -> Text {
    if (try? MountNamespace.root(of: .own)) == nil {
      return "whether the listener at \(name) is this container's ebb cannot be seen: there is no /proc"
    }
    if let peer, peer.process.rawValue > 0, peer.user != 0, peer.user != ProcessControl.effectiveUser,
      ProcessControl.effectiveUser != 0
    {
      return "the listener at \(name) is another user's (\(peer.user)): only that user, or root, may ask"
    }
    return "the listener at \(name) is not this container's ebb"
  }

  /// The next answer. Waits as long as was said, or as is said here.
  func next(limit: Duration? = nil) throws(Failure) -> ControlAnswer {
    if let limit { socket.setLimit(limit) }
    switch socket.receive(limit: ControlAnswer.limit) {
    case .message(let message):
      guard let answer = ControlAnswer(message) else {
        throw .silent("the supervisor's answer makes no sense")
      }
      return answer
    case .tooLong: throw .silent("the supervisor's answer is too long")
    case .none: throw .silent("the supervisor does not answer in time")
    case .end: throw Failure(isNobody: false, isCrowdedOut: true, text: "the supervisor hung up")
    }
  }

  /// The main process of the service that is supervised here; nil where there is no supervisor.
  static var service: ProcessID? {
    guard let client = try? ControlClient(.automatic, .main, limit: .milliseconds(200)),
      case .yes(let text)? = try? client.next()
    else { return nil }
    guard let number = Values.number(text.bytes, atMost: UInt64(Int32.max)) else { return nil }
    return ProcessID(Int32(truncatingIfNeeded: number))
  }

  /// How long a probe waits: longer than the supervisor takes for any answer, shorter than any platform does.
  static var probeLimit: Duration { .milliseconds(900) }
}

/// Writes one line to standard error.
func complain(_ text: Text) {
  try? Text("ebb: \(text)\n").write(to: .standardError)
}

/// Exit codes of the commands that ask.
enum Answer {
  static var yes: Int32 { 0 }
  static var no: Int32 { 1 }
  static var cannotTell: Int32 { 3 }
}
