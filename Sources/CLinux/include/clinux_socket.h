// What a service does with sockets and with itself, where Swift cannot import it.
#pragma once

#include "clinux.h"

#include <netinet/tcp.h>

#include <sys/syscall.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

// SOCK_STREAM and its flags are an enum in one C library and macros in the other.
static inline int clinux_stream_socket(int family) {
  return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

// With _GNU_SOURCE, glibc takes addresses as a transparent union, which Swift cannot convert to.
static inline int clinux_bind(int fd, const void *address, socklen_t length) { return bind(fd, address, length); }
static inline int clinux_connect(int fd, const void *address, socklen_t length) {
  return connect(fd, address, length);
}
static inline int clinux_getsockname(int fd, void *address, socklen_t *length) {
  return getsockname(fd, address, length);
}

static inline int clinux_set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value);
}
// SO_LINGER with a time of 0: the next close(2) sends a RST instead of a FIN, socket(7).
static inline int clinux_reset_on_close(int fd) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

// SIG_IGN is a cast that Swift cannot import.
static inline void clinux_ignore_signal(int number) { signal(number, SIG_IGN); }

// The resource of getrlimit(2) is an enum in one C library and an int in the other. As many files as this
// process may open: the soft limit is often 1024, for the sake of select(2).
static inline void clinux_raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}
// No core file of this process.
static inline void clinux_no_core_file(void) {
  struct rlimit limit = {0, 0};
  setrlimit(RLIMIT_CORE, &limit);
}
// close_range(2): Linux 5.9; ENOSYS before.
static inline int clinux_close_range(unsigned int first, unsigned int last) {
  return (int)syscall(SYS_close_range, first, last, 0);
}
