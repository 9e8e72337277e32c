import CLinux
import Linux

/// Why a program could not be executed, and the exit code that says so: 127 where there is none, 126 where
/// there is one that cannot be executed. (125, where ebb could not even try, is decided before.)
struct LaunchFailure {
  let text: Text
  let exitCode: UInt8

  init(_ error: Errno, program: CString) {
    let hasSlash = program.bytes.position(of: UInt8(ascii: "/")) != nil
    if error == .noSuchFile || error == .notDirectory {
      if program.count == 0 {
        text = "the command is an empty word"
        exitCode = 127
      } else if hasSlash ? File.exists(program) : LaunchFailure.isInPath(program) {
        // execve(2) says ENOENT of a script whose interpreter is missing, or a dynamic program's.
        text = "\(program) is there, but its interpreter is not (the #! line, or the dynamic linker)"
        exitCode = 126
      } else {
        var text: Text = "\(program): not found"
        if !hasSlash {
          text.append(" in PATH (")
          text.append(printable: environmentVariable(CString("PATH"))?.bytes ?? CString("not set").bytes)
          text.append(")")
        }
        self.text = text
        exitCode = 127
      }
    } else {
      text = "\(program) cannot be executed: \(error)"
      exitCode = 126
    }
  }

  /// Whether a folder of PATH has a file of this name. An empty item is the current folder.
  private static func isInPath(_ program: CString) -> Bool {
    guard let path = environmentVariable(CString("PATH")) else { return false }
    for folder in path.bytes.pieces(separatedBy: UInt8(ascii: ":")) {
      var file = folder
      if !file.isEmpty { file.append(UInt8(ascii: "/")) }
      file += program.bytes
      if file.withCString({ File.exists($0) }) { return true }
    }
    return false
  }
}

extension Manners.LaunchCodes {
  /// The exit code for a failure.
  func code(_ failure: LaunchFailure, _ error: Errno) -> UInt8 {
    switch self {
    case .ebb: failure.exitCode
    case .byErrno: error == .noSuchFile ? 127 : error == .permissionDenied ? 126 : 1
    case .always(let code): code
    }
  }
}
