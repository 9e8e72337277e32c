import Inet
import Linux

/// What a stop came to: the facts of its last line. Every figure was measured; what was not is said to be so.
struct Report {
  /// The time from the drain's beginning to the end; nil when nobody asked for a stop.
  var duration: Duration?
  /// What became of each port.
  var ports: [PortEnd] = []
  /// What was lost.
  var losses = SocketWatch.Losses()
  /// What was still not acknowledged when the waiting ended; nil where that could not be looked at.
  var left: LingerLook?
  /// Processes that could not be ended.
  var survivors: Int?
  /// ebb's exit code.
  var exitCode: UInt8

  /// A port at the end.
  struct PortEnd {
    var port: UInt16
    var isUDP = false
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
    losses.resets > 0 || (left.map { $0.waiting + $0.silent > 0 } ?? false) || (survivors ?? 0) > 0
  }

  private var isReleased: Bool {
    ports.allSatisfy { $0.state == .free || $0.state == .notListening }
  }

  /// The line for a person: "released: 8080 free; stopped in 2.95s; 0 connections reset, 0 bytes lost; exit 0".
  var text: Text {
    var text: Text = ports.isEmpty ? "ended: no listening port" : isReleased ? "released: " : "not released: "
    for (index, end) in ports.enumerated() {
      if index > 0 { text.append(", ") }
      end.write(to: &text)
    }
    if let duration { text.append(contentsOf: "; stopped in \(duration)") }
    if !ports.isEmpty {
      text.append("; ")
      writeLosses(to: &text)
    }
    if let left, left.waiting + left.silent > 0 {
      text.append(contentsOf: "; \(left.waiting + left.silent, "connection") left with ")
      text.append(byteCount: left.waitingBytes + left.silentBytes)
      text.append(" not acknowledged")
      if left.silent > 0 { text.append(contentsOf: " (\(left.silent, "peer") silent)") }
    }
    if let survivors, survivors > 0 {
      text.append(contentsOf: survivors == 1 ? "; 1 process" : "; \(survivors) processes")
      text.append(" could not be ended")
    }
    text.append(contentsOf: "; exit \(exitCode)")
    return text
  }

  private func writeLosses(to text: inout Text) {
    if let reason = losses.notMeasured {
      text.append("losses not measured (")
      switch reason {
      case .notListening: text.append("the ports were not known in time")
      case .refused(let error): text.append(contentsOf: "\(error)")
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
    text.append(contentsOf: "\(losses.resets, "connection") reset")
    let bytes = Int(clamping: losses.unacknowledged + losses.unread)
    if losses.thrownOut > 0 {
      text.append(contentsOf: " (\(losses.thrownOut) before it was read, its bytes not known)")
      // Of the others none: that would read as if nothing had been lost.
      if bytes == 0 { return }
    }
    text.append(contentsOf: ", \(bytes, "byte") lost")
  }

  /// The same facts as JSON fields.
  var fields: [Field] {
    var fields: [Field] = [
      Field("exit", exitCode),
      Field("seconds", duration.map { .seconds($0) } ?? .null),
      Field("free", .numbers(ports.filter { $0.state == .free && !$0.isUDP }.map { $0.port })),
      Field(
        "held",
        .numbers(ports.filter { ($0.state == .listening || $0.state == .inUse) && !$0.isUDP }.map { $0.port })
      ),
    ]
    let isMeasured = losses.notMeasured == nil
    fields.append(Field("measured", .flag(isMeasured)))
    fields.append(Field("resets", isMeasured ? .number(Int64(losses.resets)) : .null))
    fields.append(Field("thrown_out", isMeasured ? .number(Int64(losses.thrownOut)) : .null))
    fields.append(Field("bytes_unread", isMeasured ? .number(Int64(clamping: losses.unread)) : .null))
    fields.append(
      Field("bytes_unacknowledged", isMeasured ? .number(Int64(clamping: losses.unacknowledged)) : .null))
    fields.append(Field("connections_left", left.map { .number(Int64($0.waiting + $0.silent)) } ?? .null))
    fields.append(
      Field("bytes_left", left.map { .number(Int64(clamping: $0.waitingBytes + $0.silentBytes)) } ?? .null))
    if let survivors, survivors > 0 { fields.append(Field("survivors", survivors)) }
    return fields
  }
}

extension Report.PortEnd: TextRepresentable {
  /// "8080 free", "53/udp free", "8080 still listened on".
  @inline(never)
  func write(to text: inout Text) {
    text.append(port)
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
