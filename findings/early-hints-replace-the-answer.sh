#!/usr/bin/env bash
# A 103 Early Hints before the answer becomes the answer, and the 200 is lost.
#
# Expected: a 1xx response is passed on or skipped, and the final 200 follows (RFC 9110, 15.2).
# Happens:  nginx passes the 103 on as if it were the final answer, drops the 200 of its origin, and closes when
#           proxy_read_timeout is over. HAProxy passes both. Among clients Python's urllib raises HTTPError 103;
#           requests and aiosonic return 103 with an empty body; aiohttp and httpx wait for the 200.
#           So who puts a server with early hints behind nginx 1.22 breaks each client.
# Seen with: nginx 1.22.1, HAProxy 2.6.12 (Debian 12); CPython 3.11.7, aiosonic 1.3.3, requests 2.34.2 (urllib3 2.8.0),
#           aiohttp 3.14.5, httpx 0.28.1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'nginx=1.22.1-*' 'haproxy=2.6.12-*' liblua5.3-0 \
    libopentracing-c-wrapper0 libopentracing1)
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    aiosonic==1.3.3 requests==2.34.2 urllib3==2.8.0 aiohttp==3.14.5 httpx==0.28.1
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import asyncio, glob, os, signal, socket, socketserver, subprocess, sys, threading, time, urllib.request
from pathlib import Path

import aiohttp, aiosonic, httpx, requests

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work = Path(sys.argv[1])
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            if line == b"\r\n":
                self.wfile.write(HINTS)
                time.sleep(0.05)
                self.wfile.write(ANSWER)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    libraries = ":".join(glob.glob(f"{work}/unpacked/usr/lib/*-linux-gnu"))
    process = subprocess.Popen(command, env=dict(os.environ, LD_LIBRARY_PATH=libraries), stderr=subprocess.DEVNULL)
    running.append(process)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"{command[0]} did not start")


def statuses(port):
    """Say the status codes that come back for one request, and after how many seconds the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
        begun, answer = time.monotonic(), b""
        while part := connection.recv(65536):
            answer += part
    lines = [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    return [int(line[9:12]) for line in lines], time.monotonic() - begun


async def with_aiosonic(url):
    async with aiosonic.HTTPClient() as client:
        return (await client.get(url)).status_code


async def with_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status


def with_urllib(url):
    try:
        return urllib.request.urlopen(url).status
    except urllib.request.HTTPError as error:
        return error.code


socketserver.ThreadingTCPServer.daemon_threads = True
origin = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
port, running, changed = origin.server_address[1], [], 0
try:
    nginx, haproxy = free_port(), free_port()
    temporary = "".join(f"{name}_temp_path {work}/{name};" for name in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (work / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/nginx.log; events {{}} http {{"
        f"access_log off; {temporary} server {{ listen 127.0.0.1:{nginx}; location / {{ proxy_read_timeout 2s;"
        f"proxy_http_version 1.1; proxy_pass http://127.0.0.1:{port}; }} }} }}\n")
    (work / "haproxy.cfg").write_text(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
        f"listen gateway\n bind 127.0.0.1:{haproxy}\n server origin 127.0.0.1:{port}\n")
    start([f"{work}/unpacked/usr/sbin/nginx", "-p", work, "-c", work / "nginx.conf", "-e", work / "nginx.log"], nginx)
    start([f"{work}/unpacked/usr/sbin/haproxy", "-f", work / "haproxy.cfg", "-db"], haproxy)
    for name, door, expected in (("nginx", nginx, [103]), ("HAProxy", haproxy, [103, 200])):
        seen, seconds = statuses(door)
        changed += seen != expected
        print(f"{name:8} passes on {seen}, done after {seconds:.1f} s {'' if seen == expected else 'CHANGED'}")
    url = f"http://127.0.0.1:{port}/"
    for name, call, expected in (
        ("urllib", with_urllib, 103), ("aiosonic", lambda url: asyncio.run(with_aiosonic(url)), 103),
        ("requests", lambda url: requests.get(url).status_code, 103),
        ("aiohttp", lambda url: asyncio.run(with_aiohttp(url)), 200),
        ("httpx", lambda url: httpx.get(url).status_code, 200),
    ):
        seen = call(url)
        changed += seen != expected
        print(f"{name:8} gets {seen} {'' if seen == expected else f'CHANGED, was {expected}'}")
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
