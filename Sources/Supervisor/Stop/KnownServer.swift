import Linux

/// The servers and workers whose way of stopping gracefully we know. Tests stop the real ones under load, but for those
/// that docker/SERVERS.md takes from their manuals.
public enum KnownServer: CaseIterable, Sendable {
  /// nginx, and what is made of it: OpenResty, Angie, Tengine.
  case nginx
  /// Apache httpd, which Debian calls apache2.
  case httpd
  /// HAProxy.
  case haproxy
  /// PHP-FPM, of any version.
  case phpFPM
  /// lighttpd.
  case lighttpd
  /// PostgreSQL.
  case postgres
  /// PgBouncer.
  case pgbouncer
  /// uWSGI, with a TERM that reloads it.
  case uwsgi
  /// uWSGI, told what to do at TERM: `die-on-term`, or a hook.
  case uwsgiWithTerm
  /// NGINX Unit.
  case unit
  /// Starman.
  case starman
  /// unicorn.
  case unicorn
  /// gunicorn.
  case gunicorn
  /// uvicorn.
  case uvicorn
  /// puma.
  case puma
  /// Caddy.
  case caddy
  /// Squid.
  case squid
  /// Redis.
  case redis
  /// MariaDB, and MySQL.
  case mariadb
  /// Mosquitto.
  case mosquitto
  /// The NATS server.
  case nats
  /// A worker of Resque.
  case resque
  /// GitLab Runner.
  case gitlabRunner

  /// The signal that has it finish what it is doing and end; `ebb help signals` has them all, in this order.
  public var stopSignal: Signal {
    switch self {
    case .nginx, .phpFPM, .uwsgi, .unit, .starman, .unicorn, .resque, .gitlabRunner: .quit
    case .httpd: .windowChange
    case .haproxy: .user1
    case .nats: .user2
    case .lighttpd, .postgres, .pgbouncer, .squid: .interrupt
    case .uwsgiWithTerm, .gunicorn, .uvicorn, .puma, .caddy, .redis, .mariadb, .mosquitto: .terminate
    }
  }

  /// The signals at which one of them stops.
  static var stopSignals: SignalSet {
    var signals = SignalSet.empty
    for server in allCases { signals.insert(server.stopSignal) }
    return signals
  }

  /// Whether the signal lets requests in progress finish by itself. Where it does not, ebb's own wait for busy
  /// connections is all that they have.
  public var finishesRequests: Bool {
    switch self {
    // PostgreSQL and MariaDB tell sessions, and abort their statements.
    case .phpFPM, .uwsgi, .uwsgiWithTerm, .postgres, .squid, .mariadb: false
    case .nginx, .httpd, .haproxy, .lighttpd, .pgbouncer, .unit, .starman, .unicorn, .gunicorn, .uvicorn,
      .puma, .caddy,
      .redis, .mosquitto, .nats, .resque, .gitlabRunner:
      true
    }
  }

  /// The signal that ends it at once, where its graceful stop takes too long; nil where that one is the quickest.
  var quickSignal: Signal? {
    switch self {
    case .nginx, .httpd, .haproxy, .phpFPM, .lighttpd, .pgbouncer, .unit, .starman, .unicorn, .nats, .resque,
      .gitlabRunner:
      .terminate
    case .gunicorn: .quit
    // A second one.
    case .uvicorn, .caddy: .terminate
    case .postgres, .uwsgi, .uwsgiWithTerm, .puma, .squid, .redis, .mariadb, .mosquitto: nil
    }
  }

  /// Its setting that limits how long its graceful stop takes, which else lasts as long as a client stays; nil where it has
  /// a limit of its own, or none can be set.
  var stopLimit: StaticString? {
    switch self {
    case .nginx: "worker_shutdown_timeout"
    case .httpd: "GracefulShutdownTimeout"
    case .haproxy: "hard-stop-after"
    case .lighttpd: "server.graceful-shutdown-timeout"
    case .uvicorn: "timeout_graceful_shutdown"
    case .caddy: "grace_period"
    case .puma: "force_shutdown_after"
    case .phpFPM, .postgres, .pgbouncer, .uwsgi, .uwsgiWithTerm, .unit, .starman, .unicorn, .gunicorn, .squid,
      .redis, .mariadb, .mosquitto, .nats, .resque, .gitlabRunner:
      nil
    }
  }

  /// The server with this name in /proc/PID/comm, and this first word of its command line; nil where it is
  /// none of them. The program's file (/proc/PID/exe) is closed to us for another user's process.
  public init?(comm: [UInt8], firstArgument: [UInt8]) {
    if let server = KnownServer(program: comm) {
      self = server
      return
    }
    // Programs that run in an interpreter have its name there, and rewrite their command line: "unicorn
    // master -c …", "gunicorn: master [app]", "puma 6.4 (tcp://…)", "resque-2.6.0: Waiting for *". Or their script is the
    // first word.
    var start = 0
    var end = 0
    while end < firstArgument.count {
      let byte = firstArgument[end]
      if byte == UInt8(ascii: " ") || byte == UInt8(ascii: ":") { break }
      end += 1
      if byte == UInt8(ascii: "/") { start = end }
    }
    let name = firstArgument.part(from: start, to: end)
    if let version = name.value(of: "resque-"), KnownServer.isVersion(version) {
      self = .resque
    } else if let server = KnownServer(program: name) {
      self = server
    } else {
      return nil
    }
  }

  /// What its program is called, where that is one name.
  private var program: StaticString {
    switch self {
    case .nginx: "nginx"
    case .httpd: "httpd"
    case .haproxy: "haproxy"
    case .phpFPM: "php-fpm"
    case .lighttpd: "lighttpd"
    case .postgres: "postgres"
    case .pgbouncer: "pgbouncer"
    case .uwsgi, .uwsgiWithTerm: "uwsgi"
    case .unit: "unitd"
    // Its title, as much of it as the kernel keeps.
    case .starman: "starman master "
    case .unicorn: "unicorn"
    case .gunicorn: "gunicorn"
    case .uvicorn: "uvicorn"
    case .puma: "puma"
    case .caddy: "caddy"
    case .squid: "squid"
    case .redis: "redis-server"
    case .mariadb: "mariadbd"
    case .mosquitto: "mosquitto"
    case .nats: "nats-server"
    case .resque: "resque"
    case .gitlabRunner: "gitlab-runner"
    }
  }

  private init?(program name: [UInt8]) {
    for server in KnownServer.allCases where name == server.program {
      self = server
      return
    }
    if name == "openresty" || name == "angie" || name == "tengine" {
      self = .nginx
    } else if name == "apache2" {
      self = .httpd
    } else if let version = name.value(of: "php-fpm"), KnownServer.isVersion(version) {
      self = .phpFPM
    } else if name == "uwsgi-core" {
      self = .uwsgi
    } else if name == "mysqld" {
      self = .mariadb
    } else {
      return nil
    }
  }

  /// Nothing, "82", "8.2": what distributions put behind a name. (php-fpm_exporter is none, and dies of QUIT.)
  private static func isVersion(_ suffix: [UInt8]) -> Bool {
    suffix.allSatisfy { ($0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9")) || $0 == UInt8(ascii: ".") }
  }

  /// The server that a process is, now; nil where it is none that we know, or cannot be asked.
  public init?(process: ProcessID) {
    guard let comm = ProcessTable.name(of: process) else { return nil }
    // To read a command line is to wait for a process that hangs in mmap(2), access_remote_vm(): only where it says more.
    let isInterpreter = comm.hasPrefix("python") || comm.hasPrefix("ruby")
    self.init(comm: comm, firstArgument: isInterpreter ? ProcessTable.firstArgument(of: process) ?? [] : [])
    if self == .uwsgi && UWSGIConfiguration(of: process).saysWhatTermDoes { self = .uwsgiWithTerm }
  }
}
