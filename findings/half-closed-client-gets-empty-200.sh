#!/usr/bin/env bash
# A client that shuts its sending side gets an empty 200, or nothing, from a slow origin.
#
# Expected: a client may send its request, shut down its sending side (as nc -N and socat do), and read the answer.
#           RFC 9112, 9.6 allows servers to give up then; a proxy that gives up says so with an error, or closes.
# Happens:  if the origin takes half a second, Caddy answers "200 OK" with Content-Length: 0, which a client takes
#           for the true answer. nginx closes without a byte. HAProxy and lighttpd wait and pass the answer on.
#           Of Python's servers aiohttp, granian and uvicorn close without a byte; hypercorn and
#           gunicorn answer.
#           So a probe through socat or nc can read a working gateway as empty or dead.
# Seen with: Caddy 2.6.2, nginx 1.22.1, HAProxy 2.6.12, lighttpd 1.4.69 (Debian 12); aiohttp 3.14.5,
#           granian 2.8.9, uvicorn 0.54.0 (h11), hypercorn 0.18.0, gunicorn 27.0.1; CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'nginx=1.22.1-*' 'haproxy=2.6.12-*' liblua5.3-0 \
    libopentracing-c-wrapper0 libopentracing1 'caddy=2.6.2-*' 'lighttpd=1.4.69-*')
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    aiohttp==3.14.5 granian==2.8.9 uvicorn==0.54.0 hypercorn==0.18.0 gunicorn==27.0.1
cat >"$work/apps.py" <<'PY'
import asyncio, sys, time

BODY = b'{"ok":true}'


async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.sleep(0.5)
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": BODY})


def wsgi(environ, start_response):
    time.sleep(0.5)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))])
    return [BODY]


if __name__ == "__main__":
    from aiohttp import web

    async def handle(request):
        await asyncio.sleep(0.5)
        return web.Response(body=BODY, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
PY
PYTHONPATH="$work/lib:$work" timeout 50 python3 - "$work" <<'PY'
import contextlib, glob, os, signal, socket, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
root = work / "unpacked/usr"


class Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(0.5)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "11")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nginx and Caddy have hung up by then
            self.end_headers()
            self.wfile.write(b'{"ok":true}')

    def log_message(self, *args):
        pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    libraries = ":".join(glob.glob(f"{root}/lib/*-linux-gnu"))
    environment = dict(os.environ, LD_LIBRARY_PATH=libraries, HOME=str(work))
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"{command[0]} did not start: {(work / 'log').read_text()[-500:]}")


def ask(port, path):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
    if not answer:
        return "nothing"
    return f"{answer[9:12].decode()} {'with body' if answer.endswith(b'}') else 'EMPTY'}"


def python(module, *arguments):
    return [sys.executable, "-m", module, *arguments]


def file(name, text):
    (work / name).write_text(text)
    return work / name


def proxy(name, origin):
    port = free_port()
    if name == "Caddy":
        conf = file("Caddyfile", f"{{\n admin off\n auto_https off\n storage file_system {work}/caddy\n}}\n:{port} {{\n"
                    f" bind 127.0.0.1\n reverse_proxy 127.0.0.1:{origin}\n}}\n")
        return start([root / "bin/caddy", "run", "--config", conf, "--adapter", "caddyfile"], port)
    if name == "nginx":
        paths = "".join(f"{one}_temp_path {work}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = file("nginx.conf", f"daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/log;"
                    f"events {{}} http {{ access_log off; {paths} server {{ listen 127.0.0.1:{port};"
                    f"location / {{ proxy_pass http://127.0.0.1:{origin}; }} }} }}\n")
        return start([root / "sbin/nginx", "-p", work, "-c", conf, "-e", work / "log"], port)
    if name == "HAProxy":
        conf = file("haproxy.cfg", "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
                    f"listen gateway\n bind 127.0.0.1:{port}\n server origin 127.0.0.1:{origin}\n")
        return start([root / "sbin/haproxy", "-f", conf, "-db"], port)
    conf = file("lighttpd.conf", f'server.document-root = "{work}"\nserver.bind = "127.0.0.1"\nserver.port = {port}\n'
                f'server.modules = ("mod_proxy")\n'
                f'proxy.server = ("" => (("host" => "127.0.0.1", "port" => {origin})))\n')
    return start([root / "sbin/lighttpd", "-D", "-f", conf, "-m", root / "lib/lighttpd"], port)


def server(name):
    port = free_port()
    at = f"127.0.0.1:{port}"
    return start({
        "aiohttp": [sys.executable, work / "apps.py", str(port)],
        "granian": python("granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "apps:asgi"),
        "uvicorn": python("uvicorn", "--http", "h11", "--port", str(port), "apps:asgi"),
        "hypercorn": python("hypercorn", "-b", at, "apps:asgi"),
        "gunicorn": python("gunicorn", "-b", at, "apps:wsgi"),
    }[name], port)


EXPECTED = {
    "gunicorn": "200 with body", "hypercorn": "200 with body", "uvicorn": "nothing", "aiohttp": "nothing",
    "granian": "nothing", "Caddy": "200 EMPTY", "nginx": "nothing", "HAProxy": "200 with body",
    "lighttpd": "200 with body",
}
origin = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
try:
    for name, expected in EXPECTED.items():
        is_proxy = name in ("Caddy", "nginx", "HAProxy", "lighttpd")
        port = proxy(name, origin.server_port) if is_proxy else server(name)
        seen = ask(port, "/")
        changed += seen != expected
        print(f"{name:10} {seen:14} {'' if seen == expected else 'CHANGED, was ' + expected}")
finally:
    for process in running:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
sys.exit(changed > 0)
PY
