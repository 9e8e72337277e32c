import Foundation

/// A program's copy on a disk, whose pages the kernel can be asked to forget.
final class ColdFile {
  let path: String
  private let folder: TemporaryFolder
  private let descriptor: Int32

  /// Copies it, and has all of it written, since what is not cannot be forgotten.
  init(copyOf program: String) throws {
    folder = try TemporaryFolder()
    path = "\(folder.path)/\((program as NSString).lastPathComponent)"
    // Its bytes: the program may be a link.
    try Data(contentsOf: URL(fileURLWithPath: program)).write(to: URL(fileURLWithPath: path))
    chmod(path, 0o755)
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0, fsync(descriptor) == 0 else { throw Unusable("fsync: errno \(errno)") }
  }

  deinit { close(descriptor) }

  /// Has the kernel drop what nobody has mapped, posix_fadvise(2).
  func forget() throws {
    let error = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    guard error == 0 else { throw Unusable("posix_fadvise: error \(error)") }
  }

  /// How many of its pages are in memory, mincore(2).
  func pagesInMemory() throws -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Unusable("fstat: errno \(errno)") }
    let size = Int(status.st_size)
    guard let mapped = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), mapped != MAP_FAILED else {
      throw Unusable("mmap: errno \(errno)")
    }
    defer { munmap(mapped, size) }
    var pages = [UInt8](repeating: 0, count: (size + Int(getpagesize()) - 1) / Int(getpagesize()))
    guard mincore(mapped, size, &pages) == 0 else { throw Unusable("mincore: errno \(errno)") }
    return pages.count { $0 & 1 != 0 }
  }

  /// Whether temporary files are on a disk that can be read again; those in memory alone cannot be forgotten.
  static func canForget() throws -> Bool {
    let file = try ColdFile(copyOf: "/proc/self/exe")
    try file.forget()
    return try file.pagesInMemory() == 0
  }
}
