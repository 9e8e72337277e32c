// The kernel's and libc's names that Swift cannot import: variadic calls, function-like macros, unions,
// and system calls for which libc has no wrapper. Nothing here decides anything.
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Only what the C library declares by default: with _GNU_SOURCE here, or the kernel's linux/tcp.h, some of its
// types would look different from those of Swift's own Glibc module, and no test could import both.

// errno is a macro.
static inline int clinux_errno(void) { return errno; }

// environ is a global, which Swift calls unsafe to share.
extern char **environ;
static inline char **clinux_environ(void) { return environ; }

// Whether so much can be had, at once, with nothing taken from the reserve.
bool clinux_memory_allows(size_t size);

// Variadic calls.
static inline int clinux_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
// Of the flags that can be changed, this one and no other.
static inline int clinux_set_nonblocking(int fd) { return fcntl(fd, F_SETFL, O_NONBLOCK); }
// PR_GET_CHILD_SUBREAPER, prctl(2).
static inline bool clinux_is_subreaper(void) {
  int answer = 0;
  return prctl(PR_GET_CHILD_SUBREAPER, &answer, 0, 0, 0) == 0 && answer != 0;
}
static inline bool clinux_closes_on_exec(int fd) {
  int flags = fcntl(fd, F_GETFD);
  return flags >= 0 && (flags & FD_CLOEXEC) != 0;
}
static inline int clinux_prctl(int option, unsigned long argument) { return prctl(option, argument, 0, 0, 0); }

// Enums in glibc's headers and macros in musl's.
enum clinux_epoll { CLINUX_EPOLLIN = EPOLLIN, CLINUX_EPOLLOUT = EPOLLOUT, CLINUX_EPOLLHUP = EPOLLHUP, CLINUX_EPOLLERR = EPOLLERR };
static inline int clinux_socket_raw_cloexec(void) { return SOCK_RAW | SOCK_CLOEXEC; }
static inline int clinux_socket_stream_cloexec(void) { return SOCK_STREAM | SOCK_CLOEXEC; }
static inline int clinux_socket_stream_nonblock(void) { return SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK; }
static inline int clinux_socket_datagram_cloexec(void) { return SOCK_DGRAM | SOCK_CLOEXEC; }

// What an error number means, in the words of glibc's strerror(3) whatever the libc.
const char *clinux_error_text(int error);

// Signals as the kernel has them, a mask of 64 bits: libc's sigset_t functions leave out the real-time
// signals that the C library keeps for itself (32 to 34), which an init must forward like any other.
int clinux_sigprocmask(int how, const uint64_t *set, uint64_t *old);
int clinux_signalfd(uint64_t mask);
// Takes these signals away where they are pending, sigtimedwait(2) without a wait; they must be blocked.
void clinux_discard_pending(uint64_t mask);
// Gives the signal its default action; 1 when it was ignored before, 0 when not, -1 with errno.
int clinux_default_action(int signal);

// Whether a C string stands anywhere in these bytes.
bool clinux_holds(const void *bytes, size_t count, const char *words);

// pidfd_open(2), pidfd_send_signal(2): Linux 5.3 and 5.1; ENOSYS before.
int clinux_pidfd_open(pid_t pid);
int clinux_pidfd_send_signal(int pidfd, int signal);

// One child that has changed its state, waitid(2): si_pid and its kin are macros over a union.
struct clinux_child {
  pid_t pid;      // 0: none has changed
  int code;       // CLD_EXITED, CLD_KILLED, CLD_DUMPED, CLD_STOPPED, CLD_CONTINUED
  int status;     // exit status, or the signal
};
int clinux_wait(idtype_t type, id_t id, struct clinux_child *child, int options);

// A new process and execvp(3), with everything in between that only a child can do. `report`: what the error is asked
// by, a descriptor. The call does not wait for the execve(2), which a file system may hold up.
struct clinux_launch {
  char *const *argv;
  uint64_t signal_mask;   // of the caller's caller: what the program starts with
  bool ignore_sigchld;    // SIGCHLD was ignored when we were started
  bool default_signals;   // 1 to 31 get their default action, whatever was ignored when we were started
  bool new_session;       // setsid(2)
  bool new_group;         // setpgid(2)
  bool take_terminal;     // descriptor 0, if it is a terminal that no session has, becomes the session's
  int terminal;           // descriptor of the controlling terminal to hand over, or -1
};
pid_t clinux_launch(const struct clinux_launch *launch, int *report);
// Why a child that has ended could not execute its program; 0 where it could.
int clinux_launch_error(int report);

// pipe2(2), close-on-exec.
int clinux_pipe(int ends[2]);

// What is read of a struct tcp_info, include/uapi/linux/tcp.h (whose header clashes with the C library's).
struct clinux_tcp_info {
  uint64_t bytes_received, bytes_sent, bytes_acked, bytes_retrans;
  uint32_t last_data_recv, last_data_sent, last_ack_recv, notsent_bytes;
  uint32_t segs_out, data_segs_in, data_segs_out;
};
// false where the kernel's is too short to have them (before Linux 4.19).
bool clinux_read_tcp_info(const void *bytes, size_t count, struct clinux_tcp_info *info);

// Unix sockets, unix(7): an address is a cast, and an abstract name has its own length. `name` begins with '@'
// for an abstract one, else it is a path; -1 with ENAMETOOLONG where it does not fit.
int clinux_unix_bind(int fd, const char *name);
int clinux_unix_connect(int fd, const char *name);
// Binds to an abstract name that the kernel chooses, and tells it, '@' for the NUL.
struct clinux_unix_name {
  char text[109];
};
int clinux_unix_autobind(int fd, struct clinux_unix_name *name);
static inline int clinux_socket_seqpacket_cloexec(void) { return SOCK_SEQPACKET | SOCK_CLOEXEC; }
static inline int clinux_socket_seqpacket_nonblock(void) { return SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK; }

static inline int clinux_unix_datagram(void) { return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }
static inline int clinux_unix_stream(void) { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

// The error of a connection that was being made, socket(7) SO_ERROR; 0 when it stands.
static inline int clinux_socket_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? errno : error;
}

// The process at the other end: SO_PEERCRED; and a pidfd that pins it: SO_PEERPIDFD, Linux 6.5.
struct clinux_peer {
  pid_t pid;
  uid_t uid;
};
int clinux_peer(int fd, struct clinux_peer *peer);
int clinux_peer_pidfd(int fd);

// Has whoever sends descriptors along be refused, by a Unix socket and those that it accepts: SO_PASSRIGHTS, Linux 6.16.
// Before, whoever throws such a message away may have to wait for the last close of a socket with SO_LINGER.
void clinux_refuse_descriptors(int fd);
// accept4(2), close-on-exec and non-blocking.
int clinux_accept(int fd);
// The same, but EMFILE, and the connection left to wait, where fewer than `spare` descriptors would be left.
int clinux_accept_leaving(int fd, int spare);

// A TCP socket that listens on an address (dotted IPv4 or IPv6; empty: every address, of both families where
// there is IPv6), close-on-exec and non-blocking; -1 with errno.
int clinux_listen(const char *address, uint16_t port);
bool clinux_is_address(const char *address);
static inline int clinux_shut_write(void) { return SHUT_WR; }
static inline int clinux_shut_both(void) { return SHUT_RDWR; }

// connect(2) to a TCP port of an address, its halves as numbers (an IPv4 one is in `low`).
int clinux_connect_to(int fd, bool ipv6, uint64_t high, uint64_t low, uint16_t port);

// A datagram with its sender's pid (SCM_CREDENTIALS; SO_PASSCRED must be on), 0 where none came along.
int clinux_pass_credentials(int fd);
ssize_t clinux_receive_with_sender(int fd, void *bytes, size_t count, pid_t *sender);

// bind(2) to a port of every address: sockaddr_in and its kin are casts.
int clinux_bind_any(int fd, bool ipv6, uint16_t port);
// The same, to one address, its halves as numbers (an IPv4 one is in `low`); zero is every address.
int clinux_bind_port(int fd, bool ipv6, uint64_t high, uint64_t low, uint16_t port);
// An address in text, as the halves of a number: 4, 6, or 0 where it is none.
int clinux_parse_address(const char *text, uint64_t *high, uint64_t *low);
// setns(2) into a network namespace.
int clinux_enter_network_namespace(int fd);

// bind(2) of a netlink socket to an address of the kernel's choice.
int clinux_bind_netlink(int fd);

// The port that an internet socket is bound to; 0 where it is none.
uint16_t clinux_local_port(int fd);
// A TCP socket on a port of the kernel's choice that others may share, SO_REUSEPORT; -1 with errno.
int clinux_shared_port(uint16_t *port);
// On every processor that we may run on (up to 1,024): makes a TCP socket on that shared port and closes it.
// How many there were; where we run is as before.
int clinux_die_on_every_processor(uint16_t port);

// The inode of a directory if that is a cgroup v2's, else 0: statfs(2) and stat(2).
uint64_t clinux_cgroup2_inode(const char *path);

// A TCP socket that is bound and neither listens nor is connected.
struct clinux_bound {
  uint64_t high, low;  // its address; an IPv4 one is in `low`
  uint16_t port;
  bool ipv6, ipv6_only;
  uid_t user;
};
// Whether a descriptor of another process, whose link in /proc is `path`, is one: pidfd_getfd(2), which needs Linux 5.6
// and the right to trace it.
bool clinux_bound_socket(pid_t process, int descriptor, const char *path, struct clinux_bound *bound);

// getdents64(2), which not every libc has under this name.
ssize_t clinux_getdents(int fd, void *entries, size_t size);

// The session's leader gives the terminal up for all of it, any other process for itself: TIOCNOTTY, tty_ioctl(4).
int clinux_leave_terminal(int fd);

// The width of a terminal in columns, tty_ioctl(4) TIOCGWINSZ; 0 where it is none.
int clinux_terminal_width(int fd);

// A write that never blocks, whatever the descriptor's flags: EAGAIN instead.
ssize_t clinux_write_nowait(int fd, const void *bytes, size_t count);
