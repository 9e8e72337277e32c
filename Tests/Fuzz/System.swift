import Glibc
@testable import Inet
@testable import Linux

/// The files of the whole system: /proc/net/snmp and netstat, the port range and the reserved ports, the cgroup;
/// and the lines of a file of any length.
func fuzzSystem(_ input: UnsafeRawBufferPointer) {
  let bytes = Array(input)
  if let count = KernelCounters.value("Tcp: ", "PassiveOpens", in: bytes) {
    check(count < 1_000_000_000_000_000_000, "a counter is what 18 digits say")
  }
  _ = KernelCounters.value("TcpExt: ", "ListenOverflows", in: bytes)
  if let range = EphemeralPorts.range(in: bytes) {
    let again = Array("\(range.lowerBound)\t\(range.upperBound)\n".utf8)
    check(EphemeralPorts.range(in: again) == range, "a range that is written again is the same range")
  }
  let port: UInt16 = [0, 1, 8080, .max][bytes.count % 4]
  if EphemeralPorts.isListed(port, in: bytes) { check(bytes.contains { $0 > 0x2f }, "a list has a number") }
  if let path = Cgroup.path(in: bytes) {
    check(
      path.first == UInt8(ascii: "/") && !path.contains(UInt8(ascii: "\n")), "a cgroup is a path on one line")
  }
  lines(bytes)
}

nonisolated(unsafe) private var file: Int32 = -1

/// Through a buffer of 64 bytes, every line comes out whole, in its order, or the file is refused.
private func lines(_ bytes: [UInt8]) {
  if file < 0 { file = memfd_create("lines", 0) }
  guard ftruncate(file, 0) == 0,
    bytes.withUnsafeBytes({ pwrite(file, $0.baseAddress, $0.count, 0) }) == bytes.count
  else { return }
  var found: [[UInt8]] = []
  let path: Text = "/proc/self/fd/\(file)"
  let isWhole = path.bytes.withCString { path in
    (try? Lines.read(path, bufferSize: 64) { line in
      found.append(Array(line))
      return true
    }) != nil
  }
  var expected = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map {
    Array($0)
  }
  if expected.last?.isEmpty == true { expected.removeLast() }
  if isWhole {
    check(found == expected, "every line comes out whole")
  } else {
    check(expected.contains { $0.count >= 64 }, "only a line that does not fit is refused")
    check(expected.starts(with: found), "what comes before it comes out whole")
  }
}
