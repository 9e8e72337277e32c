// From one program to two: the child's side of a launch, and how the child is made.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include "bare.h"

// The child of the first launch runs in our own memory, clone(2) CLONE_VM: no page of ours is copied for a program
// that is to be replaced at once, which would make up a sixth of a start, and what it has to say is left there. Unlike
// vfork(2)'s, its parent runs on meanwhile: a file system that keeps execve(2) waiting must not keep us from signals. So
// it has a stack of its own, and calls nothing of the C library that knows of errno, which is the parent's. There is
// one such stack, and nobody can tell when it is free again; the later children, few and short, are made by fork(2).
struct first {
  // What is looked up in PATH takes one page more than what is not: the page above it is in use anyway.
  _Alignas(16) char stack[8192 - 48];
  struct clinux_launch launch;
  int error;
  bool is_taken;
};

static long child_call(long number, long a, long b, long c) { return bare_call(number, a, b, c, 0, 0, 0); }

// An action as the kernel has it, rt_sigaction(2).
static void set_action(int signal, void (*handler)(int)) {
  struct {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
  } action = {.handler = handler};
  bare_call(SYS_rt_sigaction, signal, (long)&action, 0, sizeof action.mask, 0, 0);
}

// execve(2), and for a file that the kernel cannot make out, /bin/sh, as execvp(3) has it. The error number.
static int execute_file(const char *path, char *const *argv) {
  long error = -child_call(SYS_execve, (long)path, (long)argv, (long)environ);
  if (error != ENOEXEC) return (int)error;
  size_t count = 0;
  while (argv[count] != NULL) count++;
  // Not on the stack, for there is no bound to what a user writes.
  long words = bare_call(
      SYS_mmap, 0, (long)((count + 2) * sizeof *argv), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (words < 0 && words > -4096) return (int)-words;
  const char **shell = (const char **)words;
  shell[0] = "/bin/sh";
  shell[1] = path;
  for (size_t i = 1; i <= count; i++) shell[i + 1] = argv[i];
  return (int)-child_call(SYS_execve, (long)shell[0], words, (long)environ);
}

// Its PATH.
__attribute__((noinline)) static int search(const char *name, char *const *argv) {
  const char *path = NULL;
  size_t length = strlen(name);
  bool is_forbidden = false;
  for (char *const *variable = environ; *variable != NULL && path == NULL; variable++)
    if (strncmp(*variable, "PATH=", 5) == 0) path = *variable + 5;
  if (path == NULL) path = "/usr/local/bin:/bin:/usr/bin";
  for (const char *folder = path;; folder++) {
    char file[PATH_MAX];
    size_t size = strcspn(folder, ":");
    // What is too long is in no folder.
    if (size + 1 + length < sizeof file) {
      memcpy(file, folder, size);
      // An empty one is the working directory.
      if (size > 0) file[size] = '/';
      memcpy(file + size + (size > 0), name, length + 1);
      int error = execute_file(file, argv);
      switch (error) {
        case EACCES: is_forbidden = true;
        case ENOENT:
        case ENOTDIR:
        case ESTALE:
        case ENODEV:
        case ETIMEDOUT: break;
        default: return error;
      }
    }
    folder += size;
    if (*folder == 0) return is_forbidden ? EACCES : ENOENT;
  }
}

// execvp(3), as glibc has it, of any libc, and without errno: comes back only where it fails, with the error number.
static int execute(char *const *argv) {
  const char *name = argv[0];
  if (name[0] == 0) return ENOENT;
  return strchr(name, '/') != NULL ? execute_file(name, argv) : search(name, argv);
}

// The child's whole life, up to its program; where there is none, why.
static int run(const struct clinux_launch *launch) {
  // Every signal is still blocked, SIGTTOU among them, which is what lets TIOCSPGRP (tcsetpgrp(3)) work from a
  // process group in the background.
  if (launch->new_session) child_call(SYS_setsid, 0, 0, 0);
  if (launch->new_group) child_call(SYS_setpgid, 0, 0, 0);
  // Not by force: a session that still has the terminal keeps it.
  if (launch->take_terminal) child_call(SYS_ioctl, STDIN_FILENO, TIOCSCTTY, 0);
  if (launch->terminal >= 0) {
    pid_t own = (pid_t)child_call(SYS_getpid, 0, 0, 0);
    child_call(SYS_ioctl, launch->terminal, TIOCSPGRP, (long)&own);
  }
  if (launch->default_signals)
    for (int number = 1; number < 32; number++) set_action(number, SIG_DFL);
  if (launch->ignore_sigchld) set_action(SIGCHLD, SIG_IGN);
  bare_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&launch->signal_mask, 0, sizeof launch->signal_mask, 0, 0);
  return execute(launch->argv);
}

static void end(int error) { child_call(SYS_exit_group, error == ENOENT ? 127 : 126, 0, 0); }

#if defined(CLINUX_OWN) && HAS_BARE_CALL

static struct first first __attribute__((aligned(4096)));
_Static_assert(sizeof first == 8192, "two pages, the upper one shared with the stack's first frames");

static int run_first(void *unused) {
  (void)unused;
  first.error = run(&first.launch);
  end(first.error);
  return 0;
}

// Valgrind, by which instructions are counted, ends where it sees such a child. What it makes of this sequence of
// nothing is its documented way to be asked whether it is there.
static bool is_under_valgrind(void) {
  unsigned long answer = 0;
#ifdef __x86_64__
  const unsigned long request[6] = {0x1001};
  __asm__ volatile("rolq $3, %%rdi\n rolq $13, %%rdi\n rolq $61, %%rdi\n rolq $51, %%rdi\n xchgq %%rbx, %%rbx"
                   : "+d"(answer)
                   : "a"(request)
                   : "cc", "memory");
#endif
  return answer != 0;
}

// Whether a child that a signal ends with a core dump before its program runs ends alone. Before Linux 5.16 all that
// share its memory did, and that would be us (zap_threads() in fs/coredump.c).
static bool dies_alone(void) {
  struct utsname kernel;
  if (uname(&kernel) < 0) return false;
  const char *release = kernel.release;
  // "10." and on, "6.", "5.16" to "5.19", which was the last of the fives.
  if (release[0] != '5' || release[1] != '.') return release[1] != '.' || release[0] > '5';
  return release[2] == '1' && release[3] >= '6';
}

static pid_t launch_first(const struct clinux_launch *launch) {
  // Written, and not read first: a page that is read and then written is faulted in twice.
  if (__atomic_exchange_n(&first.is_taken, true, __ATOMIC_RELAXED) || !dies_alone() ||
      is_under_valgrind())
    return -1;
  // The child reads it when we are long gone from here.
  first.launch = *launch;
  return clone(run_first, first.stack + sizeof first.stack, CLONE_VM | SIGCHLD, NULL);
}

static int first_error(void) { return __atomic_load_n(&first.error, __ATOMIC_RELAXED); }

#else

static pid_t launch_first(const struct clinux_launch *launch) { return (void)launch, -1; }
static int first_error(void) { return 0; }

#endif

pid_t clinux_launch(const struct clinux_launch *launch, int *report) {
  int ends[2];
  pid_t pid = launch_first(launch);
  *report = -1;
  if (pid > 0) return pid;
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  pid = fork();
  if (pid == 0) {
    int error = run(launch);
    child_call(SYS_write, ends[1], (long)&error, sizeof error);
    end(error);
  }
  close(ends[1]);
  if (pid > 0)
    *report = ends[0];
  else
    close(ends[0]);
  return pid;
}

int clinux_launch_error(int report) {
  int error = 0;
  if (report < 0) return first_error();
  return read(report, &error, sizeof error) == sizeof error ? error : 0;
}
