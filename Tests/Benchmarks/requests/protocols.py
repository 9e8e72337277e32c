"""Services that speak something else than HTTP over TCP: gRPC, unix sockets, databases."""
import os
import random
import shutil
import subprocess
import time

from . import idle, services
from .matrix import verdict
from .stage import PORT, Broken, Program, Supervised, environment, until

POSTGRESQL = "/usr/lib/postgresql/15/bin"

PHP = """
[global]
error_log = /dev/null
daemonize = no
[www]
user = www-data
group = www-data
listen = FOLDER/service.sock
listen.mode = 0666
pm = static
pm.max_children = 8
"""

WSGI = """
import time
def app(environ, start):
    time.sleep(3)
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "7")])
    return [b"answer\\n"]
"""

NGINX = """
daemon off;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log stderr emerg;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path FOLDER/a; proxy_temp_path FOLDER/b; fastcgi_temp_path FOLDER/c;
  uwsgi_temp_path FOLDER/d; scgi_temp_path FOLDER/e;
  server { listen 127.0.0.1:8090; location / { PASS } }
}
"""

PASS = {
    "php-fpm": "fastcgi_pass unix:FOLDER/service.sock; fastcgi_param SCRIPT_FILENAME FOLDER/slow.php; "
               "fastcgi_param REQUEST_METHOD GET;",
    "gunicorn": "proxy_pass http://unix:FOLDER/service.sock;",
    "python": "proxy_pass http://unix:FOLDER/service.sock;",
}


def rpc(earlier, calls):
    """Calls of 2 s in flight on one channel; or a channel that is idle but for its pings."""
    def play(job, folder, options):
        words = [services.PYTHON, f"{services.PROGRAMS}/rpc.py"]
        ebb = Supervised(options.ebb, [*words, "serve", str(PORT)], folder).listening()
        client = Program("client", [*words, "ask", str(PORT), str(earlier), str(calls), "2"], folder)
        until(lambda: "ready" in client.output(), 30, "the calls are sent")
        time.sleep(random.Random(job.seed).uniform(0, 1.2) if calls else 3.3)
        stop = ebb.stop()
        if not calls:
            return idle.verdict(1, stop, worst=idle.PROTOCOL)
        time.sleep(0.5)
        answered = client.output().count("ok")
        failures = [line for line in client.output().splitlines() if line.startswith("failed")]
        failures += ["no end"] * (calls - answered - len(failures))
        return verdict(calls, failures, stop, 2, connections=min(1, len(failures)))
    return play


def write(path, text, folder):
    with open(path, "w") as file:
        file.write(text.replace("FOLDER", folder))
    os.chmod(path, 0o644)


def unix_service(server, folder, options):
    """The words that start it at FOLDER/service.sock."""
    if server == "php-fpm":
        write(f"{folder}/php.conf", PHP, folder)
        write(f"{folder}/slow.php", "<?php sleep(3); echo \"answer\\n\";", folder)
        binary = shutil.which("php-fpm8.2") or "php-fpm"
        return [binary, "-F", "-y", f"{folder}/php.conf"]
    if server == "gunicorn":
        write(f"{folder}/slow.py", WSGI, folder)
        return ["gunicorn", "--workers", "4", "--bind", f"unix:{folder}/service.sock", "slow:app"]
    return [services.PYTHON, f"{services.PROGRAMS}/server.py", f"{folder}/service.sock", "none", options.made]


def unix(server, through_nginx):
    """Requests of 3 s at a unix socket, and nothing told to ebb: it has to find the socket by itself."""
    def play(job, folder, options):
        path = f"{folder}/service.sock"
        ebb = Supervised(options.ebb, unix_service(server, folder, options), folder, own_group=True)
        ebb.until_listening(path)
        where = "/work?ms=3000&id=x"
        words = ["curl", "-sS", "-m", "30", "--unix-socket", path, f"http://here{where}"]
        if through_nginx:
            write(f"{folder}/nginx.conf", NGINX.replace("PASS", PASS[server]), folder)
            os.chmod(path, 0o666)
            Program("nginx", ["nginx", "-e", "stderr", "-p", folder, "-c", f"{folder}/nginx.conf"], folder).listening(
                services.FRONT)
            words = ["curl", "-sS", "-m", "30", f"http://127.0.0.1:{services.FRONT}{where}"]
        time.sleep(0.3)
        asking = [Program(f"curl-{number}", words, folder) for number in range(4)]
        time.sleep(random.Random(job.seed).uniform(0.3, 2))
        stop = ebb.stop()
        failures = []
        for one in asking:
            try:
                code = one.process.wait(5)
            except subprocess.TimeoutExpired:
                code = None
            if code or "answer" not in one.output():
                failures.append(one.complaints().strip() or one.output().strip()[:80] or "no answer")
        result = verdict(4, failures, stop, 3)
        if "service.sock" not in str(stop["report"]):
            result["faults"].append("the report does not name the socket")
        return result
    return play


def as_user(user, words):
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *words]


def owned(folder, user):
    """A folder for the data of a database."""
    data = f"{folder}/data"
    os.mkdir(data, 0o700)
    shutil.chown(data, user, user)
    os.chmod(folder, 0o755)
    return data


def made(words):
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), cwd="/")
    if done.returncode:
        raise Broken(f"{words}: {done.stderr[-300:]}")


def postgresql(folder):
    data = owned(folder, "postgres")
    made(as_user("postgres", [f"{POSTGRESQL}/initdb", "-D", data, "-A", "trust", "-N"]))
    words = [f"{POSTGRESQL}/postgres", "-D", data, "-p", str(PORT), "-c", "listen_addresses=127.0.0.1",
             "-c", "unix_socket_directories=", "-c", "fsync=off"]
    psql = ["psql", "-h", "127.0.0.1", "-p", str(PORT), "-U", "postgres", "-At", "-v", "ON_ERROR_STOP=1"]
    return as_user("postgres", words), psql, "-c", "select 'done' || pg_sleep(4)", "done"


def mariadb(folder):
    data = owned(folder, "mysql")
    made(["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=mysql", "--skip-test-db",
          f"--tmpdir={data}"])
    words = ["mariadbd", "--no-defaults", f"--datadir={data}", f"--tmpdir={data}", f"--socket={data}/socket",
             f"--port={PORT}", "--bind-address=127.0.0.1", "--user=mysql", "--skip-grant-tables",
             "--innodb-flush-log-at-trx-commit=0"]
    client = ["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(PORT), "-N", "-B"]
    return words, client, "-e", "select concat('done', sleep(4))", "done0"


def database(prepare, earlier):
    """A query of 4 s in flight; also after short queries on the same connection."""
    def play(job, folder, options):
        words, client, flag, query, answer = prepare(folder)
        ebb = Supervised(options.ebb, words, folder).listening()
        asked = [*client, flag, "select 1"]
        until(lambda: not subprocess.run(asked, capture_output=True, env=environment()).returncode, 20, "it answers")
        short = "select 1;" * earlier
        told = [flag, short + query] if flag == "-e" else [*(["-c", "select 1"] * earlier), flag, query]
        asking = [Program(f"client-{number}", [*client, *told], folder) for number in range(5)]
        idlers = [
            Program(f"idle-{number}", client, folder, stdin=subprocess.PIPE) for number in range(3)]
        for one in idlers:
            one.process.stdin.write(b"select 1;\n")
            one.process.stdin.flush()
        time.sleep(random.Random(job.seed).uniform(0.6, 2.5))
        stop = ebb.stop()
        failures = []
        for one in asking:
            try:
                code = one.process.wait(5)
            except subprocess.TimeoutExpired:
                code = None
            if code != 0 or answer not in one.output():
                failures.append(one.complaints().strip()[-200:] or f"answer {one.output().strip()[-80:]}")
        return verdict(5, failures, stop, 4)
    return play


ALL = {
    **{f"grpc {calls} calls, after {earlier}": rpc(earlier, calls) for calls in (5, 1) for earlier in (0, 5)},
    **{f"grpc idle with pings, after {earlier}": rpc(earlier, 0) for earlier in (1, 5)},
    **{f"unix socket: {server}{', nginx in front' if front else ''}": unix(server, front)
       for server in ("gunicorn", "php-fpm", "python") for front in (False, True)
       if front or server != "php-fpm"},
    **{f"{name}: query of 4 s, after {earlier}": database(prepare, earlier)
       for name, prepare in (("postgresql", postgresql), ("mariadb", mariadb)) for earlier in (0, 3)},
}
