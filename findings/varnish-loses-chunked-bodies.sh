#!/usr/bin/env bash
# Varnish answers 200 and then loses a chunked body that has a chunk extension or a trailer.
#
# Expected: chunk extensions and trailer fields are part of HTTP/1.1 (RFC 9112, 7.1), and a receiver that does not
#           know them skips them. Varnish drops them, or answers 503.
# Happens:  Varnish knows neither. It has sent "200 OK" to the client by then (if the whole answer came at once, it may
#           still say 503). With an extension not one byte of the body follows; with a trailer the body comes but its
#           last chunk does not, so that strict clients report a broken answer. Both answers pass HAProxy and lighttpd.
#           An origin behind Varnish should send Content-Length or plain chunks.
# Seen with: Varnish 7.1.1, HAProxy 2.6.12, lighttpd 1.4.69 (Debian 12). Varnish needs a C compiler (gcc) to run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'varnish=7.1.1-*' 'libvarnishapi3=7.1.1-*' libjemalloc2 \
    'haproxy=2.6.12-*' liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 'lighttpd=1.4.69-*')
for package in "$work"/*.deb; do dpkg -x "$package" "$work/root"; done
timeout 50 python3 - "$work" <<'PY'
import contextlib, glob, http.client, os, signal, socket, socketserver, subprocess, sys, threading, time
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
root = work / "root/usr"
BODIES = {
    "/plain": b"7\r\n{\"x\":1}\r\n0\r\n\r\n",
    "/extension": b"7;unit=byte\r\n{\"x\":1}\r\n0\r\n\r\n",
    "/trailer": b"7\r\n{\"x\":1}\r\n0\r\nX-Sum: 7\r\n\r\n",
}


class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        path = "/plain"
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                if line.startswith(b"GET"):
                    path = line.split()[1].decode()
                if line == b"\r\n":
                    self.answer(path)

    def answer(self, path):
        """Send head, chunk and end apart, as an origin does whose answer takes time."""
        trailer = b"Trailer: X-Sum\r\n" if path == "/trailer" else b""
        chunk, end = BODIES.get(path, BODIES["/plain"]).split(b"0\r\n", 1)
        for part in (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + trailer
                     + b"Transfer-Encoding: chunked\r\n\r\n", chunk, b"0\r\n" + end):
            self.wfile.write(part)
            time.sleep(0.2)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    libraries = ":".join(glob.glob(f"{root}/lib/*-linux-gnu"))
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen(command, env=dict(os.environ, LD_LIBRARY_PATH=libraries), stdout=log,
                                        stderr=log, start_new_session=True))
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"{command[0]} did not start: {(work / 'log').read_text()[-500:]}")


def ask(port, path):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request("GET", path, headers={"Connection": "close"})
    answer = client.getresponse()
    try:
        return f"{answer.status}, {len(answer.read())} bytes"
    except http.client.IncompleteRead as error:
        return f"{answer.status}, cut after {len(error.partial)} bytes"
    finally:
        client.close()


socketserver.ThreadingTCPServer.daemon_threads = True
origin = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
upstream = origin.server_address[1]
try:
    varnish, haproxy, lighttpd = free_port(), free_port(), free_port()
    (work / "varnish.vcl").write_text(f'vcl 4.1; backend origin {{ .host = "127.0.0.1"; .port = "{upstream}"; }}')
    (work / "haproxy.cfg").write_text(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
        f"listen gateway\n bind 127.0.0.1:{haproxy}\n server origin 127.0.0.1:{upstream}\n")
    (work / "lighttpd.conf").write_text(
        f'server.document-root = "{work}"\nserver.bind = "127.0.0.1"\nserver.port = {lighttpd}\n'
        'server.modules = ("mod_proxy")\n'
        f'proxy.server = ("" => (("host" => "127.0.0.1", "port" => {upstream})))\n')
    start([root / "sbin/haproxy", "-f", work / "haproxy.cfg", "-db"], haproxy)
    start([root / "sbin/lighttpd", "-D", "-f", work / "lighttpd.conf", "-m", root / "lib/lighttpd"], lighttpd)
    start([root / "sbin/varnishd", "-F", "-a", f"127.0.0.1:{varnish}", "-f", work / "varnish.vcl", "-n", work / "varnish",
           "-s", "malloc,8m", "-T", "none", "-j", "none", "-p", "thread_pools=1", "-p", "thread_pool_min=5"], varnish)
    for name, port, expected in (
        ("Varnish", varnish, ("200, 7 bytes", "200, cut after 0 bytes", "200, cut after 7 bytes")),
        ("HAProxy", haproxy, ("200, 7 bytes",) * 3), ("lighttpd", lighttpd, ("200, 7 bytes",) * 3),
    ):
        for path, before in zip(BODIES, expected):
            seen = ask(port, path)
            changed += seen != before
            print(f"{name:8} {path:10} {seen} {'' if seen == before else 'CHANGED, was ' + before}")
finally:
    for process in running:
        os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.5)
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
