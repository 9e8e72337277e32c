// What the C programs here share: the clock, and how an init is started.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static inline void pause_for(int64_t ns) {
  struct timespec time = {ns / 1000000000, ns % 1000000000};
  nanosleep(&time, NULL);
}

// What the process has had of a processor, in ns: the first number of /proc/PID/schedstat.
static inline int64_t cpu_time(pid_t process) {
  char name[64];
  long long ns = -1;
  snprintf(name, sizeof name, "/proc/%d/schedstat", process);
  FILE *file = fopen(name, "r");
  if (file == NULL || fscanf(file, "%lld", &ns) != 1) ns = -1;
  if (file != NULL) fclose(file);
  return ns;
}

// The commands of a command line, each closed by a word that is "+": found in place.
#define MOST 32
static inline int commands(char **words, char ***found) {
  int count = 0;
  for (char **first = words; *words != NULL; words++) {
    if (strcmp(*words, "+") != 0) continue;
    *words = NULL;
    if (count < MOST) found[count++] = first;
    first = words + 1;
  }
  return count;
}

// Another order of so many for each round, the same in each run of the benchmark: none always comes behind the same,
// whose caches it finds.
static inline void shuffle(int *order, int count) {
  static unsigned seed = 1;
  for (int i = 0; i < count; i++) order[i] = i;
  for (int i = count - 1; i > 0; i--) {
    int j = rand_r(&seed) % (i + 1), other = order[i];
    order[i] = order[j];
    order[j] = other;
  }
}
