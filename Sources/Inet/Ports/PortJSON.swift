import Linux

extension PortFinding {
  /// As one JSON object on a line; the keys are a contract, and all of them are always there.
  public var json: Text {
    var text: Text = "{\"port\":"
    text.append(port)
    text.append(",\"protocol\":")
    text.append(isUDP ? "\"udp\"" : "\"tcp\"")
    text.append(",\"address\":")
    text.append(quoted: question.address)
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
    if let advice { text.append(jsonString: advice.bytes) } else { text.append("null") }
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
    let census = census ?? PortCensus(port: port)
    for state in TCPState.all where census.count(state) > 0 {
      text.append(isFirst ? "\"" : ",\"")
      isFirst = false
      text.append(state.name)
      text.append("\":")
      text.append(census.count(state))
    }
    text.append("},\"not_accepted\":")
    text.append(census.notAccepted)
    text.append(",\"time_wait_seconds\":")
    text.append(census.longestTimeWait.wholeSeconds)
    text.append(",\"sockets\":[")
    let shown = shown
    for index in shown.indices {
      if index > 0 { text.append(",") }
      // One that is bound and no more is in a state of its own, whatever its row says.
      let place = index - listeners.count
      let isBound = place >= 0 && place < bound.count
      append(shown, index, isBound ? "BOUND" : shown[index].state.name, to: &text)
    }
    text.append("],\"ephemeral\":")
    text.append(isEphemeral)
    text.append("}\n")
    return text
  }

  /// One of some sockets (not handed over itself: it is large, and would be copied).
  private func append(_ sockets: [TCPSocket], _ index: Int, _ state: StaticString, to text: inout Text) {
    text.append("{\"state\":\"")
    text.append(state)
    text.append("\",\"address\":")
    text.append(quoted: sockets[index].local)
    text.append(",\"peer\":")
    text.append(quoted: sockets[index].remote.port == 0 ? nil : sockets[index].remote)
    text.append(",\"user\":")
    text.append(sockets[index].user)
    text.append(",\"holders\":[")
    var isFirst = true
    for holder in holders?.of(sockets[index].inode) ?? [] {
      text.append(isFirst ? "{\"pid\":" : ",{\"pid\":")
      isFirst = false
      text.append(holder.process.rawValue)
      text.append(",\"descriptor\":")
      text.append(holder.descriptor)
      text.append(",\"name\":")
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

  /// An address as a JSON string, or null.
  fileprivate mutating func append(quoted address: Endpoint?) {
    guard let address else {
      append("null")
      return
    }
    append("\"")
    address.write(to: &self)
    append("\"")
  }
}
