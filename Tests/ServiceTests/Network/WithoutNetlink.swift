import Foundation

/// A program that runs another one with a kind of sockets refused, as a strict seccomp profile does with
/// netlink: compiled by gcc, since only C may set a filter for itself before it becomes the other.
struct WithoutNetlink {
  private let folder: TemporaryFolder

  /// - Parameters:
  ///   - family: the address family that is refused.
  ///   - error: what socket(2) says.
  init(refusing family: String = "AF_NETLINK", with error: String = "EPERM") throws {
    try self.init(call: "socket", argument: 0, value: family, error: error)
  }

  /// - Parameter error: what the kernel says to SOCK_DESTROY, which is told by its length: 72 bytes, where a dump
  ///   is asked for with 76 and more.
  init(refusingToDestroyWith error: String) throws {
    try self.init(call: "sendto", argument: 2, value: "72", error: error)
  }

  private init(call: String, argument: Int, value: String, error: String) throws {
    folder = try TemporaryFolder()
    let file = try folder.write("without-netlink.c", WithoutNetlink.source)
    let gcc = try Running([
      "gcc", "-O1", "-DCALL=__NR_\(call)", "-DARGUMENT=\(argument)", "-DVALUE=\(value)", "-DERROR=\(error)",
      "-o", "\(folder.path)/without-netlink", file,
    ])
    guard try gcc.finish() == .code(0) else { throw Unusable("gcc: \(gcc.errors.text)") }
  }

  /// The word before a command.
  var command: [String] { ["\(folder.path)/without-netlink"] }

  private static let source = """
    #include <errno.h>
    #include <linux/filter.h>
    #include <linux/seccomp.h>
    #include <stddef.h>
    #include <sys/prctl.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int main(int count, char **words) {
      struct sock_filter program[] = {
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALL, 0, 3),
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[ARGUMENT])),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VALUE, 0, 1),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ERROR),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      };
      struct sock_fprog filter = {sizeof program / sizeof *program, program};
      if (count < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 125;
      if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) return 125;
      execvp(words[1], words + 1);
      return 127;
    }
    """
}
