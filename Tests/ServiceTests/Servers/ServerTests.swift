import Foundation
import Testing

/// The servers that people run, as Debian packages them: a stop under load costs no request, with no option but
/// `--ports`.
@Suite(.serialized)
struct ServerTests {
  @Test(.requires(.root, .namespaces, .tool("nginx")))
  func `nginx loses no request`() throws {
    let stage = try ServerStage()
    try stage.startBackend()
    try stage.supervise(try stage.nginx("nginx", location: "proxy_pass http://127.0.0.1:8081;"))
    try stage.stopUnderLoad(signal: "SIGQUIT")
  }

  @Test(.requires(.root, .namespaces, .tool("nginx"), .tool("h2load")))
  func `nginx loses no request of HTTP/2`() throws {
    let stage = try ServerStage()
    try stage.startBackend()
    let run = try stage.supervise(
      try stage.nginx("nginx", listen: "8080 http2", location: "proxy_pass http://127.0.0.1:8081;"))
    // Three seconds of it.
    let load = try Running(
      ["h2load", "-n", "60", "-c", "4", "-m", "10", "--rps", "5", "http://127.0.0.1:8080/slow?ms=300"],
      entering: stage.network.entry)
    usleep(1_500_000)
    try run.signal(SIGTERM)
    #expect(try load.finish() == .code(0))
    #expect(
      load.output.text.contains("60 done, 60 succeeded, 0 failed, 0 errored, 0 timeout"),
      "\(load.output.text)")
    try stage.expectEnd(of: run, signal: "SIGQUIT")
  }

  @Test(.requires(.root, .namespaces, .tool("apache2")))
  func `Apache httpd loses no request`() throws {
    let stage = try ServerStage()
    try stage.startBackend()
    let modules = ["mpm_event", "authz_core", "proxy", "proxy_http"].map {
      "LoadModule \($0)_module /usr/lib/apache2/modules/mod_\($0).so\n"
    }
    let file = try stage.folder.write(
      "apache.conf",
      """
      \(modules.joined())ServerRoot \(stage.path)
      DefaultRuntimeDir \(stage.path)
      PidFile \(stage.path)/apache.pid
      ServerName localhost
      User www-data
      Group www-data
      ErrorLog /dev/null
      Listen 8080
      ProxyPass / http://127.0.0.1:8081/
      """)
    try stage.supervise(["apache2", "-D", "FOREGROUND", "-f", file])
    try stage.stopUnderLoad(signal: "SIGWINCH")
  }

  @Test(.requires(.root, .namespaces, .tool("haproxy"), .tool("nginx")))
  func `HAProxy in front of nginx loses no request`() throws {
    let stage = try ServerStage()
    try stage.startBackend(on: 8082)
    try stage.start(
      try stage.nginx("nginx", listen: "8081", location: "proxy_pass http://127.0.0.1:8082;"),
      listeningOn: 8081)
    let file = try stage.folder.write(
      "haproxy.cfg",
      """
      defaults
        mode http
        timeout connect 5s
        timeout client 30s
        timeout server 30s
      listen web
        bind :8080
        server nginx 127.0.0.1:8081

      """)
    // Master and worker, as its image has it.
    try stage.supervise(["haproxy", "-W", "-db", "-f", file])
    try stage.stopUnderLoad(signal: "SIGUSR1")
  }

  @Test(.requires(.root, .namespaces, .tool("php-fpm8.2"), .tool("nginx")))
  func `php-fpm behind nginx loses no request`() throws {
    let stage = try ServerStage()
    let script = try stage.folder.write("index.php", "<?php usleep(300000); echo \"done\\n\";")
    let file = try stage.folder.write(
      "fpm.conf",
      """
      [global]
      error_log = /dev/null
      [www]
      user = www-data
      listen = 127.0.0.1:9000
      pm = static
      pm.max_children = 24

      """)
    try stage.supervise(["php-fpm8.2", "--nodaemonize", "--no-php-ini", "--fpm-config", file], port: 9000)
    let location = "fastcgi_pass 127.0.0.1:9000; fastcgi_param SCRIPT_FILENAME \(script); "
    try stage.start(
      try stage.nginx("nginx", location: location + "fastcgi_param REQUEST_METHOD $request_method;"),
      listeningOn: 8080)
    try stage.stopUnderLoad(signal: "SIGQUIT")
  }

  @Test(.requires(.root, .namespaces, .tool("lighttpd")))
  func `lighttpd loses no request`() throws {
    let stage = try ServerStage()
    try stage.startBackend()
    let file = try stage.folder.write(
      "lighttpd.conf",
      """
      server.document-root = "\(stage.path)"
      server.port = 8080
      server.modules = ("mod_proxy")
      proxy.server = ("" => (("host" => "127.0.0.1", "port" => 8081)))

      """)
    try stage.supervise(["lighttpd", "-D", "-f", file], as: "www-data")
    try stage.stopUnderLoad(signal: "SIGINT")
  }

  @Test(.requires(.root, .namespaces, .tool("gunicorn")))
  func `gunicorn loses no request`() throws {
    let stage = try ServerStage()
    try stage.writeWSGI()
    try stage.supervise(
      ["gunicorn", "--bind", ":8080", "--threads", "24", "--chdir", stage.path, "app"], as: "www-data")
    try stage.stopUnderLoad(signal: "SIGTERM")
  }

  @Test(.requires(.root, .namespaces, .tool("uvicorn")))
  func `uvicorn loses no request`() throws {
    let stage = try ServerStage()
    try stage.folder.write(
      "app.py",
      """
      import asyncio
      async def app(scope, receive, send):
          if scope["type"] != "http": return
          await asyncio.sleep(0.3)
          await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
          await send({"type": "http.response.body", "body": b"done\\n"})
      """)
    try stage.supervise(["uvicorn", "--port", "8080", "--app-dir", stage.path, "app:app"], as: "www-data")
    try stage.stopUnderLoad(signal: "SIGTERM")
  }

  /// nginx under the name that OpenResty's image gives it.
  @Test(.requires(.root, .namespaces, .tool("nginx")))
  func `OpenResty loses no request`() throws {
    let stage = try ServerStage()
    try stage.startBackend()
    let program = "\(stage.path)/openresty"
    try FileManager.default.createSymbolicLink(atPath: program, withDestinationPath: "/usr/sbin/nginx")
    let words = try stage.nginx("nginx", location: "proxy_pass http://127.0.0.1:8081;")
    try stage.supervise([program] + words.dropFirst())
    try stage.stopUnderLoad(signal: "SIGQUIT")
  }

  @Test(.requires(.root, .namespaces, .tool("starman")))
  func `Starman loses no request`() throws {
    let stage = try ServerStage()
    let file = try stage.folder.write(
      "app.psgi",
      """
      sub { select(undef, undef, undef, 0.3); [200, ["Content-Length" => 5], ["done\n"]] }
      """)
    try stage.supervise(["starman", "--listen", ":8080", "--workers", "24", file], as: "www-data")
    try stage.stopUnderLoad(signal: "SIGQUIT")
  }

  /// QUIT, which is for one that nobody told what to do at TERM, would cut requests.
  @Test(
    .requires(.root, .namespaces, .tool("uwsgi")),
    arguments: [
      ("hook-master-start = unix_signal:15 gracefully_kill_them_all", "SIGTERM"),
      ("die-on-term = true", "SIGTERM"),
      ("vacuum = true", "SIGQUIT"),
    ])
  func `uWSGI loses no request, whatever its hooks`(line: String, signal: String) throws {
    let stage = try ServerStage()
    try stage.writeWSGI()
    let file = try stage.folder.write(
      "uwsgi.ini",
      """
      [uwsgi]
      plugin = python3
      http-socket = :8080
      master = true
      processes = 24
      chdir = \(stage.path)
      wsgi-file = app.py
      disable-logging = true
      \(line)

      """)
    try stage.supervise(["uwsgi", "--ini", file], as: "www-data")
    try stage.stopUnderLoad(signal: signal)
  }

  /// What a shell runs hears nothing of the stop signal, and is the service all the same.
  @Test(.requires(.root, .namespaces, .tool("nginx")))
  func `nginx behind a shell loses no request`() throws {
    let stage = try ServerStage()
    try stage.startBackend()
    let nginx = try stage.nginx("nginx", location: "proxy_pass http://127.0.0.1:8081;")
    let run = try stage.supervise(["sh", "-c", "\(nginx.joined(separator: " ")); echo over"])
    try stage.stopUnderLoad(signal: "SIGTERM", exit: .code(143))
    #expect(run.errors.text.contains("the service is a shell (sh)"))
    #expect(run.errors.text.contains("left behind: SIGQUIT to pid"))
    #expect(run.report.contains("nginx, left behind, exited 0"))
  }

  @Test(.requires(.root, .namespaces, .tool("node")))
  func `Node's server, which has no graceful stop, loses no request`() throws {
    let stage = try ServerStage()
    let file = try stage.folder.write(
      "server.js",
      "require('http').createServer((_, answer) => setTimeout(() => answer.end('done\\n'), 300)).listen(8080);"
    )
    try stage.supervise(["node", file], as: "www-data")
    try stage.stopUnderLoad(signal: "SIGTERM", exit: .code(143))
  }

  @Test(.requires(.root, .namespaces, .tool("python3")))
  func `Python's server, which has no graceful stop, loses no request`() throws {
    let stage = try ServerStage()
    let file = try stage.folder.write(
      "server.py",
      """
      import http.server, time
      class Handler(http.server.BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          def do_GET(self):
              time.sleep(0.3)
              self.send_response(200)
              self.send_header("Content-Length", "5")
              self.end_headers()
              self.wfile.write(b"done\\n")
          def log_message(self, *words): pass
      http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
      """)
    try stage.supervise(["python3", file], as: "www-data")
    try stage.stopUnderLoad(signal: "SIGTERM", exit: .code(143))
  }
}
