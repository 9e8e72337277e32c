// The wait of a supervisor at rest. What it took to get there is hardly ever needed again, so the program's own code
// and constants are unmapped first, madvise(2) MADV_DONTNEED; what is run next comes back from the page cache, in one
// fault. The kernel maps a good deal around a fault, though, the whole of a program as small as ours: so this function
// has a page of its own, and that page is told apart from its neighbours by an advice that they have not got.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux.h"

#if defined(CLINUX_OWN) && (defined(__x86_64__) || defined(__aarch64__))

#include <sys/mman.h>
#include <sys/syscall.h>

enum { page = 4096 };

// With no function of the C library, whose code is elsewhere. -1 to -4095 is an error number.
__attribute__((always_inline)) static inline long call(long number, long a, long b, long c, long d, long e, long f) {
#ifdef __x86_64__
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "+a"(number)
                   : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return number;
#else
  register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#endif
}

__attribute__((section("rest"), aligned(page), noinline)) static int wait_at_rest(
    int fd, struct epoll_event *events, int count, long from, long size) {
  call(SYS_madvise, from, size, MADV_DONTNEED, 0, 0, 0);
  return (int)call(SYS_epoll_pwait, fd, (long)events, count, -1, 0, sizeof(uint64_t));
}

int clinux_epoll_wait_at_rest(int fd, struct epoll_event *events, int count) {
  // Of the linker's making: all between them is mapped from the file and never written.
  extern const char __executable_start[], etext[];
  long from = (long)__executable_start & -(long)page;
  madvise((void *)((uintptr_t)wait_at_rest & -(uintptr_t)page), page, MADV_RANDOM);
  return wait_at_rest(fd, events, count, from, ((long)etext & -(long)page) - from);
}

#else

int clinux_epoll_wait_at_rest(int fd, struct epoll_event *events, int count) {
  return epoll_wait(fd, events, count, -1);
}

#endif
