import Linux

extension PortFinding {
  /// As one JSON object on a line; the keys are a contract.
  public var json: Text {
    var text: Text = "{\"port\":\(port),\"protocol\":"
    text.append(isUDP ? "\"udp\"" : "\"tcp\"")
    switch answer {
    case .yes: text.append(",\"answer\":\"yes\"")
    case .no: text.append(",\"answer\":\"no\"")
    case .cannotTell: text.append(",\"answer\":null")
    }
    text.append(",\"question\":")
    text.append(question == .listening ? "\"listening\"" : "\"released\"")
    text.append(",\"summary\":")
    text.append(jsonString: summary.bytes)
    text.append(",\"advice\":")
    if let advice { text.append(jsonString: advice.bytes) } else { text.append("null") }
    text.append(",\"listening\":")
    text.append(isListening == nil ? "null" : isListening == true ? "true" : "false")
    text.append(",\"bind\":")
    switch verdict {
    case nil: text.append("null")
    case .free: text.append("\"accepted\"")
    case .inUse: text.append("\"refused\"")
    case .cannotTell(let error): text.append(jsonString: Text("\(error)").bytes)
    }
    text.append(",\"states\":{")
    var isFirst = true
    for state in TCPState.all where (census?.count(state) ?? 0) > 0 {
      if !isFirst { text.append(",") }
      isFirst = false
      text.append(contentsOf: "\"\(state)\":\(census?.count(state) ?? 0)")
    }
    text.append(contentsOf: "},\"time_wait_seconds\":\(census?.longestTimeWait.wholeSeconds ?? 0)")
    text.append(",\"sockets\":[")
    for (index, socket) in (listeners + bound).enumerated() {
      if index > 0 { text.append(",") }
      text.append("{\"address\":")
      text.append(jsonString: Text("\(socket.local)").bytes)
      text.append(index < listeners.count ? ",\"listening\":true" : ",\"listening\":false")
      text.append(contentsOf: ",\"user\":\(socket.user),\"holders\":[")
      for (place, holder) in (holders?.of(socket.inode) ?? []).enumerated() {
        if place > 0 { text.append(",") }
        text.append(contentsOf: "{\"pid\":\(holder.process),\"descriptor\":\(holder.descriptor),\"name\":")
        text.append(jsonString: holder.name)
        text.append(holder.isStopped ? ",\"stopped\":true}" : ",\"stopped\":false}")
      }
      text.append("]}")
    }
    text.append(isEphemeral ? "],\"ephemeral\":true}\n" : "],\"ephemeral\":false}\n")
    return text
  }
}
