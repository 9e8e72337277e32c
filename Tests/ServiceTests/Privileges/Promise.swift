/// What a user of ebb relies on: a column of the table.
enum Promise: String, CaseIterable, Sendable {
  case exit, signals, orphans, probes, pages, drain, status, lameDuck, busy, linger, losses, port, holder,
    sockets

  /// The promise itself.
  var sentence: String {
    switch self {
    case .exit: "the service is launched, and its exit code is ebb's"
    case .signals: "a signal is handed on"
    case .orphans: "orphans are reaped"
    case .probes: "ready and live answer"
    case .pages: "the pages answer"
    case .drain: "drain drains"
    case .status: "status tells the service and its ports"
    case .lameDuck: "what arrives in the lame duck is seen"
    case .busy: "requests in progress hold off the stop"
    case .linger: "the last byte is acknowledged before the end"
    case .losses: "what is lost is measured"
    case .port: "port tells whether one is free"
    case .holder: "port names who holds it"
    case .sockets: "sockets sums the table up"
    }
  }

  /// The column's name.
  var title: String {
    switch self {
    case .exit: "launch, exit code"
    case .signals: "signals"
    case .orphans: "orphans"
    case .probes: "`ready`, `live`"
    case .pages: "`--http`"
    case .drain: "`drain`"
    case .status: "`status`"
    case .lameDuck: "lame duck"
    case .busy: "busy"
    case .linger: "last byte"
    case .losses: "losses"
    case .port: "`port`"
    case .holder: "who holds it"
    case .sockets: "`sockets`"
    }
  }
}

/// What a promise comes to somewhere.
enum Outcome: Equatable, Sendable, CustomStringConvertible {
  /// It is kept.
  case yes
  /// A part of it is, and these words say so to a user.
  case partly(String)
  /// It cannot be, and these words say so.
  case no(String)
  /// Nothing told a user that it was not kept, or something was wrong.
  case broken(String)

  var description: String {
    switch self {
    case .yes: "yes"
    case .partly(let words): "partly: \(words)"
    case .no(let words): "no: \(words)"
    case .broken(let what): "broken: \(what)"
    }
  }
}
