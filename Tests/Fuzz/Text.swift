import Linux

/// Bytes of whoever on their way to a terminal, a log or JSON: a service's name, its STATUS=, a command line.
func fuzzText(_ input: UnsafeRawBufferPointer) {
  let bytes = Array(input)

  var printable = Text()
  printable.append(printable: bytes)
  check(isOneLine(printable), "foreign bytes stay on one line")
  check(printable.bytes.count <= 4 * bytes.count, "no byte becomes more than four")
  let isPlain = isOneLine(Text(bytes: bytes))
  check((printable.bytes == bytes) == isPlain, "what is harmless is shown as it is, and nothing else is")

  var json = Text()
  json.append(jsonString: bytes)
  let string = JSON.string(json.bytes)
  check(string != nil, "what is written as a JSON string is one")
  if String(validating: bytes, as: UTF8.self) != nil {
    check(string == bytes, "a JSON string of UTF-8 stands for the bytes that went in")
  } else {
    check(string.map { $0.count <= 3 * bytes.count } ?? false, "what is no UTF-8 becomes U+FFFD")
  }

  // The first byte is where the report is cut for the termination log.
  var cut = Text(bytes: Array(bytes.dropFirst()))
  let limit = Int(bytes.first ?? 0)
  cut.truncate(to: limit)
  check(cut.bytes.count <= limit, "a cut text is no longer than its limit")
  check(
    bytes.count - 1 > limit || cut.bytes == Array(bytes.dropFirst()), "a text within its limit is not cut")
}
