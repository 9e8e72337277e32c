"""The services and proxies of the matrix, and what has to be made for them once."""
import os
import subprocess

from .stage import PORT, Program

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
FRONT = 8090
# Debian's own, which finds Debian's modules.
PYTHON = "/usr/bin/python3"
# What starts quickly, and in little memory.
JAVA = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]

NGINX = """
daemon off;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log stderr emerg;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path FOLDER/a; proxy_temp_path FOLDER/b; fastcgi_temp_path FOLDER/c;
  uwsgi_temp_path FOLDER/d; scgi_temp_path FOLDER/e;
  client_max_body_size 0;
  upstream service { server TARGET; keepalive 64; }
  server {
    listen 127.0.0.1:8090 backlog=1024;
    location / {
      proxy_pass SCHEME://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      # What the service lost is to be seen, and the body is to reach it while it is being sent.
      proxy_next_upstream off;
      proxy_request_buffering off;
      SECURITY
    }
  }
}
"""

HAPROXY = """
global
  maxconn 4096
  nbthread 1
defaults
  mode http
  timeout connect 20s
  timeout client 60s
  timeout server 60s
  retries 0
frontend front
  bind 127.0.0.1:8090
  default_backend service
backend service
  http-reuse always
  server one 127.0.0.1:8080 SECURITY
"""


def prepare(folder):
    """A certificate, and the Java programs compiled."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem"], check=True, capture_output=True)
    with open(f"{folder}/both.pem", "w") as both:
        for name in ("key", "certificate"):
            with open(f"{folder}/{name}.pem") as file:
                both.write(file.read())
    subprocess.run(
        ["openssl", "pkcs12", "-export", "-in", f"{folder}/both.pem", "-out", f"{folder}/both.p12",
         "-passout", "pass:secret"], check=True, capture_output=True)
    sources = [f"{PROGRAMS}/{name}" for name in sorted(os.listdir(PROGRAMS)) if name.endswith(".java")]
    subprocess.run(["javac", "-d", folder, *sources], check=True)


def server(name, tls, made, port=PORT):
    """The words that start it."""
    if name == "python":
        return [PYTHON, f"{PROGRAMS}/server.py", str(port), tls, made]
    if name == "node":
        return ["node", f"{PROGRAMS}/server.js", str(port), tls, made]
    return [*JAVA, "-Dsun.net.httpserver.maxIdleConnections=1000", "-cp", made, "Server", str(port), tls, made]


def proxy(name, tls, folder, target=f"127.0.0.1:{PORT}"):
    """Starts it in front of the service."""
    if name == "nginx":
        words = f"proxy_ssl_protocols TLSv{tls}; proxy_ssl_verify off;" if tls != "none" else ""
        text = NGINX.replace("FOLDER", folder).replace("TARGET", target).replace("SECURITY", words)
        text = text.replace("SCHEME", "https" if tls != "none" else "http")
        command = ["nginx", "-e", "stderr", "-p", folder, "-c", f"{folder}/nginx.conf"]
    else:
        words = f"ssl verify none force-tlsv{tls.replace('.', '')}" if tls != "none" else ""
        text = HAPROXY.replace("SECURITY", words)
        command = ["haproxy", "-q", "-db", "-f", f"{folder}/haproxy.conf"]
    with open(f"{folder}/{name}.conf", "w") as file:
        file.write(text)
    return Program(name, command, folder).listening(FRONT)
