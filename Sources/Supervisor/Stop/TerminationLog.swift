import CLinux
import Linux

/// The file whose text Kubernetes shows as the container's termination message,
/// https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
enum TerminationLog {
  /// Kubernetes' default path.
  static var defaultPath: CString { CString("/dev/termination-log") }
  /// Kubernetes keeps 4 KiB of it, for all containers 12: the report stays far below.
  static var limit: Int { 1023 }

  /// Writes a line, if the file is empty: never over a service's own message. Where the user named the file it
  /// is made; the default one is used only where it is there already.
  static func write(_ line: Text, to path: CString?) throws(Errno) {
    let flags = O_WRONLY | O_NONBLOCK | O_NOCTTY | (path == nil ? 0 : O_CREAT)
    let file: FileDescriptor
    do throws(Errno) {
      file = try FileDescriptor.open(path ?? defaultPath, flags, mode: 0o644)
    } catch {
      if path == nil { return }
      throw error
    }
    defer { file.close() }
    var status = stat()
    _ = try checked { fstat(file.rawValue, &status) }
    if status.st_size > 0 { return }
    var line = line
    line.truncate(to: limit)
    try line.write(to: file)
  }
}
