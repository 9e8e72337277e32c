import Foundation
import Testing

/// ebb as the entrypoint of real containers, on a real engine. Clients talk to the containers' own addresses.
@Suite(.serialized) struct DockerTests {
  /// Nothing but two static programs, tide under ebb, which says how it goes.
  static func scratch() throws -> Image {
    try Image(scratch: "ENV EBB_VERBOSE=1", #"ENTRYPOINT ["/ebb", "--"]"#, #"CMD ["/tide", "serve"]"#)
  }

  private func startTide(_ options: [String] = []) throws -> Container {
    let container = try Container(DockerTests.scratch(), options: options)
    try container.waitForError(containing: "serving: tide (pid ")
    return container
  }

  @Test(.requires(.docker)) func anImageFromScratchIsStoppedWithNothingLostAndThePhasesTold() throws {
    let container = try startTide()
    let client = try container.connect(8080, receiveBuffer: 65536)
    // The service closes when it has written all of it: the kernel has the rest.
    try client.request("/bytes?n=3145728", closing: true)
    let first = client.read(atMost: 1000).bytes.count
    let stop = Background { try container.stop() }
    var rest = 0
    while true {
      let piece = client.read(atMost: 16384, silence: 3)
      if piece.end != .more { break }
      rest += piece.bytes.count
      usleep(5_000)
    }
    #expect(try stop.value() == "0")
    // The head of the answer, as well.
    #expect(first + rest > 3 << 20)
    let phases = try container.errors().compactMap { $0.split(separator: ":").dropFirst().first }
    #expect(phases == [" serving", " draining", " stopping", " stopped", " lingering", " released"])
    let report = try container.errors().last ?? ""
    #expect(report.contains("8080 free; ") && report.contains(", 0 connections reset, 0 bytes lost; exit 0"))
  }

  @Test(.requires(.docker)) func orphansAreReapedInAContainer() throws {
    let container = try startTide()
    let client = try container.connect(8080)
    try client.request("/orphans?n=50&ms=200")
    #expect(client.answer().end == .more)
    try wait(until: "tide alone is left") { try container.processes().count == 2 }
    #expect(try container.stop() == "0")
  }

  @Test(.requires(.docker)) func whatDockerExecStartedIsNotOursToEnd() throws {
    let container = try startTide()
    let session = try Docker.start([
      "exec", container.name, "/tide", "serve", "--listen", "9090", "--log-signals",
    ])
    try session.waitForLine(containing: "listening on 9090")
    let client = try container.connect(8080)
    try client.request("/slow?ms=1500")
    let stop = Background { try container.stop() }
    try container.waitForError(containing: "draining: SIGTERM")
    // It serves on while the container stops…
    let other = try container.connect(9090)
    try other.request("/")
    #expect(other.answer().end == .more)
    #expect(client.answer().end == .more)
    #expect(try stop.value() == "0")
    // …and ends with PID 1, by the kernel.
    #expect(try session.finish() == .code(137))
    #expect(!session.output.text.contains("SIGTERM"))
    #expect(try container.errors().last?.hasPrefix("ebb: released: 8080 free; ") == true)
  }

  @Test(.requires(.docker), arguments: [("exit", "143"), ("graceful", "0")])
  func theServicesOwnCodeIsTheContainers(onTerm: String, code: String) throws {
    let container = try Container(
      DockerTests.scratch(), command: ["/tide", "serve", "--on-term", onTerm])
    try container.waitForError(containing: "serving: tide")
    #expect(try container.stop() == code)
  }

  /// The engine's own init, by Docker's name for it.
  @Test(.requires(.docker, .engineInit)) func dockersInitOptionRunsNginxUnderEbbAndReaps() throws {
    let image = try Image(
      """
      FROM debian:bookworm-slim
      CMD ["nginx", "-g", "daemon off;"]
      """)
    let container = try Container(image, options: ["--init"])
    try wait(until: "nginx listens") { (try? container.connect(80)) != nil }
    let client = try container.connect(80)
    try client.request("/", closing: true)
    #expect(client.answer().end == .more)
    let first = try container.process()
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: "/proc/\(first)/cmdline")).starts(
        with: Data("/sbin/docker-init\0--\0nginx\0".utf8)))
    #expect(try ProcessLook.program(of: first) == Data(contentsOf: URL(fileURLWithPath: Binary.ebb.path())))
    // What an exec'd shell leaves behind comes to PID 1, the kernel's and Docker's way.
    let count = try container.processes().count
    #expect(try container.exec("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 0.05 & done").exit == .code(0))
    try wait(until: "every orphan is reaped") { try container.processes().count == count }
    #expect(try container.stop() == "0")
    // It is Docker's init, and says nothing of its own.
    #expect(try container.errors().filter { $0.hasPrefix("ebb:") } == [])
  }

  // MARK: - nginx

  private static func nginx(_ more: String = "") throws -> Image {
    try Image(
      """
      FROM debian:bookworm-slim
      COPY ebb /ebb
      COPY nginx.conf /etc/nginx/nginx.conf
      RUN head -c 8388608 /dev/zero >/var/www/html/big
      \(more)
      ENTRYPOINT ["/ebb", "--"]
      CMD ["nginx", "-g", "daemon off;"]
      """, programs: [.ebb],
      files: [
        "nginx.conf": """
        worker_processes 2;
        pid /tmp/nginx.pid;
        error_log stderr;
        events {}
        http {
          access_log off;
          client_body_temp_path /tmp/body;
          proxy_temp_path /tmp/proxy;
          fastcgi_temp_path /tmp/fastcgi;
          uwsgi_temp_path /tmp/uwsgi;
          scgi_temp_path /tmp/scgi;
          server { listen 8080; root /var/www/html; }
        }
        """
      ])
  }

  @Test(
    .requires(.docker),
    arguments: [
      ["stop", ""], ["stop", "STOPSIGNAL QUIT"],
      ["stop", "", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--user", "65534"],
    ])
  func nginxFinishesASlowDownloadAtDockerStop(how: [String]) throws {
    let container = try Container(
      DockerTests.nginx(how[1]), options: ["--env", "EBB_VERBOSE=1"] + how.dropFirst(2))
    try container.waitForError(containing: "serving: nginx (pid ")
    let client = try container.connect(8080, receiveBuffer: 65536)
    try client.request("/big")
    #expect(client.read(atMost: 1000).end == .more)
    let stop = Background { try container.stop() }
    var got = 1000
    while true {
      let piece = client.read(atMost: 65536, silence: 3)
      if piece.end != .more { break }
      got += piece.bytes.count
      usleep(4_000)
    }
    #expect(try stop.value() == "0")
    #expect(got > 8 << 20)
    let errors = try container.errors()
    #expect(errors.contains { $0.hasPrefix("ebb: stopping: ") && $0.contains("SIGQUIT to pid ") })
    let report = errors.last ?? ""
    #expect(report.contains("8080 free; ") && report.contains(", 0 connections reset, 0 bytes lost; exit 0"))
  }

  @Test(.requires(.docker)) func onTheEnginesNetworkAContainerStopsAsWell() throws {
    let container = try Container(
      DockerTests.scratch(), options: ["--network", "host"],
      command: ["/tide", "serve", "--listen", "127.0.0.1:18080"])
    try container.waitForError(containing: "serving: tide (pid ")
    let client = try Client("127.0.0.1", 18080, receiveBuffer: 65536)
    try client.request("/bytes?n=3145728")
    #expect(client.read(atMost: 1000).end == .more)
    let stop = Background { try container.stop() }
    var got = 1000
    while true {
      let piece = client.read(silence: 3)
      if piece.end != .more { break }
      got += piece.bytes.count
    }
    #expect(try stop.value() == "0")
    #expect(got > 3 << 20)
  }

  // MARK: - What users copy

  /// The Swift image cannot be pulled here: a program called swift stands for it, which "builds" the ebb under
  /// test, and one called apt-get, which has no network. All else is as users have it.
  @Test(.requires(.docker)) func theDockerfileLeavesAnImageOfEbbAlone() throws {
    let swift = try Image(
      """
      FROM debian:bookworm-slim
      COPY ebb /prebuilt
      RUN printf '%s\\n' '#!/bin/sh -e' \\
          'test "$*" = "build -c release --product ebb --scratch-path .build/musl --experimental-lto-mode full \\
      --toolset docker/musl/toolset.json"' \\
          'test -f Package.swift && test -d Sources/ebb && test -d Tests/ServiceTests' \\
          'test -f docker/musl/toolset.json && test -h docker/musl/include/linux' \\
          'mkdir -p .build/musl/release && cp /prebuilt .build/musl/release/ebb' >/usr/bin/swift && \\
          printf '%s\\n' '#!/bin/sh' 'test "$*" = update || test "$*" = "install --yes --no-install-recommends musl-dev"' \\
          >/usr/local/bin/apt-get && chmod +x /usr/bin/swift /usr/local/bin/apt-get
      """, programs: [.ebb])
    // The stage has a name of its own, so that it can be removed.
    let arguments = ["SWIFT=\(swift.name)"]
    let stage = try Image(
      folder: Binary.packageRoot, dockerfile: "docker/Dockerfile", arguments: arguments, target: "build")
    let ebb = try Image(folder: Binary.packageRoot, dockerfile: "docker/Dockerfile", arguments: arguments)
    withExtendedLifetime(stage) {}
    #expect(try Docker.run("run", "--rm", ebb.name, "--version").hasPrefix("ebb "))
    let size = try #require(Int(try Docker.run("image", "inspect", "--format", "{{.Size}}", ebb.name)))
    let status = try FileManager.default.attributesOfItem(atPath: try Binary.ebb.path())
    #expect(size == status[.size] as? Int)

    let nginx = try Image(
      folder: Binary.packageRoot + "/docker/nginx",
      arguments: ["EBB=\(ebb.name)", "NGINX=debian:bookworm-slim"])
    let container = try Container(nginx)
    let address = try container.address()
    try wait(until: "nginx answers") {
      guard let client = try? Client(address, 80), (try? client.request("/", closing: true)) != nil else {
        return false
      }
      return client.answer(silence: 1).end == .more
    }
    try wait(until: "it is healthy") { try container.inspect("{{.State.Health.Status}}") == "healthy" }
    #expect(try container.stop() == "0")
    #expect(try container.errors().last?.hasPrefix("ebb: released: 80 free; ") == true)
  }
}
