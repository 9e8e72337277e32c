import Linux

/// What a service says through $NOTIFY_SOCKET, sd_notify(3): lines of NAME=value.
struct Notification: Equatable {
  var isReady = false
  var isStopping = false
  /// STATUS=, one line for people.
  var status: [UInt8]?
  /// EXTEND_TIMEOUT_USEC=.
  var extend: Duration?
  /// MAINPID=.
  var mainProcess: ProcessID?

  /// The longest datagram that is read, and the longest status that is kept.
  static var limit: Int { 4096 }
  static var statusLimit: Int { 256 }

  /// Reads a datagram. What is not known, or makes no sense, is passed over, as systemd does.
  init(_ datagram: [UInt8]) {
    for line in datagram.split(separator: UInt8(ascii: "\n")) {
      let line = Array(line)
      if line == "READY=1" {
        isReady = true
      } else if line == "STOPPING=1" {
        isStopping = true
      } else if line.hasPrefix("STATUS=") {
        status = Array(line.dropFirst(7).prefix(Notification.statusLimit))
      } else if line.hasPrefix("EXTEND_TIMEOUT_USEC=") {
        if let microseconds = decimal(line.dropFirst(20)), microseconds < 1 << 42 {
          extend = .microseconds(Int64(microseconds))
        }
      } else if line.hasPrefix("MAINPID=") {
        if let number = decimal(line.dropFirst(8)).flatMap({ Int32(exactly: $0) }), number > 0 {
          mainProcess = ProcessID(number)
        }
      }
    }
  }
}
