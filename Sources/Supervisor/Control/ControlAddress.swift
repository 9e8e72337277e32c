import Linux

/// Where `ebb drain`, `ebb ready` and their like reach the supervisor: `--control`.
public enum ControlAddress {
  /// Off.
  case off
  /// The one made from the mount namespace.
  case automatic
  /// "@name" or "/path".
  case named(CString)

  /// The address that a user writes; nil where it makes no sense.
  public init?(_ text: CString) {
    if text == "off" {
      self = .off
    } else if text == "auto" {
      self = .automatic
    } else if (text.hasPrefix("@") || text.hasPrefix("/")) && text.count > 1 && text.count < 108 {
      self = .named(text)
    } else {
      return nil
    }
  }

  /// Whether it is off.
  public var isOff: Bool {
    if case .off = self { return true }
    return false
  }

  /// The name to bind or to connect to; nil where it is off. Cannot be made where there is no /proc: that is
  /// ``Errno/noSuchFile``.
  ///
  /// The automatic one is abstract, so it needs no directory that can be written; and named after the mount
  /// namespace, so that all processes of a container make the same one, and no two containers that share a
  /// network namespace (which is what abstract names belong to) do.
  public func name() throws(Errno) -> [UInt8]? {
    switch self {
    case .off: return nil
    case .named(let name): return name.bytes
    case .automatic:
      let name: Text = "@ebb-\(try MountNamespace.root(of: .own))"
      return name.bytes
    }
  }
}
