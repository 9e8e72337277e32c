"""pings.py PORT: a server that says yes to an upgrade, and then sends a WebSocket ping every second."""
import socketserver
import sys
import threading


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        over = threading.Event()
        threading.Thread(target=self.ping, args=(over,), daemon=True).start()
        while self.request.recv(65536):
            pass
        over.set()

    def ping(self, over):
        while not over.wait(1):
            self.request.sendall(b"\x89\x00")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


Server(("", int(sys.argv[1])), Handler).serve_forever()
