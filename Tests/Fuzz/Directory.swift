@testable import Inet
@testable import Linux

/// What getdents(2) writes of /proc and /proc/PID/fd, and where a descriptor there leads.
func fuzzDirectory(_ input: UnsafeRawBufferPointer) {
  withCopy(input) { bytes in
    var numbers: [Int32] = []
    do throws(Errno) {
      check(
        try Directory.numbers(inEntries: bytes) { number in
          numbers.append(number)
          return true
        }, "who wants every name gets every name")
    } catch {
      check(error == .protocolError, "entries make sense, or none is believed")
    }
    check(numbers.count * 20 <= bytes.count, "there are no more names than bytes for them")
    check(numbers.allSatisfy { $0 >= 0 }, "a process's number is not negative")
    guard let first = numbers.first else { return }
    var again: [Int32] = []
    let goesOn = try? Directory.numbers(inEntries: bytes) { number in
      again.append(number)
      return false
    }
    check(goesOn == false && again == [first], "who has seen enough gets no more")
  }

  if let inode = withCopy(input, { SocketOwners.inode(in: $0) }) {
    let digits = input.dropFirst(8).dropLast().drop { $0 == UInt8(ascii: "0") }
    check(
      digits.elementsEqual(inode == 0 ? [] : decimalText(inode)), "a socket is the one that the link names")
  }
}
