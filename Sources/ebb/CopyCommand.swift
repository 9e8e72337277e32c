import CLinux
import Linux

/// `ebb copy`: puts ebb itself somewhere, from an image that has no cp. An init container brings it with that,
/// through a volume, into a container whose image is not ours.
enum CopyCommand {
  static func run(_ arguments: Arguments) throws(UsageError) -> Int32 {
    var arguments = arguments
    guard let path = arguments.next(), path.count > 0 else {
      throw UsageError("ebb copy needs a path: that of the file to make, or of a folder for it")
    }
    if path == "--help" || path == "-h" { return output(Text(stringLiteral: help)) }
    if path.hasPrefix("-") { throw UsageError("unknown option \(path) (\"ebb help copy\")") }
    if let word = arguments.first { throw UsageError("\(word): ebb copy takes one path and no more") }
    // The path's own bytes: whatever is shown of them is made safe for a terminal.
    let target = File.isDirectory(path) ? path.bytes + CString("/ebb").bytes : path.bytes
    do throws(Errno) {
      try target.withCString { (target) throws(Errno) in
        try File.copy(CString("/proc/self/exe"), to: target, mode: 0o755)
      }
      return 0
    } catch {
      complain("cannot write \(target): \(error)")
      return 1
    }
  }

  static var help: StaticString {
    """
    ebb copy PATH

    Puts a copy of ebb at PATH, or into it where it is a folder; what is there is replaced at once or not at
    all. For an init container that brings ebb into another image through a volume.

    exit codes: 0 copied, 1 not (and why, on stderr)

    """
  }
}
