"""server.py PORT none|1.2|1.3 FOLDER [ADDRESS]: http.server as its documentation has it; SIGTERM kills it.

PORT may be the path of a unix socket. MPTCP=1: it takes multipath TCP. PEERS=1: it prints the port of each client."""
import http.server
import os
import socket
import ssl
import sys
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        words = {name: value[0] for name, value in urllib.parse.parse_qs(query).items()}
        if words.get("last"):
            os.write(1, b"begun\n")
        seconds = float(words.get("ms", 0)) / 1000
        if path == "/bulk":
            return self.bulk(int(words["pieces"]), float(words["gap"]) / 1000)
        if path == "/stream":
            return self.stream(words["id"], seconds, float(words["gap"]) / 1000)
        left = size = int(self.headers.get("Content-Length", 0))
        while left:
            left -= len(self.rfile.read(min(left, 65536))) or left
        time.sleep(seconds)
        body = f"answer {words.get('id')} after {size} bytes\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def stream(self, name, seconds, gap):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(round(seconds / gap) + 1):
            if number:
                time.sleep(gap)
            piece = f"piece {number} of {name}\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def bulk(self, pieces, gap):
        """A download of half a megabyte after each gap."""
        self.send_response(200)
        self.send_header("Content-Length", str(pieces * 500_000))
        self.end_headers()
        for _ in range(pieces):
            self.wfile.write(b"b" * 500_000)
            time.sleep(gap)

    def log_message(self, *words):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024  # Its own five are too few for clients that come at once, whoever stops it.

    def handle_error(self, *words):
        pass

    def verify_request(self, request, address):
        if os.environ.get("PEERS"):
            os.write(1, f"peer {address[1]}\n".encode())
        return True


class UnixServer(Server):
    address_family = socket.AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)

    def get_request(self):
        return self.socket.accept()[0], ("here", 0)


port, tls, folder = sys.argv[1:4]
if port.startswith("/"):
    server = UnixServer(port, Handler)
else:
    server = Server((sys.argv[4] if len(sys.argv) > 4 else "", int(port)), Handler, bind_and_activate=False)
    if os.environ.get("MPTCP"):
        server.socket.close()
        server.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)  # IPPROTO_MPTCP
    server.server_bind()
    server.server_activate()
if tls != "none":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/both.pem")
    context.minimum_version = context.maximum_version = ssl.TLSVersion["TLSv" + tls.replace(".", "_")]
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
