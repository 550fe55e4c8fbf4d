#!/usr/bin/env bash
# A POST whose connection breaks before the answer is sent again by curl, httplib2 and Varnish, on their own.
#
# Expected: a POST is not repeated without being told to, since the server may have done what it asks (RFC 9110, 9.2.2):
#           the client reports the broken connection. No retries are switched on here.
# Happens:  when the origin has read an order and closes a connection that was used before, curl, pycurl and Varnish post
#           the order again on a new connection and return 200: two orders, and no trace of the first. httplib2 does it
#           on a fresh connection too. Varnish does it only where there is no body, which is how Binance's
#           orders look, with all parameters in the query. nginx repeats no POST, but a DELETE of one order, with a body
#           too. requests, httpx, aiohttp and HAProxy report the failure. Only newClientOrderId keeps the second out.
# Seen with: curl 7.88.1, Varnish 7.1.1, nginx 1.22.1, HAProxy 2.6.12 (Debian 12), pycurl 7.49.0 (libcurl
#           8.23.0), httplib2 0.32.1, requests 2.34.2, httpx 0.28.1, aiohttp 3.14.5. Varnish needs gcc to run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'nginx=1.22.1-*' 'haproxy=2.6.12-*' liblua5.3-0 \
    libopentracing-c-wrapper0 libopentracing1 'varnish=7.1.1-*' 'libvarnishapi3=7.1.1-*' libjemalloc2 \
    'curl=7.88.1-*' 'libcurl4=7.88.1-*')
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" pycurl==7.49.0 httplib2==0.32.1 \
    requests==2.34.2 httpx==0.28.1 aiohttp==3.14.5
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import asyncio, contextlib, glob, http.client, io, os, signal, socket, socketserver, subprocess, sys, threading, time
from pathlib import Path

import aiohttp, httplib2, httpx, pycurl, requests

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
root = work / "unpacked/usr"
LIBRARIES = dict(os.environ, LD_LIBRARY_PATH=":".join(glob.glob(f"{root}/lib/*-linux-gnu")))


class Origin(socketserver.StreamRequestHandler):
    """Take each order that comes; after the first one close the connection without an answer."""

    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                path, length = line.split()[1].decode().split("?")[0], 0
                while (header := self.rfile.readline().strip().lower()):
                    if header.startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                self.rfile.read(length)
                if path.startswith("/order"):
                    orders.append(path)
                    if len(orders) == 1:
                        return
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
                                 b"Content-Length: 2\r\n\r\n{}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen(command, env=LIBRARIES, stdout=log, stderr=log, start_new_session=True))
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"{command[0]} did not start: {(work / 'log').read_text()[-500:]}")


def file(name, text):
    (work / name).write_text(text)
    return work / name


def nginx(upstream):
    port = free_port()
    paths = "".join(f"{one}_temp_path {work}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = file("nginx.conf", f"daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/log;"
                f"events {{}} http {{ access_log off; {paths} upstream gateway {{ server 127.0.0.1:{upstream};"
                f"keepalive 4; }} server {{ listen 127.0.0.1:{port}; location / {{ proxy_http_version 1.1; proxy_set_header Connection '';"
                " proxy_pass http://gateway; } } }\n")
    return start([root / "sbin/nginx", "-p", work, "-c", conf, "-e", work / "log"], port)


def haproxy(upstream):
    port = free_port()
    conf = file("haproxy.cfg", "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
                f"listen gateway\n bind 127.0.0.1:{port}\n server origin 127.0.0.1:{upstream}\n")
    return start([root / "sbin/haproxy", "-f", conf, "-db"], port)


def varnish(upstream):
    port = free_port()
    conf = file("varnish.vcl", f"vcl 4.1; backend origin {{ .host = \"127.0.0.1\"; .port = \"{upstream}\"; }}")
    return start([root / "sbin/varnishd", "-F", "-a", f"127.0.0.1:{port}", "-f", conf, "-n", work / "varnish", "-s",
                  "malloc,8m", "-T", "none", "-j", "none", "-p", "thread_pools=1", "-p", "thread_pool_min=5"], port)


def through(port, method, body):
    """Ask something by a connection of its own, then send an order by another; say the status."""
    for verb, path, content in (("GET", "/time", None), (method, "/order?symbol=BTCUSDT&side=BUY", body)):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        client.request(verb, path, content, {"Host": "gateway", "Connection": "close"})
        answer = client.getresponse()
        answer.read()
        client.close()
    return answer.status


def with_curl(url):
    return subprocess.run([root / "bin/curl", "-s", f"{url}/time", "--next", "-s", "-X", "POST", "-w", "%{http_code}",
                           f"{url}/order?side=BUY"], env=LIBRARIES, capture_output=True, text=True).stdout[-3:]


def with_pycurl(url):
    client = pycurl.Curl()
    client.setopt(client.WRITEDATA, io.BytesIO())
    for path, data in (("/time", None), ("/order", "side=BUY")):
        client.setopt(client.URL, url + path)
        if data:
            client.setopt(client.POSTFIELDS, data)
        client.perform()
    return client.getinfo(client.RESPONSE_CODE)


def with_httplib2(url):
    return httplib2.Http().request(f"{url}/order", "POST", body="side=BUY")[0].status


def with_requests(url):
    with requests.Session() as client:
        client.get(f"{url}/time")
        return client.post(f"{url}/order", data="side=BUY").status_code


def with_httpx(url):
    with httpx.Client() as client:
        client.get(f"{url}/time")
        return client.post(f"{url}/order", data={"side": "BUY"}).status_code


def with_aiohttp(url):
    async def ask():
        async with aiohttp.ClientSession() as client:
            async with client.get(f"{url}/time") as answer:
                await answer.read()
            async with client.post(f"{url}/order", data="side=BUY") as answer:
                return answer.status
    return asyncio.run(ask())


orders = []
socketserver.ThreadingTCPServer.daemon_threads = True
origin = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
upstream = origin.server_address[1]
url = f"http://127.0.0.1:{upstream}"
CASES = [(call.__name__[5:], expected, lambda call=call: call(url)) for call, expected in (
    (with_curl, 2), (with_pycurl, 2), (with_httplib2, 2), (with_requests, 1), (with_httpx, 1),
    (with_aiohttp, 1))]
try:
    for make, rows in (
        (varnish, (("POST", None, 2), ("POST", "side=BUY", 1))),
        (nginx, (("POST", None, 1), ("DELETE", None, 2), ("DELETE", "orderId=1", 2))),
        (haproxy, (("POST", None, 1), ("DELETE", None, 1))),
    ):
        port = make(upstream)
        for method, body, expected in rows:
            name = f"{make.__name__}, {method} with{'' if body else 'out'} a body"
            CASES.append((name, expected, lambda port=port, method=method, body=body: through(port, method, body)))
    for name, expected, call in CASES:
        orders.clear()
        try:
            outcome = call()
        except Exception as error:
            outcome = type(error).__name__
        changed += len(orders) != expected
        print(f"{name:30} orders at the origin: {len(orders)}, result: {outcome}"
              f" {'' if len(orders) == expected else f'CHANGED, was {expected}'}")
finally:
    for process in running:
        os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.5)
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
