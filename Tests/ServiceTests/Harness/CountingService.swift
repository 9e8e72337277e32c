/// A service that tells which signals it gets: it blocks all 64 and reads them from a signalfd, as no handler
/// could (libc keeps 32 and 33 for itself). Needs python3, and perl to make orphans.
///
/// It prints "counting PID", then "got N" for each; at RTMAX (64), which the kernel delivers after all others,
/// "total N COUNT" for each number, and exits with 0.
enum CountingService {
  /// What else it does.
  enum Option: String {
    /// Exits with 0 at any of the signals that stop a server.
    case stops
    /// Has a child that counts too, whose lines begin with "child ".
    case child
    /// Does not print every signal.
    case silent
    /// Has 20,000 orphans made while it counts: 20 times 1,000, each time with the line "made".
    case orphans
  }

  /// The words that start it; `name` is what the kernel is told to call it, as a program's file would be.
  static func words(_ options: Option..., name: String = "") -> [String] {
    ["python3", "-c", program, name] + options.map(\.rawValue)
  }

  private static let program = #"""
    import ctypes, os, platform, struct, sys
    name, options = sys.argv[1], sys.argv[2:]
    if name: open("/proc/self/comm", "w").write(name)
    libc = ctypes.CDLL(None)
    sigprocmask, signalfd4 = {"x86_64": (14, 289), "aarch64": (135, 74)}[platform.machine()]
    every = ctypes.c_uint64(2**64 - 1)
    libc.syscall(sigprocmask, 2, ctypes.byref(every), None, ctypes.c_long(8))
    file = libc.syscall(signalfd4, -1, ctypes.byref(every), ctypes.c_long(8), 0)
    who = ""
    if "child" in options and os.fork() == 0: who = "child "
    def say(text): os.write(1, (who + text + "\n").encode())
    if "orphans" in options and os.fork() == 0:
        # In perl, whose fork is quick. (A shell reaps its own children, so they become nobody's orphans.)
        os.execvp("perl", ["perl", "-e", """
            $| = 1;
            for (1..20) {
              my $helper = fork;
              if (!$helper) { for (1..1000) { fork or kill 9, $$ } kill 9, $$ }
              waitpid $helper, 0;
              print "made\n";
            }"""])
    say("counting %d" % os.getpid())
    counts = {}
    while True:
        data = os.read(file, 128 * 64)
        for at in range(0, len(data), 128):
            number, _, code = struct.unpack_from("iii", data, at)
            if number == 17 and code > 0: continue
            counts[number] = counts.get(number, 0) + 1
            if "silent" not in options: say("got %d" % number)
            if number == 64:
                for one in sorted(counts): say("total %d %d" % (one, counts[one]))
                os._exit(0)
            if "stops" in options and number in (2, 3, 10, 12, 15, 28): os._exit(0)
    """#
}
