import Foundation

/// A seccomp profile in Docker's form that permits the system calls of ebb, of tide and of the runtime's last
/// steps before them, and refuses every other, and netlink.
enum StrictProfile {
  static let json: String = {
    let profile: [String: Any] = [
      "defaultAction": "SCMP_ACT_ERRNO",
      "defaultErrnoRet": EPERM,
      "archMap": [
        ["architecture": "SCMP_ARCH_X86_64", "subArchitectures": [String]()],
        ["architecture": "SCMP_ARCH_AARCH64", "subArchitectures": [String]()],
      ],
      "syscalls": [
        ["names": permitted, "action": "SCMP_ACT_ALLOW"],
        [
          "names": ["socket"], "action": "SCMP_ACT_ALLOW",
          "args": [["index": 0, "value": Int(AF_NETLINK), "op": "SCMP_CMP_NE"]],
        ],
      ],
    ]
    let data = try? JSONSerialization.data(withJSONObject: profile)
    return data.map { String(decoding: $0, as: UTF8.self) } ?? ""
  }()

  private static let permitted = """
    accept4 access arch_prctl bind brk chdir clock_gettime clock_nanosleep clone close close_range connect dup
    dup2 dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait execve exit exit_group fcntl fork fstat fstatfs futex
    getdents64 geteuid getpgid getpid getppid getrandom getsid getsockname getsockopt gettid ioctl kill listen
    lseek lstat madvise mmap mprotect mremap munmap nanosleep newfstatat open openat pidfd_open
    pidfd_send_signal pipe2 poll ppoll prctl prlimit64 pwritev2 read readlink readlinkat recvfrom recvmsg
    restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait sched_getaffinity
    sched_setaffinity sched_yield sendmsg sendto set_robust_list set_tid_address setpgid setsid setsockopt
    shutdown sigaltstack signalfd4 stat statfs statx tgkill timerfd_create timerfd_settime unlink wait4 waitid
    write writev
    """.split(whereSeparator: \.isWhitespace).map(String.init)
}
