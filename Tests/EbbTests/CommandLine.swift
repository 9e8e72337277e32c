import Glibc
import Linux
import Supervisor

@testable import ebb

/// The words of a command line as the kernel hands them over. They live as long as the test run, as a command
/// line does.
func argv(_ words: [[UInt8]]) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> {
  let pointer = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: words.count + 1)
  for (index, word) in words.enumerated() { pointer[index] = word.withCString { strdup($0.pointer) } }
  pointer[words.count] = nil
  return pointer
}

func arguments(_ words: [String]) -> Arguments {
  Arguments(argv(words.map { Array($0.utf8) }), count: words.count)
}

/// Runs the body in an environment that has these variables of ebb's and no others.
///
/// The whole environment is replaced and then put back: setenv(3) would move it under the hands of whatever
/// else reads it in this process.
func withEnvironment<Result>(_ variables: [String: String], _ body: () throws -> Result) rethrows -> Result {
  typealias Environment = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  guard let symbol = dlsym(nil, "environ") else { fatalError("no environ") }
  let environ = symbol.assumingMemoryBound(to: Environment.self)
  let before = environ.pointee
  var entries: [[UInt8]] = []
  var index = 0
  while let entry = before[index] {
    let bytes = CString(entry).bytes
    if !bytes.hasPrefix("EBB_") { entries.append(bytes) }
    index += 1
  }
  for (name, value) in variables { entries.append(Array("\(name)=\(value)".utf8)) }
  environ.pointee = argv(entries)
  defer { environ.pointee = before }
  return try body()
}

/// What a command line of `ebb run` comes to.
struct Parsed {
  var configuration: Configuration?
  /// What is wrong with it.
  var error: String?

  init(_ words: [String], environment: [String: String] = [:]) {
    self.init(arguments(words), environment: environment)
  }

  init(_ arguments: Arguments, environment: [String: String] = [:]) {
    withEnvironment(environment) {
      do throws(UsageError) {
        var read = Configuration(arguments: arguments.pointer)
        if try RunOptions.read(arguments, &read) { configuration = read }
      } catch {
        self.error = String(decoding: error.text.bytes, as: UTF8.self)
      }
    }
  }

  /// Everything that the options have set, to compare.
  var settings: String {
    guard let configuration else { return "none: \(error ?? "help")" }
    var settings: [String] = []
    for (name, value) in Mirror(reflecting: configuration).children where name != "arguments" {
      // Of a C string, what it holds and not where it is.
      var text: String
      switch value {
      case let path as CString?: text = path.map { String(decoding: $0.bytes, as: UTF8.self) } ?? "nil"
      case let control as ControlAddress:
        text = ((try? control.name()) ?? nil).map { String(decoding: $0, as: UTF8.self) } ?? "off"
      default: text = String(describing: value)
      }
      settings.append("\(name ?? ""): \(text)")
    }
    return settings.joined(separator: "\n")
  }

  /// The command's words.
  var command: [[UInt8]] {
    guard let configuration else { return [] }
    var words: [[UInt8]] = []
    while let word = configuration.arguments[words.count] { words.append(CString(word).bytes) }
    return words
  }
}
