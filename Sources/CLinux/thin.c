// The system calls of the musl build, in the place of musl's own wrappers. Those are points where a thread can be
// cancelled, or look for a thread's state, a file system without the call, or the vDSO (which costs a short life two
// page faults, and a turn of the loop reads the clock once): of all that, ebb, which is one thread on a Linux of this
// decade, needs nothing, and it is a twentieth of the binary.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux.h"

#if defined(CLINUX_OWN) && !defined(__GLIBC__)

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  long argument = va_arg(rest, long);
  va_end(rest);
  return (int)syscall(SYS_fcntl, fd, command, argument);
}
int ioctl(int fd, int request, ...) {
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  return (int)syscall(SYS_ioctl, fd, (unsigned)request, argument);
}
int prctl(int option, ...) {
  va_list rest;
  va_start(rest, option);
  unsigned long argument = va_arg(rest, unsigned long);
  va_end(rest);
  return (int)syscall(SYS_prctl, option, argument, 0ul, 0ul, 0ul);
}
ssize_t read(int fd, void *bytes, size_t count) { return syscall(SYS_read, fd, bytes, count); }
ssize_t pread(int fd, void *bytes, size_t count, off_t offset) {
  return syscall(SYS_pread64, fd, bytes, count, offset);
}
ssize_t write(int fd, const void *bytes, size_t count) { return syscall(SYS_write, fd, bytes, count); }
int close(int fd) { return (int)syscall(SYS_close, fd); }
int pipe2(int ends[2], int flags) { return (int)syscall(SYS_pipe2, ends, flags); }
int poll(struct pollfd *files, nfds_t count, int milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  return (int)syscall(SYS_ppoll, files, count, milliseconds < 0 ? NULL : &time, NULL, 0ul);
}
int epoll_create1(int flags) { return (int)syscall(SYS_epoll_create1, flags); }
int epoll_ctl(int fd, int operation, int file, struct epoll_event *event) {
  return (int)syscall(SYS_epoll_ctl, fd, operation, file, event);
}
int epoll_wait(int fd, struct epoll_event *events, int count, int milliseconds) {
  return (int)syscall(SYS_epoll_pwait, fd, events, count, milliseconds, NULL, 0ul);
}

int socket(int family, int type, int protocol) { return (int)syscall(SYS_socket, family, type, protocol); }
int connect(int fd, const struct sockaddr *address, socklen_t size) {
  return (int)syscall(SYS_connect, fd, address, size);
}
int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict size, int flags) {
  return (int)syscall(SYS_accept4, fd, address, size, flags);
}
ssize_t send(int fd, const void *bytes, size_t count, int flags) {
  return syscall(SYS_sendto, fd, bytes, count, flags, NULL, 0ul);
}
ssize_t sendto(int fd, const void *bytes, size_t count, int flags, const struct sockaddr *address, socklen_t size) {
  return syscall(SYS_sendto, fd, bytes, count, flags, address, size);
}
ssize_t recv(int fd, void *bytes, size_t count, int flags) {
  return syscall(SYS_recvfrom, fd, bytes, count, flags, NULL, NULL);
}
// The kernel's message header has wider fields than POSIX', which musl's has padding for: they must be 0.
ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  struct {
    void *name;
    size_t name_size;
    struct iovec *vectors;
    size_t vector_count;
    void *control;
    size_t control_size;
    unsigned flags;
  } header = {message->msg_name, message->msg_namelen, message->msg_iov, (size_t)message->msg_iovlen,
              message->msg_control, message->msg_controllen, 0};
  ssize_t count = syscall(SYS_recvmsg, fd, &header, flags);
  if (count >= 0) {
    message->msg_namelen = (socklen_t)header.name_size;
    message->msg_controllen = (socklen_t)header.control_size;
    message->msg_flags = (int)header.flags;
  }
  return count;
}

#ifdef __x86_64__
// What it is made of is as the kernel has it.
int fstatat(int directory, const char *restrict path, struct stat *restrict status, int flags) {
  return (int)syscall(SYS_newfstatat, directory, path, status, flags);
}
int stat(const char *restrict path, struct stat *restrict status) { return fstatat(AT_FDCWD, path, status, 0); }
int lstat(const char *restrict path, struct stat *restrict status) {
  return fstatat(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}
int fstat(int fd, struct stat *status) { return (int)syscall(SYS_fstat, fd, status); }
#endif
int fchmod(int fd, mode_t mode) { return (int)syscall(SYS_fchmod, fd, mode); }
ssize_t readlink(const char *restrict path, char *restrict target, size_t size) {
  return syscall(SYS_readlinkat, AT_FDCWD, path, target, size);
}
int getrlimit(int resource, struct rlimit *limit) {
  return (int)syscall(SYS_prlimit64, 0, resource, NULL, limit);
}
void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
  return (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}
int munmap(void *address, size_t size) { return (int)syscall(SYS_munmap, address, size); }
int clock_gettime(clockid_t clock, struct timespec *time) { return (int)syscall(SYS_clock_gettime, clock, time); }
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left) {
  return syscall(SYS_clock_nanosleep, clock, flags, time, left) < 0 ? errno : 0;
}
int waitid(idtype_t type, id_t id, siginfo_t *info, int options) {
  return (int)syscall(SYS_waitid, type, id, info, options, NULL);
}
int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set) {
  long count = syscall(SYS_sched_getaffinity, process, size, set);
  if (count < 0) return -1;
  memset((unsigned char *)set + count, 0, size - (size_t)count);
  return 0;
}
int sched_setaffinity(pid_t process, size_t size, const cpu_set_t *set) {
  return (int)syscall(SYS_sched_setaffinity, process, size, set);
}
// Nothing here was told to happen in the child, and nothing in it asks who it is: it becomes another program.
pid_t fork(void) { return (pid_t)syscall(SYS_clone, SIGCHLD, 0ul, 0ul, 0ul, 0ul); }

// The Swift runtime holds code for threads that nothing here calls.
int pthread_once(pthread_once_t *once, void (*begin)(void)) {
  (void)once, (void)begin;
  return ENOSYS;
}
int pthread_key_create(pthread_key_t *key, void (*end)(void *)) {
  (void)key, (void)end;
  return ENOSYS;
}

#endif
