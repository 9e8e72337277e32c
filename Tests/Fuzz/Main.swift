import Glibc
import Linux

/// One binary holds all targets, so that the product is compiled once; the name that it is started under says which
/// of them runs.
private struct Target: Sendable {
  let name: StaticString
  let run: @Sendable (UnsafeRawBufferPointer) -> Void
}

private let targets: [Target] = [
  Target(name: "commandline", run: fuzzCommandLine), Target(name: "control", run: fuzzControl),
  Target(name: "directory", run: fuzzDirectory), Target(name: "http", run: fuzzHTTP),
  Target(name: "netlink", run: fuzzNetlink), Target(name: "notices", run: fuzzNotices),
  Target(name: "notify", run: fuzzNotify),
  Target(name: "probe", run: fuzzProbe), Target(name: "process", run: fuzzProcess),
  Target(name: "procnet", run: fuzzProcNet), Target(name: "system", run: fuzzSystem),
  Target(name: "text", run: fuzzText), Target(name: "values", run: fuzzValues),
]

nonisolated(unsafe) private var chosen = targets[0]

/// libFuzzer calls it once, before the first input.
@c(LLVMFuzzerInitialize)
public func initialize(
  _ count: UnsafeMutablePointer<Int32>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>
) -> Int32 {
  var name = arguments.pointee[0].map { CString($0).bytes } ?? []
  if let slash = name.lastIndex(of: UInt8(ascii: "/")) { name.removeFirst(slash + 1) }
  guard let target = targets.first(where: { name == $0.name }) else {
    var text: Text = "the binary's name must be that of a target:\n"
    for target in targets { text.append(contentsOf: "  \(target.name)\n") }
    try? text.write(to: .standardError)
    exit(64)
  }
  chosen = target
  return 0
}

/// libFuzzer calls it with each input.
@c(LLVMFuzzerTestOneInput)
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
  chosen.run(UnsafeRawBufferPointer(start: data, count: size))
  return 0
}
