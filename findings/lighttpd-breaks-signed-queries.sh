#!/usr/bin/env bash
# lighttpd rewrites the query on its way to the origin, so a signature over the query is wrong there.
#
# Expected: a reverse proxy passes the query on byte for byte. Binance checks the HMAC over those bytes.
# Happens:  lighttpd's url-normalize is on by default. It escapes raw brackets and quotes, decodes %7E and %2D, and
#           writes hex digits in upper case. The origin computes another HMAC and refuses (-1022 at Binance), for
#           these queries only, which makes it look like a fault of the client. nginx, HAProxy and tinyproxy pass
#           all of them unchanged. server.http-parseopts with "url-normalize" => "disable" mends it.
# Seen with: lighttpd 1.4.69, nginx 1.22.1, HAProxy 2.6.12, tinyproxy 1.11.1 (Debian 12).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'nginx=1.22.1-*' 'haproxy=2.6.12-*' liblua5.3-0 \
    libopentracing-c-wrapper0 libopentracing1 'lighttpd=1.4.69-*' 'tinyproxy-bin=1.11.1-*')
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
timeout 50 python3 - "$work" <<'PY'
import glob, hashlib, hmac, os, signal, socket, socketserver, subprocess, sys, threading, time
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
root = work / "unpacked/usr"
SECRET = b"not a real secret"
QUERIES = {  # what is signed, and whether the signature survives lighttpd
    "symbol=BTCUSDT&timestamp=1": True,
    "symbols=%5B%22BTCUSDT%22%5D&timestamp=1": True,
    'symbols=["BTCUSDT","ETHUSDT"]&timestamp=1': False,
    "symbols=%5b%22BTCUSDT%22%5d&timestamp=1": False,
    "newClientOrderId=bot%7E1&timestamp=1": False,
    "newClientOrderId=bot%2D1&timestamp=1": False,
}


def sign(query):
    return hmac.new(SECRET, query.encode(), hashlib.sha256).hexdigest()


class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        target = ""
        while line := self.rfile.readline():
            if line.startswith(b"GET"):
                target = line.split(b" ")[1].decode()
            if line == b"\r\n":
                query, _, signature = target.partition("?")[2].rpartition("&signature=")
                verdict = b"good" if hmac.compare_digest(sign(query), signature) else b"BAD " + query.encode()
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                                 % (len(verdict), verdict))
                return


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    libraries = ":".join(glob.glob(f"{root}/lib/*-linux-gnu"))
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen(command, env=dict(os.environ, LD_LIBRARY_PATH=libraries), stdout=log, stderr=log))
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"{command[0]} did not start: {(work / 'log').read_text()[-500:]}")


def file(name, text):
    (work / name).write_text(text)
    return work / name


def lighttpd(normalize):
    port = free_port()
    option = "" if normalize else 'server.http-parseopts = ("url-normalize" => "disable")\n'
    conf = file(f"lighttpd{normalize}.conf", f'server.document-root = "{work}"\nserver.bind = "127.0.0.1"\n'
                f'server.port = {port}\nserver.modules = ("mod_proxy")\n{option}'
                f'proxy.server = ("" => (("host" => "127.0.0.1", "port" => {upstream})))\n')
    return start([root / "sbin/lighttpd", "-D", "-f", conf, "-m", root / "lib/lighttpd"], port)


def nginx():
    port = free_port()
    paths = "".join(f"{one}_temp_path {work}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = file("nginx.conf", f"daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/log; events {{}} http"
                f"{{ access_log off; {paths} server {{ listen 127.0.0.1:{port}; location / {{"
                f"proxy_pass http://127.0.0.1:{upstream}; }} }} }}\n")
    return start([root / "sbin/nginx", "-p", work, "-c", conf, "-e", work / "log"], port)


def haproxy():
    port = free_port()
    conf = file("haproxy.cfg", "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
                f"listen gateway\n bind 127.0.0.1:{port}\n server origin 127.0.0.1:{upstream}\n")
    return start([root / "sbin/haproxy", "-f", conf, "-db"], port)


def tinyproxy():
    port = free_port()
    conf = file("tinyproxy.conf", f'Port {port}\nListen 127.0.0.1\nTimeout 20\nMaxClients 20\nAllow 127.0.0.1\n'
                f'ReversePath "/" "http://127.0.0.1:{upstream}/"\nReverseOnly Yes\n')
    return start([root / "bin/tinyproxy", "-d", "-c", conf], port)


def ask(port, target):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer.partition(b"\r\n\r\n")[2].decode()


socketserver.ThreadingTCPServer.daemon_threads = True
origin = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
upstream = origin.server_address[1]
try:
    for name, make in (("lighttpd", lambda: lighttpd(True)), ("lighttpd, not normalizing", lambda: lighttpd(False)),
                       ("nginx", nginx), ("HAProxy", haproxy), ("tinyproxy", tinyproxy)):
        port, bad = make(), []
        for query, survives in QUERIES.items():
            seen = ask(port, f"/api/v3/order?{query}&signature={sign(query)}")
            good = "good" in seen
            changed += good != (survives or name != "lighttpd")
            if not good:
                bad.append(f"\n    {query}\n      became {seen.strip()[4:]}")
        print(f"{name}: {len(QUERIES) - len(bad)} of {len(QUERIES)} signatures good{''.join(bad)}")
    print("CHANGED" if changed else "as before")
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
