// signals ROUNDS PAUSE COMMAND... + COMMAND... +: starts all commands, each with `serve signals` as its service, and
// sends each a SIGHUP in turn, with a pause (µs) before each. A line a signal: the command's number, and the ns
// from kill(2) to the service's handler. At the end a line a command: its number, "cpu", and the CPU time (ns)
// that the init itself took for one signal.
#include "times.h"

int main(int count, char **words) {
  char **found[MOST];
  pid_t process[MOST];
  int from[MOST];
  int64_t cpu[MOST], ready;
  int rounds = atoi(words[1]), gap = atoi(words[2]), programs = commands(words + 3, found), code = 0;
  int null = open("/dev/null", O_RDWR);
  for (int program = 0; program < programs; program++) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return 2;
    process[program] = fork();
    if (process[program] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      setsid();
      unshare(CLONE_NEWNET);
      dup2(null, 0);
      dup2(ends[1], 1);
      dup2(null, 2);
      execv(found[program][0], found[program]);
      _exit(127);
    }
    close(ends[1]);
    from[program] = ends[0];
    if (read(ends[0], &ready, sizeof ready) != sizeof ready || ready != 0) return 2;
  }
  pause_for(200000000);
  for (int program = 0; program < programs; program++) cpu[program] = cpu_time(process[program]);
  for (int round = 0; round < rounds && code == 0; round++) {
    int order[MOST];
    shuffle(order, programs);
    for (int turn = 0; turn < programs; turn++) {
      int program = order[turn];
      int64_t handled, sent;
      struct pollfd answer = {.fd = from[program], .events = POLLIN};
      pause_for(gap * 1000LL);
      sent = now();
      kill(process[program], SIGHUP);
      if (poll(&answer, 1, 5000) != 1 || read(from[program], &handled, sizeof handled) != sizeof handled) {
        fprintf(stderr, "%s: no signal came\n", found[program][0]);
        code = 1;
        break;
      }
      printf("%d %lld\n", program, (long long)(handled - sent));
    }
  }
  for (int program = 0; program < programs; program++) {
    printf("%d cpu %lld\n", program, (long long)(cpu_time(process[program]) - cpu[program]) / rounds);
    kill(process[program], SIGKILL);
    waitpid(process[program], NULL, 0);
  }
  return code;
}
