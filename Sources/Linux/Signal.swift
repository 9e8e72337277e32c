import CLinux

/// A signal, signal(7).
public struct Signal: Equatable, Sendable {
  /// Its number, 1 to 64.
  public let rawValue: Int32

  /// The signal with this number; nil where there is none.
  public init?(_ number: Int32) {
    guard number >= 1, number <= 64 else { return nil }
    rawValue = number
  }

  private init(known: Int32) { rawValue = known }

  /// SIGHUP.
  public static var hangup: Signal { Signal(known: SIGHUP) }
  /// SIGINT.
  public static var interrupt: Signal { Signal(known: SIGINT) }
  /// SIGQUIT.
  public static var quit: Signal { Signal(known: SIGQUIT) }
  /// SIGKILL: cannot be caught.
  public static var kill: Signal { Signal(known: SIGKILL) }
  /// SIGUSR1.
  public static var user1: Signal { Signal(known: SIGUSR1) }
  /// SIGUSR2.
  public static var user2: Signal { Signal(known: SIGUSR2) }
  /// SIGPIPE.
  public static var brokenPipe: Signal { Signal(known: SIGPIPE) }
  /// SIGTERM.
  public static var terminate: Signal { Signal(known: SIGTERM) }
  /// SIGCHLD.
  public static var child: Signal { Signal(known: SIGCHLD) }
  /// SIGCONT.
  public static var `continue`: Signal { Signal(known: SIGCONT) }
  /// SIGSTOP: cannot be caught.
  public static var stop: Signal { Signal(known: SIGSTOP) }
  /// SIGTSTP: stop, typed at the terminal.
  public static var terminalStop: Signal { Signal(known: SIGTSTP) }
  /// SIGTTIN: a background process read the terminal.
  public static var terminalInput: Signal { Signal(known: SIGTTIN) }
  /// SIGTTOU: a background process wrote to the terminal.
  public static var terminalOutput: Signal { Signal(known: SIGTTOU) }
  /// SIGWINCH: the terminal's size has changed; to Apache httpd: stop gracefully.
  public static var windowChange: Signal { Signal(known: SIGWINCH) }

  /// The three by which a terminal stops a job.
  public var stopsJob: Bool { self == .terminalStop || self == .terminalInput || self == .terminalOutput }

  /// The names of 1 to 31, in order, without SIG, as x86, ARM and RISC-V number them.
  private static var names: StaticString {
    """
    HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG \
    XCPU XFSZ VTALRM PROF WINCH IO PWR SYS
    """
  }

  /// The name of one of them; empty for any other number.
  private static func name(of number: Int32) -> ArraySlice<UInt8> {
    number < 1 ? [] : CString(names).bytes[...].field(Int(number) - 1)
  }

  /// The signal that a user names: "TERM", "SIGTERM", "sigterm", "15", "RTMIN", "RTMIN+3", "RTMAX-1";
  /// "IOT", "CLD" and "POLL" are the old names of ABRT, CHLD and IO. RTMIN is 34 and RTMAX 64, as libc has
  /// them.
  public init?(named text: [UInt8]) {
    if let number = decimal(text) {
      guard let number = Int32(exactly: number), let signal = Signal(number) else { return nil }
      self = signal
      return
    }
    var name = text.map { $0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z") ? $0 - 32 : $0 }
    if name.hasPrefix("SIG") { name.removeFirst(3) }
    if let realTime = Signal.realTime(name) {
      self = realTime
      return
    }
    if name == "IOT" { name = CString("ABRT").bytes }
    if name == "CLD" { name = CString("CHLD").bytes }
    if name == "POLL" { name = CString("IO").bytes }
    for number: Int32 in 1...31 {
      if name[...] == Signal.name(of: number) {
        self.init(known: number)
        return
      }
    }
    return nil
  }

  private static func realTime(_ name: [UInt8]) -> Signal? {
    let base: Int32
    let sign: UInt8
    if name.hasPrefix("RTMIN") {
      (base, sign) = (34, UInt8(ascii: "+"))
    } else if name.hasPrefix("RTMAX") {
      (base, sign) = (64, UInt8(ascii: "-"))
    } else {
      return nil
    }
    let rest = Array(name.dropFirst(5))
    if rest.isEmpty { return Signal(known: base) }
    guard rest[0] == sign, let offset = decimal(Array(rest.dropFirst())), offset <= 30 else { return nil }
    return Signal(known: sign == UInt8(ascii: "+") ? base + Int32(offset) : base - Int32(offset))
  }
}

extension Signal: TextRepresentable {
  /// "SIGTERM", "SIGRTMIN+3", and "signal 32" for the two that libc keeps for itself.
  public func write(to text: inout Text) {
    let name = Signal.name(of: rawValue)
    if !name.isEmpty {
      text.append("SIG")
      text.append(contentsOf: Text(bytes: Array(name)))
    } else if rawValue >= 34 {
      text.append("SIGRTMIN")
      if rawValue > 34 {
        text.append("+")
        text.append(rawValue - 34)
      }
    } else {
      text.append("signal ")
      text.append(rawValue)
    }
  }
}

/// A set of signals, as the kernel keeps it: bit n-1 is signal n.
public struct SignalSet: Equatable, Sendable {
  /// The bits.
  public var rawValue: UInt64

  /// The set with these bits.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// No signal.
  public static var empty: SignalSet { SignalSet(rawValue: 0) }
  /// Every signal; the kernel leaves KILL and STOP out by itself.
  public static var all: SignalSet { SignalSet(rawValue: ~0) }

  /// Whether the signal is in it.
  public func contains(_ signal: Signal) -> Bool { rawValue & (1 << UInt64(signal.rawValue - 1)) != 0 }

  /// Puts the signal in.
  public mutating func insert(_ signal: Signal) { rawValue |= 1 << UInt64(signal.rawValue - 1) }

  /// Blocks all signals, real faults aside (the kernel ends a process that faults with the signal blocked),
  /// and gives back what was blocked before: sigprocmask(2).
  public static func blockAll() -> SignalSet {
    var old: UInt64 = 0
    var all = SignalSet.all.rawValue
    _ = clinux_sigprocmask(SIG_SETMASK, &all, &old)
    return SignalSet(rawValue: old)
  }
}

/// A signal that has arrived, and what is known of its sender: signalfd(2).
public struct ArrivedSignal {
  /// Which.
  public let signal: Signal
  /// Whether a process sent it with kill(2) or its kin; else the kernel did.
  public let sentByProcess: Bool
  /// The sender, 0 where it is in another pid namespace or the kernel.
  public let sender: ProcessID

  /// The one that the kernel tells of. SI_USER is 0, SI_QUEUE and SI_TKILL are below; the kernel's own codes are above.
  init?(number: Int32, code: Int32, sender: pid_t) {
    guard let signal = Signal(number) else { return nil }
    self.signal = signal
    sentByProcess = code <= 0
    self.sender = ProcessID(sender)
  }
}

/// Signals as a file that becomes readable when one is pending: signalfd(2).
public struct SignalDescriptor {
  /// Readable while a signal is pending.
  public let descriptor: FileDescriptor

  /// The descriptor for these signals; they must be blocked.
  public init(_ signals: SignalSet = .all) throws(Errno) {
    descriptor = FileDescriptor(try checked(clinux_signalfd(signals.rawValue)))
  }

  /// Hands over what is pending, the lowest number first, some hundred at most. A read that is not filled was
  /// the last: nobody is asked once more whether there is another.
  public func take(_ handle: (ArrivedSignal) -> Void) {
    let size = MemoryLayout<signalfd_siginfo>.size
    withUnsafeTemporaryAllocation(of: signalfd_siginfo.self, capacity: 8) { pending in
      for _ in 0..<32 {
        let count = (try? descriptor.read(into: UnsafeMutableRawBufferPointer(pending))) ?? 0
        for info in pending.prefix(max(count, 0) / size) {
          if let arrived = ArrivedSignal(
            number: Int32(truncatingIfNeeded: info.ssi_signo), code: info.ssi_code,
            sender: pid_t(truncatingIfNeeded: info.ssi_pid))
          {
            handle(arrived)
          }
        }
        if count < size * pending.count { return }
      }
    }
  }
}
