// contain COMMAND...: runs it as PID 1 of namespaces of its own (processes, network, mounts), as a container's
// runtime does. Ends when it ends, and it with us.
#include "times.h"
#include <sys/mount.h>

int main(int count, char **words) {
  int status;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (unshare(CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS) < 0) return 125;
  pid_t first = fork();
  if (first == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("proc", "/proc", "proc", 0, NULL) < 0) return 125;
    execvp(words[1], words + 1);
    return 127;
  }
  waitpid(first, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
