// System calls with nothing of the C library around them: no errno, no cancellation, no code that is elsewhere. -1 to
// -4095 is an error number.
#pragma once

#include <sys/syscall.h>

#ifdef __x86_64__
__attribute__((always_inline)) static inline long bare_call(
    long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "+a"(number)
                   : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return number;
}
#define HAS_BARE_CALL 1
#elif defined(__aarch64__)
__attribute__((always_inline)) static inline long bare_call(
    long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#define HAS_BARE_CALL 1
#else
#include <errno.h>
#include <unistd.h>
__attribute__((always_inline)) static inline long bare_call(
    long number, long a, long b, long c, long d, long e, long f) {
  long result = syscall(number, a, b, c, d, e, f);
  return result < 0 ? -errno : result;
}
#define HAS_BARE_CALL 0
#endif
