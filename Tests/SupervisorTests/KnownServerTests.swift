import Linux
import Testing

@testable import Supervisor

@Suite struct `A known server` {
  private func server(_ comm: String, _ firstArgument: String = "") -> KnownServer? {
    KnownServer(comm: Array(comm.utf8), firstArgument: Array(firstArgument.utf8))
  }

  @Test(arguments: [
    ("nginx", KnownServer.nginx), ("httpd", .httpd), ("apache2", .httpd), ("haproxy", .haproxy),
    ("php-fpm", .phpFPM), ("php-fpm8.2", .phpFPM), ("php-fpm82", .phpFPM), ("php-fpm7.4", .phpFPM),
    ("lighttpd", .lighttpd), ("postgres", .postgres), ("uwsgi", .uwsgi), ("uwsgi-core", .uwsgi),
    ("unicorn", .unicorn), ("gunicorn", .gunicorn), ("uvicorn", .uvicorn), ("puma", .puma), ("caddy", .caddy),
    ("redis-server", .redis), ("mariadbd", .mariadb), ("mysqld", .mariadb), ("openresty", .nginx),
    ("angie", .nginx), ("tengine", .nginx), ("pgbouncer", .pgbouncer), ("unitd", .unit),
    ("starman master ", .starman), ("nats-server", .nats), ("gitlab-runner", .gitlabRunner),
    ("squid", .squid), ("mosquitto", .mosquitto),
  ])
  func `is known by the name that the kernel keeps`(comm: String, expected: KnownServer) {
    #expect(server(comm) == expected)
    #expect(server(comm, "whatever it says") == expected)
  }

  @Test(arguments: [
    ("nginx: master process nginx -g daemon off;", KnownServer.nginx),
    ("/usr/sbin/nginx", .nginx), ("./nginx", .nginx),
    ("php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)", .phpFPM),
    ("unicorn master -c config/unicorn.rb", .unicorn), ("gunicorn: master [app:app]", .gunicorn),
    ("/usr/local/bin/gunicorn", .gunicorn), ("puma 6.4.2 (tcp://0.0.0.0:3000) [app]", .puma),
    ("/opt/bitnami/redis/bin/redis-server *:6379", .redis), ("/usr/local/apache2/bin/httpd", .httpd),
    ("resque-2.6.0: Waiting for *", .resque), ("resque-1.27: Forked 12 at 1", .resque),
  ])
  func `is known by the first word of its command line`(firstArgument: String, expected: KnownServer) {
    // Interpreters keep their own name with the kernel.
    #expect(server("python3.11", firstArgument) == expected)
    #expect(server("ruby", firstArgument) == expected)
  }

  @Test(arguments: [
    ("", ""), ("sh", ""), ("ngin", "ngin"), ("nginxx", "nginx2"), ("nginx-exporter", "/bin/nginx-exporter"),
    ("php-fpm_exporte", "/usr/bin/php-fpm_exporter"), ("php-fpm-healthch", "php-fpm-healthcheck"),
    ("python3", "python3"), ("redis-sentinel", "redis-cli"), ("tide", "/nginx/tide"), ("x", "nginx/"),
    ("x", ":nginx"), ("x", " nginx"), ("NGINX", "Nginx"), ("mysqld_safe", "mysqld_safe"),
    ("uwsgi_exporter", "uwsgi_exporter"), ("haproxy_exporte", "haproxy_exporter"), ("starman", ""),
    ("starman worker ", ""),
    ("ruby", "resque-scheduler"), ("ruby", "resque-web"), ("pgbouncer_expor", ""), ("nats", ""),
    ("squidGuard", ""), ("mosquitto_sub", ""),
  ])
  func `is none that is only called like one`(comm: String, firstArgument: String) {
    #expect(server(comm, firstArgument) == nil)
  }

  @Test func `is stopped with the signal that lets it finish`() {
    let table: [(KnownServer, Signal)] = [
      (.nginx, .quit), (.httpd, .windowChange), (.haproxy, .user1), (.phpFPM, .quit), (.lighttpd, .interrupt),
      (.postgres, .interrupt), (.uwsgi, .quit), (.unicorn, .quit), (.gunicorn, .terminate),
      (.uvicorn, .terminate), (.puma, .terminate), (.caddy, .terminate), (.redis, .terminate),
      (.mariadb, .terminate), (.pgbouncer, .interrupt), (.uwsgiWithTerm, .terminate), (.unit, .quit),
      (.starman, .quit), (.nats, .user2), (.resque, .quit), (.gitlabRunner, .quit),
      (.squid, .interrupt), (.mosquitto, .terminate),
    ]
    #expect(table.count == KnownServer.allCases.count)
    for (server, signal) in table { #expect(server.stopSignal == signal, "\(server)") }
    // php-fpm's own wait is off by default, uWSGI has none, and Squid's is of one length; the databases abort their statements.
    #expect(
      KnownServer.allCases.filter { !$0.finishesRequests } == [
        .phpFPM, .postgres, .uwsgi, .uwsgiWithTerm, .squid, .mariadb,
      ])
  }

  @Test func `may begin its drain at the signal at which any of them stops`() {
    for server in KnownServer.allCases { #expect(KnownServer.stopSignals.contains(server.stopSignal)) }
    for signal: Signal in [.hangup, .kill, .child] {
      #expect(!KnownServer.stopSignals.contains(signal))
    }
  }

  @Test(arguments: [
    ("[uwsgi]\ndie-on-term = true\n", true), ("die-on-term\n", true), ("die-on-term=1", true), ("", false),
    ("die-on-term = false\n", false), ("; die-on-term = true\n", false), ("# die-on-term\n", false),
    ("hook-master-start = unix_signal:15 gracefully_kill_them_all", true),
    ("hook-master-start = unix_signal:3 gracefully_kill_them_all", false),
    ("uwsgi:\n  die-on-term: true\n", true),
    ("<uwsgi>\n\t<die-on-term/>\n</uwsgi>", true), ("{\"uwsgi\": {\n\"die-on-term\": true\n}}", true),
    ("master = true\nprocesses = 4\n", false),
  ])
  func `is asked what TERM does where its configuration can say`(text: String, expected: Bool) {
    #expect(UWSGIConfiguration(text: Array(text.utf8)).saysWhatTermDoes == expected)
  }

  @Test func `is not this process`() {
    #expect(KnownServer(process: .own) == nil)
    #expect(KnownServer(process: ProcessID(-5)) == nil)
  }
}

@Suite struct `A command line's words` {
  private func words(_ line: String) -> [String]? {
    CommandLineWords.split(Array(line.utf8))?.map { String(decoding: $0, as: UTF8.self) }
  }

  @Test(arguments: [
    ("", []), ("   \t\n ", []), ("a", ["a"]), (" a  b\tc\nd ", ["a", "b", "c", "d"]),
    ("sh -c 'echo hi; exit 1'", ["sh", "-c", "echo hi; exit 1"]), ("a'b c'd", ["ab cd"]),
    ("\"a b\"", ["a b"]), ("''", [""]), ("\"\" a ''", ["", "a", ""]), (#"a\ b"#, ["a b"]),
    (#"a\\b"#, [#"a\b"#]),
    (#"'a\b'"#, [#"a\b"#]), (#""a\"b""#, [#"a"b"#]), (#"\'"#, ["'"]), ("'\"'", ["\""]), ("\"'\"", ["'"]),
    ("$HOME *.c `x` # y", ["$HOME", "*.c", "`x`", "#", "y"]), ("größe '日 本'", ["größe", "日 本"]),
    ("a\\\nb", ["a\nb"]),
  ])
  func `are what is between the blanks, quotes taken off`(line: String, expected: [String]) {
    #expect(words(line) == expected)
  }

  @Test(arguments: ["'", "\"", "a 'b", "a \"b", "a\\", "'a\\'b'", "\"a\\\""])
  func `are none where a quote is not closed`(line: String) {
    #expect(words(line) == nil)
  }

  @Test func `may hold any byte`() {
    #expect(CommandLineWords.split([0xff, 0x20, 0xfe, 0x80]) == [[0xff], [0xfe, 0x80]])
  }
}
