import Foundation
import Testing

/// Servers that pass requests on, each stopped under load.
@Suite(.serialized)
struct ProxyTests {
  @Test(.requires(.root, .namespaces, .tool("caddy")))
  func `Caddy loses no request`() throws {
    let stage = try ServerStage()
    try stage.startBackend()
    let file = try stage.folder.write(
      "Caddyfile",
      """
      {
      	auto_https off
      	admin off
      }
      :8080 {
      	reverse_proxy 127.0.0.1:8081
      }

      """)
    try stage.supervise(["caddy", "run", "--adapter", "caddyfile", "--config", file], as: "www-data")
    try stage.stopUnderLoad(signal: "SIGTERM")
  }

  @Test(.requires(.root, .namespaces, .tool("varnishd")))
  func `Varnish, which has no graceful stop, loses no request`() throws {
    let stage = try ServerStage()
    try stage.startBackend()
    let file = try stage.folder.write(
      "pass.vcl",
      """
      vcl 4.1;
      backend tide { .host = "127.0.0.1"; .port = "8081"; }
      sub vcl_recv { return (pass); }
      """)
    try stage.supervise(
      ["varnishd", "-F", "-n", "\(stage.path)/varnish", "-a", ":8080", "-f", file, "-s", "malloc,16m"])
    try stage.stopUnderLoad(signal: "SIGTERM")
  }

  @Test(.requires(.root, .namespaces, .tool("squid")))
  func `Squid loses no request, and takes no shutdown_lifetime`() throws {
    let stage = try ServerStage()
    try stage.startBackend()
    let folder = try stage.folder("squid", for: "proxy")
    let file = try stage.folder.write(
      "squid.conf",
      """
      http_port 8080 accel defaultsite=test no-vhost
      cache_peer 127.0.0.1 parent 8081 0 no-query originserver
      http_access allow all
      cache deny all
      pinger_enable off
      pid_filename none
      access_log none
      cache_log /dev/null
      netdb_filename none
      coredump_dir \(folder)
      max_filedescriptors 1024
      # At TERM it would take all of it, whether anything is in progress or not.
      shutdown_lifetime 10 minutes

      """)
    try stage.supervise(["squid", "--foreground", "-f", file])
    try stage.stopUnderLoad(signal: "SIGINT")
  }

  @Test(.requires(.root, .namespaces, .tool("stunnel"), .tool("openssl")))
  func `stunnel, which has no graceful stop, loses no request`() throws {
    let stage = try ServerStage()
    try stage.startBackend()
    try stage.network.run(
      "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
      "-keyout", "\(stage.path)/key.pem", "-out", "\(stage.path)/certificate.pem")
    let server = try stage.folder.write(
      "server.conf",
      """
      foreground = quiet
      pid =
      [tls]
      accept = 8443
      connect = 127.0.0.1:8081
      cert = \(stage.path)/certificate.pem
      key = \(stage.path)/key.pem

      """)
    // The clients' end of it.
    let client = try stage.folder.write(
      "client.conf",
      """
      foreground = quiet
      pid =
      client = yes
      [plain]
      accept = 8080
      connect = 127.0.0.1:8443

      """)
    try stage.supervise(["stunnel", server], port: 8443)
    try stage.start(["stunnel", client], listeningOn: 8080)
    try stage.stopUnderLoad(signal: "SIGTERM")
  }
}
