"""Makes so many broken clients of one sort after the other, and keeps some of them open:

    flood.py control|http COUNT KEPT

They come to ebb's control socket @flooded or to its pages on port 9100.
"""
import collections, os, random, socket, struct, sys
where, count, kept = sys.argv[1], int(sys.argv[2]), collections.deque(maxlen=int(sys.argv[3]))
random.seed(count)
def control():
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer.connect("\0flooded")
    return peer
def http():
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    peer.settimeout(20)
    peer.connect(("127.0.0.1", 9100))
    return peer
def fds(peer):
    rights = struct.pack("200i", *[0] * 200)
    peer.sendmsg([b"rea"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
def gone(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); peer.close()
def times(number, text):
    def send(peer):
        for _ in range(number): peer.send(text)
    return send
sorts = {
    "control": [
        lambda peer: None, gone, fds, times(1, b"rea"), times(1, b"\0" * 64), times(1, b"x" * 65),
        times(1, b"x" * 100000), times(20, b"ready"), times(20, b"nonsense"), times(1, b"status"),
        times(1, b"status json"), lambda peer: peer.send(os.urandom(32)), times(1, b""),
        lambda peer: peer.shutdown(socket.SHUT_WR), lambda peer: peer.shutdown(socket.SHUT_RD),
    ],
    "http": [
        lambda peer: None, gone, times(1, b"GET /live"), times(1, b"G" * 3000), times(1, os.urandom(500)),
        times(1, b"GET /livez HTTP/1.1\r\n"), times(3, b"x" * 8000), times(20, b"GET /status HTTP/1.1\r\n\r\n"),
        times(1, b"GET /metrics HTTP/1.1\r\n\r\n"), times(1, b"GET /readyz?verbose HTTP/1.1\r\n\r\n"),
        times(1, b"POST /drain HTTP/1.1\r\nContent-Length: 99999\r\n\r\n" + b"x" * 30000),
        times(1, b"GET /drain HTTP/1.1\r\n\r\n"), times(1, b"\r\n\r\n\r\n"),
        lambda peer: peer.shutdown(socket.SHUT_WR), times(1, b"GET /livez HTTP/1.1\r\n\r\n" + b"y" * 90000),
    ],
}[where]
for number in range(count):
    try:
        peer = {"control": control, "http": http}[where]()
        kept.append(peer)
        sorts[number % len(sorts)](peer)
    except OSError: pass
print("done", flush=True)
