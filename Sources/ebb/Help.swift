import Linux
import Supervisor

/// What `ebb help` prints.
enum Help {
  static func text(_ arguments: Arguments) throws(UsageError) -> Text {
    guard let topic = arguments.first else { return overview }
    let help: StaticString
    switch Command.Name(topic) {
    case .run: help = RunOptions.table.help
    case .drain: help = DrainCommand.table.help
    case .ready: help = ProbeCommand.ready.help
    case .live: help = ProbeCommand.live.help
    case .status: help = StatusCommand.table.help
    case .port: help = PortCommand.table.help
    case .sockets: help = SocketsCommand.table.help
    case .copy: help = CopyCommand.help
    case .help, nil:
      guard topic == "signals" else {
        throw UsageError(
          "no help on \(topic): expected run, drain, ready, live, status, port, sockets, copy or signals")
      }
      help = signals
    }
    return Text(stringLiteral: help)
  }

  private static var overview: Text {
    """
    ebb \(ebbVersion): a container's entrypoint, from the launch of its service to the last byte

      ebb [run] [options] [--] command [arg...]   launch and supervise a service
      ebb drain  [--timeout D]                    begin the drain and wait for it (the preStop hook)
      ebb ready                                   exit 0 while the service should get traffic (readiness)
      ebb live                                    exit 0 while there is a service (liveness)
      ebb status [--json] [--watch]               phase, ports, connections, what is waited for
      ebb port PORT[/udp]... [options]            is the port free, and if not, who or what holds it
      ebb sockets [filters] [--destroy] [--json]  the socket table, summed up and explained
      ebb copy PATH                               put ebb itself there (for an init container)
      ebb help [COMMAND|signals]                  options; what known servers are stopped with
      ebb --version

    A first word that is no command of ebb's is the service: ebb -- nginx -g 'daemon off;'

    """
  }

  /// What known servers are stopped with, and why.
  private static var signals: StaticString {
    """
    What a known server is sent to stop (--stop-signal auto). Any other gets the signal that began the stop.
    Requests in progress are waited for before: 2 s where the server finishes them itself, else for as long as the
    platform's time allows (--busy-max).

      nginx         SIGQUIT   QUIT finishes the requests in progress; TERM cuts them
      Apache httpd  SIGWINCH  WINCH finishes the requests in progress; TERM cuts them
      HAProxy       SIGUSR1   USR1 finishes the connections in progress; TERM cuts them
      php-fpm       SIGQUIT   QUIT cuts requests after process_control_timeout, 0 by default: ebb waits for them first
      lighttpd      SIGINT    INT finishes the requests in progress; TERM cuts them
      PostgreSQL    SIGINT    INT aborts statements, so ebb waits for them first; TERM waits for each session to leave
      PgBouncer     SIGINT    INT finishes the queries; TERM cuts them before 1.23
      uWSGI         SIGQUIT   QUIT ends it at once, so ebb waits for requests first; TERM reloads it
      uWSGI         SIGTERM   told by die-on-term or a hook what TERM is to do, which ebb leaves to it
      NGINX Unit    SIGQUIT   QUIT finishes the requests in progress; TERM cuts them
      Starman       SIGQUIT   QUIT finishes the requests in progress; TERM cuts them
      unicorn       SIGQUIT   QUIT finishes the requests in progress; TERM cuts them
      gunicorn      SIGTERM   TERM finishes the requests in progress; QUIT cuts them
      uvicorn       SIGTERM   TERM finishes the requests in progress
      puma          SIGTERM   TERM finishes the requests in progress
      Caddy         SIGTERM   TERM finishes requests, within its grace_period
      Squid         SIGINT    INT ends it at once, so ebb waits for requests first; TERM takes all of shutdown_lifetime
      Redis         SIGTERM   TERM saves, where that is configured, and ends
      MariaDB       SIGTERM   TERM aborts statements, so ebb waits for them first
      Mosquitto     SIGTERM   TERM saves, where that is configured, and tells clients
      NATS          SIGUSR2   USR2 hands its clients to other servers; TERM closes them at once
      Resque        SIGQUIT   QUIT finishes the job in progress; TERM kills it
      GitLab Runner SIGQUIT   QUIT finishes the jobs in progress; TERM aborts them

    """
  }
}
