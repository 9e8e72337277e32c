import Foundation

/// A process that does something with sockets, in python, and keeps them until this value goes: what a test writes
/// goes between the functions below and a wait for the end. Needs python3.
final class SocketScript {
  let run: Running

  /// Runs the lines; they have come to their end when this returns.
  ///
  /// - Parameters:
  ///   - lines: python; what is put into `kept` stays open, `say` tells the test.
  ///   - network: where.
  ///   - limit: how many descriptors it may have.
  ///   - word: what it says when this may return, where that is before the end.
  init(
    _ lines: String, in network: PrivateNetwork, descriptors limit: Int? = nil, until word: String = "done"
  ) throws {
    run = try Running(
      [
        "python3", "-c",
        "\(SocketScript.functions)\n\(lines)\nprint('done', flush=True)\nwhile True: signal.pause()",
      ],
      entering: network.entry + (limit.map { ["prlimit", "--nofile=\($0):", "--"] } ?? []))
    try run.waitForLine(containing: word)
  }

  var pid: pid_t { run.pid }
  /// What it has said.
  var said: [String] { run.output.lines.filter { $0 != "done" } }

  /// Ends it, and with it all that it has open.
  func end() throws {
    try run.signal(SIGKILL)
    _ = try run.waitForExit()
  }

  private static let functions = #"""
    import array, errno, os, select, signal, socket, sys, time
    kept = []
    def say(text): print(text, flush=True)
    def sysctl(name, value):
        with open("/proc/sys/net/ipv4/" + name, "w") as file: file.write(str(value))
    def server(port, reuse=True, backlog=128, address="127.0.0.1", defer=False):
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        if reuse: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if defer: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 600)
        s.bind((address, port))
        s.listen(backlog)
        kept.append(s)
        return s
    def connect(port, address="127.0.0.1"):
        c = socket.create_connection((address, port))
        kept.append(c)
        return c
    # Both ends of a connection to a server.
    def pair(s):
        c = connect(s.getsockname()[1])
        a = s.accept()[0]
        kept.append(a)
        return c, a
    # Waits until so many sockets of a local port are in a state of /proc/net/tcp.
    def settle(port, state, count=1):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            rows = [line.split() for line in open("/proc/net/tcp")]
            if sum(1 for r in rows if r[1].endswith(":%04X" % port) and r[3] == state) == count: return
            time.sleep(0.002)
        sys.exit("port %d never had %d in state %s" % (port, count, state))
    ESTABLISHED, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE_WAIT = "01", "04", "05", "06", "08"
    """#
}

/// `ebb sockets` in a network.
struct SocketsAnswer {
  let exit: Exit
  let output: String
  let errors: String

  var lines: [String] { output.split(separator: "\n").map(String.init) }

  /// What it says is wrong: each with the advice behind it.
  var findings: [String] {
    var findings: [String] = []
    for line in lines {
      if line.hasPrefix("! ") {
        findings.append(String(line.dropFirst(2)))
      } else if line.hasPrefix("    "), let last = findings.popLast() {
        findings.append("\(last)\n\(line.dropFirst(4))")
      }
    }
    return findings
  }

  /// Runs it to its end.
  init(
    _ words: String, in network: PrivateNetwork, behind wrapper: [String] = [],
    environment: [String: String] = [:], ebb: String? = nil
  ) throws {
    let run = try Running(
      wrapper + [try ebb ?? Binary.ebb.path(), "sockets"] + words.split(separator: " ").map(String.init),
      environment: environment, entering: network.entry)
    exit = try run.finish()
    output = run.output.text
    errors = run.errors.text
  }

  /// Its JSON.
  func object() throws -> [String: Any] {
    guard exit == .code(0),
      let object = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
    else { throw Unusable("no JSON: \(output) \(errors)") }
    return object
  }

  /// The counts of its JSON that are not 0.
  static func counts(_ value: Any?) -> [String: Int] {
    (value as? [String: Int] ?? [:]).filter { $0.value > 0 }
  }
}
