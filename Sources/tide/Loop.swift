import Linux

/// Whose event it is: a part of the program (``source``) and one of its things.
///
/// A number that is used again (a slot, a file descriptor) comes with a new generation, so an event for a
/// connection that has just been closed is never taken for one of its successor.
struct Token: Equatable {
  let rawValue: UInt64

  init(rawValue: UInt64) { self.rawValue = rawValue }

  init(source: UInt8, index: Int = 0, generation: UInt32 = 0) {
    rawValue =
      UInt64(source) << 56 | UInt64(generation & 0xff_ffff) << 32 | UInt64(UInt32(truncatingIfNeeded: index))
  }

  var source: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 56) }
  var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) & 0xff_ffff }
  var index: Int { Int(UInt32(truncatingIfNeeded: rawValue)) }
}

/// Things that are found again by their token: open connections, requests in progress.
struct Table<Element> {
  private struct Slot {
    var generation: UInt32
    var element: Element?
  }

  private let source: UInt8
  private var slots: [Slot] = []
  private var free: [Int] = []
  private(set) var count = 0

  /// An empty table, whose tokens have this source.
  init(source: UInt8) { self.source = source }

  mutating func insert(_ element: Element) -> Token {
    count += 1
    if let index = free.popLast() {
      slots[index].element = element
      return Token(source: source, index: index, generation: slots[index].generation)
    }
    slots.append(Slot(generation: 0, element: element))
    return Token(source: source, index: slots.count - 1)
  }

  /// The element; nil when it has been removed.
  subscript(token: Token) -> Element? {
    guard token.source == source, token.index < slots.count,
      slots[token.index].generation == token.generation
    else { return nil }
    return slots[token.index].element
  }

  mutating func remove(_ token: Token) {
    guard self[token] != nil else { return }
    slots[token.index].element = nil
    slots[token.index].generation = (token.generation + 1) & 0xff_ffff
    free.append(token.index)
    count -= 1
  }

  /// The tokens of all elements: a copy, so that elements can go while one walks through it.
  var tokens: [Token] {
    var tokens: [Token] = []
    tokens.reserveCapacity(count)
    for index in slots.indices where slots[index].element != nil {
      tokens.append(Token(source: source, index: index, generation: slots[index].generation))
    }
    return tokens
  }
}

/// Moments at which something is to be done: a binary heap, the earliest first.
private struct Deadlines {
  struct Deadline {
    let moment: Duration
    let token: Token
  }

  private var heap: [Deadline] = []

  var first: Deadline? { heap.first }

  mutating func add(_ deadline: Deadline) {
    heap.append(deadline)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if heap[parent].moment <= heap[child].moment { break }
      heap.swapAt(parent, child)
      child = parent
    }
  }

  mutating func removeFirst() {
    guard let last = heap.popLast(), !heap.isEmpty else { return }
    heap[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= heap.count { break }
      if child + 1 < heap.count && heap[child + 1].moment < heap[child].moment { child += 1 }
      if heap[parent].moment <= heap[child].moment { break }
      heap.swapAt(parent, child)
      parent = child
    }
  }
}

/// What the loop hands over.
enum Occurrence {
  /// A descriptor can be read or written, or has failed (which counts as readable: a read tells).
  case ready(Token, isReadable: Bool, isWritable: Bool)
  /// A moment that was asked for has come.
  case due(Token, Duration)
  /// A signal has arrived.
  case signal(ArrivedSignal)
}

/// The one place where tide waits: for descriptors, moments and signals, with epoll(7), in one thread.
final class Loop {
  private static var ownSource: UInt8 { 0 }

  private let poll: EventPoll
  private let timer: TimerDescriptor
  private let signals: SignalDescriptor
  private var deadlines = Deadlines()
  private var armed: Duration?
  private var isStopped = false

  /// The monotonic time at which the loop woke up last.
  private(set) var now: Duration

  /// A loop that catches these signals; they are blocked from here on, signalfd(2).
  init(catching caught: SignalSet) throws(Errno) {
    caught.block()
    poll = try EventPoll()
    timer = try TimerDescriptor()
    signals = try SignalDescriptor()
    now = MonotonicClock.now
    try poll.add(timer.descriptor, token: Token(source: Loop.ownSource, index: 0).rawValue)
    try poll.add(signals.descriptor, token: Token(source: Loop.ownSource, index: 1).rawValue)
  }

  /// Begins to wait for a descriptor.
  func watch(
    _ descriptor: FileDescriptor, _ token: Token, readable: Bool = true, writable: Bool = false
  ) throws(Errno) {
    try poll.add(descriptor, token: token.rawValue, readable: readable, writable: writable)
  }

  /// Changes what is waited for.
  ///
  /// With neither, only a failure of the connection is told.
  func change(_ descriptor: FileDescriptor, _ token: Token, readable: Bool, writable: Bool) {
    try? poll.modify(descriptor, token: token.rawValue, readable: readable, writable: writable)
  }

  /// Ends the wait for a descriptor that stays open.
  func forget(_ descriptor: FileDescriptor) { poll.remove(descriptor) }

  /// Asks for a moment.
  ///
  /// It cannot be taken back: who asked compares the moment with the one it still waits for.
  func wake(_ token: Token, at moment: Duration) {
    deadlines.add(Deadlines.Deadline(moment: moment, token: token))
  }

  /// Ends ``run(_:)`` after the events at hand.
  func stop() { isStopped = true }

  /// Hands over what happens, until ``stop()``.
  func run(_ handle: (Occurrence) -> Void) {
    while !isStopped {
      arm()
      poll.wait(for: nil) { event in
        now = MonotonicClock.now
        let token = Token(rawValue: event.token)
        if token.source != Loop.ownSource {
          handle(.ready(token, isReadable: event.isReadable, isWritable: event.isWritable))
        } else if token.index == 1 {
          signals.take { handle(.signal($0)) }
        } else {
          timer.acknowledge()
          armed = nil
          // Only what was due when we woke: who asks for "at once" again and again must not keep us here.
          let woken = now
          while let first = deadlines.first, first.moment <= woken {
            deadlines.removeFirst()
            handle(.due(first.token, first.moment))
          }
        }
      }
    }
  }

  private func arm() {
    guard let first = deadlines.first?.moment, armed.map({ first < $0 }) ?? true else { return }
    timer.set(to: first)
    armed = first
  }
}
