#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "clinux.h"

#include <endian.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <linux/tcp.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef CGROUP2_SUPER_MAGIC
#define CGROUP2_SUPER_MAGIC 0x63677270
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

const char *clinux_error_text(int error) {
#ifndef __GLIBC__
  // musl has words of its own for these. What ebb says is the same whatever it is linked with.
  switch (error) {
    case EADDRINUSE: return "Address already in use";
    case EADDRNOTAVAIL: return "Cannot assign requested address";
    case EBUSY: return "Device or resource busy";
    case EDQUOT: return "Disk quota exceeded";
    case EHOSTUNREACH: return "No route to host";
    case EIO: return "Input/output error";
    case ELOOP: return "Too many levels of symbolic links";
    case EMFILE: return "Too many open files";
    case ENAMETOOLONG: return "File name too long";
    case ENETUNREACH: return "Network is unreachable";
    case ENOMEM: return "Cannot allocate memory";
    case EOPNOTSUPP: return "Operation not supported";
    case ETIMEDOUT: return "Connection timed out";
  }
#endif
  return strerror(error);
}

int clinux_sigprocmask(int how, const uint64_t *set, uint64_t *old) {
  return (int)syscall(SYS_rt_sigprocmask, how, set, old, sizeof(uint64_t));
}

int clinux_signalfd(uint64_t mask) {
  return (int)syscall(SYS_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

int clinux_default_action(int number) {
  void (*before)(int) = signal(number, SIG_DFL);
  return before == SIG_ERR ? -1 : before == SIG_IGN;
}

void clinux_discard_pending(uint64_t mask) {
  struct timespec none = {0, 0};
  while (syscall(SYS_rt_sigtimedwait, &mask, NULL, &none, sizeof mask) > 0) continue;
}

bool clinux_holds(const void *bytes, size_t count, const char *words) {
  return memmem(bytes, count, words, strlen(words)) != NULL;
}

int clinux_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int clinux_pidfd_send_signal(int pidfd, int signal) {
  return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int clinux_wait(idtype_t type, id_t id, struct clinux_child *child, int options) {
  siginfo_t info;
  info.si_pid = 0;  // waitid(2): WNOHANG with nothing to tell leaves it as it was on some kernels
  int result = waitid(type, id, &info, options);
  if (result < 0) return result;
  child->pid = info.si_pid;
  child->code = info.si_code;
  child->status = info.si_status;
  return 0;
}

ssize_t clinux_write_nowait(int fd, const void *bytes, size_t count) {
  // MSG_DONTWAIT for sockets, RWF_NOWAIT for pipes; O_NONBLOCK would change the description that the
  // service shares with us. What knows neither (a terminal) is asked by poll(2) first.
  ssize_t sent = send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0 || errno != ENOTSOCK) return sent;
  struct pollfd ready = {.fd = fd, .events = POLLOUT};
  if (poll(&ready, 1, 0) == 0) {
    errno = EAGAIN;
    return -1;
  }
  struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
  // RWF_NOWAIT with offset -1 is write(2) at the current position, preadv2(2).
  ssize_t written = syscall(SYS_pwritev2, fd, &vector, 1, -1L, -1L, RWF_NOWAIT);
  if (written >= 0) return written;
  if (errno == EAGAIN) {
    struct stat status;
    // Some file systems (btrfs, XFS) refuse it to a file, however much room there is.
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) return errno = EAGAIN, -1;
  } else if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL && errno != ESPIPE) {
    return -1;
  }
  // A terminal says that it has room where it has some, and a write that does not fit waits (n_tty_write()). The flag
  // that it shall not is to be had without the service, which shares the open file, with one of our own.
  struct winsize size;
  if (fd > 9 || ioctl(fd, TIOCGWINSZ, &size) < 0) return write(fd, bytes, count);
  char path[] = "/proc/self/fd/0";
  path[sizeof path - 2] = (char)('0' + fd);
  int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  // Where there is no /proc, or the terminal is another user's: so little that it most likely fits.
  if (own < 0) return write(fd, bytes, count < 64 ? count : 64);
  written = write(own, bytes, count);
  int error = errno;
  close(own);
  errno = error;
  return written;
}

int clinux_bind_any(int fd, bool ipv6, uint16_t port) {
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
  return ipv6 ? bind(fd, (struct sockaddr *)&six, sizeof six) : bind(fd, (struct sockaddr *)&four, sizeof four);
}

int clinux_bind_netlink(int fd) {
  struct sockaddr_nl any = {.nl_family = AF_NETLINK};
  return bind(fd, (struct sockaddr *)&any, sizeof any);
}

static int shared_socket(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  if (fd < 0) return -1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) == 0 && clinux_bind_any(fd, false, port) == 0) return fd;
  close(fd);
  return -1;
}

uint16_t clinux_local_port(int fd) {
  struct sockaddr_in6 address;
  socklen_t size = sizeof address;
  // The port of an IPv4 address is in the same place.
  return getsockname(fd, (struct sockaddr *)&address, &size) == 0 ? ntohs(address.sin6_port) : 0;
}

int clinux_shared_port(uint16_t *port) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  int fd = shared_socket(0);
  if (fd < 0) return -1;
  if (getsockname(fd, (struct sockaddr *)&address, &size) == 0) {
    *port = ntohs(address.sin_port);
    return fd;
  }
  close(fd);
  return -1;
}

int clinux_die_on_every_processor(uint16_t port) {
  cpu_set_t allowed, one;
  int count = 0;
  if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) CPU_ZERO(&allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) < 0) continue;
    int fd = shared_socket(port);
    if (fd < 0) continue;
    close(fd);
    count++;
  }
  if (count > 0) sched_setaffinity(0, sizeof allowed, &allowed);
  return count;
}

uint64_t clinux_cgroup2_inode(const char *path) {
  struct statfs filesystem;
  struct stat status;
  if (statfs(path, &filesystem) < 0 || filesystem.f_type != CGROUP2_SUPER_MAGIC) return 0;
  return stat(path, &status) < 0 ? 0 : status.st_ino;
}

static int unix_address(const char *name, struct sockaddr_un *address, socklen_t *length) {
  size_t count = strlen(name);
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (count >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(address->sun_path, name, count);
  *length = offsetof(struct sockaddr_un, sun_path) + count;
  if (name[0] == '@')
    address->sun_path[0] = 0;
  else
    *length += 1;
  return 0;
}

int clinux_unix_bind(int fd, const char *name) {
  struct sockaddr_un address;
  socklen_t length;
  if (unix_address(name, &address, &length) < 0) return -1;
  return bind(fd, (struct sockaddr *)&address, length);
}

int clinux_unix_connect(int fd, const char *name) {
  struct sockaddr_un address;
  socklen_t length;
  if (unix_address(name, &address, &length) < 0) return -1;
  return connect(fd, (struct sockaddr *)&address, length);
}

int clinux_unix_autobind(int fd, struct clinux_unix_name *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  socklen_t length = sizeof address;
  if (bind(fd, (struct sockaddr *)&address, sizeof address.sun_family) < 0) return -1;
  memset(&address, 0, sizeof address);
  if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) return -1;
  memset(name, 0, sizeof *name);
  memcpy(name->text, address.sun_path, sizeof address.sun_path);
  name->text[0] = '@';
  return 0;
}

int clinux_peer(int fd, struct clinux_peer *peer) {
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -1;
  peer->pid = credentials.pid;
  peer->uid = credentials.uid;
  return 0;
}

int clinux_peer_pidfd(int fd) {
  int pidfd = -1;
  socklen_t length = sizeof pidfd;
  return getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) < 0 ? -1 : pidfd;
}

int clinux_accept(int fd) { return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

void clinux_refuse_descriptors(int fd) {
  int no = 0;
  setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof no);
}

int clinux_accept_leaving(int fd, int spare) {
  struct rlimit limit;
  // The kernel gives the lowest number that is free: a high one tells that few are.
  int lowest = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (lowest < 0) return -1;
  close(lowest);
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)lowest + (rlim_t)spare >= limit.rlim_cur) {
    errno = EMFILE;
    return -1;
  }
  return clinux_accept(fd);
}

int clinux_pass_credentials(int fd) {
  int yes = 1;
  return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes);
}

ssize_t clinux_receive_with_sender(int fd, void *bytes, size_t count, pid_t *sender) {
  // Of no room for more: descriptors that somebody sends along are dropped by the kernel, and never are ours.
  union {
    char space[CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr align;
  } control;
  struct iovec vector = {.iov_base = bytes, .iov_len = count};
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (received < 0) return received;
  *sender = 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS) continue;
    struct ucred credentials;
    memcpy(&credentials, CMSG_DATA(c), sizeof credentials);
    *sender = credentials.pid;
  }
  return received;
}

bool clinux_is_address(const char *address) {
  struct in6_addr six;
  struct in_addr four;
  return inet_pton(AF_INET, address, &four) == 1 || inet_pton(AF_INET6, address, &six) == 1;
}

int clinux_listen(const char *address, uint16_t port) {
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
  bool is_four = inet_pton(AF_INET, address, &four.sin_addr) == 1;
  if (!is_four && address[0] != 0 && inet_pton(AF_INET6, address, &six.sin6_addr) != 1) {
    errno = EINVAL;
    return -1;
  }
  int yes = 1, no = 0;
  int fd = socket(is_four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 && !is_four && address[0] == 0) {
    is_four = true;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  }
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (!is_four) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, address[0] == 0 ? &no : &yes, sizeof yes);
  int bound = is_four ? bind(fd, (struct sockaddr *)&four, sizeof four) : bind(fd, (struct sockaddr *)&six, sizeof six);
  if (bound < 0 || listen(fd, 64) < 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

int clinux_leave_terminal(int fd) { return ioctl(fd, TIOCNOTTY); }

int clinux_terminal_width(int fd) {
  struct winsize size;
  return ioctl(fd, TIOCGWINSZ, &size) < 0 ? 0 : size.ws_col;
}

// sockaddr_in or sockaddr_in6 of an address' halves: its length.
static socklen_t fill_address(struct sockaddr_in6 *six, bool ipv6, uint64_t high, uint64_t low, uint16_t port) {
  memset(six, 0, sizeof *six);
  if (!ipv6) {
    struct sockaddr_in *four = (struct sockaddr_in *)six;
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    four->sin_addr.s_addr = htonl((uint32_t)low);
    return sizeof *four;
  }
  six->sin6_family = AF_INET6;
  six->sin6_port = htons(port);
  high = htobe64(high);
  low = htobe64(low);
  memcpy(six->sin6_addr.s6_addr, &high, sizeof high);
  memcpy(six->sin6_addr.s6_addr + 8, &low, sizeof low);
  return sizeof *six;
}

int clinux_bind_port(int fd, bool ipv6, uint64_t high, uint64_t low, uint16_t port) {
  struct sockaddr_in6 address;
  socklen_t length = fill_address(&address, ipv6, high, low, port);
  return bind(fd, (struct sockaddr *)&address, length);
}

int clinux_connect_to(int fd, bool ipv6, uint64_t high, uint64_t low, uint16_t port) {
  struct sockaddr_in6 address;
  socklen_t length = fill_address(&address, ipv6, high, low, port);
  return connect(fd, (struct sockaddr *)&address, length);
}

int clinux_parse_address(const char *text, uint64_t *high, uint64_t *low) {
  struct in6_addr six;
  struct in_addr four;
  *high = 0;
  if (inet_pton(AF_INET, text, &four) == 1) {
    *low = ntohl(four.s_addr);
    return 4;
  }
  if (inet_pton(AF_INET6, text, &six) != 1) return 0;
  memcpy(high, six.s6_addr, sizeof *high);
  memcpy(low, six.s6_addr + 8, sizeof *low);
  *high = be64toh(*high);
  *low = be64toh(*low);
  return 6;
}

ssize_t clinux_getdents(int fd, void *entries, size_t size) { return syscall(SYS_getdents64, fd, entries, size); }

int clinux_enter_network_namespace(int fd) { return setns(fd, CLONE_NEWNET); }

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

// The kernel's name of a socket's protocol, which tells a TCP socket without a copy of it, xattr(7) on sockfs.
static bool is_tcp(const char *path) {
  char name[16];
  ssize_t size = getxattr(path, "system.sockprotoname", name, sizeof name - 1);
  name[size > 0 ? size : 0] = 0;
  return strcmp(name, "TCP") == 0 || strcmp(name, "TCPv6") == 0;
}

bool clinux_bound_socket(pid_t process, int descriptor, const char *path, struct clinux_bound *bound) {
  if (!is_tcp(path)) return false;
  int pin = clinux_pidfd_open(process);
  if (pin < 0) return false;
  int copy = (int)syscall(SYS_pidfd_getfd, pin, descriptor, 0u);
  close(pin);
  if (copy < 0) return false;
  struct sockaddr_storage address;
  // The state is the first byte of a struct tcp_info; the kernel gives as much as is asked for.
  unsigned char state = 0;
  socklen_t size = sizeof address, state_size = sizeof state, flag_size = sizeof(int);
  struct stat status;
  int only = 0;
  bool answer = getsockopt(copy, IPPROTO_TCP, TCP_INFO, &state, &state_size) == 0 && state == 7 &&
                fstat(copy, &status) == 0 && getsockname(copy, (struct sockaddr *)&address, &size) == 0;
  if (answer && address.ss_family == AF_INET6) {
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;
    getsockopt(copy, IPPROTO_IPV6, IPV6_V6ONLY, &only, &flag_size);
    *bound = (struct clinux_bound){.port = ntohs(six->sin6_port), .ipv6 = true, .ipv6_only = only, .user = status.st_uid};
    memcpy(&bound->high, six->sin6_addr.s6_addr, 8);
    memcpy(&bound->low, six->sin6_addr.s6_addr + 8, 8);
    bound->high = be64toh(bound->high);
    bound->low = be64toh(bound->low);
  } else if (answer) {
    struct sockaddr_in *four = (struct sockaddr_in *)&address;
    *bound = (struct clinux_bound){
        .port = ntohs(four->sin_port), .low = ntohl(four->sin_addr.s_addr), .user = status.st_uid};
  }
  close(copy);
  return answer && bound->port != 0;
}

int clinux_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

bool clinux_read_tcp_info(const void *bytes, size_t count, struct clinux_tcp_info *info) {
  struct tcp_info whole;
  // tcpi_bytes_retrans is the last one that is read.
  if (count < offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof whole.tcpi_bytes_retrans) return false;
  memset(&whole, 0, sizeof whole);
  memcpy(&whole, bytes, count < sizeof whole ? count : sizeof whole);
  *info = (struct clinux_tcp_info){
      .bytes_received = whole.tcpi_bytes_received,
      .bytes_sent = whole.tcpi_bytes_sent,
      .bytes_acked = whole.tcpi_bytes_acked,
      .bytes_retrans = whole.tcpi_bytes_retrans,
      .last_data_recv = whole.tcpi_last_data_recv,
      .last_data_sent = whole.tcpi_last_data_sent,
      .last_ack_recv = whole.tcpi_last_ack_recv,
      .notsent_bytes = whole.tcpi_notsent_bytes,
      .segs_out = whole.tcpi_segs_out,
      .data_segs_in = whole.tcpi_data_segs_in,
      .data_segs_out = whole.tcpi_data_segs_out,
  };
  return true;
}
