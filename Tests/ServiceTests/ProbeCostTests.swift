import Foundation
import Testing

/// What an exec probe costs, which every pod pays every few seconds. Alone, so that nothing else is measured.
@Suite(.serialized, .requires(.root, .namespaces, .tool("gcc")))
struct ProbeCostTests {
  /// The least that a program can do to find out that somebody listens.
  private static let check = """
    #include <arpa/inet.h>
    #include <stdlib.h>
    #include <sys/socket.h>
    int main(int count, char **words) {
      struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      return connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address) != 0;
    }
    """

  /// Runs commands in turn, the words of each up to a "--", and prints what one run of each took: microseconds of
  /// user and system time, page faults, and how many failed.
  private static let measure = """
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/resource.h>
    #include <sys/wait.h>
    #include <unistd.h>
    int main(int count, char **words) {
      int rounds = atoi(words[1]), commands = 1;
      char **argv[8] = {words + 2};
      for (int i = 2; i < count; i++)
        if (strcmp(words[i], "--") == 0) words[i] = NULL, argv[commands++] = words + i + 1;
      double time[8] = {0};
      long faults[8] = {0}, failures[8] = {0};
      for (int round = 0; round < rounds; round++)
        for (int c = 0; c < commands; c++) {
          pid_t child = vfork();
          if (child == 0) execv(argv[c][0], argv[c]), _exit(99);
          struct rusage used;
          int status;
          wait4(child, &status, 0, &used);
          time[c] += (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
          faults[c] += used.ru_minflt;
          failures[c] += status != 0;
        }
      for (int c = 0; c < commands; c++)
        printf("%.1f %ld %ld\\n", time[c] / rounds, faults[c] / rounds, failures[c]);
    }
    """

  private func build(_ name: String, _ text: String, in folder: TemporaryFolder) throws -> String {
    let source = try folder.write("\(name).c", text)
    let run = try Running(["gcc", "-O2", "-static", "-o", "\(folder.path)/\(name)", source])
    guard try run.finish() == .code(0) else { throw Unusable("gcc: \(run.errors.text)") }
    return "\(folder.path)/\(name)"
  }

  @Test func readyCostsAsMuchAsAStaticPortCheckInC() throws {
    let folder = try TemporaryFolder()
    let check = try build("check", Self.check, in: folder)
    let measure = try build("measure", Self.measure, in: folder)
    let ebb = try Supervised(["--http", "127.0.0.1:9100"])
    try ebb.waitUntilReady()
    let curl = Tool.path("curl").map {
      ["--", $0, "-s", "-f", "-o", "/dev/null", "http://127.0.0.1:9100/readyz"]
    }
    let before = try ebb.ticks()
    let run = try Running(
      [measure, "200", try Binary.ebb.path(), "ready", "--", check, "8080"] + (curl ?? []),
      environment: ["EBB_CONTROL": "auto"], entering: ebb.network.entry)
    #expect(try run.finish() == .code(0))
    let figures = run.output.lines.map { $0.split(separator: " ").compactMap { Double($0) } }
    #expect(figures.count == (curl == nil ? 2 : 3))
    let ready = figures[0]
    let connect = figures[1]
    for figure in figures { #expect(figure.count == 3 && figure[2] == 0, "\(run.output.text)") }
    func text(_ number: Double) -> String { String(format: "%.2f", number) }
    print(
      "ebb ready: \(ready[0]) µs of CPU, a static C port check: \(connect[0]): \(text(ready[0] / connect[0]))"
    )
    if curl != nil { print("curl: \(figures[2][0]) µs: \(text(figures[2][0] / ready[0])) times as much") }
    print("ebb itself: \(try ebb.ticks() - before) ticks for \(curl == nil ? 200 : 400) probes")
    // Time is for people to read. Page faults are most of it, and the same on every machine and under any load.
    #expect(ready[1] <= connect[1] * 1.3, "\(ready[1]) and \(connect[1]) page faults")
  }
}
