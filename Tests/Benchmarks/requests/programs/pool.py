"""pool.py PORT TLS get|post last|loop SHORT MS POOL: kept connections of http.client that ask again at once.

last: SHORT short requests, then one that takes MS, of which `sent` tells; loop: all take MS, until a line comes on
stdin, which `stopping` acknowledges. In the end each connection says `ok` or `failed`, and why."""
import http.client
import random
import ssl
import sys
import threading
import time

port, tls, method, mode, short, ms, pool = sys.argv[1:]
BODY = b"name=value&" * 30
stopping = threading.Event()


def connect():
    if tls == "none":
        return http.client.HTTPConnection("127.0.0.1", int(port), timeout=40)
    context = ssl._create_unverified_context()
    context.minimum_version = context.maximum_version = ssl.TLSVersion["TLSv" + tls.replace(".", "_")]
    return http.client.HTTPSConnection("127.0.0.1", int(port), timeout=40, context=context)


def exchange(connection, name, milliseconds, last=False):
    body = BODY if method == "post" else None
    connection.request(method.upper(), f"/work?ms={milliseconds}&id={name}", body)
    if last:
        print("sent", flush=True)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200 or text != f"answer {name} after {len(body or b'')} bytes\n":
        raise ValueError(f"{answer.status} {text}")


def talk(number):
    try:
        connection = connect()
        if mode == "last":
            for turn in range(int(short)):
                exchange(connection, f"{number}.{turn}", 0)
            exchange(connection, f"last-{number}", ms, True)
        else:
            time.sleep(random.uniform(0, float(ms) / 1000))
            turn = 0
            while not stopping.is_set():
                exchange(connection, f"{number}.{turn}", ms)
                turn += 1
        said = "ok"
    except Exception as error:
        said = f"failed {error!r}"
    print(said, flush=True)
    time.sleep(60)


for number in range(int(pool)):
    threading.Thread(target=talk, args=(number,), daemon=True).start()
sys.stdin.readline()
stopping.set()
print("stopping", flush=True)
time.sleep(60)
