import CLinux

/// The controlling terminal and its foreground process group, tty_ioctl(4), credentials(7).
public struct Terminal {
  /// A descriptor of it that ebb was given.
  public let descriptor: FileDescriptor

  /// The controlling terminal, where one of the three standard descriptors is it. (It need not be reachable
  /// by name: an image may have no /dev/tty.)
  public static var controlling: Terminal? {
    for number: Int32 in 0...2 where tcgetpgrp(number) >= 0 {
      return Terminal(descriptor: FileDescriptor(number))
    }
    return nil
  }

  /// The process group in the foreground, which gets what is typed; nil where that cannot be asked.
  public var foreground: ProcessID? {
    let group = tcgetpgrp(descriptor.rawValue)
    return group > 0 ? ProcessID(group) : nil
  }

  /// Whether this process's own group is in the foreground.
  public var isOurs: Bool { tcgetpgrp(descriptor.rawValue) == getpgrp() }

  /// Puts a group into the foreground. SIGTTOU must be blocked, which it is, tcsetpgrp(3).
  public func setForeground(_ group: ProcessID) {
    _ = tcsetpgrp(descriptor.rawValue, group.rawValue)
  }

  /// Puts this process's own group into the foreground.
  public func takeBack() { _ = tcsetpgrp(descriptor.rawValue, getpgrp()) }
}

extension Terminal {
  /// Gives up the controlling terminal, if standard input is it, so that a child's session can have it. The
  /// kernel tells the group in the foreground so with SIGHUP and SIGCONT if the session's leader does it, and
  /// those two are nobody's message to the service: they are taken away here. All signals must be blocked.
  public static func leave() {
    guard clinux_leave_terminal(0) == 0, getsid(0) == getpid() else { return }
    var signals = SignalSet.empty
    signals.insert(.hangup)
    signals.insert(.continue)
    clinux_discard_pending(signals.rawValue)
  }
}

extension FileDescriptor {
  /// The width in columns where this is a terminal; nil where it is none, or does not know.
  public var terminalWidth: Int? {
    let width = Int(clinux_terminal_width(rawValue))
    return width > 0 ? width : nil
  }

  /// Whether this is a terminal, isatty(3).
  public var isTerminal: Bool { isatty(rawValue) == 1 }
}
