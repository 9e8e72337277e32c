// launch ROUNDS COMMAND... + COMMAND... +: starts the commands in turn, each as a runtime starts the first process
// of a container (a session of its own), and waits for it. Its service is `serve`, below, which tells when it began
// and when it ended. A line a launch, in ns: the command's number; start to the service's main; the service's end to
// the end of the command; start to end; CPU of both.
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
      int ends[2], status;
      int64_t told[2];
      struct rusage usage;
      if (pipe2(ends, O_CLOEXEC) < 0) return 2;
      int64_t began = now();
      pid_t child = vfork();
      if (child == 0) {
        setsid();
        dup2(null, 0);
        dup2(ends[1], 1);
        dup2(null, 2);
        execv(found[program][0], found[program]);
        _exit(127);
      }
      if (wait4(child, &status, 0, &usage) < 0) return 2;
      int64_t ended = now();
      close(ends[1]);
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || read(ends[0], told, sizeof told) != sizeof told) {
        fprintf(stderr, "%s: status %d\n", found[program][0], status);
        return 1;
      }
      close(ends[0]);
      int64_t cpu = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL +
                    (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL;
      printf("%d %lld %lld %lld %lld\n", program, (long long)(told[0] - began), (long long)(ended - told[1]),
             (long long)(ended - began), (long long)cpu);
    }
  }
  return 0;
}
