import Foundation
import Testing

/// Which listening sockets are the service's, and what becomes of its ports.
struct NetworkOwnerTests {
  /// Words that take the right to look into another user's process, as Docker does.
  private static let asInDocker = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all"]
  private static let asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

  @Test(.requires(.root, .namespaces)) func thePortsThatAreNamedAreTheServices() throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb(["--ports", "8080,9090"], in: network)
    #expect(try run.stop().exit == .code(0))
    #expect(run.report.hasPrefix("ebb: released: 8080 free, 9090 free; "))
  }

  @Test(.requires(.root, .namespaces)) func theServicesDescriptorsTellWhatItListensOn() throws {
    let network = try PrivateNetwork()
    let before = try Stranger(.listening, at: "127.0.0.1", 7070, in: network)
    let run = try Running.ebb([], in: network)
    let after = try Stranger(.listening, at: "127.0.0.1", 7071, in: network)
    #expect(try run.stop().exit == .code(0))
    #expect(run.report.hasPrefix("ebb: released: 8080 free; "))
    withExtendedLifetime((before, after)) {}
  }

  @Test(.requires(.root, .namespaces, .cgroups), arguments: [false, true])
  func theCgroupTellsWhatTheServiceListensOn(asAnotherUser: Bool) throws {
    let network = try PrivateNetwork()
    let cgroup = try OwnCgroup()
    let folder = try TemporaryFolder()
    let tide = try folder.copyOfTide()
    let run = try Running(
      ["sh", "-c", "echo $$ >\(cgroup.path)/cgroup.procs && exec \"$@\"", "sh"]
        + (asAnotherUser ? NetworkOwnerTests.asInDocker : []) + [try Binary.ebb.path(), "--"]
        + (asAnotherUser ? NetworkOwnerTests.asNobody : []) + [tide, "serve"], entering: network.entry)
    try run.waitForLine(containing: "listening on")
    // Started after the service, and by its user.
    let stranger = try Running(
      (asAnotherUser ? NetworkOwnerTests.asNobody : []) + [tide, "serve", "--listen", "7071"],
      entering: network.entry)
    try stranger.waitForLine(containing: "listening on")
    #expect(try run.stop().exit == .code(0))
    #expect(run.report.hasPrefix("ebb: released: 8080 free; "))
  }

  @Test(.requires(.root, .namespaces, .tool("setpriv")))
  func whereDescriptorsAreRefusedTheServicesUserTells() throws {
    let network = try PrivateNetwork()
    let folder = try TemporaryFolder()
    let tide = try folder.copyOfTide()
    // The same user's, but there before the launch; and another's.
    let before = try Running(
      NetworkOwnerTests.asNobody + [tide, "serve", "--listen", "7070"], entering: network.entry)
    try before.waitForLine(containing: "listening on")
    let run = try Running(
      NetworkOwnerTests.asInDocker + [try Binary.ebb.path(), "--"] + NetworkOwnerTests.asNobody
        + [tide, "serve"], entering: network.entry)
    try run.waitForLine(containing: "listening on")
    let after = try Stranger(.listening, at: "127.0.0.1", 7071, in: network)
    #expect(try run.stop().exit == .code(0))
    #expect(run.report.hasPrefix("ebb: released: 8080 free; "))
    withExtendedLifetime(after) {}
  }

  @Test(.requires(.root, .namespaces, .tool("setpriv"), .tool("python3")))
  func aServiceThatGivesUpItsUserAfterItHasBoundIsFound() throws {
    let network = try PrivateNetwork()
    let before = try Stranger(.listening, at: "127.0.0.1", 7070, in: network)
    let script = """
      import os, signal, socket
      listener = socket.create_server(("127.0.0.1", 8080))
      os.setgid(65534)
      os.setuid(65534)
      print("listening on 8080", flush=True)
      signal.pause()
      """
    let run = try Running(
      NetworkOwnerTests.asInDocker + [try Binary.ebb.path(), "--", "python3", "-c", script],
      entering: network.entry)
    try run.waitForLine(containing: "listening on")
    #expect(try run.stop().exit == .code(143))
    #expect(run.report.hasPrefix("ebb: released: 8080 free; "))
    withExtendedLifetime(before) {}
  }

  @Test(.requires(.root, .namespaces, .tool("gcc")))
  func whereNetlinkIsRefusedTheDescriptorsTellAllTheSame() throws {
    let without = try WithoutNetlink()
    let network = try PrivateNetwork()
    let before = try Stranger(.listening, at: "127.0.0.1", 7070, in: network)
    let run = try Running.ebb([], in: network, behind: without.command)
    #expect(try run.stop().exit == .code(0))
    #expect(run.report.hasPrefix("ebb: released: 8080 free; "))
    withExtendedLifetime(before) {}
  }

  /// As where a container is started anew in its pod.
  @Test(.requires(.root, .namespaces)) func whatAContainerBeforeLeftToTheKernelIsNotItsOwn() throws {
    let network = try PrivateNetwork()
    try network.widen()
    let before = try Running.ebb(
      ["--busy-max", "0", "--linger-max", "0"],
      tide: ["--on-term", "flush-and-exit", "--flush-bytes", "\(3 << 20)"], in: network)
    let client = try Client(from: network, 8080, receiveBuffer: 65536)
    try client.request("/hold")
    try network.waitUntilUnread(0, on: 8080)
    #expect(try before.stop().exit == .code(0))
    let run = try Running.ebb(["--verbose"], in: network)
    #expect(try run.stop().exit == .code(0))
    #expect(!run.errors.text.contains("lingering"))
    #expect(
      run.report.hasSuffix("; 0 requests cut off, 0 connections reset, 0 bytes lost; exit 0"), "\(run.report)"
    )
    withExtendedLifetime(client) {}
  }

  // MARK: - The port's end

  @Test(.requires(.root, .namespaces)) func aPortWhoseOtherAddressIsAStrangersIsReleased() throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb([], tide: ["--listen", "127.0.0.1:8080"], in: network)
    let other = try Stranger(.listening, at: "127.0.0.2", 8080, in: network)
    #expect(try run.stop().exit == .code(0))
    #expect(run.report.hasPrefix("ebb: released: 8080 free; "))
    withExtendedLifetime(other) {}
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func aPortThatIsSharedByReuseportIsNotReleased() throws {
    let network = try PrivateNetwork()
    let script = """
      import signal, socket
      listener = socket.create_server(("127.0.0.1", 8080), reuse_port=True)
      print("listening on 8080", flush=True)
      signal.pause()
      """
    let run = try Running(
      [try Binary.ebb.path(), "--", "python3", "-c", script], entering: network.entry)
    try run.waitForLine(containing: "listening on")
    let other = try Stranger(.listeningShared, at: "127.0.0.1", 8080, in: network)
    #expect(try run.stop().exit == .code(143))
    #expect(run.report.hasPrefix("ebb: not released: 8080 still listened on; "))
    withExtendedLifetime(other) {}
  }

  @Test(.requires(.root, .namespaces)) func aPortThatIsOnlyBoundIsNotReleased() throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb([], tide: ["--listen", "127.0.0.1:8080"], in: network)
    // No table shows it: only bind(2) tells.
    let other = try Stranger(.bound, at: "127.0.0.2", 8080, in: network)
    #expect(try run.stop().exit == .code(0))
    #expect(run.report.hasPrefix("ebb: not released: 8080 still in use; "))
    withExtendedLifetime(other) {}
  }

  @Test(.requires(.root, .namespaces), arguments: [true, false])
  func timeWaitHoldsThePortOfAServerWithoutReuseaddr(reuses: Bool) throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb([], tide: reuses ? [] : ["--no-reuseaddr"], in: network)
    let client = try Client(from: network, 8080)
    // The service closes first.
    try client.request("/", closing: true)
    #expect(client.answer().end == .more)
    #expect(client.read().end == .closed)
    client.close()
    #expect(try run.stop().exit == .code(0))
    #expect(
      run.report.hasPrefix(reuses ? "ebb: released: 8080 free; " : "ebb: not released: 8080 still in use; "))
  }

  @Test(.requires(.root, .namespaces)) func aUDPPortIsLookedAtAsWell() throws {
    let network = try PrivateNetwork()
    let run = try Running.ebb(["--ports", "8080,5353/udp,5354/udp"], in: network)
    let other = try Stranger(.datagrams, at: "127.0.0.1", 5354, in: network)
    #expect(try run.stop().exit == .code(0))
    #expect(run.report.hasPrefix("ebb: not released: 8080 free, 5353/udp free, 5354/udp still in use; "))
    withExtendedLifetime(other) {}
  }

  @Test(.requires(.root, .namespaces, .tool("setpriv")))
  func aPortThatEbbMayNotBindIsOnlySaidNotToBeListenedOn() throws {
    let network = try PrivateNetwork()
    let folder = try TemporaryFolder()
    let tide = try folder.copyOfTide()
    let run = try Running(
      NetworkOwnerTests.asNobody + [try folder.copyOfEbb(), "--ports", "80,8080", "--", tide, "serve"],
      entering: network.entry)
    try run.waitForLine(containing: "listening on")
    #expect(try run.stop().exit == .code(0))
    #expect(run.report.hasPrefix("ebb: released: 80 not listened on, 8080 free; "))
  }
}

/// A cgroup (v2) of the test's own, cgroups(7). Removed with this value.
final class OwnCgroup {
  let path: String

  init() throws {
    guard let root = OwnCgroup.root else { throw Unusable("no cgroup v2") }
    path = "\(root)/ebb-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    guard mkdir(path, 0o755) == 0 else { throw Unusable("mkdir \(path): errno \(errno)") }
  }

  /// It is empty once the last process in it has been reaped.
  deinit { try? wait(until: "the cgroup can be removed") { rmdir(path) == 0 || errno == ENOENT } }

  /// Where cgroup v2 is mounted.
  static let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].first {
    access("\($0)/cgroup.procs", F_OK) == 0 && access("\($0)/cgroup.subtree_control", W_OK) == 0
  }
}

extension TemporaryFolder {
  /// ebb where every user may run it.
  func copyOfEbb() throws -> String {
    let copy = "\(path)/ebb"
    try FileManager.default.copyItem(atPath: try Binary.ebb.path(), toPath: copy)
    chmod(copy, 0o755)
    return copy
  }
}
