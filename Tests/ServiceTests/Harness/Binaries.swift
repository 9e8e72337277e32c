import Foundation

/// The built programs under test.
enum Binary: String {
  case ebb
  case tide

  /// The program's path: the variable EBB_BINARY or TIDE_BINARY; else the release build of this package, which
  /// must be newer than its sources; else the debug build that the tests were built with.
  func path() throws -> String {
    try Binary.found.value(for: self) { try find() }
  }

  private func find() throws -> String {
    if let chosen = ProcessInfo.processInfo.environment["\(rawValue.uppercased())_BINARY"], !chosen.isEmpty {
      guard access(chosen, X_OK) == 0 else {
        throw Unusable("\(rawValue.uppercased())_BINARY=\(chosen) cannot be executed")
      }
      return chosen
    }
    let release = Binary.packageRoot + "/.build/release"
    if let linked = modificationTime(of: "\(release)/\(rawValue)") {
      for module in modules {
        // What comes out the same is not linked again, so the record of the compilation counts too.
        let build = "\(release)/\(module).build"
        let built = newest(in: build, endings: [".d"])?.time ?? linked
        if let source = newest(
          in: "\(Binary.packageRoot)/Sources/\(module)", endings: [".swift", ".c", ".h"]),
          source.time > linked && source.time > built
        {
          throw Unusable(
            "release binary is older than Sources (\(module)/\(source.name)): swift build -c release")
        }
      }
      return "\(release)/\(rawValue)"
    }
    for folder in Binary.buildFolders where access("\(folder)/\(rawValue)", X_OK) == 0 {
      return "\(folder)/\(rawValue)"
    }
    throw Unusable("there is no \(rawValue) to test: swift build -c release")
  }

  private static let found = Once()

  /// The package's folder, three above this file's.
  static let packageRoot: String = {
    var url = URL(fileURLWithPath: #filePath)
    for _ in 0..<4 { url.deleteLastPathComponent() }
    return url.path
  }()

  /// Where the test bundle may be: beside the binaries that were built with it.
  private static var buildFolders: [String] {
    let bundles = CommandLine.arguments.filter { $0.hasSuffix(".xctest") }
    let folders = bundles.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path }
    return folders + [packageRoot + "/.build/debug"]
  }

  /// The folders of Sources that go into this program.
  private var modules: [String] {
    switch self {
    case .ebb: ["CLinux", "Time", "Linux", "Inet", "Lifecycle", "Supervisor", "ebb"]
    case .tide: ["CLinux", "Time", "Linux", "tide"]
    }
  }

  private func newest(in folder: String, endings: [String]) -> (name: String, time: timespec)? {
    var newest: (name: String, time: timespec)?
    for case let name as String in FileManager.default.enumerator(atPath: folder) ?? .init() {
      guard endings.contains(where: name.hasSuffix), let time = modificationTime(of: "\(folder)/\(name)")
      else {
        continue
      }
      if newest.map({ time > $0.time }) ?? true { newest = (name, time) }
    }
    return newest
  }

  private func modificationTime(of path: String) -> timespec? {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mtim : nil
  }
}

private func > (left: timespec, right: timespec) -> Bool {
  (left.tv_sec, left.tv_nsec) > (right.tv_sec, right.tv_nsec)
}

/// Why a test cannot be run as it stands.
struct Unusable: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Looks for each program once.
private final class Once: @unchecked Sendable {
  private let lock = NSLock()
  private var values: [Binary: Result<String, any Error>] = [:]

  func value(for key: Binary, _ make: () throws -> String) throws -> String {
    lock.lock()
    defer { lock.unlock() }
    let value = values[key] ?? Result { try make() }
    values[key] = value
    return try value.get()
  }
}
