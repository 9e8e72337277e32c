import Linux

@testable import Supervisor

/// Datagrams to $NOTIFY_SOCKET.
func fuzzNotify(_ input: UnsafeRawBufferPointer) {
  let notification = Notification(Array(input))
  if let status = notification.status {
    check(status.count <= Notification.statusLimit, "a status is within its limit")
    check(!status.contains(UInt8(ascii: "\n")), "a status is one line")
  }
  if let extend = notification.extend {
    check(extend >= .zero && extend <= .seconds(1 << 23), "a time is not negative, and has a limit")
  }
  if let process = notification.mainProcess { check(process.rawValue > 0, "a process's number is above 0") }
  var again = ""
  if notification.isReady { again += "READY=1\n" }
  if notification.isStopping { again += "STOPPING=1\n" }
  if let extend = notification.extend { again += "EXTEND_TIMEOUT_USEC=\(extend.inNanoseconds / 1000)\n" }
  if let process = notification.mainProcess { again += "MAINPID=\(process.rawValue)\n" }
  var message = Array(again.utf8)
  if let status = notification.status { message += Array("STATUS=".utf8) + status }
  check(Notification(message) == notification, "a message that is written again is the same message")
}
