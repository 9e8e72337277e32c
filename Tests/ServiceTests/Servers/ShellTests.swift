import Foundation
import Testing

/// A shell that starts the service, and stays: it is the main process, and hands no signal on.
@Suite struct `A server behind a shell` {
  /// How the server comes to be behind a shell.
  enum Form: CaseIterable, Sendable {
    /// `CMD nginx -g …` without brackets, as some shells run it.
    case command
    /// An entrypoint script without `exec`.
    case script
  }

  /// The download takes some seconds more than the stop signal waits for it, in the second case: then it is
  /// nginx, left behind by the shell, that is waited for.
  @Test(
    .requires(.root, .namespaces, .tool("nginx")), arguments: Form.allCases, [[], ["--busy-max", "500ms"]])
  func `completes a slow download of 80 MB`(form: Form, options: [String]) throws {
    let stage = try ServerStage()
    let nginx = try stage.nginx("nginx", location: "root \(stage.path);")
    let file = try stage.folder.write("large", "")
    let size = 80 << 20
    #expect(truncate(file, size) == 0)
    let words: [String]
    switch form {
    case .command: words = ["sh", "-c", "\(nginx.joined(separator: " ")); true"]
    case .script:
      words =
        [
          try stage.folder.write(
            "entrypoint.sh", "#!/bin/sh\n\"$@\"\necho over\n", executable: true)
        ] + nginx
    }
    let run = try stage.supervise(words, options: options, inKubernetes: false)
    let client = try Client("127.0.0.1", 8080, from: stage.network, receiveBuffer: 256 << 10)
    try client.request("/large", closing: true)
    let download = Background { client.answer(pace: 0.0006) }
    try wait(until: "the download is in progress") {
      try stage.network.connections(of: 8080).joined().contains("bytes_acked:")
    }
    try run.signal(SIGTERM)
    let answer = try download.value()
    #expect(answer.body == size && answer.end == .more, "\(answer)")
    try stage.expectEnd(of: run, signal: "SIGTERM", exit: .code(143))
    #expect(run.report.contains("0 requests cut off"), "\(run.report)")
    #expect(run.report.contains("nginx, left behind, exited 0"), "\(run.report)")
  }
}
