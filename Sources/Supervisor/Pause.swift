import Linux

/// An init with no service: it holds a pod's namespaces, reaps whatever ends in them, and exits with 0 at TERM
/// or INT.
public enum Pause {
  /// Runs until it is told to end; the code to exit with.
  public static func run(_ manners: Manners) -> UInt8 {
    _ = SignalSet.blockAll()
    _ = ProcessControl.watchChildren()
    do throws(Errno) {
      // Where the kernel refuses, orphans go to whoever took them before.
      if ProcessID.own.rawValue != 1 { try? ProcessControl.becomeSubreaper() }
      manners.letGo()
      let waiter = try Waiter()
      var isTold = false
      while !isTold {
        waiter.wait(for: nil) { wakeup in
          guard case .signal(let arrived) = wakeup else { return }
          if arrived.signal == .terminate || arrived.signal == .interrupt { isTold = true }
          if arrived.signal == .child { reap() }
        }
      }
      return 0
    } catch {
      try? Text("ebb: cannot pause: \(error)\n").write(to: .standardError)
      return 1
    }
  }

  private static func reap() {
    while case .change = ChildChange.next() {}
  }
}
