import Foundation
import Testing

/// Servers of applications in Ruby and Perl, each stopped under load.
@Suite(.serialized)
struct ApplicationServerTests {
  /// An application for Ruby's servers, which answers after 0.3 s.
  private func writeRack(_ stage: ServerStage) throws -> String {
    try stage.folder.write(
      "config.ru",
      """
      run lambda { |_| sleep 0.3; [200, {"Content-Length" => "5"}, ["done\\n"]] }
      """)
  }

  /// puma ends by the signal that stopped it, when all is done.
  @Test(.requires(.root, .namespaces, .tool("puma")))
  func `puma loses no request`() throws {
    let stage = try ServerStage()
    let file = try writeRack(stage)
    try stage.supervise(["puma", "--bind", "tcp://0.0.0.0:8080", "--threads", "24:24", file], as: "www-data")
    try stage.stopUnderLoad(signal: "SIGTERM", exit: .code(143))
  }

  @Test(.requires(.root, .namespaces, .tool("unicorn")))
  func `unicorn loses no request`() throws {
    let stage = try ServerStage()
    let file = try writeRack(stage)
    let settings = try stage.folder.write("unicorn.rb", "worker_processes 24\nlisten 8080\n")
    try stage.supervise(["unicorn", "--config-file", settings, file], as: "www-data")
    try stage.stopUnderLoad(signal: "SIGQUIT")
  }

  /// Its title is the application's path, so ebb has to be told.
  @Test(.requires(.root, .namespaces, .tool("hypnotoad")))
  func `Hypnotoad, told of by --stop-signal, loses no request`() throws {
    let stage = try ServerStage()
    let folder = try stage.folder("mojo", for: "www-data")
    let file = try stage.folder.write(
      "app.pl",
      """
      use Mojolicious::Lite -signatures;
      get '/slow' => sub ($c) {
        $c->render_later;
        Mojo::IOLoop->timer(0.3 => sub { $c->render(text => "done\\n") });
      };
      app->log->level('fatal');
      app->config(hypnotoad => {listen => ['http://*:8080'], workers => 2, pid_file => '\(folder)/pid'});
      app->start;
      """)
    try stage.supervise(
      ["hypnotoad", "--foreground", file], as: "www-data", options: ["--stop-signal", "QUIT"])
    try stage.stopUnderLoad(signal: "SIGQUIT")
  }
}
