// The wait of a supervisor at rest. What it took to get there is hardly ever needed again, so the program's own code
// and constants are unmapped first, madvise(2) MADV_DONTNEED; what is run next comes back from the page cache, in one
// fault. The kernel maps a good deal around a fault, though, the whole of a program as small as ours: so this function
// has a page of its own, and that page is told apart from its neighbours by an advice that they have not got.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux.h"

#include "bare.h"

// As the call in the kernel's manner.
struct wait {
  long number, a, b, c, d, e, f;
};

#if defined(CLINUX_OWN) && HAS_BARE_CALL

#include <sys/mman.h>

enum { page = 4096 };

__attribute__((section("rest"), aligned(page), noinline)) static long wait_at_rest(
    const struct wait *wait, long from, long size) {
  bare_call(SYS_madvise, from, size, MADV_DONTNEED, 0, 0, 0);
  return bare_call(wait->number, wait->a, wait->b, wait->c, wait->d, wait->e, wait->f);
}

static long rest(const struct wait *wait) {
  // Of the linker's making: all between them is mapped from the file and never written.
  extern const char __executable_start[], etext[];
  long from = (long)__executable_start & -(long)page;
  madvise((void *)((uintptr_t)wait_at_rest & -(uintptr_t)page), page, MADV_RANDOM);
  return wait_at_rest(wait, from, ((long)etext & -(long)page) - from);
}

#else

static long rest(const struct wait *wait) {
  return bare_call(wait->number, wait->a, wait->b, wait->c, wait->d, wait->e, wait->f);
}

#endif

static long wait_now(const struct wait *wait, bool at_rest) {
  if (at_rest) return rest(wait);
  return bare_call(wait->number, wait->a, wait->b, wait->c, wait->d, wait->e, wait->f);
}

int clinux_epoll_wait(int fd, struct epoll_event *events, int count, int milliseconds, bool at_rest) {
  struct wait wait = {SYS_epoll_pwait, fd, (long)events, count, milliseconds, 0, sizeof(uint64_t)};
  return (int)wait_now(&wait, at_rest);
}

bool clinux_wait_for_signal(uint64_t mask, int64_t nanoseconds, bool at_rest, struct clinux_signal *signal) {
  struct timespec limit = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  siginfo_t info;
  struct wait wait = {
      SYS_rt_sigtimedwait, (long)&mask, (long)&info, nanoseconds < 0 ? 0 : (long)&limit, sizeof mask, 0, 0};
  if (wait_now(&wait, at_rest) <= 0) return false;
  signal->number = info.si_signo;
  signal->code = info.si_code;
  signal->sender = info.si_pid;
  return true;
}
