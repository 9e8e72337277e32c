import Linux
import Supervisor

/// What `ebb help` prints.
enum Help {
  static func text(_ arguments: Arguments) throws(UsageError) -> Text {
    guard let topic = arguments.first else { return overview }
    if topic == "run" { return RunOptions.help }
    if topic == "drain" { return DrainCommand.help }
    if topic == "ready" { return ReadyCommand.help }
    if topic == "live" { return LiveCommand.help }
    if topic == "status" { return StatusCommand.help }
    if topic == "port" { return PortCommand.help }
    if topic == "sockets" { return SocketsCommand.help }
    if topic == "copy" { return CopyCommand.help }
    if topic == "signals" { return signals }
    throw UsageError(
      "no help on \(topic): expected run, drain, ready, live, status, port, sockets, copy or signals")
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

  private static var signals: Text {
    var text: Text =
      "What a known server is sent to stop (--stop-signal auto). Any other gets the signal that began the stop.\n\n"
    for server in KnownServer.allCases {
      var line: Text = "  \(server.name)"
      while line.bytes.count < 16 { line.append(" ") }
      line.append(contentsOf: "\(server.stopSignal)")
      while line.bytes.count < 26 { line.append(" ") }
      line.append(server.remark)
      line.append("\n")
      text.append(contentsOf: line)
    }
    return text
  }
}
