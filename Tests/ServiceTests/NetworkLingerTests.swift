import Foundation
import Testing

/// The last bytes: who gets them when the service has written them, closed and exited.
struct NetworkLingerTests {
  /// A service that writes 3 MiB at SIGTERM, closes and exits, behind a cable to a client.
  private struct Scene {
    static let bytes = 3 << 20
    let near: PrivateNetwork
    let far: PrivateNetwork
    /// What tide does at a stop.
    static let tide = ["--on-term", "flush-and-exit", "--flush-bytes", "\(bytes)", "--exit-code", "7"]

    init() throws {
      near = try PrivateNetwork()
      far = try PrivateNetwork()
      try near.connect(to: far)
    }

    /// A client that has asked, and will be answered at the service's end.
    func client() throws -> Client {
      let client = try Client("10.77.0.1", 8080, from: far, receiveBuffer: 65536)
      try client.request("/hold")
      try near.waitUntilUnread(0, on: 8080)
      return client
    }

    func ebb(_ options: [String], behind wrapper: [String] = []) throws -> Running {
      try Running.ebb(
        ["--busy-max", "0", "--verbose"] + options, tide: Scene.tide, in: near, asPID1: true, behind: wrapper)
    }
  }

  @Test(.requires(.root, .namespaces, .tool("tini")))
  func aSlowClientGetsEveryByteUnderEbbAndNotUnderTini() throws {
    for isEbb in [true, false] {
      let scene = try Scene()
      let run: Running
      if isEbb {
        run = try scene.ebb(["--linger-max", "18s"])
      } else {
        run = try Running(
          ["tini", "--", try Binary.tide.path(), "serve"] + Scene.tide, entering: scene.near.entry,
          namespaces: [.pid])
        try run.waitForLine(containing: "listening on")
      }
      let client = try scene.client()
      // The cable goes with PID 1, as a container's does.
      let ending = Background {
        let exit = try run.waitForExit()
        try scene.near.removeCable()
        return exit
      }
      try run.signal(SIGTERM)
      let answer = client.answer(pace: 0.005, silence: 3)
      #expect(try ending.value() == .code(7))
      if isEbb {
        #expect(answer.body == Scene.bytes)
        #expect(run.report.hasPrefix("ebb: released: 8080 free;"))
        #expect(run.report.contains(", 0 connections reset, 0 bytes lost; exit 7"))
      } else {
        #expect(answer.body < Scene.bytes)
        #expect(answer.end == .silence)
      }
    }
  }

  @Test(.requires(.root, .namespaces), arguments: [true, false])
  func aPeerThatVanishesIsNotWaitedForOnceItIsSilent(atOnce: Bool) throws {
    let scene = try Scene()
    let run = try scene.ebb(["--linger-max", "60s"])
    let client = try scene.client()
    if atOnce { try scene.far.unplug() }
    try run.signal(SIGTERM)
    try run.waitForLine(containing: "lingering: 1 connection", on: .errors)
    if !atOnce { try scene.far.unplug() }
    // Within the 20 s that a test waits for anything.
    #expect(try run.finish() == .code(7))
    #expect(run.report.contains("1 connection left with"))
    #expect(run.report.contains("(1 peer silent)"))
    withExtendedLifetime(client) {}
  }

  @Test(.requires(.root, .namespaces))
  func aPeerThatAnswersAndReadsNothingIsWaitedForUntilLingerMax() throws {
    let scene = try Scene()
    let run = try scene.ebb(["--linger-max", "2500ms"])
    let client = try scene.client()
    let end = try run.stop()
    #expect(end.exit == .code(7))
    #expect(end.seconds >= 2.5)
    #expect(run.report.contains("1 connection left with 2."))
    #expect(run.report.contains(" MiB not acknowledged; exit 7"))
    withExtendedLifetime(client) {}
  }

  @Test(.requires(.root, .namespaces))
  func withLingerMaxZeroNothingIsWaitedForAndTheRestIsSaid() throws {
    let scene = try Scene()
    let run = try scene.ebb(["--linger-max", "0"])
    let client = try scene.client()
    #expect(try run.stop().exit == .code(7))
    #expect(!run.errors.text.contains("lingering"))
    #expect(run.report.contains("1 connection left with 2."))
    withExtendedLifetime(client) {}
  }

  @Test(.requires(.root, .namespaces))
  func aConnectionWithOnlyItsFINLeftIsNotWaitedFor() throws {
    let scene = try Scene()
    let run = try Running.ebb(
      ["--busy-max", "0", "--verbose", "--linger-max", "60s"], tide: ["--on-term", "exit"], in: scene.near,
      asPID1: true)
    let client = try scene.client()
    try scene.far.unplug()
    #expect(try run.stop().exit == .code(143))
    #expect(!run.errors.text.contains("lingering"))
    #expect(run.report.contains("0 connections reset, 0 bytes lost; exit 143"))
    withExtendedLifetime(client) {}
  }

  @Test(.requires(.root, .namespaces))
  func aServiceThatEndsUnaskedIsLingeredForASecondAtMost() throws {
    let scene = try Scene()
    let run = try scene.ebb(["--linger-max", "60s"])
    let client = try Client("10.77.0.1", 8080, from: scene.far, receiveBuffer: 65536)
    try client.request("/exit?code=3&n=\(Scene.bytes)")
    // Nobody reads: until the second is over.
    #expect(try run.finish() == .code(3))
    #expect(run.errors.text.contains("lingering: 1 connection"))
    #expect(run.report.contains("1 connection left with"))
    withExtendedLifetime(client) {}
  }

  /// Root's ebb and another user's service: whose sockets they are must not matter.
  @Test(.requires(.root, .namespaces, .tool("setpriv")), arguments: [false, true])
  func aServiceThatEndsUnaskedLosesNothingThatIsReadAtOnce(asAnotherUser: Bool) throws {
    let scene = try Scene()
    let folder = try TemporaryFolder()
    let tide = try folder.copyOfTide()
    let user = asAnotherUser ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : []
    let run = try Running(
      [try Binary.ebb.path(), "--"] + user + [tide, "serve"], entering: scene.near.entry, namespaces: [.pid])
    try run.waitForLine(containing: "listening on")
    let client = try Client("10.77.0.1", 8080, from: scene.far, receiveBuffer: 65536)
    let ending = Background {
      let exit = try run.waitForExit()
      try scene.near.removeCable()
      return exit
    }
    try client.request("/exit?code=3&n=\(Scene.bytes)")
    let answer = client.answer(pace: 0.0005, silence: 3)
    #expect(try ending.value() == .code(3))
    #expect(answer.body == Scene.bytes)
  }

  @Test(.requires(.root)) func onTheHostsNetworkNobodyIsWaitedFor() throws {
    // The machine's first network namespace, told by a sysctl that exists there alone.
    guard access("/proc/sys/net/ipv4/tcp_mem", F_OK) == 0 else { return }
    let port = try freePort()
    let run = try Running([
      try Binary.ebb.path(), "--busy-max", "0", "--verbose", "--", try Binary.tide.path(), "serve",
      "--listen",
      "127.0.0.1:\(port)", "--on-term", "flush-and-exit", "--exit-code", "7",
    ])
    try run.waitForLine(containing: "listening on")
    let client = try Client("127.0.0.1", port, receiveBuffer: 65536)
    try client.request("/hold")
    #expect(try run.stop().exit == .code(7))
    #expect(!run.errors.text.contains("lingering"))
    // The kernel delivers without us.
    #expect(client.answer().end == .more)
  }
}

extension TemporaryFolder {
  /// tide where every user may run it.
  func copyOfTide() throws -> String {
    let copy = "\(path)/tide"
    try FileManager.default.copyItem(atPath: try Binary.tide.path(), toPath: copy)
    chmod(copy, 0o755)
    return copy
  }
}
