import CLinux
import Linux

/// The program's entry: the first word says what it is to be.
@c(tide_main)
public func main(_ argc: Int32, _ argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Int32 {
  var words = Words(argc, argv)
  do throws(UsageError) {
    return try run(&words)
  } catch {
    complain(error.text)
    return 64
  }
}

private func run(_ words: inout Words) throws(UsageError) -> Int32 {
  guard let command = try words.next() else {
    throw UsageError(text: "expected serve, load, demo, orphans, connect or help")
  }
  if command == "serve" {
    let options = try ServerOptions(&words)
    return started { () throws(Errno) in try Server(options).run() }
  }
  if command == "load" {
    let options = try LoadOptions(&words)
    return started { () throws(Errno) in try Load(options).run() }
  }
  if command == "demo" {
    let options = try Demo.Options(&words)
    return started { () throws(Errno) in try Demo(options).run() }
  }
  if command == "orphans" {
    let options = try Orphans.Options(&words)
    return started { () throws(Errno) in try Orphans(options).run() }
  }
  if command == "connect" {
    guard let word = try words.next() else { throw UsageError(text: "connect: expected [ADDR:]PORT") }
    let address = try LoadOptions.target(word, words)
    if try words.next() != nil { throw words.unknown }
    return Probe.connects(to: address, within: .seconds(1)) ? 0 : 1
  }
  if command == "help" || command == "--help" || command == "-h" {
    var text = Text()
    text.append(help)
    try? text.write(to: .standardOutput)
    return 0
  }
  throw words.unknown
}

/// Runs one of the commands; without a loop to run in there is none.
private func started(_ command: () throws(Errno) -> Int32) -> Int32 {
  do throws(Errno) {
    return try command()
  } catch {
    complain("cannot start: \(error)")
    return 1
  }
}
