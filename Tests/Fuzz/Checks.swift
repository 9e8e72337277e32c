import Glibc
import Linux

/// What must hold for every input. Where it does not, the process ends as at a trap, and libFuzzer keeps the input.
func check(_ holds: Bool, _ promise: StaticString, line: UInt = #line, file: StaticString = #fileID) {
  if holds { return }
  let text: Text = "\(file):\(line): not kept: \(promise)\n"
  try? text.write(to: .standardError)
  abort()
}

/// Whether text stays on one line and moves no cursor: no control bytes, and nothing but UTF-8.
func isOneLine(_ text: Text) -> Bool {
  guard let string = String(validating: text.bytes, as: UTF8.self) else { return false }
  return string.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) }
}

/// The bytes of a number, as a reader of the other side would write it.
func decimalText(_ number: some BinaryInteger) -> [UInt8] { Array(String(number).utf8) }

/// The pieces of an input, which a byte separates that no piece then has.
func pieces(_ bytes: UnsafeRawBufferPointer, _ separator: Character) -> [[UInt8]] {
  bytes.split(separator: separator.asciiValue ?? 0, omittingEmptySubsequences: false).map { Array($0) }
}

/// Calls `body` with a copy of some bytes that has no byte to spare, so that a look beyond its end is seen.
func withCopy<Result>(_ bytes: some Collection<UInt8>, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
  let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
  defer { copy.deallocate() }
  copy.copyBytes(from: bytes)
  return body(UnsafeRawBufferPointer(copy))
}

/// A reader of JSON, RFC 8259, that knows nothing of the writer.
struct JSON {
  private var rest: ArraySlice<UInt8>

  /// The bytes that a JSON string stands for, where `text` is one and nothing else; U+FFFD for what it replaces.
  static func string(_ text: [UInt8]) -> [UInt8]? {
    var json = JSON(rest: text[...])
    guard String(validating: text, as: UTF8.self) != nil, let string = json.string(), json.rest.isEmpty else {
      return nil
    }
    return string
  }

  private mutating func string() -> [UInt8]? {
    var value: [UInt8] = []
    guard rest.popFirst() == UInt8(ascii: "\"") else { return nil }
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "\""): return value
      case 0..<0x20: return nil
      case UInt8(ascii: "\\"):
        switch rest.popFirst() {
        case UInt8(ascii: "\""): value.append(UInt8(ascii: "\""))
        case UInt8(ascii: "\\"): value.append(UInt8(ascii: "\\"))
        case UInt8(ascii: "n"): value.append(10)
        case UInt8(ascii: "u"):
          let digits = rest.prefix(4)
          guard digits.count == 4, let number = UInt32(String(decoding: digits, as: UTF8.self), radix: 16),
            let scalar = Unicode.Scalar(number)
          else { return nil }
          rest = rest.dropFirst(4)
          value += Array(String(Character(scalar)).utf8)
        default: return nil
        }
      default: value.append(byte)
      }
    }
    return nil
  }
}
