// What chaos.py and soak.py put under ebb and beside it: one small program, told by its words what to do.
//
//   service main VERB...      a service: its verbs in order (see `perform`), then its end
//   service other VERB...     the same, but nobody is told of it
//   service init CMD...       PID 1 where ebb is not: runs CMD, reaps, tells its end and every signal it gets
//   service within N CMD...   runs CMD with N kB of address space
//   service clocked FD CMD... runs CMD with a wall clock of its own: who has the other end of the socket FD answers
//   service bystander         a stranger: tells every signal that it gets
//   service signals PID N S   sends N signals S, each of them queued, sigqueue(3)
//   service requests @NAME N REQUEST    asks ebb N times, a connection each
//   service connections PORT N TEXT     N connections, closed after an answer
//
// What the driver has to know is written to descriptor 9, a line each: at most PIPE_BUF, so lines stay whole.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REPORTS = 9, CONNECTIONS = 256 };

static void tell(const char *what, long number) {
  char line[64];
  int length = snprintf(line, sizeof line, "%s %ld\n", what, number);
  if (write(REPORTS, line, (size_t)length) < 0) _exit(99);
}

static void nap(long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (nanosleep(&time, &time) < 0 && errno == EINTR) continue;
}

static long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void end(int code) {
  // No handler may end it in another way between the word and the deed.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  tell("exit", code);
  _exit(code);
}

static void crash(int number) {
  signal(number, SIG_DFL);
  tell("crash", number);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, number);
  sigprocmask(SIG_UNBLOCK, &one, NULL);
  raise(number);
  // As PID 1's child it has no protection; a signal that does not end a process is the driver's mistake.
  end(98);
}

// MARK: - Signals

static struct { int code; long delay; } endings[65];
static volatile long caught;

static void onCaught(int number) { (void)number, caught++; }

static void onEnding(int number) {
  nap(endings[number].delay);
  end(endings[number].code);
}

static void handle(int number, void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigaction(number, &action, NULL);
}

// MARK: - Its tree

static int listener = -1;

// Forks with every signal blocked, so that no child of it runs the service's handlers and speaks for it.
static pid_t split(sigset_t *before) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, before);
  pid_t child = fork();
  if (child == 0) {
    close(REPORTS);
    for (int number = 1; number <= 64; number++) signal(number, SIG_DFL);
  }
  sigprocmask(SIG_SETMASK, before, NULL);
  return child;
}

// What a child of the service is; none comes back.
static _Noreturn void live(const char *kind) {
  if (listener >= 0) close(listener);
  if (!strcmp(kind, "zombie")) _exit(3);
  if (!strcmp(kind, "session")) setsid();
  if (!strcmp(kind, "stubborn"))
    for (int number = 1; number <= 64; number++) signal(number, SIG_IGN);
  if (!strcmp(kind, "stopped")) raise(SIGSTOP);
  if (!strcmp(kind, "deep")) {
    for (int depth = 0; depth < 5; depth++)
      if (fork() > 0) break;
  }
  if (!strcmp(kind, "orphan") || !strcmp(kind, "stranded")) {
    // Double fork: the grandchild is ebb's from now on. A stranded one ignores TERM as well.
    if (fork() > 0) _exit(0);
    setsid();
    if (!strcmp(kind, "stranded")) signal(SIGTERM, SIG_IGN);
  }
  if (!strcmp(kind, "brief")) {
    if (fork() > 0) _exit(0);
    _exit(5);
  }
  if (!strcmp(kind, "growing")) {
    // It goes on making children of its own, bounded: 200 in two seconds.
    for (int count = 0; count < 200; count++) {
      if (fork() == 0) nap(300), _exit(0);
      nap(10);
    }
  }
  for (;;) pause();
}

// MARK: - Serving

static struct { int descriptor; long due; } connections[CONNECTIONS];
static int isUnread;
static long answerDelay, answerSize = 3;

static char answer[1 << 20] = "ok\n";

static void takeConnection(void) {
  int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor < 0) return;
  for (int index = 0; index < CONNECTIONS; index++)
    if (connections[index].descriptor == 0) {
      connections[index].descriptor = descriptor;
      connections[index].due = 0;
      tell("accepted", index);
      return;
    }
  close(descriptor);
}

static void drop(int index) {
  close(connections[index].descriptor);
  connections[index].descriptor = 0;
}

// Answers each line `answerDelay` after it came, until `until`; a negative one: for ever.
static void serve(long until) {
  for (;;) {
    struct pollfd look[CONNECTIONS + 1];
    int which[CONNECTIONS + 1], count = 0;
    long wait = until < 0 ? -1 : until - now();
    if (until >= 0 && wait <= 0) return;
    if (listener >= 0) look[count++] = (struct pollfd){.fd = listener, .events = POLLIN};
    int first = count;
    for (int index = 0; index < CONNECTIONS && !isUnread; index++) {
      if (connections[index].descriptor == 0) continue;
      if (connections[index].due) {
        long left = connections[index].due - now();
        if (left < 0) left = 0;
        if (wait < 0 || left < wait) wait = left;
        continue;
      }
      which[count] = index;
      look[count++] = (struct pollfd){.fd = connections[index].descriptor, .events = POLLIN};
    }
    if (poll(look, (nfds_t)count, (int)wait) < 0 && errno != EINTR) nap(10);
    if (first && look[0].revents) takeConnection();
    for (int place = first; place < count; place++) {
      if (!look[place].revents) continue;
      char bytes[4096];
      ssize_t got = read(look[place].fd, bytes, sizeof bytes);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) drop(which[place]);
      if (got > 0) connections[which[place]].due = now() + answerDelay;
    }
    for (int index = 0; index < CONNECTIONS; index++)
      if (connections[index].descriptor && connections[index].due && connections[index].due <= now()) {
        connections[index].due = 0;
        // As much of it as goes at once: the rest is the service's own to lose.
        if (send(connections[index].descriptor, answer, (size_t)answerSize, MSG_NOSIGNAL) < 0) drop(index);
      }
  }
}

static void listenOn(int port) {
  listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 128) < 0) end(97);
}

static void notify(const char *text) {
  const char *path = getenv("NOTIFY_SOCKET");
  if (!path) return;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address.sun_path));
  if (address.sun_path[0] == '@') address.sun_path[0] = 0;
  int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sendto(descriptor, text, strlen(text), MSG_DONTWAIT, (struct sockaddr *)&address, length);
  close(descriptor);
}

// MARK: - The service

static int perform(char **words) {
  const char *verb = words[0], *first = words[1] ? words[1] : "0";
  int number = atoi(first);
  sigset_t before;
  if (!strcmp(verb, "up")) return tell("up", getpid()), 1;
  if (!strcmp(verb, "stopself")) return raise(SIGSTOP), 1;
  if (!strcmp(verb, "serve")) return serve(-1), 1;
  if (!strcmp(verb, "unread")) return isUnread = 1;
  if (!strcmp(verb, "hang")) for (;;) pause();
  if (!strcmp(verb, "fds")) {
    // So many, or as many as it may have; what it forks later has them too.
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if ((rlim_t)number < limit.rlim_cur) limit.rlim_cur = (rlim_t)number;
    setrlimit(RLIMIT_NOFILE, &limit);
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) continue;
    return 2;
  }
  if (!strcmp(verb, "catch")) return handle(number, onCaught), 2;
  if (!strcmp(verb, "ignore")) return signal(number, SIG_IGN), 2;
  if (!strcmp(verb, "wait")) return serve(now() + number), 2;
  if (!strcmp(verb, "exit")) end(number);
  if (!strcmp(verb, "crash")) crash(number);
  if (!strcmp(verb, "listen")) return listenOn(number), 2;
  if (!strcmp(verb, "delay")) return answerDelay = number, 2;
  if (!strcmp(verb, "answer")) return answerSize = number < 3 ? 3 : number, 2;
  if (!strcmp(verb, "notify")) return notify(first), 2;
  if (!strcmp(verb, "block") || !strcmp(verb, "await")) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    if (verb[0] == 'b') sigprocmask(SIG_BLOCK, &one, NULL);
    else while (sigwaitinfo(&one, NULL) < 0) continue;
    return 2;
  }
  if (!strcmp(verb, "memory")) {
    // To the limit, and every page of it touched, a MiB at a time.
    struct rlimit limit = {(rlim_t)number << 20, (rlim_t)number << 20};
    setrlimit(RLIMIT_AS, &limit);
    for (char *block; (block = malloc(1 << 20)); memset(block, 1, 1 << 20)) continue;
    return 2;
  }
  if (!strcmp(verb, "processes")) {
    // As a user of its own, for whom the limit holds: one more than it may have is tried.
    struct rlimit limit = {20, 20};
    if (setgroups(0, NULL) < 0 || setgid((gid_t)number) < 0 || setuid((uid_t)number) < 0) return 2;
    setrlimit(RLIMIT_NPROC, &limit);
    for (int count = 0; count < 40; count++)
      if (split(&before) == 0) live("sleeping");
    return 2;
  }
  if (!strcmp(verb, "pelt")) {
    // Its own init, with real-time signals that it ignores.
    for (int count = 0; count < number; count++) kill(getppid(), SIGRTMIN + 5 + count % 20);
    return 2;
  }
  if (!strcmp(verb, "end")) {
    int signalNumber = number;
    endings[signalNumber].code = atoi(words[2]);
    endings[signalNumber].delay = atol(words[3]);
    return handle(signalNumber, onEnding), 4;
  }
  if (!strcmp(verb, "fork")) {
    int count = atoi(words[2]);
    while (count-- > 0)
      if (split(&before) == 0) live(first);
    return 3;
  }
  if (!strcmp(verb, "orphans")) {
    // That many, fifty from each parent, which goes before it has reaped any.
    long left = number;
    while (left > 0) {
      volatile int some = left < 50 ? (int)left : 50;
      int status;
      left -= some;
      pid_t parent = split(&before);
      if (parent < 0) break;
      if (parent == 0) {
        while (some > 0) {
          some = some - 1;
          if (vfork() == 0) _exit(0);
        }
        _exit(0);
      }
      while (waitpid(parent, &status, 0) < 0 && errno == EINTR) continue;
    }
    tell("orphans", number);
    return 2;
  }
  if (!strcmp(verb, "count")) {
    // Counts a signal until another (TERM) comes; tells how many it was.
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, number);
    sigaddset(&both, SIGTERM);
    sigprocmask(SIG_BLOCK, &both, NULL);
    tell("up", getpid());
    long count = 0;
    for (;;) {
      int got = sigwaitinfo(&both, NULL);
      if (got == number) count++;
      if (got == SIGTERM) break;
    }
    struct timespec none = {0, 0};
    sigdelset(&both, SIGTERM);
    while (sigtimedwait(&both, NULL, &none) == number) count++;
    tell("count", count);
    return 2;
  }
  fprintf(stderr, "service: no such verb: %s\n", verb);
  end(96);
  return 1;
}

// MARK: - Beside ebb

static _Noreturn void bystand(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  tell("stands", getpid());
  for (;;) {
    int number = sigwaitinfo(&all, NULL);
    if (number > 0) tell("struck", number);
  }
}

static _Noreturn void init(char **command) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  pid_t ebb = fork();
  if (ebb == 0) {
    sigprocmask(SIG_UNBLOCK, &all, NULL);
    execv(command[0], command);
    _exit(95);
  }
  for (;;) {
    int status, number = sigwaitinfo(&all, NULL);
    if (number > 0 && number != SIGCHLD) tell("struck", number);
    for (siginfo_t ended = {0}; waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid;) {
      // While nobody has waited for it, what it waited for itself can be read: in ns, for a processor.
      long long waited = 0;
      char path[64];
      snprintf(path, sizeof path, "/proc/%d/schedstat", ended.si_pid);
      FILE *file = ended.si_pid == ebb ? fopen(path, "r") : NULL;
      if (file && fscanf(file, "%*d %lld", &waited) == 1) tell("waited", waited / 1000000);
      if (file) fclose(file);
      waitpid(ended.si_pid, &status, 0);
      if (ended.si_pid == ebb) tell("ended", status);
      ended.si_pid = 0;
    }
  }
}

static _Noreturn void within(long kilobytes, char **command) {
  struct rlimit limit = {(rlim_t)kilobytes << 10, (rlim_t)kilobytes << 10};
  setrlimit(RLIMIT_AS, &limit);
  execv(command[0], command);
  _exit(95);
}

static _Noreturn void clocked(int channel, char **command) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_REALTIME, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  // Who is not root has to renounce set-user-ID programs.
  if (geteuid() != 0) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  char byte = 0, space[CMSG_SPACE(sizeof listener)] = {0};
  struct iovec content = {&byte, 1};
  struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
  if (listener >= 0) {
    message.msg_control = space;
    message.msg_controllen = sizeof space;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof listener);
    memcpy(CMSG_DATA(header), &listener, sizeof listener);
  }
  sendmsg(channel, &message, MSG_NOSIGNAL);
  close(channel);
  execv(command[0], command);
  _exit(95);
}

static int sendSignals(pid_t process, long count, int number) {
  union sigval value = {0};
  while (count > 0) {
    if (sigqueue(process, number, value) == 0) count--;
    else if (errno == EAGAIN) sched_yield();
    else return 1;
  }
  return 0;
}

static int makeRequests(const char *name, long count, const char *request) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path + 1, name + 1, sizeof address.sun_path - 2);
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
  while (count-- > 0) {
    char answer[65536];
    int descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(descriptor, (struct sockaddr *)&address, length) < 0) return 1;
    if (send(descriptor, request, strlen(request), MSG_NOSIGNAL) < 0) return 2;
    if (recv(descriptor, answer, sizeof answer, 0) <= 0) return 3;
    close(descriptor);
  }
  return 0;
}

static int makeConnections(int port, long count, const char *text) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  while (count-- > 0) {
    char answer[65536];
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // Closed with a reset, so that no TIME_WAIT keeps the port from the next one.
    struct linger none = {1, 0};
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0) return 1;
    if (send(descriptor, text, strlen(text), MSG_NOSIGNAL) < 0) return 2;
    if (recv(descriptor, answer, sizeof answer, 0) <= 0) return 3;
    close(descriptor);
  }
  return 0;
}

int main(int count, char **words) {
  if (count < 2) return 64;
  if (!strcmp(words[1], "init")) init(words + 2);
  if (!strcmp(words[1], "within")) within(atol(words[2]), words + 3);
  if (!strcmp(words[1], "clocked")) clocked(atoi(words[2]), words + 3);
  if (!strcmp(words[1], "bystander")) bystand();
  if (!strcmp(words[1], "signals")) return sendSignals(atoi(words[2]), atol(words[3]), atoi(words[4]));
  if (!strcmp(words[1], "requests")) return makeRequests(words[2], atol(words[3]), words[4]);
  if (!strcmp(words[1], "connections")) return makeConnections(atoi(words[2]), atol(words[3]), words[4]);
  if (!strcmp(words[1], "other")) dup2(open("/dev/null", O_WRONLY), REPORTS);
  for (words += 2; *words;) words += perform(words);
  end(0);
}
