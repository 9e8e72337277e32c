import Foundation
import Testing

/// ebb in the pods of a real kubelet: probes by exec and by HTTP, hooks, grace periods, termination messages.
/// The image is FROM scratch; the pods run as nobody, with no capability and no file system to write to.
///
/// This kubelet forgets a pod as its manifest goes, so there are no probes while a pod ends: what readiness is
/// in a drain is looked at with the pod in place, the hook and the end by taking the manifest away.
@Suite(
  .requires(.docker, .kubelet, .tool("curl")), .runsKubelet
) struct KubeletTests {
  // MARK: - The pause container

  /// Every pod here has it; where its processes share one pid namespace it is their PID 1.
  @Test func aPodHoldsWhosePauseContainerIsEbbAndItReapsForAll() throws {
    let image = try Image(scratch: #"ENTRYPOINT ["/tide", "serve"]"#)
    let pod = try Pod(image, container: [:], fields: ["shareProcessNamespace": true])
    try pod.waitUntilReady()
    let pause = try #require(try pod.pause())
    #expect(try ProcessLook.program(of: pause) == Data(contentsOf: URL(fileURLWithPath: Binary.ebb.path())))
    #expect(ProcessLook(pause)?.innerPID == 1)
    #expect(try pod.exec("/tide", "orphans", "30").finish() == .code(0))
    try wait(until: "no zombie is left under it") {
      ProcessLook.descendants(of: pause).allSatisfy { ProcessLook($0)?.state != "Z" }
    }
    #expect(try pod.isReady())
  }

  // MARK: - Probes

  /// A way to ask.
  enum Asking: String, CaseIterable {
    case exec, http

    var probe: [String: Any] {
      switch self {
      case .exec: ["exec": ["command": ["/ebb", "ready"]]]
      case .http: ["httpGet": ["path": "/readyz", "port": 9100]]
      }
    }
  }

  @Test(arguments: Asking.allCases) func aPodIsReadyWhenItsServiceIs(asking: Asking) throws {
    let image = try Image(scratch: #"ENTRYPOINT ["/ebb"]"#)
    let pod = try Pod(
      image,
      container: [
        "args": [
          "--http", "9100", "--ready-when", "listen", "--ready-when", "tcp:9999", "--", "/tide", "serve",
        ],
        "readinessProbe": asking.probe.merging(["periodSeconds": 1]) { $1 },
        "livenessProbe": ["exec": ["command": ["/ebb", "live"]], "periodSeconds": 1],
      ])
    // Nothing listens on 9999 yet; the service is alive all the same.
    try pod.events.wait(for: "two live probes", within: Kubelet.hangsAfter) { events in
      events.finished("/ebb live").count >= 2 ? true : nil
    }
    #expect(pod.events.finished("/ebb live").allSatisfy { $0.exitCode == 0 })
    #expect(try !pod.isReady())

    let helper = try pod.exec("/tide", "serve", "--listen", "9999")
    try pod.waitUntilReady()
    #expect(!helper.hasEnded)
    #expect(try pod.exec("/ebb", "ready").finish() == .code(0))
  }

  @Test(arguments: ["auto", "yes"])
  func inADrainAPodStaysReadyForThoseWhoStillComeByIt(whileDraining: String) throws {
    let image = try Image(scratch: #"ENTRYPOINT ["/ebb"]"#)
    let pod = try Pod(
      image,
      container: [
        "args": [
          "--ready-while-draining", whileDraining, "--lame-duck", "0s", "--", "/tide", "serve",
        ],
        "readinessProbe": [
          "exec": ["command": ["/ebb", "ready"]], "periodSeconds": 1, "failureThreshold": 1,
        ],
      ])
    try pod.waitUntilReady()
    let since = try pod.readinessChanged()
    #expect(try pod.exec("/ebb", "drain").finish() == .code(0))
    let drained = try drain(of: pod)
    try pod.events.wait(for: "three probes in the drain", within: Kubelet.hangsAfter) { events in
      events.finished("/ebb ready").filter { $0.began > drained.ended }.count >= 3 ? true : nil
    }
    #expect(
      pod.events.finished("/ebb ready").filter { $0.began > drained.ended }.allSatisfy { $0.exitCode == 0 })
    #expect(try pod.isReady())
    #expect(try pod.readinessChanged() == since)
  }

  @Test func inADrainAPodIsTakenOutAtItsFailureThresholdWhereThatIsWanted() throws {
    let image = try Image(scratch: #"ENTRYPOINT ["/ebb"]"#)
    let threshold = 3
    let pod = try Pod(
      image,
      container: [
        "args": ["--ready-while-draining", "no", "--lame-duck", "0s", "--", "/tide", "serve"],
        "readinessProbe": [
          "exec": ["command": ["/ebb", "ready"]], "periodSeconds": 1, "failureThreshold": threshold,
        ],
      ])
    try pod.waitUntilReady()
    #expect(try pod.exec("/ebb", "drain").finish() == .code(0))
    let drained = try drain(of: pod)
    try pod.waitUntilReady(false)
    let changed = try #require(try pod.readinessChanged())
    // One more, to see that the change had come before it.
    let probes = try pod.events.wait(for: "probes in the drain", within: Kubelet.hangsAfter) { events in
      let probes = events.finished("/ebb ready").filter { $0.began > drained.ended }
      return probes.count > threshold ? probes : nil
    }
    #expect(probes.allSatisfy { $0.exitCode == 1 })
    // The kubelet tells the change to the second.
    #expect(changed > probes[threshold - 1].ended - 1)
    #expect(changed <= probes[threshold].ended)
    // Not ready is not dead.
    #expect(try pod.exec("/ebb", "live").finish() == .code(0))
  }

  /// The `ebb drain` that has ended.
  private func drain(of pod: Pod) throws -> EngineEvents.Command {
    try pod.events.wait(for: "the drain") { $0.finished("/ebb drain").first }
  }

  // MARK: - The end

  /// A way to ask for the drain.
  enum Hook: String, CaseIterable {
    case exec, http

    var handler: [String: Any] {
      switch self {
      case .exec: ["exec": ["command": ["/ebb", "drain"]]]
      case .http: ["httpGet": ["path": "/drain", "port": 9101]]
      }
    }
  }

  @Test(arguments: Hook.allCases) func aDeletedPodDrainsThenStopsWithinItsGraceAndSaysHowItWent(hook: Hook)
    throws
  {
    let image = try Image(scratch: #"ENTRYPOINT ["/ebb", "--verbose"]"#)
    let pod = try Pod(
      image,
      container: [
        "args": [
          "--http", "9100", "--http-drain-address", "9101", "--lame-duck", "0s",
          "--busy-max", "60s", "--", "/tide", "serve", "--exit-code", "7",
        ],
        "readinessProbe": ["exec": ["command": ["/ebb", "ready"]], "periodSeconds": 1],
        "lifecycle": ["preStop": hook.handler],
      ], fields: ["terminationGracePeriodSeconds": 120])
    try pod.waitUntilReady()
    let log = try Docker.start(["logs", "--follow", try pod.container()])
    let message = try pod.terminationLog()

    // A request that takes longer than the kubelet takes to see that the pod is to go.
    let path = "/slow?ms=5000"
    let request = try pod.exec("/tide", "load", "8080", "--requests", "1", "--path", path)
    try wait(until: "the request is in progress") {
      try pod.exec("/ebb", "status").output(contains: "1 busy")
    }
    pod.delete()
    let end = try pod.events.wait(for: "the container's end", within: Kubelet.hangsAfter) { events in
      events.all.first { $0.action == "die" }
    }

    // The request's answer; the hook's end; the signal; the service's own code; never KILL.
    #expect(end.exitCode == 7)
    #expect(try request.finish() == .code(0))
    let told = pod.events.all
    let kills = told.indices.filter { told[$0].action == "kill" }
    #expect(kills.map { told[$0].attributes["signal"] } == ["15"])
    let term = try #require(kills.first)
    let answered = try #require(
      pod.events.finished("/tide load 8080 --requests 1 --path \(path)").first)
    #expect(answered.exitCode == 0)
    #expect(answered.end < term)
    if hook == .exec {
      let drains = pod.events.finished("/ebb drain")
      #expect(drains.map(\.exitCode) == [0])
      #expect(try #require(drains.first).end < term)
    }
    #expect(try pod.failedHooks(before: end.time) == [])

    #expect(try log.finish() == .code(0))
    let phases = log.errors.lines.map { $0.split(separator: " ").dropFirst().first ?? "" }
    #expect(
      phases == ["serving:", "draining:", "drained:", "stopping:", "stopped:", "released:"],
      "\(log.errors.text)")
    let report = try #require(log.errors.lines.last)
    #expect(report.contains("0 connections reset, 0 bytes lost; exit 7"))
    #expect(String(decoding: try #require(try message.readToEnd()), as: UTF8.self) == report + "\n")
  }

  @Test func theKubeletShowsTheReportAsTheTerminationMessage() throws {
    let image = try Image(scratch: #"ENTRYPOINT ["/ebb"]"#)
    let pod = try Pod(
      image,
      container: ["args": ["--lame-duck", "0s", "--", "/tide", "serve", "--exit-code", "7"]],
      fields: ["restartPolicy": "Never"])
    let id = try pod.container()
    try wait(until: "it is ready") { try pod.exec("/ebb", "ready").finish() == .code(0) }
    try Docker.run(["kill", "--signal=TERM", id])
    let ended = try pod.waitForTermination()
    #expect(ended.exitCode == 7)
    #expect(ended.message?.hasPrefix("ebb: released: 8080 free; stopped in ") == true)
    #expect(ended.message?.hasSuffix(", 0 connections reset, 0 bytes lost; exit 7\n") == true)
  }

  @Test func aServicesOwnTerminationMessageStays() throws {
    let image = try Image(scratch: #"ENTRYPOINT ["/ebb"]"#)
    let pod = try Pod(
      image,
      container: ["args": ["--lame-duck", "0s", "--", "/tide", "serve", "--exit-code", "7"]],
      fields: ["restartPolicy": "Never"])
    let id = try pod.container()
    try wait(until: "it is ready") { try pod.exec("/ebb", "ready").finish() == .code(0) }
    try pod.terminationLog().write(contentsOf: Data("why I stopped\n".utf8))
    try Docker.run(["kill", "--signal=TERM", id])
    let ended = try pod.waitForTermination()
    #expect(ended.exitCode == 7)
    #expect(ended.message == "why I stopped\n")
  }

  // MARK: - What users copy

  /// The pods of k8s/ as they are, but for their images, which cannot be pulled here, and for what is run in
  /// them; and since nobody asks for anything, the lame duck would last as long as it may. (This kubelet knows
  /// no native sidecars.)
  @Test(
    .requires(.pythonModule("yaml")),
    arguments: ["deployment-exec", "deployment-http", "deployment-init-container"])
  func theExamplesComeUpAndDrain(name: String) throws {
    let ours = try Image(scratch: #"ENTRYPOINT ["/ebb", "--"]"#, #"CMD ["/tide", "serve"]"#)
    let foreign = try Image("FROM scratch\nCOPY tide /\n", programs: [.tide])
    var spec = try podSpec(of: name)
    var container = try #require((spec["containers"] as? [[String: Any]])?.first)
    container["imagePullPolicy"] = "Never"
    container["image"] = ours.name
    if var command = container["command"] as? [String], let end = command.firstIndex(of: "--") {
      container["image"] = foreign.name
      command.replaceSubrange((end + 1)..., with: ["/tide", "serve"])
      container["command"] = command
    }
    container["env"] = (container["env"] as? [[String: String]])?.map { variable in
      variable["name"] == "EBB_LAME_DUCK_MAX" ? variable.merging(["value": "1s"]) { $1 } : variable
    }
    spec["containers"] = [container]
    spec["initContainers"] = (spec["initContainers"] as? [[String: Any]])?.map {
      $0.merging(["image": ours.name, "imagePullPolicy": "Never"]) { $1 }
    }

    let pod = try Pod(spec: spec)
    try pod.waitUntilReady()
    let log = try Docker.start(["logs", "--follow", try pod.container()])
    pod.delete()
    let end = try pod.events.wait(for: "the container's end", within: Kubelet.hangsAfter) { events in
      events.all.first { $0.action == "die" }
    }
    #expect(end.exitCode == 0)
    let told = pod.events.all
    let kills = told.indices.filter { told[$0].action == "kill" }
    #expect(kills.map { told[$0].attributes["signal"] } == ["15"])
    let ebb = name.contains("init-container") ? "/opt/ebb/ebb" : "/ebb"
    let drains = pod.events.finished("\(ebb) drain")
    #expect(drains.map(\.exitCode) == [0])
    #expect(try #require(drains.first).end < #require(kills.first))
    #expect(try pod.failedHooks(before: end.time) == [])
    #expect(try log.finish() == .code(0))
    #expect(log.errors.lines.last?.hasPrefix("ebb: released: 8080 free; ") == true, "\(log.errors.text)")
  }

  /// The pod of the Deployment in a file of k8s/.
  private func podSpec(of name: String) throws -> [String: Any] {
    let program = """
      import json, sys, yaml
      for document in yaml.safe_load_all(open(sys.argv[1])):
          if document["kind"] == "Deployment": print(json.dumps(document["spec"]["template"]["spec"]))
      """
    let python = try Running(["python3", "-c", program, "\(Binary.packageRoot)/k8s/\(name).yaml"])
    guard try python.finish() == .code(0) else { throw Unusable("\(name): \(python.errors.text)") }
    return try #require(try JSONSerialization.jsonObject(with: Data(python.output.raw)) as? [String: Any])
  }
}

extension Running {
  /// Waits for its end, and says whether it printed this.
  fileprivate func output(contains text: String) throws -> Bool {
    _ = try finish()
    return output.text.contains(text)
  }
}
