import CLinux
import Linux

/// The network namespace that this process is in, network_namespaces(7).
public enum NetworkNamespace {
  /// Whether it is the machine's first one, which outlives every container: the kernel then delivers what a
  /// process leaves behind. Told by a sysctl that exists there alone (net/ipv4/sysctl_net_ipv4.c, ipv4_table).
  public static var isHosts: Bool { File.exists(CString("/proc/sys/net/ipv4/tcp_mem")) }

  /// The inode of a process's, /proc/PID/ns/net, namespaces(7); 0 where we may not know. Equal for two
  /// processes in the same one.
  static func number(of process: ProcessID) -> UInt64 {
    let path: Text = "/proc/\(process)/ns/net"
    return path.bytes.withCString { File.inode($0) }
  }

  /// Calls `body` with each process of /proc and whether it is in our namespace, until that gives false; false
  /// where there is no /proc.
  static func visitProcesses(_ body: (_ process: ProcessID, _ isOurs: Bool) -> Bool) -> Bool {
    let own = number(of: .own)
    do throws(Errno) {
      try Directory.numbers(in: CString("/proc")) { number in
        let process = ProcessID(number)
        return body(process, NetworkNamespace.number(of: process) == own)
      }
      return true
    } catch {
      return false
    }
  }

  /// Goes into another one, of a process (its number) or by a path (/run/netns/NAME), setns(2): needs
  /// CAP_SYS_ADMIN. /proc/net follows, since it is that of the process who reads.
  public static func enter(_ text: CString) throws(Errno) {
    let path: Text
    if let number = decimal(text.bytes) {
      path = "/proc/\(number)/ns/net"
    } else {
      path = Text(bytes: text.bytes)
    }
    let file = try path.bytes.withCString { (path) throws(Errno) in
      try FileDescriptor.open(path, O_RDONLY)
    }
    defer { file.close() }
    _ = try checked { clinux_enter_network_namespace(file.rawValue) }
  }

  /// Why nobody could go there, in words.
  public static func reason(_ error: Errno, _ text: CString) -> Text {
    if error == .noSuchFile && decimal(text.bytes) != nil { return "there is no such process" }
    if error == .invalidArgument { return "this is no network namespace" }
    if error == .notPermitted || error == .permissionDenied {
      return "\(error) (CAP_SYS_ADMIN is needed, and CAP_SYS_PTRACE for another user's process)"
    }
    return "\(error)"
  }
}
