#!/usr/bin/env bash
# A POST by "curl --http2" arrives at uvicorn without its body, and uvicorn answers as if all were well.
#
# Expected: on plain http curl --http2 sends an HTTP/1.1 request with "Upgrade: h2c". A server that does not know h2c ignores
#           the offer (RFC 9110, 7.8) and handles the request, with its body.
# Happens:  uvicorn with httptools, the parser that "uvicorn[standard]" installs, logs "Unsupported upgrade request" and
#           gives the application an empty body. The application answers 200, for PUT too. Behind Caddy, which passes the
#           offer on, it is the same. With --http h11, and on aiohttp, granian and hypercorn, the body arrives.
#           An order whose parameters are in the body is seen without any.
# Seen with: curl 7.88.1, Caddy 2.6.2 (Debian 12), uvicorn 0.54.0, httptools 0.9.0, aiohttp 3.14.5, granian 2.8.9, hypercorn
#           0.18.0; CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'curl=7.88.1-*' 'libcurl4=7.88.1-*' libnghttp2-14 librtmp1 \
    libssh2-1 libpsl5 libldap-2.5-0 libsasl2-2 libbrotli1 'caddy=2.6.2-*')
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    uvicorn==0.54.0 httptools==0.9.0 aiohttp==3.14.5 granian==2.8.9 hypercorn==0.18.0
cat >"$work/apps.py" <<'PY'
import sys


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    text = f"{len(body)} bytes".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(text)).encode())]})
    await send({"type": "http.response.body", "body": text})


if __name__ == "__main__":
    from aiohttp import web

    async def handle(request):
        return web.Response(text=f"{len(await request.read())} bytes")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
PY
PYTHONPATH="$work/lib:$work" timeout 50 python3 - "$work" <<'PY'
import glob, os, signal, socket, subprocess, sys, time
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
environment = dict(os.environ, HOME=str(work))
libraries = dict(environment, LD_LIBRARY_PATH=":".join(glob.glob(f"{work}/unpacked/usr/lib/*-linux-gnu")))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"{command[0]} did not start: {(work / 'log').read_text()[-500:]}")


def server(name, origin):
    port = free_port()
    if name == "Caddy before it":
        (work / "Caddyfile").write_text(f"{{\n admin off\n auto_https off\n storage file_system {work}/caddy\n}}\n:{port} {{\n"
                                        f" bind 127.0.0.1\n reverse_proxy 127.0.0.1:{origin}\n}}\n")
        return start([work / "unpacked/usr/bin/caddy", "run", "--config", work / "Caddyfile", "--adapter", "caddyfile"], port)
    python = [sys.executable, "-m"]
    return start({
        "uvicorn, httptools": [*python, "uvicorn", "--port", str(port), "--http", "httptools", "apps:asgi"],
        "uvicorn, h11": [*python, "uvicorn", "--port", str(port), "--http", "h11", "apps:asgi"],
        "granian": [*python, "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "apps:asgi"],
        "hypercorn": [*python, "hypercorn", "-b", f"127.0.0.1:{port}", "apps:asgi"],
        "aiohttp": [sys.executable, work / "apps.py", str(port)],
    }[name], port)


def send(port, *options):
    command = [work / "unpacked/usr/bin/curl", "-sS", "-m", "5", *options, "-d", "symbol=BTCUSDT", f"http://127.0.0.1:{port}/order"]
    return subprocess.run(command, env=libraries, capture_output=True, text=True).stdout or "nothing"


try:
    origin = 0
    for name, lost in (("uvicorn, httptools", True), ("Caddy before it", True), ("uvicorn, h11", False), ("aiohttp", False),
                       ("granian", False), ("hypercorn", False)):
        port = server(name, origin)
        origin = origin or port
        seen = send(port), send(port, "--http2"), send(port, "--http2", "-X", "PUT")
        expected = ("14 bytes", *(("0 bytes",) * 2 if lost else ("14 bytes",) * 2))
        changed += seen != expected
        print(f"{name:20} curl: {seen[0]}, curl --http2: {seen[1]}, with PUT: {seen[2]} {'' if seen == expected else 'CHANGED'}")
finally:
    for process in running:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
sys.exit(changed > 0)
PY
