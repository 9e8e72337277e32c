import Linux
import Supervisor

/// The options of `ebb run`.
enum RunOptions: CommandOption {
  case ports, readyWhen, readyWhileDraining, stopSignal, drainOn, rewrite, group, single
  case lameDuck, lameDuckMax, quietChance, ignorePeer, busyMax, lingerMax, grace, onDrain
  case mapExit, parentDeathSignal, noSubreaper, warnOnReap
  case http, httpDrain, httpDrainAddress, control, log, verbose, quiet, terminationLog

  static var command: StaticString { "run" }

  var name: StaticString {
    switch self {
    case .ports: "ports"
    case .readyWhen: "ready-when"
    case .readyWhileDraining: "ready-while-draining"
    case .stopSignal: "stop-signal"
    case .drainOn: "drain-on"
    case .rewrite: "rewrite"
    case .group: "group"
    case .single: "single"
    case .lameDuck: "lame-duck"
    case .lameDuckMax: "lame-duck-max"
    case .quietChance: "quiet-chance"
    case .ignorePeer: "ignore-peer"
    case .busyMax: "busy-max"
    case .lingerMax: "linger-max"
    case .grace: "grace"
    case .onDrain: "on-drain"
    case .mapExit: "map-exit"
    case .parentDeathSignal: "parent-death-signal"
    case .noSubreaper: "no-subreaper"
    case .warnOnReap: "warn-on-reap"
    case .http: "http"
    case .httpDrain: "http-drain"
    case .httpDrainAddress: "http-drain-address"
    case .control: "control"
    case .log: "log"
    case .verbose: "verbose"
    case .quiet: "quiet"
    case .terminationLog: "termination-log"
    }
  }

  var value: StaticString? {
    switch self {
    case .ports: "P[/udp],..."
    case .readyWhen: "PROBE"
    case .readyWhileDraining: "auto|yes|no"
    case .http, .httpDrainAddress: "[ADDR:]PORT"
    case .control: "@name|/path|off"
    case .stopSignal: "auto|SIG"
    case .drainOn: "SIG,..."
    case .rewrite: "A:B,..."
    case .lameDuck: "auto|D"
    case .lameDuckMax, .busyMax, .lingerMax, .grace: "D"
    case .quietChance: "P"
    case .ignorePeer: "ADDR[/BITS]"
    case .onDrain: "CMD"
    case .mapExit: "A=B,..."
    case .parentDeathSignal: "SIG"
    case .log: "text|json"
    case .terminationLog: "PATH"
    case .group, .single, .noSubreaper, .warnOnReap, .httpDrain, .verbose, .quiet: nil
    }
  }

  var help: StaticString {
    switch self {
    case .ports: "the service's ports (else: found)"
    case .readyWhen:
      "listen, tcp:P, http:P/path, unix:/path, exec:CMD or notify; repeatable, all must hold (listen)"
    case .readyWhileDraining: "whether \"ebb ready\" says yes in a drain (auto: yes in Kubernetes, else no)"
    case .http: "serve /livez /readyz /status /metrics there (off)"
    case .httpDrain: "serve /drain too, to whoever can reach that address"
    case .httpDrainAddress: "serve /drain there instead"
    case .control: "where ebb ready, live, drain and status reach it (a name made from the mount namespace)"
    case .stopSignal: "what the service is sent to stop (auto; see \"ebb help signals\")"
    case .drainOn: "signals that begin the drain (TERM,INT and the known server's own)"
    case .rewrite: "forward signal A as B; B 0: do not forward it"
    case .group: "signal the service's process group"
    case .single: "signal its main process alone (the default)"
    case .lameDuck: "how long to serve on before the stop signal (auto)"
    case .lameDuckMax: "the most that auto may take (10s in Kubernetes, else 0s)"
    case .quietChance: "how often auto may take the traffic for gone while it is not (0.001)"
    case .ignorePeer: "connections from there are no traffic: a platform's probes; repeatable"
    case .busyMax: "how long busy connections may hold off the stop signal (5s; 2s for a known server)"
    case .lingerMax: "how long to wait for peers to acknowledge the last bytes (5s; 0 on the host's network)"
    case .grace: "the whole stop; what is left is killed just before its end (none)"
    case .onDrain: "run this command as the drain begins; the stop signal waits for it like for a connection"
    case .mapExit: "exit with B where the service's code is A"
    case .parentDeathSignal: "the signal that ebb gets when its own parent dies"
    case .noSubreaper: "leave orphans to others, where ebb is not PID 1"
    case .warnOnReap: "a line for every orphan that is reaped"
    case .log: "how lines look (text)"
    case .verbose: "a line a phase"
    case .quiet: "losses and errors alone"
    case .terminationLog: "the report goes there too (/dev/termination-log, where that is and is empty)"
    }
  }

  var opposite: RunOptions? {
    switch self {
    case .group: .single
    case .single: .group
    case .verbose: .quiet
    case .quiet: .verbose
    case .ports, .readyWhen, .readyWhileDraining, .http, .httpDrain, .httpDrainAddress, .control, .stopSignal,
      .drainOn, .rewrite, .lameDuck,
      .lameDuckMax, .quietChance, .ignorePeer, .busyMax, .lingerMax, .grace,
      .onDrain,
      .mapExit, .parentDeathSignal, .noSubreaper, .warnOnReap, .log, .terminationLog:
      nil
    }
  }

  /// The whole command line of `ebb run`; nil when help was asked for.
  static func configuration(_ arguments: Arguments) throws(UsageError) -> Configuration? {
    var arguments = arguments
    var configuration = Configuration(arguments: arguments.pointer)
    let goesOn = try parse(&arguments) {
      (option, value, source) throws(UsageError) in try option.apply(value, source, to: &configuration)
    }
    guard goesOn else { return nil }
    guard let program = arguments.first else {
      throw UsageError("a command is missing: ebb [run] [options] [--] command [arg...]")
    }
    if program == "" { throw UsageError("the command is an empty word: expected a program's name or path") }
    if configuration.http == nil && configuration.httpServesDrain {
      throw UsageError("--http-drain needs --http: the address that its page is served at")
    }
    configuration.arguments = arguments.pointer
    return configuration
  }

  func apply(
    _ value: CString, _ source: UsageError.Source, to configuration: inout Configuration
  ) throws(UsageError) {
    func wrong(_ expected: StaticString) -> UsageError { UsageError(source, value, expected: expected) }
    switch self {
    case .ports:
      guard let ports = Values.ports(value) else {
        throw wrong("ports from 1 to 65535 with commas between them, like 8080,53/udp (64 at most)")
      }
      configuration.ports = ports.tcp
      configuration.udpPorts = ports.udp
    case .readyWhen:
      guard let probe = Probe(value.bytes) else {
        throw wrong("listen, tcp:8080, http:8080/health, unix:/run/s.sock, exec:CMD or notify")
      }
      guard configuration.readyWhen.count < 16 else { throw wrong("16 probes at most") }
      configuration.readyWhen.append(probe)
    case .readyWhileDraining:
      if value == "auto" {
        configuration.readyWhileDraining = nil
      } else if value == "yes" || value == "no" {
        configuration.readyWhileDraining = value == "yes"
      } else {
        throw wrong("auto, yes or no")
      }
    case .http: configuration.http = try Values.listenAddress(value, source)
    case .httpDrain: configuration.httpServesDrain = true
    case .httpDrainAddress:
      configuration.httpDrainAddress = try Values.listenAddress(value, source)
      configuration.httpServesDrain = true
    case .control: configuration.control = try Values.control(value, source)
    case .stopSignal:
      if value == "auto" {
        configuration.stopSignal = nil
      } else {
        guard let signal = Signal(named: value.bytes) else {
          throw wrong("auto or a signal, like TERM, SIGQUIT or 15")
        }
        configuration.stopSignal = signal
      }
    case .drainOn:
      guard let signals = Values.signals(value) else {
        throw wrong("signals with commas between them, like TERM,INT")
      }
      configuration.drainOn = signals
    case .rewrite:
      guard let pairs = Values.rewrites(value) else {
        throw wrong("pairs of signals, like TERM:QUIT or 15:3; 0 drops")
      }
      configuration.rewrites += pairs
    case .group: configuration.signalsGroup = true
    case .single: configuration.signalsGroup = false
    case .lameDuck:
      configuration.lameDuck = value == "auto" ? nil : try Values.duration(value, source, orAuto: true)
    case .lameDuckMax: configuration.lameDuckMax = try Values.duration(value, source)
    case .quietChance: configuration.quietChance = try Values.chance(value, source)
    case .ignorePeer: try Values.add(value, source, to: &configuration.ignoredPeers)
    case .busyMax: configuration.busyMax = try Values.duration(value, source)
    case .lingerMax: configuration.lingerMax = try Values.duration(value, source)
    case .grace:
      let grace = try Values.duration(value, source)
      if grace == .zero { throw wrong("a time above 0, like 30s") }
      configuration.grace = grace
    case .onDrain:
      guard let words = CommandLineWords.split(value.bytes), words.first?.isEmpty == false else {
        throw wrong("a command, its quotes closed")
      }
      configuration.drainCommand = words
    case .mapExit:
      guard let pairs = Values.exitCodes(value) else {
        throw wrong("pairs of exit codes from 0 to 255, like 143=0")
      }
      configuration.exitCodes += pairs
    case .parentDeathSignal:
      guard let signal = Signal(named: value.bytes) else { throw wrong("a signal, like TERM, SIGQUIT or 15") }
      configuration.parentDeathSignal = signal
    case .noSubreaper: configuration.isSubreaper = false
    case .warnOnReap: configuration.warnsOnReap = true
    case .log:
      if value == "text" {
        configuration.logFormat = .text
      } else if value == "json" {
        configuration.logFormat = .json
      } else {
        throw wrong("text or json")
      }
    case .verbose: configuration.verbosity = .phases
    case .quiet: configuration.verbosity = .problems
    case .terminationLog:
      if value == "" { throw wrong("a path") }
      configuration.terminationLog = value
    }
  }

  static var help: Text {
    """
    ebb [run] [options] [--] command [arg...]

    Launches a service and supervises it: forwards signals, reaps orphans, and at TERM lets it finish,
    waits until the last byte is acknowledged, and exits with the service's own code.

    Every option is a variable too: --lame-duck is EBB_LAME_DUCK. The command line wins.
    D is a time: 250ms, 10s, 2m. SIG is a signal: TERM, SIGTERM, 15, RTMIN+3.

    \(helpText)
    exit codes: the service's own; 128+n when signal n ended it; 127 not found; 126 found, but not
    executable; 125 ebb could not start it; 64 a word that makes no sense

    """
  }
}
