"""An HTTP/1.1 client of plain sockets, which decides itself what goes out in which write."""
import socket
import ssl
import time

POSTED = b"name=value&" * 30
UPLOAD = b"u" * 2_000_000
WRITES = 20  # of an upload, over UPLOAD_TIME
UPLOAD_TIME = 1.0


class Wrong(Exception):
    """An answer that is not whole, or not right."""


def tls_client(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    number = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    context.minimum_version = context.maximum_version = number
    return context


def length(shape, last=False):
    """Bytes of the request's body."""
    if shape == "upload":
        return len(UPLOAD) if last else len(UPLOAD) // 10
    return len(POSTED) if shape in ("post-0", "post-3", "expect") else 0


def target(shape, name, answer, gap, last):
    path = f"/stream?ms={answer * 1000:g}&gap={gap * 1000:g}" if gap else f"/work?ms={answer * 1000:g}"
    return f"{path}&id={name}" + ("&last=1" if last else "")


def wanted(shape, name, answer, gap, last):
    """The body of the right answer."""
    if gap:
        return "".join(f"piece {number} of {name}\n" for number in range(round(answer / gap) + 1)).encode()
    return f"answer {name} after {length(shape, last)} bytes\n".encode()


class Client:
    """One connection."""

    def __init__(self, port, tls="none", timeout=40, address="127.0.0.1"):
        self.socket = socket.create_connection((address, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls != "none":
            self.socket = tls_client(tls).wrap_socket(self.socket)
        self.read = b""

    def ask(self, shape, name, answer, gap=0, last=False, begun=lambda: None):
        """Sends a request, and calls `begun` as soon as it is in progress; returns the body to expect."""
        method = "POST" if length(shape) else "GET"
        head = f"{method} {target(shape, name, answer, gap, last)} HTTP/1.1\r\nHost: here\r\n"
        if length(shape):
            head += f"Content-Type: text/plain\r\nContent-Length: {length(shape, last)}\r\n"
        if shape == "expect":
            head += "Expect: 100-continue\r\n"
        head = (head + "\r\n").encode()
        if shape == "upload":
            self.upload(head, length(shape, last), UPLOAD_TIME if last else 0, begun)
        else:
            self.socket.sendall(head)
            if shape == "post-3":
                time.sleep(0.003)
            if shape == "expect":
                self.permission()
            if length(shape):
                self.socket.sendall(POSTED)
            if shape == "half-close":
                self.socket.shutdown(socket.SHUT_WR)
        begun()
        return wanted(shape, name, answer, gap, last)

    def upload(self, head, size, seconds, begun):
        self.socket.sendall(head)
        size //= WRITES
        for number in range(WRITES):
            self.socket.sendall(UPLOAD[number * size:(number + 1) * size])
            begun()
            time.sleep(seconds / WRITES)

    def permission(self):
        """Waits for the interim answer 100."""
        status, _ = self.head()
        if status != 100:
            raise Wrong(f"status {status} for a 100")

    def answer(self, expected):
        status = 100
        while status < 200:
            status, fields = self.head()
        if fields.get("transfer-encoding") == "chunked":
            body = self.chunks()
        elif "content-length" in fields:
            body = self.take(int(fields["content-length"]))
        else:
            body = self.rest()
        if status != 200:
            raise Wrong(f"status {status}")
        if body != expected:
            raise Wrong(f"another body: {body[:60]}")

    def head(self):
        lines = self.line_by_line()
        first = next(lines)
        fields = {}
        for line in lines:
            if not line:
                break
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return int(first.split()[1]), fields

    def line_by_line(self):
        while True:
            while b"\r\n" not in self.read:
                self.more()
            line, _, self.read = self.read.partition(b"\r\n")
            yield line.decode("latin1")

    def chunks(self):
        body = b""
        lines = self.line_by_line()
        while size := int(next(lines).split(";")[0], 16):
            body += self.take(size)
            self.take(2)
        self.take(2)
        return body

    def take(self, count):
        while len(self.read) < count:
            self.more()
        taken, self.read = self.read[:count], self.read[count:]
        return taken

    def rest(self):
        try:
            while True:
                self.more()
        except Wrong:
            taken, self.read = self.read, b""
            return taken

    def more(self):
        read = self.socket.recv(65536)
        if not read:
            raise Wrong("cut off" if self.read else "closed without an answer")
        self.read += read
