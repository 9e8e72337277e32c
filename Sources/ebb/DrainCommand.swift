import Linux
import Supervisor

/// `ebb drain`: the preStop hook.
enum DrainCommand {
  /// Its options, in the order of its help.
  enum Option: Int, CaseIterable {
    case timeout, ports, lameDuck, lameDuckMax, quietChance, ignorePeer, busyMax, undecidedMax, control, quiet
  }

  static var table: OptionTable {
    OptionTable(
      command: "drain",
      help: """
        ebb drain [--timeout D] [--ports P,...] [--control @name|/path] [--quiet]

        Begins the drain, prints how it goes, and returns when the work has left: 0. The service serves on, and
        the next TERM stops it at once. 1 when the time ran out first, 3 where there is no supervisor to ask.
        For a preStop hook. Where the entrypoint is not ebb, --ports has the hook watch the ports by itself.

          --timeout D                 give up waiting after D; the drain goes on (none)
          --ports P,...               without a supervisor (an image whose entrypoint is not ebb): watch these ports by itself
          --lame-duck auto|D          then: how long the service serves on (auto)
          --lame-duck-max D           then: the most that auto may take (10s in Kubernetes, else 0s)
          --quiet-chance P            then: how often auto may take the traffic for gone while it is not (0.001)
          --ignore-peer ADDR[/BITS]   then: connections from there are no traffic; repeatable
          --busy-max D                then: how long to wait for requests in progress (what the platform's time leaves)
          --undecided-max D           and for a connection of which it cannot be told (3s)
          --control @name|/path       where the supervisor is asked (a name made from the mount namespace)
          --quiet                     print nothing but errors

        """)
  }

  static func run(_ arguments: Arguments) throws(UsageError) -> Int32 {
    var address = ControlAddress.automatic
    var timeout: Duration?
    var isQuiet = false
    var alone = PortDrain()
    let options = Options(table, arguments)
    guard try options.take() else { return options.showHelp() }
    while let option = Option(rawValue: options.next()) {
      switch option {
      case .timeout: timeout = try options.duration()
      case .ports:
        // EBB_PORTS is the supervisor's too, and may name UDP ports: they have no connections to wait for.
        alone.ports = try options.servicePorts("ports with commas between them, like 8080,8443").tcp
      case .lameDuck: alone.lameDuck = try options.durationOrAuto()
      case .lameDuckMax: alone.lameDuckMax = try options.duration()
      case .quietChance: alone.quietChance = try options.chance()
      case .ignorePeer: try options.add(to: &alone.ignoredPeers)
      case .busyMax: alone.busyMax = try options.duration()
      case .undecidedMax: alone.undecidedMax = try options.duration()
      case .control: address = try options.control()
      case .quiet: isQuiet = true
      }
    }
    let end = timeout.map { MonotonicClock.now + $0 }
    do throws(ControlClient.Failure) {
      let client: ControlClient
      do throws(ControlClient.Failure) {
        client = try ControlClient(address, .drain, limit: ControlClient.probeLimit)
      } catch {
        if error.isNobody && !alone.ports.isEmpty {
          return drainAlone(alone, until: end, isQuiet: isQuiet)
        }
        throw error
      }
      while true {
        let left = end.map { $0 - MonotonicClock.now } ?? .seconds(24 * 3600)
        if left <= .zero {
          complain("the time ran out (--timeout) before the work had left; the drain goes on")
          return Answer.no
        }
        let answer: ControlAnswer
        do throws(ControlClient.Failure) {
          answer = try client.next(limit: left)
        } catch {
          if let end, MonotonicClock.now >= end { continue }
          throw error
        }
        switch answer {
        case .progress(let line):
          if !isQuiet { _ = output("\(line)\n") }
        case .yes(let line):
          if !isQuiet { _ = output("\(line)\n") }
          return Answer.yes
        case .no(let why), .refused(let why):
          complain(why)
          return Answer.cannotTell
        }
      }
    } catch {
      complain(error.text)
      return Answer.cannotTell
    }
  }

  /// The drain of an image whose entrypoint is not ebb: nobody is told anything, the tables are watched until
  /// the work has left. Then the platform sends its signal.
  private static func drainAlone(_ drain: PortDrain, until end: Duration?, isQuiet: Bool) -> Int32 {
    do throws(Errno) {
      let isDrained = try drain.run(until: end) { line in
        if !isQuiet { _ = output("\(line)\n") }
      }
      if !isDrained { complain("the time ran out (--timeout) before the work had left") }
      return isDrained ? Answer.yes : Answer.no
    } catch {
      complain("the socket table cannot be read: \(error)")
      return Answer.cannotTell
    }
  }
}
