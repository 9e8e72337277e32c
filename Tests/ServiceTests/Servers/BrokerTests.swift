import Foundation
import Testing

/// Brokers of messages, stopped while they are published and read.
@Suite(.serialized)
struct BrokerTests {
  /// A cluster of two. Who asks and who answers are at the first, and go to the second when they hear INFO's "ldm".
  @Test(.requires(.root, .namespaces, .tool("nats-server"), .tool("python3")))
  func `NATS hands its clients over, and no reply is lost`() throws {
    let stage = try ServerStage()
    func settings(_ name: String, _ port: Int, _ cluster: Int, _ other: Int) throws -> String {
      try stage.folder.write(
        "\(name).conf",
        """
        server_name: \(name)
        listen: "127.0.0.1:\(port)"
        lame_duck_grace_period: "1s"
        cluster { name: test, listen: "127.0.0.1:\(cluster)", routes: ["nats://127.0.0.1:\(other)"] }

        """)
    }
    let first = ["nats-server", "-c", try settings("first", 4222, 6222, 6223)]
    try stage.start(["nats-server", "-c", try settings("second", 4223, 6223, 6222)], listeningOn: 4223)
    // It hands its clients over itself: nothing is gained by a lame duck of ebb's before.
    let run = try stage.supervise(first, port: 4222, inKubernetes: false)
    let script = try stage.folder.write(
      "clients.py",
      #"""
      import select, socket, sys, threading, time

      class Client:
          def __init__(self, subject):
              self.subject, self.moves, self.unread, self.isKnown = subject, 0, {}, False
              self.connect(4222)
              while not self.isKnown: self.read(1)
          def connect(self, port):
              self.peer = socket.create_connection(("127.0.0.1", port))
              self.unread[self.peer] = b""
              self.send(self.peer, 'CONNECT {"verbose":false,"protocol":1}', f"SUB {self.subject} group 1", "PING")
          def send(self, peer, *lines):
              peer.sendall("".join(line + "\r\n" for line in lines).encode())
          # What comes within so many seconds: where the answer goes, the text, the connection.
          def read(self, seconds):
              messages, isToMove = [], False
              for peer in select.select(list(self.unread), [], [], seconds)[0]:
                  data = peer.recv(65536)
                  if not data:
                      if peer is self.peer: sys.exit(f"{self.subject}: closed without a word")
                      del self.unread[peer]
                      continue
                  rest = self.unread[peer] + data
                  while b"\r\n" in rest:
                      line, after = rest.split(b"\r\n", 1)
                      words = line.decode().split(" ")
                      if words[0] == "MSG":
                          size = int(words[-1])
                          if len(after) < size + 2: break
                          messages.append((words[3], after[:size].decode(), peer))
                          after = after[size + 2:]
                      elif words[0] == "PING": self.send(peer, "PONG")
                      elif words[0] == "PONG": self.isKnown = True
                      elif words[0] == "INFO" and b'"ldm":true' in line: isToMove = peer is self.peer
                      rest = after
                  self.unread[peer] = rest
              if isToMove:
                  self.moves += 1
                  self.connect(4223)
              return messages

      over = threading.Event()
      def answer():
          client = Client("service")
          started.set()
          while not over.is_set():
              for reply, text, peer in client.read(0.1):
                  client.send(peer, f"PUB {reply} {len(text)}", text)
          print("answerer's moves:", client.moves, flush=True)
      started = threading.Event()
      answerer = threading.Thread(target=answer, daemon=True)
      answerer.start()
      started.wait()

      client, lost, asked, rest = Client("inbox"), 0, 0, 20
      while rest:
          asked += 1
          text = f"question-{asked}"
          client.send(client.peer, f"PUB service inbox {len(text)}", text)
          end = time.monotonic() + 5
          while not any(got == text for _, got, _ in client.read(0.1)):
              if time.monotonic() > end: lost += 1; break
          if asked == 20: print("traffic", flush=True)
          if client.moves: rest -= 1
          time.sleep(0.02)
      over.set()
      answerer.join()
      print("lost:", lost, flush=True)
      """#)
    let clients = try Running(["python3", script], entering: stage.network.entry)
    try clients.waitForLine(containing: "traffic")
    try run.signal(SIGTERM)
    #expect(try clients.finish() == .code(0), "\(clients.errors.text)")
    #expect(clients.output.lines.suffix(2) == ["answerer's moves: 1", "lost: 0"], "\(clients.output.text)")
    try stage.expectEnd(of: run, signal: "SIGUSR2")
  }

  @Test(.requires(.root, .namespaces, .tool("mosquitto"), .tool("mosquitto_pub")))
  func `Mosquitto delivers what it acknowledged`() throws {
    let stage = try ServerStage()
    let file = try stage.folder.write("mosquitto.conf", "listener 1883 127.0.0.1\nallow_anonymous true\n")
    let run = try stage.supervise(["mosquitto", "-c", file], as: "www-data", port: 1883)
    let subscriber = try Running(
      ["mosquitto_sub", "-q", "1", "-t", "news"], entering: stage.network.entry)
    func publish(_ count: Int) throws -> Running {
      try Running(
        [
          "sh", "-c",
          "for i in $(seq \(count)); do echo $i; sleep 0.05; done | mosquitto_pub -q 1 -t news -l",
        ],
        entering: stage.network.entry)
    }
    // Until it subscribes nothing is kept for it.
    try wait(until: "there is a subscriber") {
      guard try publish(1).finish() == .code(0) else { throw Unusable("nothing can be published") }
      return !subscriber.output.lines.isEmpty
    }
    let publisher = try publish(40)
    try subscriber.waitForLine(containing: "20")
    try run.signal(SIGTERM)
    #expect(try publisher.finish() == .code(0), "\(publisher.errors.text)")
    try stage.expectEnd(of: run, signal: "SIGTERM")
    #expect(subscriber.output.lines.suffix(40) == (1...40).map { "\($0)" })
  }
}
