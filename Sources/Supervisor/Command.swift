import CLinux
import Linux

/// A command of the user's that ebb runs beside the service: that of `--on-drain`.
struct Command {
  /// Its process.
  let process: ProcessID
  fileprivate let launch: Launch

  /// Starts it, in a session of its own.
  init(_ words: [[UInt8]], signalMask: SignalSet, ignoresChildSignal: Bool) throws(Errno) {
    var strings: [UnsafeMutablePointer<CChar>?] = words.map { word in word.withCString { strdup($0.pointer) }
    }
    strings.append(nil)
    defer { for string in strings { free(string) } }
    launch = try strings.withUnsafeMutableBufferPointer { (buffer) throws(Errno) -> Launch in
      guard let base = buffer.baseAddress else { throw .noSuchFile }
      return try Launch(
        base,
        Launch.Settings(
          signalMask: signalMask, ignoresChildSignal: ignoresChildSignal, placement: .session, terminal: nil))
    }
    process = launch.process
  }

  /// Why it could not be executed; nil when it ran. Asked once, when it has been reaped.
  func outcome() -> Errno? {
    defer { launch.close() }
    return launch.error()
  }
}

extension Command {
  /// Kills it, and all that it started in its session's first group. It is reaped later, like any orphan.
  func kill() {
    launch.close()
    if (try? process.sendToGroup(.kill)) == nil { try? process.send(.kill) }
  }
}
