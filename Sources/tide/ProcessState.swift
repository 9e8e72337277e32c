import CLinux
import Linux

extension SignalSet {
  /// The set of these signals.
  init(_ signals: Signal...) {
    self.init(rawValue: 0)
    for signal in signals { insert(signal) }
  }

  /// Blocks these signals, and leaves the others as they are: sigprocmask(2).
  func block() {
    var bits = rawValue
    _ = clinux_sigprocmask(SIG_BLOCK, &bits, nil)
  }

  /// Makes these the blocked signals, and no other.
  func setAsMask() {
    var bits = rawValue
    _ = clinux_sigprocmask(SIG_SETMASK, &bits, nil)
  }
}

/// The end of this process, in the ways that a service ends.
enum Ending {
  /// It dies of a signal, as if it had never caught it.
  ///
  /// In a pid namespace of its own the kernel spares process 1 (signals(7)): then the code that a shell
  /// would report.
  static func die(of signal: Signal) -> Never {
    _ = clinux_default_action(signal.rawValue)
    SignalSet.empty.setAsMask()
    try? ProcessID.own.send(signal)
    _exit(128 + signal.rawValue)
  }

  /// It crashes, by an access to an address where nothing is: a real fault, which ends process 1 too.
  ///
  /// No core file.
  static func crash() -> Never {
    clinux_no_core_file()
    // The address is a number that the compiler does not know.
    let nowhere = UInt(truncatingIfNeeded: getpid() & 1) + 8
    if let pointer = UnsafeMutablePointer<UInt8>(bitPattern: nowhere) { pointer.pointee = 1 }
    _exit(139)
  }
}

/// Lines on standard output, which a test or a person reads.
func say(_ text: Text) {
  var line: Text = "tide: "
  line.append(contentsOf: text)
  line.append("\n")
  // Who does not read us any more misses nothing.
  try? line.write(to: .standardOutput)
}

/// Lines on standard error.
func complain(_ text: Text) {
  var line: Text = "tide: "
  line.append(contentsOf: text)
  line.append("\n")
  try? line.write(to: .standardError)
}
