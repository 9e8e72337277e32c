import Linux
import Supervisor

/// The options of `ebb run`, in the order of its help.
enum RunOptions: Int, CaseIterable {
  case ports, readyWhen, readyWhileDraining, stopSignal, drainOn, rewrite, group, single
  case lameDuck, lameDuckMax, quietChance, ignorePeer, busyMax, undecidedMax, lingerMax, leftoversMax, grace,
    onDrain
  case mapExit, parentDeathSignal, subreaper, noSubreaper, warnOnReap
  case http, httpDrain, httpDrainAddress, control, log, verbose, quiet, terminationLog

  static var table: OptionTable {
    OptionTable(
      command: "run", words: .behind,
      opposites: OptionPlaces(RunOptions.group) | OptionPlaces(RunOptions.verbose)
        | OptionPlaces(RunOptions.subreaper),
      help: """
        ebb [run] [options] [--] command [arg...]

        Launches a service and supervises it: forwards signals, reaps orphans, and at TERM lets it finish,
        waits until the last byte is acknowledged, and exits with the service's own code.

        Every option is a variable too: --lame-duck is EBB_LAME_DUCK. The command line wins.
        D is a time: 250ms, 10s, 2m. SIG is a signal: TERM, SIGTERM, 15, RTMIN+3.

          --ports P[/udp],...         the service's ports, and Unix sockets as unix:/path (else: found)
          --ready-when PROBE          listen, alive, tcp:P, http:P/path, unix:/path, exec:CMD or notify; repeatable, all must hold (listen)
          --ready-while-draining auto|yes|no
                                      whether "ebb ready" says yes in a drain (auto: yes in Kubernetes, else no)
          --stop-signal auto|SIG      what the service is sent to stop (auto; see "ebb help signals")
          --drain-on SIG,...          signals that begin the drain (TERM,INT and the known server's own)
          --rewrite A:B,...           forward signal A as B; B 0: do not forward it
          --group                     signal the service's process group
          --single                    signal its main process alone (the default)
          --lame-duck auto|D          how long to serve on before the stop signal (auto)
          --lame-duck-max D           the most that auto may take (10s in Kubernetes, else 0s)
          --quiet-chance P            how often auto may take the traffic for gone while it is not (0.001)
          --ignore-peer ADDR[/BITS]   connections from there are no traffic: a platform's probes; repeatable
          --busy-max D                how long requests in progress may hold off the stop signal (what the platform's time
                                      leaves; 2s for a known server that finishes them itself)
          --undecided-max D           how long a connection may of which it cannot be told (3s)
          --linger-max D              how long to wait for peers to acknowledge the last bytes (5s; 0 on the host's network)
          --leftovers-max D           how long what the main process leaves behind has between TERM and KILL (5s)
          --grace D                   the whole stop; what is left is killed just before its end (none)
          --on-drain STEP             as the drain begins: a command, or [METHOD ]http://HOST[:PORT]/path; repeatable, in order
          --map-exit A=B,...          exit with B where the service's code is A
          --parent-death-signal SIG   the signal that ebb gets when its own parent dies
          --subreaper                 take orphans in where ebb is not PID 1, and do not start where that is refused
          --no-subreaper              leave orphans to others, where ebb is not PID 1
          --warn-on-reap              a line for every orphan that is reaped
          --http [ADDR:]PORT          serve /livez /readyz /status /metrics there (off)
          --http-drain                serve /drain too, to whoever can reach that address
          --http-drain-address [ADDR:]PORT
                                      serve /drain there instead
          --control @name|/path|off   where ebb ready, live, drain and status reach it (a name made from the mount namespace)
          --log text|json             how lines look (text)
          --verbose                   a line a phase
          --quiet                     losses and errors alone
          --termination-log PATH      the report goes there too (/dev/termination-log, where that is and is empty)

        exit codes: the service's own; 128+n when signal n ended it; 127 not found; 126 found, but not
        executable; 125 ebb could not start it; 64 a word that makes no sense

        """)
  }

  /// Reads the whole command line of `ebb run`. False when help was asked for.
  static func read(_ arguments: Arguments, _ configuration: inout Configuration) throws(UsageError) -> Bool {
    let options = Options(table, arguments)
    guard try options.take() else { return false }
    while let option = RunOptions(rawValue: options.next()) { try option.apply(options, to: &configuration) }
    guard let program = options.arguments.first else {
      throw UsageError("a command is missing: ebb [run] [options] [--] command [arg...]")
    }
    if program == "" { throw UsageError("the command is an empty word: expected a program's name or path") }
    if configuration.http == nil && configuration.httpServesDrain {
      throw UsageError("--http-drain needs --http: the address that its page is served at")
    }
    configuration.arguments = options.arguments.pointer
    return true
  }

  /// Does what an option says.
  func apply(_ options: Options, to configuration: inout Configuration) throws(UsageError) {
    switch self {
    case .ports:
      let ports = try options.servicePorts(
        "ports from 1 to 65535 and Unix sockets with commas between them, like 8080,53/udp,unix:/run/php/fpm.sock (64 at most)"
      )
      configuration.ports = ports.tcp
      configuration.udpPorts = ports.udp
      configuration.unixPaths = ports.unix
    case .readyWhen:
      guard let probe = Probe(options.value.bytes) else {
        throw options.wrong(
          "listen, alive, tcp:8080, http:8080/health, unix:/run/s.sock, exec:CMD or notify"
        )
      }
      guard configuration.readyWhen.count < 16 else { throw options.wrong("16 probes at most") }
      configuration.readyWhen.append(probe)
    case .readyWhileDraining:
      let choice = try options.choice("auto yes no", "auto, yes or no")
      configuration.readyWhileDraining = choice == 0 ? nil : choice == 1
    case .http: configuration.http = try options.listenAddress()
    case .httpDrain: configuration.httpServesDrain = true
    case .httpDrainAddress:
      configuration.httpDrainAddress = try options.listenAddress()
      configuration.httpServesDrain = true
    case .control: configuration.control = try options.control()
    case .stopSignal:
      configuration.stopSignal =
        options.value == "auto" ? nil : try options.signal("auto or a signal, like TERM, SIGQUIT or 15")
    case .drainOn:
      guard let signals = Values.signals(options.value) else {
        throw options.wrong("signals with commas between them, like TERM,INT")
      }
      configuration.drainOn = signals
    case .rewrite:
      let pairs = try options.rewrites("pairs of signals, like TERM:QUIT or 15:3; 0 drops")
      for pair in pairs { configuration.rewrites.append(pair) }
    case .group: configuration.signalsGroup = true
    case .single: configuration.signalsGroup = false
    case .lameDuck: configuration.lameDuck = try options.durationOrAuto()
    case .lameDuckMax: configuration.lameDuckMax = try options.duration()
    case .quietChance: configuration.quietChance = try options.chance()
    case .ignorePeer: try options.add(to: &configuration.ignoredPeers)
    case .busyMax: configuration.busyMax = try options.duration()
    case .undecidedMax: configuration.undecidedMax = try options.duration()
    case .lingerMax: configuration.lingerMax = try options.duration()
    case .leftoversMax: configuration.leftoversMax = try options.duration()
    case .grace:
      let grace = try options.duration()
      if grace == .zero { throw options.wrong("a time above 0, like 30s") }
      configuration.grace = grace
    case .onDrain:
      guard let step = DrainStep(options.value.bytes) else {
        throw options.wrong(
          "a command, its quotes closed, or a request, like 'POST http://127.0.0.1:9901/drain' (http only; an address or localhost)"
        )
      }
      guard configuration.onDrain.count < 16 else { throw options.wrong("16 steps at most") }
      configuration.onDrain.append(step)
    case .mapExit:
      guard let pairs = Values.exitCodes(options.value) else {
        throw options.wrong("pairs of exit codes from 0 to 255, like 143=0")
      }
      for pair in pairs { configuration.exitCodes.append(pair) }
    case .parentDeathSignal:
      configuration.parentDeathSignal = try options.signal("a signal, like TERM, SIGQUIT or 15")
    case .subreaper: configuration.subreaper = .demanded
    case .noSubreaper: configuration.subreaper = .no
    case .warnOnReap: configuration.warnsOnReap = true
    case .log: configuration.logFormat = try options.choice("text json", "text or json") == 0 ? .text : .json
    case .verbose: configuration.verbosity = .phases
    case .quiet: configuration.verbosity = .problems
    case .terminationLog:
      if options.value.first == 0 { throw options.wrong("a path") }
      configuration.terminationLog = options.value
    }
  }
}
