import Linux
import Supervisor
import Testing

@testable import ebb

/// A value that each option takes, and that is not its default.
private func sample(_ option: RunOptions) -> String {
  switch option {
  case .ports: "8080,53/udp"
  case .readyWhen: "tcp:8080"
  case .readyWhileDraining: "yes"
  case .stopSignal: "QUIT"
  case .drainOn: "HUP,USR1"
  case .rewrite: "TERM:QUIT,HUP:0"
  case .lameDuck: "3s"
  case .lameDuckMax: "4s"
  case .quietChance: "0.01"
  case .ignorePeer: "10.0.0.0/8"
  case .busyMax: "5s"
  case .undecidedMax: "7s"
  case .lingerMax: "6s"
  case .leftoversMax: "8s"
  case .grace: "30s"
  case .onDrain: "sh -c 'a b'"
  case .mapExit: "143=0,1=2"
  case .parentDeathSignal: "KILL"
  case .http: "127.0.0.1:9100"
  case .httpDrainAddress: "[::1]:9101"
  case .control: "@here"
  case .log: "json"
  case .terminationLog: "/tmp/log"
  case .group, .single, .subreaper, .noSubreaper, .warnOnReap, .httpDrain, .verbose, .quiet: ""
  }
}

/// Words that an option cannot be without.
private func company(_ option: RunOptions) -> [String] {
  option == .httpDrain || option == .httpDrainAddress ? ["--http=9100"] : []
}

private func name(_ option: RunOptions) -> String {
  String(decoding: RunOptions.table.line(option.rawValue)?.name ?? [], as: UTF8.self)
}

private func takesValue(_ option: RunOptions) -> Bool {
  RunOptions.table.line(option.rawValue)?.value != nil
}

/// Every option of a table, and every case of the enum that goes with it, as a name on the command line has it:
/// "lame-duck-max" of `lameDuckMax`.
struct Table: CustomTestStringConvertible {
  let table: OptionTable
  let cases: [String]

  init<Option: CaseIterable>(_ table: OptionTable, _ option: Option.Type) {
    self.table = table
    cases = Option.allCases.map { "\($0)".replacing(/[A-Z]/) { "-\($0.output.lowercased())" } }
  }

  /// The letters and names of the options.
  var options: [(letter: String, name: String)] {
    var options: [(String, String)] = []
    var line = OptionLine(below: CString(table.help))
    while let option = line {
      options.append(
        (
          option.letter == 0 ? "" : String(decoding: [option.letter], as: UTF8.self),
          String(decoding: option.name, as: UTF8.self)
        ))
      line = option.next
    }
    return options
  }

  var testDescription: String { "\(table.command)" }

  /// ebb's own.
  static var all: [Table] {
    [
      Table(RunOptions.table, RunOptions.self), Table(DrainCommand.table, DrainCommand.Option.self),
      Table(ProbeCommand.ready, ProbeCommand.Option.self),
      Table(ProbeCommand.live, ProbeCommand.Option.self),
      Table(StatusCommand.table, StatusCommand.Option.self),
      Table(PortCommand.table, PortCommand.Option.self),
      Table(SocketsCommand.table, SocketsCommand.Option.self),
    ]
  }
}

private func variable(_ option: RunOptions) -> String {
  "EBB_" + name(option).uppercased().replacing("-", with: "_")
}

private func seconds(_ count: Int) -> Duration { .seconds(count) }

/// One after the other, since they change the environment.
@Suite(.serialized) struct `The command line` {
  @Suite struct `of every option` {
    @Test(arguments: RunOptions.allCases)
    func `takes its value behind an equals sign, as the next word, and from its variable`(option: RunOptions)
    {
      let plain = Parsed(company(option) + ["x"])
      let option_ = "--\(name(option))"
      let value = sample(option)
      let words = !takesValue(option) ? [option_] : ["\(option_)=\(value)"]
      let set = Parsed(company(option) + words + ["x"])
      #expect(set.error == nil)
      // --single and its like say what is so anyway.
      if option != .single { #expect(set.settings != plain.settings) }
      if takesValue(option) {
        #expect(Parsed(company(option) + [option_, value, "x"]).settings == set.settings)
      }
      let byVariable = Parsed(
        company(option) + ["x"], environment: [variable(option): value.isEmpty ? "1" : value])
      #expect(byVariable.settings == set.settings)
      #expect(byVariable.command == [Array("x".utf8)])
    }

    @Test(arguments: RunOptions.allCases)
    func `says in one line what is wrong with its value, and what was expected`(option: RunOptions) {
      let bad = option == .terminationLog || option == .onDrain ? "" : "\u{1}bad\nvalue"
      if takesValue(option) {
        let error = Parsed(["--\(name(option))=\(bad)", "x"]).error
        #expect(error?.hasPrefix("--\(name(option)) ") == true, "\(error ?? "")")
        #expect(error?.contains("expected ") == true)
        let byVariable = Parsed(["x"], environment: [variable(option): bad]).error
        #expect(byVariable?.hasPrefix("\(variable(option))=") == true, "\(byVariable ?? "")")
        #expect(byVariable?.contains("expected ") == true)
        for line in [error, byVariable] { #expect(line?.utf8.allSatisfy { $0 >= 0x20 } == true) }
      } else {
        #expect(Parsed(["--\(name(option))=1", "x"]).error?.contains("takes no value") == true)
        #expect(
          Parsed(["x"], environment: [variable(option): "maybe"]).error
            == "\(variable(option))=maybe: expected 1 or 0")
      }
    }

    @Test(arguments: RunOptions.allCases.filter(takesValue))
    func `needs a value where the words end`(option: RunOptions) {
      #expect(Parsed(["--\(name(option))"]).error?.hasPrefix("--\(name(option)) needs a value: ") == true)
    }

    @Test(arguments: RunOptions.allCases)
    func `is in the help`(option: RunOptions) {
      let help = "\(RunOptions.table.help)"
      #expect(help.split(separator: "\n").contains { $0.hasPrefix("  --\(name(option))") })
    }
  }

  @Suite struct `is read with a table whose options` {
    @Test(arguments: Table.all)
    func `are those that the command handles, in the same order`(table: Table) {
      #expect(table.options.map { $0.name } == table.cases)
      #expect(table.options.allSatisfy { $0.letter.isEmpty })
    }

    @Test func `have the letters and names that other inits have`() {
      func spellings<Option: CaseIterable>(_ table: OptionTable, _ option: Option.Type) -> [String] {
        let table = Table(table, option)
        #expect(table.options.count == table.cases.count)
        return zip(table.cases, table.options).map { "\($0): \($1.letter) \($1.name)" }
      }
      #expect(
        spellings(TiniOption.table, TiniOption.self) == [
          "parent-death-signal: p ", "subreaper: s ", "verbose: v ", "warn-on-reap: w ", "group: g ",
          "exit-code: e ", "license: l ", "version:  version",
        ])
      #expect(
        spellings(DumbInitOption.table, DumbInitOption.self) == [
          "single-child: c single-child", "rewrite: r rewrite", "verbose: v verbose", "version: V version",
        ])
      #expect(
        spellings(CatatonitOption.table, CatatonitOption.self) == [
          "group: g ", "pause: P ", "license: L ", "version: V version",
        ])
    }

    @Test(arguments: Table.all)
    func `stand in columns`(table: Table) {
      for line in "\(table.table.help)".split(separator: "\n") where line.hasPrefix("  -") {
        let isAlone = !line.dropFirst(2).contains("  ")
        #expect(isAlone || (line.prefix(30).hasSuffix("  ") && line.dropFirst(30).first != " "))
      }
    }
  }

  // MARK: - Values

  @Suite struct `has values that mean what they say:` {
    private func configuration(_ words: String...) throws -> Configuration {
      let parsed = Parsed(words + ["x"])
      return try #require(parsed.configuration, "\(parsed.error ?? "")")
    }

    private func isRefused(_ word: String) -> Bool {
      Parsed([word, "x"]).error?.contains("expected") == true
    }

    @Test func `ports`() throws {
      let ports = try configuration("--ports=8080,8443/tcp,53/udp,8080")
      #expect(ports.ports == [8080, 8443])
      #expect(ports.udpPorts == [53])
      #expect(try configuration("--ports=1,65535").ports == [1, 65535])
      let many = (1...64).map { "\($0)" }.joined(separator: ",")
      #expect(try configuration("--ports=\(many)").ports.count == 64)
      for bad in [
        "", ",", "0", "65536", "80,", ",80", "80,,81", "80/sctp", "80/", "80/tcp/udp", "http", "-80", " 80",
        "99999999999999999999", "\(many),65",
      ] {
        #expect(isRefused("--ports=\(bad)"), "\(bad)")
      }
    }

    @Test func `Unix sockets among the ports`() throws {
      let some = try configuration("--ports=8080,unix:/run/php/fpm.sock,53/udp,unix:@name")
      #expect(some.ports == [8080])
      #expect(some.udpPorts == [53])
      #expect(some.unixPaths == ["/run/php/fpm.sock", "@name"].map { Array($0.utf8) })
      // As long as an address holds, and as many as are followed.
      let longest = "/" + String(repeating: "a", count: 106)
      #expect(try configuration("--ports=unix:\(longest)").unixPaths.map { $0.count } == [107])
      let many = (1...16).map { "unix:/\($0)" }.joined(separator: ",")
      #expect(try configuration("--ports=\(many)").unixPaths.count == 16)
      for bad in [
        "unix:", "unix:/", "unix:@", "unix:run/s.sock", "unix:/a,", "unix", "/a", "unix:\(longest)a",
        "\(many),unix:/17",
      ] {
        #expect(isRefused("--ports=\(bad)"), "\(bad)")
      }
    }

    @Test func `signals`() throws {
      #expect(try configuration("--stop-signal=sigquit").stopSignal == .quit)
      #expect(try configuration("--stop-signal=auto").stopSignal == nil)
      #expect(try configuration("--drain-on=TERM,2,SIGHUP").drainOn == [.terminate, .interrupt, .hangup])
      #expect(try configuration("--parent-death-signal=9").parentDeathSignal == .kill)
      for bad in ["", "0", "65", "NOPE", "TERM,", "TERM INT"] {
        #expect(isRefused("--stop-signal=\(bad)"), "\(bad)")
        #expect(isRefused("--drain-on=\(bad)"), "\(bad)")
        #expect(isRefused("--parent-death-signal=\(bad)"), "\(bad)")
      }
    }

    @Test func `rewrites`() throws {
      let rewrites = try configuration("--rewrite=TERM:QUIT", "--rewrite=HUP:0,15:3").rewrites
      #expect(rewrites.map { $0.from } == [.terminate, .hangup, .terminate])
      #expect(rewrites.map { $0.to } == [.quit, nil, .quit])
      for bad in [
        "", "TERM", "TERM:", ":QUIT", "TERM:QUIT:INT", "TERM:x", "x:TERM", "TERM:QUIT,", "TERM=QUIT",
      ] {
        #expect(isRefused("--rewrite=\(bad)"), "\(bad)")
      }
    }

    @Test func `times`() throws {
      #expect(try configuration("--lame-duck=1.5s").lameDuck == .milliseconds(1500))
      #expect(try configuration("--lame-duck=auto").lameDuck == nil)
      #expect(try configuration("--lame-duck=0").lameDuck == .zero)
      #expect(try configuration("--busy-max=250ms").busyMax == .milliseconds(250))
      #expect(try configuration("--undecided-max=1500ms").undecidedMax == .milliseconds(1500))
      #expect(try configuration().undecidedMax == seconds(3))
      #expect(try configuration().busyMax == nil)
      #expect(try configuration("--linger-max=2m").lingerMax == seconds(120))
      #expect(try configuration("--grace=30s").grace == seconds(30))
      for option in ["lame-duck", "lame-duck-max", "busy-max", "undecided-max", "linger-max", "grace"] {
        for bad in ["", "x", "10", "-1s", "1d", "400h1", "9000h", "1.s"] {
          #expect(isRefused("--\(option)=\(bad)"), "\(option) \(bad)")
        }
      }
      for option in ["lame-duck-max", "busy-max", "undecided-max", "linger-max", "grace"] {
        #expect(isRefused("--\(option)=auto"))
      }
      #expect(isRefused("--grace=0"))
      #expect(isRefused("--grace=0s"))
    }

    @Test func `exit codes`() throws {
      let codes = try configuration("--map-exit=143=0,1=255", "--map-exit=7=8").exitCodes
      #expect(codes.map { $0.from } == [143, 1, 7])
      #expect(codes.map { $0.to } == [0, 255, 8])
      for bad in ["", "143", "143=", "=0", "256=0", "0=256", "-1=0", "1=2=3", "1=2,", "a=b", "1:2"] {
        #expect(isRefused("--map-exit=\(bad)"), "\(bad)")
      }
    }

    @Test func `commands`() throws {
      #expect(
        try configuration("--on-drain", "sh -c 'a b'").onDrain
          == [.command(["sh", "-c", "a b"].map { Array($0.utf8) })])
      #expect(try configuration("--on-drain=true", "--on-drain", "POST http:80/drain").onDrain.count == 2)
      for bad in ["", "   ", "'", "'' a", "https://127.0.0.1/", "POST http://example.org/"] {
        #expect(isRefused("--on-drain=\(bad)"), "\(bad)")
      }
    }

    @Test func `words`() throws {
      #expect(try configuration("--log=json").logFormat == .json)
      #expect(try configuration("--log=json", "--log=text").logFormat == .text)
      #expect(try configuration("--ready-while-draining=no").readyWhileDraining == false)
      for bad in ["--log=xml", "--log=", "--ready-while-draining=1", "--control=here", "--http=x"] {
        #expect(isRefused(bad), "\(bad)")
      }
      #expect(try configuration("--verbose").verbosity == .phases)
      #expect(try configuration("--quiet").verbosity == .problems)
      #expect(try configuration().verbosity == .report)
      #expect(try configuration("--group").signalsGroup)
      #expect(try configuration("--no-subreaper").subreaper == .no)
      #expect(try configuration("--subreaper").subreaper == .demanded)
      #expect(try configuration("--single").subreaper == .ifPermitted)
      #expect(try configuration("--warn-on-reap").warnsOnReap)
    }

    @Test func `probes, all of which must hold, up to sixteen`() throws {
      #expect(
        try configuration("--ready-when=listen", "--ready-when=tcp:80").readyWhen == [.listen, .tcp(80)])
      let many = [String](repeating: "--ready-when=listen", count: 17)
      #expect(Parsed(Array(many.dropLast()) + ["x"]).error == nil)
      #expect(Parsed(many + ["x"]).error?.contains("expected 16 probes at most") == true)
    }

    @Test func `a drain page needs the server that serves it`() {
      for word in ["--http-drain", "--http-drain-address=9101"] {
        #expect(Parsed([word, "x"]).error?.contains("--http") == true)
      }
    }
  }

  // MARK: - Which wins

  @Suite struct `outdoes the environment:` {
    @Test func `the same option`() {
      let parsed = Parsed(["--grace=1s", "x"], environment: ["EBB_GRACE": "9s"])
      #expect(parsed.configuration?.grace == seconds(1))
      // What is outdone is not even read.
      #expect(Parsed(["--grace=1s", "x"], environment: ["EBB_GRACE": "nonsense"]).error == nil)
    }

    @Test func `the option that says the opposite`() {
      #expect(
        Parsed(["--quiet", "x"], environment: ["EBB_VERBOSE": "1"]).configuration?.verbosity == .problems)
      #expect(
        Parsed(["--verbose", "x"], environment: ["EBB_QUIET": "1"]).configuration?.verbosity == .phases)
      #expect(
        Parsed(["--single", "x"], environment: ["EBB_GROUP": "1"]).configuration?.signalsGroup == false)
      #expect(Parsed(["--group", "x"], environment: ["EBB_SINGLE": "1"]).configuration?.signalsGroup == true)
    }

    @Test func `other options keep their variables`() {
      let parsed = Parsed(
        ["--lame-duck=1s", "x"], environment: ["EBB_LAME_DUCK_MAX": "2s", "EBB_BUSY_MAX": "3s"])
      #expect(parsed.configuration?.lameDuck == seconds(1))
      #expect(parsed.configuration?.lameDuckMax == seconds(2))
      #expect(parsed.configuration?.busyMax == seconds(3))
    }

    @Test func `of two opposite words the last one counts`() {
      #expect(Parsed(["--verbose", "--quiet", "x"]).configuration?.verbosity == .problems)
      #expect(Parsed(["--quiet", "--verbose", "x"]).configuration?.verbosity == .phases)
      #expect(Parsed(["--group", "--single", "x"]).configuration?.signalsGroup == false)
      #expect(Parsed(["--grace=1s", "--grace=2s", "x"]).configuration?.grace == seconds(2))
    }

    @Test func `a flag's variable may say no`() {
      for (value, isOn) in [
        ("1", true), ("true", true), ("yes", true), ("0", false), ("false", false), ("no", false),
        ("", false),
      ] {
        let parsed = Parsed(["x"], environment: ["EBB_GROUP": value])
        #expect(parsed.configuration?.signalsGroup == isOn, "\(value)")
      }
      for value in ["2", "on", "TRUE", " 1", "-1"] {
        #expect(
          Parsed(["x"], environment: ["EBB_GROUP": value]).error == "EBB_GROUP=\(value): expected 1 or 0")
      }
    }

    @Test func `variables of Kubernetes' own making mean nothing`() {
      let parsed = Parsed(
        ["x"], environment: ["EBB_PORT": "tcp://10.0.0.1:80", "EBB_SERVICE_HOST": "10.0.0.1", "EBB_": "1"])
      #expect(parsed.settings == Parsed(["x"]).settings)
    }
  }

  // MARK: - Words

  @Suite struct `is taken apart` {
    private func command(_ words: String...) -> [String]? {
      let parsed = Parsed(words)
      return parsed.configuration == nil ? nil : parsed.command.map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func `up to the first word that is no option`() {
      #expect(
        command("nginx", "-g", "daemon off;", "--grace", "--help") == [
          "nginx", "-g", "daemon off;", "--grace", "--help",
        ])
      #expect(command("--grace=1s", "nginx", "--verbose") == ["nginx", "--verbose"])
      #expect(command("-", "x") == ["-", "x"])
    }

    @Test func `up to two dashes, which no command gets`() {
      #expect(command("--", "--verbose") == ["--verbose"])
      #expect(command("--grace=1s", "--", "x", "--", "y") == ["x", "--", "y"])
      #expect(command("--", "--", "x") == ["--", "x"])
      #expect(command("--", "run") == ["run"])
      // Behind an option that takes a value, they are that value.
      #expect(Parsed(["--grace", "--", "x"]).error?.hasPrefix("--grace --: expected ") == true)
    }

    @Test func `with each option known by its whole name`() {
      let parsed = Parsed(["--lame-duck=1s", "--lame-duck-max=2s", "x"])
      #expect(parsed.configuration?.lameDuck == seconds(1))
      #expect(parsed.configuration?.lameDuckMax == seconds(2))
      let other = Parsed(["--lame-duck-max", "2s", "--lame-duck", "1s", "x"])
      #expect(other.settings == parsed.settings)
      #expect(Parsed(["--http=9100", "--http-drain", "x"]).configuration?.httpServesDrain == true)
      for word in [
        "--lame", "--lame-duck-ma", "--lame-duck-maxx=1s", "--lame-duckling", "--Grace=1s", "--grace:1s",
        "--=1",
        "---grace=1s", "-g", "-v", "--no-such", "-grace=1s", "--verbose ",
      ] {
        #expect(Parsed([word, "x"]).error?.hasPrefix("unknown option \(word)") == true, "\(word)")
      }
    }

    @Test func `and may hold an equals sign in its value`() {
      #expect(Parsed(["--map-exit=143=0", "x"]).configuration?.exitCodes.count == 1)
      #expect(Parsed(["--map-exit", "143=0", "x"]).configuration?.exitCodes.count == 1)
    }

    @Test func `and has help wherever an option could stand`() {
      for words in [["--help"], ["-h"], ["--grace=1s", "--help"], ["--verbose", "-h", "x"]] {
        let parsed = Parsed(words)
        #expect(parsed.configuration == nil)
        #expect(parsed.error == nil)
      }
    }

    @Test func `and must have a command`() {
      for words in [[], ["--"], ["--verbose"], ["--grace", "1s", "--"]] as [[String]] {
        #expect(Parsed(words).error?.hasPrefix("a command is missing") == true)
      }
      #expect(Parsed([""]).error?.hasPrefix("the command is an empty word") == true)
      #expect(Parsed(["--", ""]).error?.hasPrefix("the command is an empty word") == true)
    }

    @Test func `and left as it is, whatever bytes are in it`() throws {
      let words: [[UInt8]] = [Array("--verbose".utf8), [0xff, 0xfe], [0xc3], [], [0x0a, 0x1b]]
      let parsed = Parsed(Arguments(argv(words), count: words.count))
      #expect(parsed.command == Array(words.dropFirst()))
      let option: [[UInt8]] = [Array("--grace=".utf8) + [0xff, 0x0a], Array("x".utf8)]
      #expect(
        Parsed(Arguments(argv(option), count: 2)).error?.hasPrefix("--grace \\xff\\x0a: expected ") == true)
      let unknown: [[UInt8]] = [[0x2d, 0x2d, 0xff, 0x1b], Array("x".utf8)]
      #expect(
        Parsed(Arguments(argv(unknown), count: 2)).error?.hasPrefix("unknown option --\\xff\\x1b") == true)
    }

    @Test func `and never copied, however long it is`() throws {
      let words = ["--verbose"] + (0..<10_000).map { "word \($0)" }
      let pointer = argv(words.map { Array($0.utf8) })
      let parsed = Parsed(Arguments(pointer, count: words.count))
      #expect(parsed.configuration?.arguments == pointer + 1)
      #expect(parsed.command.count == 10_000)
      // As many options.
      let options = [String](repeating: "--map-exit=1=2", count: 10_000) + ["x"]
      #expect(Parsed(options).configuration?.exitCodes.count == 10_000)
    }

    @Test func `without a trap, whatever the words are, and complains on one line`() {
      let pieces = [
        "--", "-", "=", "grace", "lame-duck", "-max", "1s", "x", "verbose", "\n", "\u{1b}", "", "run", "0",
        "--ports", ",",
      ]
      for _ in 0..<3000 {
        let words = (0..<Int.random(in: 0...4)).map { _ in
          (0..<Int.random(in: 0...4)).map { _ in pieces.randomElement() ?? "" }.joined()
        }
        guard let error = Parsed(words).error else { continue }
        if error.isEmpty || !error.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) {
          Issue.record("\(words): \(error)")
          return
        }
      }
    }
  }

  @Suite struct `begins with` {
    private func kind(_ words: String...) -> String {
      let command = Command(arguments(["/sbin/ebb"] + words))
      guard let name = command.name else { return "version" }
      return "\(name) " + self.words(command.arguments)
    }

    private func words(_ arguments: Arguments) -> String {
      var arguments = arguments
      var words: [String] = []
      while let word = arguments.next() { words.append(String(decoding: word.bytes, as: UTF8.self)) }
      return words.joined(separator: " ")
    }

    @Test func `a command of ebb's, or with the service`() {
      #expect(kind("run", "x", "y") == "run x y")
      #expect(kind("nginx", "-g") == "run nginx -g")
      #expect(kind("--verbose", "x") == "run --verbose x")
      #expect(kind("--", "drain") == "run -- drain")
      #expect(kind("run", "drain") == "run drain")
      #expect(kind("runner") == "run runner")
      #expect(kind("drain", "--timeout", "3s") == "drain --timeout 3s")
      #expect(kind("ready") == "ready ")
      #expect(kind("live") == "live ")
      #expect(kind("status", "--json") == "status --json")
      #expect(kind("help", "run") == "help run")
      #expect(kind("--help") == "help ")
      #expect(kind("--version") == "version")
      #expect(kind("-V") == "version")
      #expect(kind() == "run ")
    }

    @Test func `no word at all where there is not even a name`() {
      var none = Arguments(argv([]), count: 0)
      #expect(none.first == nil)
      none.skip()
      #expect(none.next() == nil)
      var negative = Arguments(argv([]), count: -1)
      #expect(negative.next() == nil)
    }

    @Test func `a topic of the help, or says which there are`() throws {
      for topic in [[], ["run"], ["signals"]] as [[String]] {
        let text = try Help.text(arguments(topic))
        #expect(!text.isEmpty)
      }
      // Each server's line says what it is sent.
      let signals = String(decoding: try Help.text(arguments(["signals"])).bytes, as: UTF8.self)
      let lines = signals.split(separator: "\n").filter { $0.hasPrefix("  ") }
      #expect(lines.count == KnownServer.allCases.count)
      for (line, server) in zip(lines, KnownServer.allCases) {
        let signal: Text = "\(server.stopSignal)"
        #expect(
          line.dropFirst(16).hasPrefix(String(decoding: signal.bytes, as: UTF8.self) + " "), "\(server)")
      }
      #expect(throws: UsageError.self) { _ = try Help.text(arguments(["nonsense"])) }
      #expect(UsageError.exitCode == 64)
    }
  }
}
