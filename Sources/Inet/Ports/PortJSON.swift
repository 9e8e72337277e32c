import Linux

extension PortFinding {
  /// As one JSON object on a line; the keys are a contract, and all of them are always there.
  public var json: Text {
    var text: Text = "{\"port\":\(port),\"protocol\":"
    text.append(isUDP ? "\"udp\"" : "\"tcp\"")
    text.append(",\"address\":")
    text.append(optional: question.address.map { "\($0)" })
    text.append(",\"question\":")
    switch question {
    case .listening: text.append("\"listening\",\"reuseaddr\":null,\"reuseport\":null")
    case .released(let manner):
      text.append("\"released\",\"reuseaddr\":")
      text.append(manner.reusesAddress)
      text.append(",\"reuseport\":")
      text.append(manner.reusesPort)
    }
    text.append(",\"answer\":")
    switch answer {
    case .yes: text.append("\"yes\"")
    case .no: text.append("\"no\"")
    case .cannotTell: text.append("null")
    }
    text.append(",\"summary\":")
    text.append(jsonString: summary.bytes)
    text.append(",\"advice\":")
    text.append(optional: advice)
    text.append(",\"listening\":")
    if let isListening { text.append(isListening) } else { text.append("null") }
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
    text.append(contentsOf: "},\"not_accepted\":\(census?.notAccepted ?? 0)")
    text.append(contentsOf: ",\"time_wait_seconds\":\(census?.longestTimeWait.wholeSeconds ?? 0)")
    text.append(",\"sockets\":[")
    for (index, socket) in shown.enumerated() {
      if index > 0 { text.append(",") }
      // One that is bound and no more is in a state of its own, whatever its row says.
      let isBound = index >= listeners.count && index < listeners.count + bound.count
      append(socket, isBound ? "BOUND" : socket.state.name, to: &text)
    }
    text.append("],\"ephemeral\":")
    text.append(isEphemeral)
    text.append("}\n")
    return text
  }

  private func append(_ socket: TCPSocket, _ state: StaticString, to text: inout Text) {
    text.append(contentsOf: "{\"state\":\"\(state)\",\"address\":\"\(socket.local)\",\"peer\":")
    text.append(optional: socket.remote.port == 0 ? nil : "\(socket.remote)")
    text.append(contentsOf: ",\"user\":\(socket.user),\"holders\":[")
    for (place, holder) in (holders?.of(socket.inode) ?? []).enumerated() {
      if place > 0 { text.append(",") }
      text.append(contentsOf: "{\"pid\":\(holder.process),\"descriptor\":\(holder.descriptor),\"name\":")
      text.append(jsonString: holder.name)
      text.append(",\"stopped\":")
      text.append(holder.isStopped)
      text.append(",\"relation\":")
      switch holder.relation {
      case .service: text.append("\"service\"")
      case .child: text.append("\"child\"")
      case .stranger: text.append("\"stranger\"")
      case nil: text.append("null")
      }
      text.append("}")
    }
    text.append("]}")
  }
}

extension Text {
  fileprivate mutating func append(_ flag: Bool) { append(flag ? "true" : "false") }

  /// A JSON string, or null.
  fileprivate mutating func append(optional text: Text?) {
    if let text { append(jsonString: text.bytes) } else { append("null") }
  }
}
