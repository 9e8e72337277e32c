import Inet
import Linux

/// `ebb sockets`: the socket table, summed up and explained.
enum SocketsCommand {
  /// Its options, in the order of its help.
  enum Option: Int, CaseIterable {
    case ports, state, pid, orphans, destroy, dryRun, watch, json
  }

  static var table: OptionTable {
    OptionTable(
      command: "sockets",
      // What is picked out, and what is ended, is said on the command line alone: EBB_PORTS is for `run`, and
      // EBB_JSON may be for `ebb status`.
      withoutVariable: .all,
      help: """
        ebb sockets [--ports P,...] [--state S,...] [--pid PID] [--orphans] [--watch] [--json]
        ebb sockets --destroy [--dry-run] FILTER...

        The TCP sockets of this network namespace by state and by port, what is wrong in them, and what to do
        about it. With --destroy, ends those that the filter means.

          --ports P,...               only sockets with these local ports
          --state S,...               only these states: established, close-wait, time-wait, fin-wait-1, listen, ...
          --pid PID                   only sockets that this process holds
          --orphans                   only those that no process has: not accepted yet, or closed and not yet done
          --destroy                   end them, as ss -K does; needs a filter, and CAP_NET_ADMIN
          --dry-run                   with --destroy: show what it would end, and end nothing
          --watch                     again every second, until it is interrupted
          --json                      one JSON object

        """)
  }

  final class Request {
    var filter = SocketFilter()
    var isDestroy = false
    var isDryRun = false
    var isWatch = false
    var isJSON = false
  }

  private enum Failure: Error {
    case process(Errno)
    case table(Errno)
  }

  static func run(_ arguments: Arguments) throws(UsageError) -> Int32 {
    let options = Options(table, arguments)
    guard try options.take() else { return options.showHelp() }
    return answer(try request(options))
  }

  private static func answer(_ request: Request) -> Int32 {
    do throws(Failure) {
      if request.isDestroy { return try destroy(request) }
      if request.isWatch { return try watch(request) }
      var closeWaits: Int?
      return output(try look(request, &closeWaits))
    } catch {
      switch error {
      case .process(let error):
        complain(
          "--pid: the process cannot be looked into (it is gone, or CAP_SYS_PTRACE is missing): \(error)")
      case .table(let error): complain("the socket table cannot be read: \(error)")
      }
      return Answer.cannotTell
    }
  }

  /// What the command line asks.
  static func request(_ options: Options) throws(UsageError) -> Request {
    let request = Request()
    while let option = Option(rawValue: options.next()) {
      switch option {
      case .ports:
        let expected: StaticString = "TCP ports with commas between them, like 8080,8443"
        let ports = try options.ports(expected)
        if !ports.udp.isEmpty { throw options.wrong(expected) }
        request.filter.ports = ports.tcp
      case .state:
        guard let states = TCPStates(named: options.value.bytes) else {
          throw options.wrong(
            "states with commas between them: established, syn-sent, syn-recv, fin-wait-1, fin-wait-2, time-wait, close-wait, last-ack, listen, closing or all"
          )
        }
        request.filter.states = states
      case .pid:
        guard let number = Values.number(options.value.bytes, atMost: UInt64(Int32.max)), number > 0 else {
          throw options.wrong("a process's number")
        }
        request.filter.process = ProcessID(Int32(truncatingIfNeeded: number))
      case .orphans: request.filter.isOrphansOnly = true
      case .destroy: request.isDestroy = true
      case .dryRun: request.isDryRun = true
      case .watch: request.isWatch = true
      case .json: request.isJSON = true
      }
    }
    if request.isDestroy && request.filter.isEmpty {
      throw UsageError(
        "--destroy needs a filter: --ports, --state, --pid or --orphans (--state all is every connection)")
    }
    if request.isDestroy && (request.isWatch || request.isJSON) {
      throw UsageError("--destroy goes with neither --watch nor --json")
    }
    if request.isDryRun && !request.isDestroy { throw UsageError("--dry-run goes with --destroy") }
    return request
  }

  // MARK: - Looking

  /// Gives the filter the sockets that its process has now.
  private static func resolve(_ request: Request) throws(Failure) {
    do throws(Errno) { try request.filter.resolve() } catch { throw .process(error) }
  }

  /// One look at the table. `closeWaits` is how many CLOSE_WAIT there were at the first look; set by that.
  private static func look(_ request: Request, _ closeWaits: inout Int?) throws(Failure) -> Text {
    try resolve(request)
    var table = SocketTable()
    let summary: SocketSummary
    do throws(Errno) { summary = try read(request.filter, &table) } catch { throw .table(error) }
    let findings = summary.findings(.current, closeWaitsBefore: closeWaits)
    if closeWaits == nil { closeWaits = summary.all.count(.closeWait) }
    return request.isJSON
      ? json(summary, findings, isComplete: table.source == .netlink)
      : text(summary, findings, isComplete: table.source == .netlink)
  }

  /// Reads the table: the listeners, whose ports are told apart, then everything, and once more what is doubtful.
  private static func read(
    _ filter: SocketFilter, _ table: inout SocketTable
  ) throws(Errno) -> SocketSummary {
    let listeners = Listeners()
    try table.read(Listeners.query(ports: filter.ports), into: listeners)
    let summary = SocketSummary(
      filter, listeners: listeners.sockets, tellsBacklog: table.source == .netlink)
    try table.read(filter.query, into: summary)
    let doubtful = summary.doubtful
    if doubtful.rawValue != 0 && table.source == .netlink {
      let histories = SocketSummary(filter, listeners: [])
      try table.read(
        SocketQuery(states: doubtful, ports: filter.ports, wantsHistory: true), into: histories)
      summary.judge(by: histories)
    }
    return summary
  }

  /// The states that have a column, in the order of a connection's life.
  private static var columns: [TCPState] {
    [
      .listen, .synSent, .synReceived, .established, .finWait1, .finWait2, .closing, .timeWait, .closeWait,
      .lastAck,
      .close,
    ]
  }

  private static func text(
    _ summary: SocketSummary, _ findings: [SocketFinding], isComplete: Bool
  ) -> Text {
    var text = Text()
    for state in columns where summary.all.count(state) > 0 {
      var line: Text = "  \(state)"
      while line.bytes.count < 16 { line.append(" ") }
      var number: Text = "\(summary.all.count(state))"
      while number.bytes.count < 8 { number = " \(number)" }
      text.append(contentsOf: "\(line)\(number)\n")
    }
    if summary.all.total == 0 { text.append("  no socket\n") }
    for port in summary.ports where port.counts.total > 0 {
      text.append(contentsOf: "  port \(port.port): ")
      append(port.counts, &text)
      if port.waiting > 0 {
        text.append(contentsOf: "; \(port.waiting) waiting to be accepted")
        if let backlog = port.backlog { text.append(contentsOf: ", \(backlog) may") }
      }
      text.append("\n")
    }
    if summary.others.total > 0 {
      text.append("  other ports: ")
      append(summary.others, &text)
      text.append("\n")
    }
    if !isComplete {
      text.append("  from /proc/net, for netlink is refused: for how long anything has lasted is not known\n")
    }
    for finding in findings {
      text.append(contentsOf: "! \(finding.text)\n    \(finding.advice)\n")
    }
    return text
  }

  private static func append(_ counts: SocketSummary.Counts, _ text: inout Text) {
    var isFirst = true
    for state in columns where counts.count(state) > 0 {
      if !isFirst { text.append(", ") }
      isFirst = false
      text.append(contentsOf: "\(counts.count(state)) \(state)")
    }
  }

  private static func json(
    _ summary: SocketSummary, _ findings: [SocketFinding], isComplete: Bool
  ) -> Text {
    var text: Text =
      "{\"source\":\"\(isComplete ? "netlink" as StaticString : "proc")\",\"total\":\(summary.all.total),\"states\":"
    appendJSON(summary.all, &text)
    text.append(",\"ports\":[")
    var isFirst = true
    for port in summary.ports where port.counts.total > 0 {
      if !isFirst { text.append(",") }
      isFirst = false
      text.append(contentsOf: "{\"port\":\(port.port),\"states\":")
      appendJSON(port.counts, &text)
      text.append(contentsOf: ",\"waiting\":\(port.waiting),\"backlog\":")
      if let backlog = port.backlog { text.append(backlog) } else { text.append("null") }
      text.append("}")
    }
    text.append("],\"other_ports\":")
    appendJSON(summary.others, &text)
    text.append(",\"findings\":[")
    isFirst = true
    for finding in findings {
      if !isFirst { text.append(",") }
      isFirst = false
      text.append(contentsOf: "{\"kind\":\"\(finding.kind)\",\"text\":")
      text.append(jsonString: finding.text.bytes)
      text.append(",\"advice\":")
      text.append(jsonString: finding.advice.bytes)
      text.append("}")
    }
    text.append("]}\n")
    return text
  }

  private static func appendJSON(_ counts: SocketSummary.Counts, _ text: inout Text) {
    text.append("{")
    var isFirst = true
    for state in columns {
      if !isFirst { text.append(",") }
      isFirst = false
      text.append(contentsOf: "\"\(state)\":\(counts.count(state))")
    }
    text.append("}")
  }

  private static func watch(_ request: Request) throws(Failure) -> Int32 {
    let isTerminal = FileDescriptor.standardOutput.isTerminal
    var next = MonotonicClock.now
    var closeWaits: Int?
    while true {
      var screen = Text()
      let look = try look(request, &closeWaits)
      if isTerminal && !request.isJSON {
        screen.append("\u{1b}[H")
        screen.append(linesOf: look.bytes, from: 0, width: .max, end: "\u{1b}[K\n")
        screen.append("\u{1b}[J")
      } else {
        screen = look
        if !request.isJSON { screen.append("\n") }
      }
      if output(screen) != 0 { return 1 }
      next = max(next + .seconds(1), MonotonicClock.now)
      MonotonicClock.sleep(until: next)
    }
  }

  // MARK: - Ending

  private static func destroy(_ request: Request) throws(Failure) -> Int32 {
    try resolve(request)
    do throws(Errno) {
      return try destroy(request.filter, isDryRun: request.isDryRun)
    } catch {
      throw .table(error)
    }
  }

  private static func destroy(_ filter: SocketFilter, isDryRun: Bool) throws(Errno) -> Int32 {
    var table = SocketTable()
    let selection = SocketSelection(filter)
    try table.read(filter.query, into: selection)
    if isDryRun {
      var text: Text = "would end \(selection.count, "connection")\n"
      var left = 20
      for socket in selection.sockets where left > 0 {
        left -= 1
        text.append(contentsOf: "  \(socket.state) \(socket.local) \(socket.remote)\n")
      }
      if selection.count > 20 { text.append(contentsOf: "  and \(selection.count - 20) more\n") }
      return output(text)
    }
    if table.source == .proc {
      complain("--destroy: the kernel's netlink is refused here, and /proc/net can end nothing")
      return Answer.cannotTell
    }
    var destroyer = try SocketDestroyer()
    defer { destroyer.close() }
    var ended = 0
    var gone = 0
    // Round by round, where there are more than are kept at a time; a round that ends none is the last.
    while !selection.sockets.isEmpty {
      let before = ended
      for socket in selection.sockets {
        do throws(Errno) {
          if try destroyer.destroy(socket) { ended += 1 } else { gone += 1 }
        } catch {
          complain(refusal(error, ended: ended, of: selection.count + before))
          return Answer.cannotTell
        }
      }
      if selection.count <= selection.sockets.count || ended == before { break }
      selection.restart()
      try table.read(filter.query, into: selection)
    }
    var text: Text = "ended \(ended, "connection")"
    if gone > 0 { text.append(contentsOf: "; \(gone) had ended already") }
    return output("\(text)\n")
  }

  private static func refusal(_ error: Errno, ended: Int, of count: Int) -> Text {
    if error == .notPermitted { return "--destroy: CAP_NET_ADMIN is missing; ended \(ended) of \(count)" }
    if error == .notSupported {
      return "--destroy: this kernel cannot (CONFIG_INET_DIAG_DESTROY); ended \(ended) of \(count)"
    }
    return "--destroy: \(error); ended \(ended) of \(count)"
  }
}
