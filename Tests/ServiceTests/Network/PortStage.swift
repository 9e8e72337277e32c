import Foundation

/// A process that brings ports into every state that a port can be in, and keeps them there; and one that asks
/// bind(2) itself, in every manner, with nothing of ebb's in it. Needs python3.
final class PortStage {
  /// A port and what was done to it.
  struct Scene {
    let name: String
    /// Whether the server of old had set SO_REUSEADDR.
    let reuses: Bool
    let port: UInt16
    let isUDP: Bool
    /// Whether somebody listens on it.
    let listens: Bool
    /// The process that holds it.
    let pid: pid_t

    /// As ebb's command line names it.
    var word: String { isUDP ? "\(port)/udp" : "\(port)" }
  }

  /// All of them.
  let scenes: [Scene]
  private let run: Running
  private let network: PrivateNetwork

  /// Sets the stage.
  ///
  /// - Parameters:
  ///   - names: which scenes; empty is every one.
  ///   - first: the first one's port; the others' follow.
  init(_ names: String..., from first: UInt16 = 8001, in network: PrivateNetwork) throws {
    self.network = network
    run = try Running(
      ["python3", "-c", PortStage.program, "\(first)"] + names, entering: network.entry)
    try run.waitForLine(containing: "ready")
    scenes = run.output.lines.compactMap { line in
      let words = line.split(separator: " ")
      guard words.count == 6, let port = UInt16(words[2]), let pid = pid_t(words[5]) else { return nil }
      return Scene(
        name: String(words[0]), reuses: words[1] == "1", port: port, isUDP: words[3] == "udp",
        listens: words[4] == "1", pid: pid)
    }
  }

  /// A scene by its name.
  func scene(_ name: String, reuses: Bool = true) throws -> Scene {
    guard let scene = scenes.first(where: { $0.name == name && $0.reuses == reuses }) else {
      throw Unusable("no scene \(name): \(run.output.text) \(run.errors.text)")
    }
    return scene
  }

  /// A process that inherited a scene's socket.
  func child(of scene: Scene) throws -> pid_t {
    let line = run.output.lines.first { $0.hasPrefix("child ") && $0.hasSuffix(" \(scene.port)") }
    guard let pid = line.flatMap({ pid_t($0.split(separator: " ")[1]) }) else {
      throw Unusable("no child: \(run.output.text)")
    }
    return pid
  }

  /// Ends everything that is on it.
  func end() throws {
    try run.signal(SIGKILL)
    _ = try run.waitForExit()
  }

  /// How a server may ask for a port, in ebb's words.
  static let manners = [
    "", "--strict", "--address 127.0.0.1", "--address 127.0.0.2", "--address 0.0.0.0", "--address ::1",
    "--address ::", "--address ::ffff:127.0.0.1", "--strict --address 127.0.0.1",
    // The last, and in this order: once the kernel has let a socket in because of SO_REUSEPORT, it lets others in
    // that it would have refused, as long as anybody is on the port.
    "--reuseport --strict", "--reuseport",
  ]

  /// What bind(2) says to a fresh process: whether each scene's port is free, in each manner.
  func oracle() throws -> [String: Bool] {
    let run = try Running(
      ["python3", "-c", PortStage.binder] + scenes.map(\.word), entering: network.entry)
    guard try run.finish() == .code(0) else { throw Unusable("the oracle failed: \(run.errors.text)") }
    var answers: [String: Bool] = [:]
    for line in run.output.lines {
      let parts = line.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
      answers["\(parts[0])|\(parts[1])"] = parts[2] == "1"
    }
    return answers
  }

  private static let program = #"""
    import os, select, signal, socket, sys, time
    TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
    kept = []
    def new(reuse, family=socket.AF_INET, type=TCP):
        s = socket.socket(family, type)
        if reuse: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return s
    def server(port, reuse, address="127.0.0.1", only6=False, share=False, defer=False):
        s = new(reuse, socket.AF_INET6 if ":" in address else socket.AF_INET)
        if ":" in address: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only6))
        if share: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if defer: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 600)
        s.bind((address, port))
        s.listen(16)
        return s
    # The two ends of a connection, the client's receive buffer so small that the server can fill it.
    def pair(s, port):
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.connect(("127.0.0.1", port))
        return c, s.accept()[0]
    def fill(a):
        a.setblocking(False)
        try:
            while True: a.send(bytes(1 << 16))
        except BlockingIOError: pass
    # Waits until a socket of the port is in a state of /proc/net/tcp ("" for none at all).
    def settle(port, state):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            found = [l.split()[3] for l in open("/proc/net/tcp") if l.split()[1].endswith(":%04X" % port)]
            if (state in found) if state else not found: return
            time.sleep(0.002)
        sys.exit("port %d never came into state %s" % (port, state))

    def nothing(port, reuse): pass
    def listening(port, reuse): return [server(port, reuse)]
    def everywhere4(port, reuse): return [server(port, reuse, "0.0.0.0")]
    def everywhere(port, reuse): return [server(port, reuse, "::")]
    def only6(port, reuse): return [server(port, reuse, "::", only6=True)]
    def loopback6(port, reuse): return [server(port, reuse, "::1")]
    def both(port, reuse): return [server(port, reuse, "0.0.0.0"), server(port, reuse, "::", only6=True)]
    def shared(port, reuse): return [server(port, reuse, share=True), server(port, reuse, share=True)]
    def established(port, reuse):
        s = server(port, reuse); ends = pair(s, port); s.close(); return ends
    def fin_wait1(port, reuse):
        s = server(port, reuse); c, a = pair(s, port); fill(a); s.close(); a.close()
        settle(port, "04"); return [c]
    def closing(port, reuse):
        c, = fin_wait1(port, reuse); c.shutdown(socket.SHUT_WR)
        settle(port, "0B"); return [c]
    def fin_wait2(port, reuse):
        s = server(port, reuse); c, a = pair(s, port); s.close(); a.close()
        settle(port, "05"); return [c]
    def time_wait(port, reuse):
        c, = fin_wait2(port, reuse); c.close()
        settle(port, "06")
    def close_wait(port, reuse):
        s = server(port, reuse); c, a = pair(s, port); s.close(); c.close()
        settle(port, "08"); return [a]
    def last_ack(port, reuse):
        s = server(port, reuse); c, a = pair(s, port); fill(a); s.close(); c.shutdown(socket.SHUT_WR)
        settle(port, "08"); a.close(); settle(port, "09"); return [c]
    def client_first(port, reuse):
        s = server(port, reuse); c, a = pair(s, port); s.close(); c.close()
        settle(port, "08"); a.close(); settle(port, "")
    def reset(port, reuse):
        s = server(port, reuse); c, a = pair(s, port); s.close()
        a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        a.close(); c.close(); settle(port, "")
    def syn_received(port, reuse):
        s = server(port, reuse, defer=True); c = socket.socket(); c.connect(("127.0.0.1", port))
        settle(port, "03"); return [s, c]
    def syn_sent(port, reuse):
        # A listener whose queue is full answers no SYN.
        full = socket.socket(); full.bind(("127.0.0.1", 0)); full.listen(0)
        first = socket.socket(); first.connect(full.getsockname())
        c = new(reuse); c.bind(("127.0.0.1", port)); c.setblocking(False); c.connect_ex(full.getsockname())
        settle(port, "02"); return [full, first, c]
    def outgoing(port, reuse):
        # The kernel chooses the port, from a range of one.
        s = socket.create_server(("127.0.0.1", 0))
        c = new(reuse)
        name = "/proc/sys/net/ipv4/ip_local_port_range"
        with open(name) as f: before = f.read()
        with open(name, "w") as f: f.write("%d %d" % (port, port))
        c.connect(s.getsockname())
        with open(name, "w") as f: f.write(before)
        a = s.accept()[0]; s.close(); return [c, a]
    def bound(port, reuse): s = new(reuse); s.bind(("127.0.0.1", port)); return [s]
    def bound_everywhere(port, reuse): s = new(reuse); s.bind(("0.0.0.0", port)); return [s]
    def bound6(port, reuse):
        s = new(reuse, socket.AF_INET6); s.bind(("::", port)); return [s]
    # A child with a server of its own, which accepts one connection and never reads it.
    def child(port, reuse):
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            for s in kept: s.close()
            s = server(port, reuse)
            os.write(w, b"."); accepted = s.accept(); os.write(w, b"."); signal.pause()
        os.close(w); os.read(r, 1)
        return pid, r
    def inherited(port, reuse):
        # The parent makes it, forks, and dies: the child's only parent now is init.
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            for s in kept: s.close()
            s = server(port, reuse)
            if os.fork() == 0:
                os.write(w, b"%d\n" % os.getpid()); os.close(w); signal.pause()
            os._exit(0)
        os.close(w)
        os.waitpid(pid, 0)
        with os.fdopen(r) as f: return int(f.readline())
    def shared_with_child(port, reuse):
        s = server(port, reuse)
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            for other in kept: other.close()
            os.write(w, b"."); signal.pause()
        os.read(r, 1); os.close(r); os.close(w)
        return [s, "child %d" % pid]
    def stopped(port, reuse):
        pid, r = child(port, reuse); os.close(r)
        os.kill(pid, signal.SIGSTOP); os.waitpid(pid, os.WUNTRACED); return pid
    def killed_with_unread_data(port, reuse):
        pid, r = child(port, reuse)
        c = socket.socket(); c.connect(("127.0.0.1", port)); c.send(bytes(1000)); os.read(r, 1); os.close(r)
        os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0); settle(port, "")
        return [c]
    def datagrams(port, reuse): s = new(reuse, type=UDP); s.bind(("127.0.0.1", port)); return [s]
    def datagrams6(port, reuse):
        s = new(reuse, socket.AF_INET6, UDP); s.bind(("::", port)); return [s]
    def datagrams_only6(port, reuse):
        s = new(reuse, socket.AF_INET6, UDP); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind(("::", port)); return [s]
    def datagrams_connected(port, reuse):
        s = new(reuse, type=UDP); s.bind(("127.0.0.1", port)); s.connect(("127.0.0.1", 9)); return [s]
    def datagrams_shared(port, reuse):
        s = new(reuse, type=UDP); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(("127.0.0.1", port)); return [s]
    def datagrams_nothing(port, reuse): pass

    listeners = [listening, everywhere4, everywhere, only6, loopback6, both, shared, syn_received, inherited,
        shared_with_child, stopped]
    udp = [datagrams, datagrams6, datagrams_only6, datagrams_connected, datagrams_shared, datagrams_nothing]
    scenes = listeners + [nothing, established, fin_wait1, closing, fin_wait2, close_wait, last_ack,
        client_first, reset, syn_sent, outgoing, bound, bound_everywhere, bound6, killed_with_unread_data,
        time_wait] + udp
    port, wanted = int(sys.argv[1]), sys.argv[2:]
    for scene in scenes:
        if wanted and scene.__name__ not in wanted: continue
        for reuse in [True, False]:
            held = scene(port, reuse)
            pid = held if isinstance(held, int) else os.getpid()
            listens = scene in listeners or scene in [datagrams, datagrams6, datagrams_only6, datagrams_shared]
            if not isinstance(held, int): kept += [s for s in held or [] if not isinstance(s, str)]
            print(scene.__name__, int(reuse), port, "udp" if scene in udp else "tcp", int(listens), pid, flush=True)
            for s in held if isinstance(held, (list, tuple)) else []:
                if isinstance(s, str): print(s, port, flush=True)
            port += 1
    print("ready", flush=True)
    signal.pause()
    """#

  private static let binder = #"""
    import errno, socket, sys
    def binds(port, udp, address, reuse, share):
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
            socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        if reuse and not udp: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try: s.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE: raise
            return False
        finally: s.close()
        return True
    for word in sys.argv[1:]:
        port, udp = int(word.split("/")[0]), word.endswith("/udp")
        for manner in MANNERS:
            words = manner.split()
            address = words[words.index("--address") + 1] if "--address" in words else None
            free = all(binds(port, udp, one, "--strict" not in words, "--reuseport" in words)
                for one in ([address] if address else ["::", "0.0.0.0"]))
            print("%s|%s|%d" % (word, manner, free))
    """#.replacingOccurrences(of: "MANNERS", with: "\(manners)")
}
