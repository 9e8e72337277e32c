// spend ROUNDS COMMAND... + COMMAND... +: runs the commands in turn. A line a run, in ns: the command's number, the
// time from start to end, and the CPU time, that of its children with it.
#include "times.h"

int main(int count, char **words) {
  char **found[MOST];
  int rounds = atoi(words[1]), programs = commands(words + 2, found);
  int null = open("/dev/null", O_RDWR);
  for (int round = 0; round < rounds; round++) {
    int order[MOST];
    shuffle(order, programs);
    for (int turn = 0; turn < programs; turn++) {
      int program = order[turn];
      int status;
      struct rusage usage;
      int64_t began = now();
      pid_t child = vfork();
      if (child == 0) {
        for (int fd = 0; fd < 3; fd++) dup2(null, fd);
        execv(found[program][0], found[program]);
        _exit(127);
      }
      if (wait4(child, &status, 0, &usage) < 0) return 2;
      int64_t ended = now();
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "%s: status %d\n", found[program][0], status);
        return 1;
      }
      printf("%d %lld %lld\n", program, (long long)(ended - began),
             (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL +
                 (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL);
    }
  }
  return 0;
}
