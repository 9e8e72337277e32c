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
    text.append(contentsOf: "ebb_ready \(isReady == true ? 1 : 0)\n")
    head("ebb_uptime_seconds", "gauge", "Time since the service was launched.", &text)
    text.append("ebb_uptime_seconds ")
    Field("", .seconds(uptime)).writeValue(to: &text)
    text.append("\n")
    head("ebb_listening", "gauge", "Whether a socket listens on the port.", &text)
    for port in ports {
      text.append(contentsOf: "ebb_listening{port=\"\(port.port)\"} \(port.isListening ? 1 : 0)\n")
    }
    head("ebb_connections", "gauge", "Connections of the service's ports, by TCP state.", &text)
    for port in ports {
      for (state, count) in port.states {
        text.append(contentsOf: "ebb_connections{port=\"\(port.port)\",state=\"\(state)\"} \(count)\n")
      }
    }
    head("ebb_busy_connections", "gauge", "Open connections with work in progress.", &text)
    for port in ports {
      text.append(contentsOf: "ebb_busy_connections{port=\"\(port.port)\"} \(port.busy)\n")
    }
    head("ebb_unacknowledged_bytes", "gauge", "Bytes written that no peer has acknowledged.", &text)
    for port in ports {
      text.append(contentsOf: "ebb_unacknowledged_bytes{port=\"\(port.port)\"} \(port.unacknowledged)\n")
    }
    head("ebb_lingering_bytes", "gauge", "Of these, bytes in connections that the service has closed.", &text)
    for port in ports {
      text.append(contentsOf: "ebb_lingering_bytes{port=\"\(port.port)\"} \(port.lingering)\n")
    }
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

  private func head(_ name: StaticString, _ type: StaticString, _ help: StaticString, _ text: inout Text) {
    text.append(contentsOf: "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n")
  }

  private func counter(_ name: StaticString, _ help: StaticString, _ value: UInt64, _ text: inout Text) {
    head(name, "counter", help, &text)
    text.append(contentsOf: "\(name) \(value)\n")
  }
}
