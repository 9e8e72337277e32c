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

  /// The name to bind or to connect to; nil where it is off, or cannot be made since there is no /proc.
  ///
  /// The automatic one is abstract, so it needs no directory that can be written; and named after the mount
  /// namespace, so that all processes of a container make the same one, and no two containers that share a
  /// network namespace (which is what abstract names belong to) do.
  public var name: [UInt8]? {
    switch self {
    case .off: return nil
    case .named(let name): return name.bytes
    case .automatic:
      guard let root = MountNamespace.root(of: .own) else { return nil }
      let name: Text = "@ebb-\(root)"
      return name.bytes
    }
  }
}
