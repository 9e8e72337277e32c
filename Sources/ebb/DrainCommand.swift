import Linux
import Supervisor

/// `ebb drain`: the preStop hook.
enum DrainCommand {
  enum Options: CommandOption {
    case timeout, ports, lameDuck, lameDuckMax, quietChance, ignorePeer, busyMax, control, quiet

    static var command: StaticString { "drain" }

    var name: StaticString {
      switch self {
      case .timeout: "timeout"
      case .ports: "ports"
      case .lameDuck: "lame-duck"
      case .lameDuckMax: "lame-duck-max"
      case .quietChance: "quiet-chance"
      case .ignorePeer: "ignore-peer"
      case .busyMax: "busy-max"
      case .control: "control"
      case .quiet: "quiet"
      }
    }

    var value: StaticString? {
      switch self {
      case .timeout, .lameDuckMax, .busyMax: "D"
      case .ports: "P,..."
      case .lameDuck: "auto|D"
      case .quietChance: "P"
      case .ignorePeer: "ADDR[/BITS]"
      case .control: "@name|/path"
      case .quiet: nil
      }
    }

    var help: StaticString {
      switch self {
      case .timeout: "give up waiting after D; the drain goes on (none)"
      case .ports: "without a supervisor (an image whose entrypoint is not ebb): watch these ports by itself"
      case .lameDuck: "then: how long the service serves on (auto)"
      case .lameDuckMax: "then: the most that auto may take (10s in Kubernetes, else 0s)"
      case .quietChance: "then: how often auto may take the traffic for gone while it is not (0.001)"
      case .ignorePeer: "then: connections from there are no traffic; repeatable"
      case .busyMax: "then: how long to wait for busy connections (5s)"
      case .control: "where the supervisor is asked (a name made from the mount namespace)"
      case .quiet: "print nothing but errors"
      }
    }
  }

  static func run(_ arguments: Arguments) throws(UsageError) -> Int32 {
    var address = ControlAddress.automatic
    var timeout: Duration?
    var isQuiet = false
    var alone = PortDrain()
    let goesOn = try Options.parseAll(arguments) { (option, value, source) throws(UsageError) in
      switch option {
      case .timeout: timeout = try Values.duration(value, source)
      case .ports:
        // EBB_PORTS is the supervisor's too, and may name UDP ports: they have no connections to wait for.
        guard let ports = Values.ports(value) else {
          throw UsageError(source, value, expected: "ports with commas between them, like 8080,8443")
        }
        alone.ports = ports.tcp
      case .lameDuck:
        alone.lameDuck = value == "auto" ? nil : try Values.duration(value, source, orAuto: true)
      case .lameDuckMax: alone.lameDuckMax = try Values.duration(value, source)
      case .quietChance: alone.quietChance = try Values.chance(value, source)
      case .ignorePeer: try Values.add(value, source, to: &alone.ignoredPeers)
      case .busyMax: alone.busyMax = try Values.duration(value, source)
      case .control: address = try Values.control(value, source)
      case .quiet: isQuiet = true
      }
    }
    guard goesOn else { return output(help) }
    let end = timeout.map { MonotonicClock.now + $0 }
    do throws(ControlClient.Failure) {
      let client: ControlClient
      do throws(ControlClient.Failure) {
        client = try ControlClient(address, .drain, limit: ControlClient.probeLimit)
      } catch {
        if case .nobody = error, !alone.ports.isEmpty {
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

  static var help: Text {
    """
    ebb drain [--timeout D] [--ports P,...] [--control @name|/path] [--quiet]

    Begins the drain, prints how it goes, and returns when the work has left: 0. The service serves on, and
    the next TERM stops it at once. 1 when the time ran out first, 3 where there is no supervisor to ask.
    For a preStop hook. Where the entrypoint is not ebb, --ports has the hook watch the ports by itself.

    \(Options.helpText)
    """
  }
}
