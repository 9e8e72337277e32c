import Foundation

/// How long anything may take before a test is taken for hanging. Never a measure of how quick ebb is.
let hangsAfter: TimeInterval = 60

/// A wait that came to nothing, with what was seen until then.
struct Hanging: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Waits until the condition holds; throws after ``hangsAfter`` seconds.
func wait(until what: String, within seconds: TimeInterval = hangsAfter, _ condition: () throws -> Bool)
  throws
{
  let end = Date() + seconds
  while try !condition() {
    if Date() > end { throw Hanging("waited \(Int(seconds)) s in vain until \(what)") }
    usleep(2_000)
  }
}

/// A TCP port of the loopback interface that nothing used a moment ago; the kernel chose it.
func freePort() throws -> UInt16 {
  let file = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  guard file >= 0 else { throw Unusable("no socket: errno \(errno)") }
  defer { close(file) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  let result = withUnsafeMutablePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      bind(file, $0, length) == 0 && getsockname(file, $0, &length) == 0
    }
  }
  guard result else { throw Unusable("no free port: errno \(errno)") }
  return UInt16(bigEndian: address.sin_port)
}

/// A folder of the test's own, removed with this value.
final class TemporaryFolder {
  let path: String

  init() throws {
    var template = Array("\(NSTemporaryDirectory())/ebb-test-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { throw Unusable("no temporary folder: errno \(errno)") }
    path = String(cString: made)
    // Services that run as another user look into it.
    chmod(path, 0o755)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file, executable where wanted, and gives its path.
  @discardableResult
  func write(_ name: String, _ text: String, executable: Bool = false) throws -> String {
    let file = "\(path)/\(name)"
    try text.write(toFile: file, atomically: false, encoding: .utf8)
    chmod(file, executable ? 0o755 : 0o644)
    return file
  }

  /// A file's text; empty where there is none.
  func read(_ name: String) -> String {
    (try? String(contentsOfFile: "\(path)/\(name)", encoding: .utf8)) ?? ""
  }
}
