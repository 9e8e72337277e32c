import Inet
import Lifecycle
import Linux

extension Status {
  /// In Prometheus' text format, https://prometheus.io/docs/instrumenting/exposition_formats/; names and units
  /// by its conventions.
  var metrics: Text {
    var text = Text()
    head("ebb_phase", "gauge", "The phase that the service is in: 1 for that, 0 for the others.", &text)
    for candidate: Phase in [.starting, .serving, .draining, .drained, .stopping, .lingering, .done] {
      text.append(contentsOf: "ebb_phase{phase=\"\(candidate.name)\"} \(candidate == phase ? 1 : 0)\n")
    }
    head("ebb_ready", "gauge", "Whether the service should get traffic, as of the last check.", &text)
    text.append(isReady == true ? "ebb_ready 1\n" : "ebb_ready 0\n")
    head("ebb_uptime_seconds", "gauge", "Time since the service was launched.", &text)
    text.append("ebb_uptime_seconds ")
    text.append(milliseconds: uptime)
    text.append("\n")
    gauge("ebb_listening", "Whether a socket listens on the port.", &text) { $0.isListening ? 1 : 0 }
    head("ebb_connections", "gauge", "Connections of the service's ports, by TCP state.", &text)
    for port in ports {
      for (state, count) in port.states {
        text.append(contentsOf: "ebb_connections{port=\"\(port.port)\",state=\"\(state)\"} \(count)\n")
      }
    }
    gauge("ebb_busy_connections", "Open connections with work in progress.", &text) { UInt64($0.busy) }
    gauge("ebb_unacknowledged_bytes", "Bytes written that no peer has acknowledged.", &text) {
      $0.unacknowledged
    }
    gauge(
      "ebb_lingering_bytes", "Of these, bytes in connections that the service has closed.", &text
    ) { $0.lingering }
    counter("ebb_drains_total", "Drains begun.", counters.drains, &text)
    counter(
      "ebb_signals_forwarded_total", "Signals forwarded to the service.", counters.signalsForwarded, &text)
    counter(
      "ebb_children_reaped_total", "Processes reaped, orphans among them.", counters.childrenReaped, &text)
    if let arrived {
      counter("ebb_drain_connections_total", "New connections since the drain began.", arrived, &text)
    }
    // What was not measured has no value: an absent series, not a zero.
    if losses.notMeasured == nil {
      counter("ebb_resets_total", "Connections reset since the drain began.", UInt64(losses.resets), &text)
      counter(
        "ebb_lost_bytes_total", "Bytes lost since the drain began.", losses.bytes,
        &text)
    }
    return text
  }

  /// A value for each port.
  private func gauge(
    _ name: StaticString, _ help: StaticString, _ text: inout Text, _ value: (PortTraffic) -> UInt64
  ) {
    head(name, "gauge", help, &text)
    for port in ports {
      text.append(contentsOf: "\(name){port=\"\(port.port)\"} \(value(port))\n")
    }
  }

  private func head(_ name: StaticString, _ type: StaticString, _ help: StaticString, _ text: inout Text) {
    text.append(contentsOf: "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n")
  }

  private func counter(_ name: StaticString, _ help: StaticString, _ value: UInt64, _ text: inout Text) {
    head(name, "counter", help, &text)
    text.append(contentsOf: "\(name) \(value)\n")
  }
}
