// The service that is measured: little enough that the inits are what differs.
// serve exit MICROSECONDS: says when its main began and when it ends, which is so much later.
// serve signals: says "ready", then at each SIGHUP when its handler ran; ends with its parent, at the latest.
// serve signals N: ends after N of them.
// serve orphans N TOGETHER: leaves N orphans to PID 1, so many at a time; when all are reaped it says what that
//   took: PID 1's CPU time, and time, in ns.
// serve work PORT SIGNALS ORPHANS: listens there and rests; tells of so many signals, then leaves so many orphans, 50 at
//   a time, as above; and rests.
#include "times.h"
#include <arpa/inet.h>
#include <sys/socket.h>

static volatile sig_atomic_t handled;

static void handle(int signal) {
  int64_t time = now();
  if (write(1, &time, sizeof time) != sizeof time) _exit(1);
  handled++;
}

static int exit_later(int64_t ns) {
  int64_t told[2] = {now()};
  if (ns > 0) pause_for(ns);
  told[1] = now();
  return write(1, told, sizeof told) == sizeof told ? 0 : 1;
}

static int tell_of_signals(int most) {
  struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
  sigset_t hup, before;
  int64_t ready = 0;
  sigemptyset(&hup);
  sigaddset(&hup, SIGHUP);
  sigprocmask(SIG_BLOCK, &hup, &before);
  sigdelset(&before, SIGHUP);
  sigaction(SIGHUP, &action, NULL);
  if (write(1, &ready, sizeof ready) != sizeof ready) return 1;
  while (most == 0 || handled < most) sigsuspend(&before);
  return 0;
}

// Whether PID 1 has more children than the one that is, or leads to, this process.
static int first_has_others(void) {
  char text[64] = "";
  int fd = open("/proc/1/task/1/children", O_RDONLY);
  ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  close(fd);
  if (size <= 0) exit(3);
  char *rest;
  strtol(text, &rest, 10);
  return strtol(rest, NULL, 10) != 0;
}

// A process forks some children, which end when it has ended: each is an orphan, and each end a signal of its own.
static void leave_behind(int count) {
  int ends[2];
  if (pipe(ends) < 0) exit(3);
  pid_t middle = fork();
  if (middle == 0) {
    for (int i = 0; i < count; i++) {
      if (fork() == 0) {
        char none;
        close(ends[1]);
        _exit(read(ends[0], &none, 1) == 0 ? 0 : 1);
      }
    }
    _exit(0);
  }
  close(ends[0]);
  waitpid(middle, NULL, 0);
  close(ends[1]);
}

static int leave_orphans(int count, int together) {
  int64_t cpu = cpu_time(1), began = now();
  for (int left = count; left > 0; left -= together) {
    leave_behind(left < together ? left : together);
    // One by one means that each is reaped before the next.
    while (together == 1 && first_has_others()) pause_for(200000);
  }
  while (first_has_others()) pause_for(200000);
  int64_t told[2] = {cpu_time(1) - cpu, now() - began};
  return write(1, told, sizeof told) == sizeof told ? 0 : 1;
}

static int work(int port, int signals, int orphans) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 16) < 0) return 1;
  if (tell_of_signals(signals) != 0 || leave_orphans(orphans, 50) != 0) return 1;
  for (;;) pause();
}

int main(int count, char **words) {
  const char *what = count > 1 ? words[1] : "";
  int number = count > 2 ? atoi(words[2]) : 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (strcmp(what, "exit") == 0) return exit_later(number * 1000LL);
  if (strcmp(what, "signals") == 0) return tell_of_signals(number);
  if (strcmp(what, "orphans") == 0) return leave_orphans(number, count > 3 ? atoi(words[3]) : 50);
  if (strcmp(what, "work") == 0 && count == 5) return work(number, atoi(words[3]), atoi(words[4]));
  return 64;
}
