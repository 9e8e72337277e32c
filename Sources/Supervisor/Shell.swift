import Linux

/// Shells, as far as a container has them.
enum Shell {
  private static var names: [StaticString] { ["sh", "dash", "bash", "ash", "busybox", "ksh", "mksh", "zsh"] }

  /// Whether this is a shell's name, or the path of one.
  static func isName(of program: [UInt8]) -> Bool {
    var start = 0
    for index in program.indices where program[index] == UInt8(ascii: "/") { start = index + 1 }
    let name = program.part(from: start)
    return names.contains { name == $0 }
  }
}
