// From one program to two: fork(2), and the child's side of it up to its program.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux.h"

#include <sys/ioctl.h>

// execve(2), and for a file that is no program to the kernel, /bin/sh, as execvp(3) of glibc has it and musl's does not.
static void execute_file(const char *path, char *const *argv) {
  execve(path, argv, environ);
  if (errno != ENOEXEC) return;
  size_t count = 0;
  while (argv[count] != NULL) count++;
  const char **shell = malloc((count + 2) * sizeof *shell);
  if (shell == NULL) return;
  shell[0] = "/bin/sh";
  shell[1] = path;
  for (size_t i = 1; i <= count; i++) shell[i + 1] = argv[i];
  execve(shell[0], (char *const *)shell, environ);
}

// execvp(3), the same with every libc; comes back only where it fails, with errno.
static void execute(char *const *argv) {
  const char *name = argv[0], *path = getenv("PATH");
  size_t length = strlen(name);
  if (length == 0) {
    errno = ENOENT;
    return;
  }
  if (strchr(name, '/') != NULL) return execute_file(name, argv);
  if (path == NULL) path = "/usr/local/bin:/bin:/usr/bin";
  bool is_forbidden = false;
  for (const char *folder = path;; folder++) {
    char file[PATH_MAX];
    size_t size = strcspn(folder, ":");
    // What is too long is in no folder.
    if (size + 1 + length < sizeof file) {
      memcpy(file, folder, size);
      // An empty one is the working directory.
      if (size > 0) file[size] = '/';
      memcpy(file + size + (size > 0), name, length + 1);
      execute_file(file, argv);
      if (errno == EACCES)
        is_forbidden = true;
      else if (errno != ENOENT && errno != ENOTDIR && errno != ESTALE && errno != ENODEV && errno != ETIMEDOUT)
        return;
    }
    folder += size;
    if (*folder == 0) break;
  }
  errno = is_forbidden ? EACCES : ENOENT;
}

// The child's whole life, up to its program; where there is none, errno says why.
static void become(const struct clinux_launch *launch) {
  // Every signal is still blocked, SIGTTOU among them, which is what lets tcsetpgrp(3) work from a process group in the
  // background.
  if (launch->new_session) setsid();
  if (launch->new_group) setpgid(0, 0);
  // Not by force: a session that still has the terminal keeps it.
  if (launch->take_terminal) ioctl(STDIN_FILENO, TIOCSCTTY, 0);
  if (launch->terminal >= 0) tcsetpgrp(launch->terminal, getpid());
  if (launch->default_signals)
    for (int number = 1; number < 32; number++) signal(number, SIG_DFL);
  if (launch->ignore_sigchld) signal(SIGCHLD, SIG_IGN);
  clinux_sigprocmask(SIG_SETMASK, &launch->signal_mask, NULL);
  execute(launch->argv);
}

pid_t clinux_launch(const struct clinux_launch *launch, int *report) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    become(launch);
    int error = errno;
    // What is not told is still told apart by the exit code.
    (void)!write(ends[1], &error, sizeof error);
    _exit(error == ENOENT ? 127 : 126);
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
  return read(report, &error, sizeof error) == sizeof error ? error : 0;
}
