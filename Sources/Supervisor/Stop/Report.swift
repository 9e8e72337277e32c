import Inet
import Linux

/// What a stop came to: the facts of its last line. Every figure was measured; what was not is said to be so.
struct Report {
  /// The time from the drain's beginning to the end; nil when nobody asked for a stop.
  var duration: Duration?
  /// What became of each port.
  var ports: [PortEnd] = []
  /// Why the ports are not known; nil where they are, or none is listened on.
  var blindness: Text?
  /// What was lost.
  var losses = Losses()
  /// The stop signal went out though requests were in progress.
  var busyMaxEnded = false
  /// What was still not acknowledged when the waiting ended; nil where that could not be looked at.
  var left: LingerLook?
  /// A server that the main process had left behind, and how it ended.
  var leftServer: (name: [UInt8], status: ExitStatus)?
  /// Connections that kept the service until its grace was over, or nearly.
  var held: OpenConnections?
  /// Processes that could not be ended.
  var survivors: Int?
  /// ebb's exit code.
  var exitCode: UInt8

  /// A port at the end, or a Unix socket.
  struct PortEnd {
    var port: UInt16
    var isUDP = false
    /// A Unix socket's path; nil for a port.
    var path: [UInt8]?
    var state: State

    enum State: Equatable {
      /// Nothing listens and the kernel accepts a bind.
      case free
      /// Something listens.
      case listening
      /// Nothing listens, and the kernel refuses a bind with SO_REUSEADDR.
      case inUse
      /// Nothing listens; a bind could not be tried.
      case notListening
      /// The table could not be read.
      case unknown
    }
  }

  /// Whether something went wrong that a quiet log tells too.
  var hasLosses: Bool {
    losses.resets > 0 || losses.cutRequests > 0 || (left.map { $0.waiting + $0.silent > 0 } ?? false)
      || (survivors ?? 0) > 0
  }

  private var isReleased: Bool {
    ports.allSatisfy { $0.state == .free || $0.state == .notListening }
  }

  /// The line for a person: "released: 8080 free; stopped in 2.95s; 0 connections reset, 0 bytes lost; exit 0".
  var text: Text {
    var text: Text = ports.isEmpty ? "ended: " : isReleased ? "released: " : "not released: "
    if ports.isEmpty {
      if let blindness {
        text.append(contentsOf: "no port is known, for \(blindness)")
      } else {
        text.append("no listening port")
      }
    }
    for (index, end) in ports.enumerated() {
      if index > 0 { text.append(", ") }
      end.write(to: &text)
    }
    if let duration { text.append("; stopped in ", duration, "") }
    if !ports.isEmpty {
      text.append("; ")
      writeLosses(to: &text)
    } else if blindness != nil {
      text.append("; losses not measured")
    }
    if let left, left.waiting + left.silent > 0 {
      text.append("; ", left.waiting + left.silent, of: "connection")
      text.append(" left with ")
      text.append(byteCount: left.waitingBytes + left.silentBytes)
      text.append(" not acknowledged")
      if left.silent > 0 {
        text.append(" (", left.silent, of: "peer")
        text.append(" silent)")
      }
    }
    if let leftServer {
      text.append("; ")
      text.append(printable: leftServer.name)
      text.append(contentsOf: ", left behind, \(leftServer.status)")
    }
    if let held { text.append(contentsOf: "; held to the end of the grace by \(held)") }
    if let survivors, survivors > 0 {
      text.append("; ", survivors, survivors == 1 ? " process" : " processes")
      text.append(" could not be ended")
    }
    text.append("; exit ", Int(exitCode), "")
    return text
  }

  private func writeLosses(to text: inout Text) {
    if let reason = losses.notMeasured {
      text.append("losses not measured (")
      switch reason {
      case .notListening: text.append("the ports were not known in time")
      case .unixSockets: text.append("the kernel tells of no Unix socket's end")
      case .datagrams: text.append("the kernel tells of no datagram's loss")
      case .refused(let error): error.write(to: &text)
      case .missed:
        text.append("the kernel dropped notices; seen: ")
        writeCounts(to: &text)
      case .late:
        text.append("the kernel's notices are late; seen: ")
        writeCounts(to: &text)
      }
      text.append(")")
    } else {
      writeCounts(to: &text)
    }
  }

  private func writeCounts(to text: inout Text) {
    text.append("", losses.cutRequests, of: "request")
    text.append(" cut off")
    if losses.cutRequests > 0 && busyMaxEnded { text.append(" (still in progress when --busy-max ended)") }
    if losses.undecided > 0 {
      text.append(", ", losses.undecided, of: "connection")
      text.append(" undecided")
    }
    text.append(", ", losses.resets, of: "connection")
    text.append(" reset")
    let bytes = Int(clamping: losses.bytes)
    if losses.thrownOut > 0 {
      text.append(" (", losses.thrownOut, " before it was read, its bytes not known)")
      // Of the others none: that would read as if nothing had been lost.
      if bytes == 0 { return }
    }
    text.append(", ", bytes, of: "byte")
    text.append(" lost")
  }

  /// The same as facts.
  var facts: Facts {
    var facts = Facts()
    facts.add("exit", exitCode)
    facts.add("seconds", seconds: duration)
    facts.add("held_by", number: held.map { Int64($0.count) })
    facts.add("free", numbers: tcpPorts { $0 == .free })
    facts.add("held", numbers: tcpPorts { $0 == .listening || $0 == .inUse })
    let isMeasured = losses.notMeasured == nil
    facts.add("measured", flag: isMeasured)
    facts.add("cut_requests", number: isMeasured ? Int64(losses.cutRequests) : nil)
    facts.add("undecided", number: isMeasured ? Int64(losses.undecided) : nil)
    facts.add("resets", number: isMeasured ? Int64(losses.resets) : nil)
    facts.add("thrown_out", number: isMeasured ? Int64(losses.thrownOut) : nil)
    facts.add("bytes_unread", number: isMeasured ? Int64(clamping: losses.unread) : nil)
    facts.add("bytes_unacknowledged", number: isMeasured ? Int64(clamping: losses.unacknowledged) : nil)
    facts.add("connections_left", number: left.map { Int64($0.waiting + $0.silent) })
    facts.add("bytes_left", number: left.map { Int64(clamping: $0.waitingBytes + $0.silentBytes) })
    if let leftServer {
      facts.add("left_server", text: leftServer.name)
      facts.add("left_server_status", leftServer.status.code)
    }
    if let survivors, survivors > 0 { facts.add("survivors", survivors) }
    return facts
  }

  private func tcpPorts(_ isMeant: (PortEnd.State) -> Bool) -> [UInt16] {
    var found: [UInt16] = []
    for end in ports where !end.isUDP && end.path == nil && isMeant(end.state) { found.append(end.port) }
    return found
  }
}

extension Report.PortEnd: TextRepresentable {
  /// "8080 free", "53/udp free", "8080 still listened on".
  func write(to text: inout Text) {
    if let path {
      text.append("unix:")
      text.append(printable: path)
    } else {
      text.append(port)
    }
    if isUDP { text.append("/udp") }
    switch state {
    case .free: text.append(" free")
    case .listening: text.append(" still listened on")
    case .inUse: text.append(" still in use")
    case .notListening: text.append(" not listened on")
    case .unknown: text.append(" unknown")
    }
  }
}
