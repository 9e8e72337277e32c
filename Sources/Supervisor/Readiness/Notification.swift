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
    for line in datagram.pieces(separatedBy: UInt8(ascii: "\n")) {
      if line == "READY=1" {
        isReady = true
      } else if line == "STOPPING=1" {
        isStopping = true
      } else if let text = line.value(of: "STATUS=") {
        status = text.part(from: 0, to: Notification.statusLimit)
      } else if let text = line.value(of: "EXTEND_TIMEOUT_USEC=") {
        if let microseconds = decimal(text), microseconds < 1 << 42 {
          extend = .microseconds(Int64(microseconds))
        }
      } else if let text = line.value(of: "MAINPID=") {
        if let number = decimal(text), let number = Int32(exactly: number), number > 0 {
          mainProcess = ProcessID(number)
        }
      }
    }
  }
}
