/// What has happened.
public enum Event: Equatable, Sendable {
  /// Every readiness probe held for the first time.
  case ready
  /// A signal that begins the drain has arrived.
  case drainSignal(SignalNumber)
  /// `ebb drain` asks for the drain.
  case drainRequest
  /// Another signal has arrived.
  case signal(SignalNumber)
  /// The main process has ended; the code is the one that ebb is to exit with. One that could not be executed has
  /// ended, too.
  case ended(UInt8)
  /// The sockets have been looked at, as ``Action/look`` asked (or because the kernel told of a change).
  case look(Look)
  /// The command of `--on-drain` has ended.
  case onDrainEnded
  /// Whether a server is among what the main process has left behind: it is waited for as that is.
  case serversRemain(Bool)
  /// No child is left, so no descendant either.
  case childless
  /// The time that ``Lifecycle/wake`` named has come.
  case tick
}

/// What a look at the service's sockets found.
public struct Look: Equatable, Sendable {
  /// Connections with work in progress that the stop signal has to wait for.
  public var busy: Int
  /// Connections that the service has left to the kernel with bytes that may still be acknowledged.
  public var lingering: Int
  /// What has arrived since the look before, during the lame duck; nil where that could not be seen.
  public var arrivals: Arrivals?

  /// A look with these counts.
  public init(busy: Int, lingering: Int, arrivals: Arrivals? = nil) {
    self.busy = busy
    self.lingering = lingering
    self.arrivals = arrivals
  }
}

/// What is to be done.
public enum Action: Equatable, Sendable {
  /// Send this signal to the service: the main process, or its group where the user wants that.
  case forward(SignalNumber)
  /// The drain has begun: listen for dying sockets, count the connections, run the command of `--on-drain`.
  case beginDrain
  /// Look at the service's sockets and say what was found.
  case look
  /// Send the stop signal to the service, and wake it where it is suspended.
  case stop
  /// Send the service the signal of its server that waits for nobody: the grace is nearly over.
  case hurry
  /// Kill the main process and every descendant: the grace is over.
  case killAll
  /// Ask every descendant to end.
  case terminateDescendants
  /// Kill every descendant but servers and what is theirs.
  case killOthers
  /// Kill every descendant.
  case killDescendants
  /// Say who is waited for: the stop has lasted for a while.
  case sayWaiting
  /// Make the report and exit with this code.
  case finish(UInt8)
}

/// What is to be done about an event, in order: nothing, one thing, or two. No event asks for more, so there is
/// no array to be made and thrown away.
public struct Actions: Sequence, Sendable {
  /// What comes first; nil where there is nothing to be done.
  public let first: Action?
  /// What comes after that.
  public let second: Action?

  /// These.
  public init(_ first: Action?, _ second: Action? = nil) {
    self.first = first
    self.second = second
  }

  /// Nothing.
  public static var none: Actions { Actions(nil) }

  /// Each of them, in order.
  public struct Iterator: IteratorProtocol {
    var first: Action?
    var second: Action?

    /// The next one.
    public mutating func next() -> Action? {
      defer {
        first = second
        second = nil
      }
      return first
    }
  }

  /// Goes through them.
  public func makeIterator() -> Iterator { Iterator(first: first, second: second) }
}
