#!/usr/bin/env bash
# Squid asks the gateway for answers of up to three days of age, and for a path that nobody called.
#
# Expected: a proxy passes a request on as it came, with Via and X-Forwarded-For besides.
# Happens:  Squid adds "Cache-Control: max-age=259200" to each request that has none: "up to three days old is good
#           enough", which an origin that keeps answers itself may take at its word. With a cache_peer that is an
#           originserver it also asks the gateway for /squid-internal-periodic/store_digest, its own. Where a gateway
#           passes on all paths this goes to Binance. no-digest stops that; the header stays.
# Seen with: Squid 5.7 (Debian 12).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'squid=5.7-*' 'squid-common=5.7-*' libecap3 libltdl7)
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
timeout 50 python3 - "$work" <<'PY'
import contextlib, glob, http.client, os, re, signal, socket, socketserver, subprocess, sys, threading, time
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running = Path(sys.argv[1]), []
root = work / "unpacked/usr"
os.chmod(work, 0o755)


class Gateway(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                asked.append((line.split()[1].decode(), {}))
                while header := self.rfile.readline().decode().strip():
                    name, _, value = header.partition(": ")
                    asked[-1][1][name.lower()] = value
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


def squid(upstream, more):
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    place, share = work / str(port), root / "share/squid"
    (place / "errors").mkdir(parents=True)
    os.chmod(place, 0o777)
    for page in {*re.findall(rb"ERR_[A-Z_]+[A-Z]|MGR_INDEX", (root / "sbin/squid").read_bytes()), b"error-details.txt"}:
        (place / "errors" / page.decode()).write_text("%c")
    (place / "conf").write_text(
        f"http_port 127.0.0.1:{port} accel defaultsite=gateway no-vhost\n"
        f"cache_peer 127.0.0.1 parent {upstream} 0 no-query originserver {more}\nhttp_access allow all\nicp_port 0\n"
        f"pid_filename {place}/pid\naccess_log none\ncache_log {place}/log\nmime_table {share}/mime.conf\n"
        f"icon_directory {share}/icons\nerror_directory {place}/errors\nvisible_hostname gateway\ncoredump_dir {place}\n"
        "netdb_filename none\npinger_enable off\nunlinkd_program /bin/true\nlogfile_daemon /bin/true\n"
        "shutdown_lifetime 0 seconds\ncache_mem 8 MB\n")
    libraries = ":".join(glob.glob(f"{root}/lib/*-linux-gnu"))
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen([root / "sbin/squid", "-N", "-f", place / "conf", "-n", f"squid{port}"], stdout=log,
                                        stderr=log, env=dict(os.environ, LD_LIBRARY_PATH=libraries)))
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"squid did not start: {(work / 'log').read_text()[-500:]}")


OWN = {"/squid-internal-periodic/store_digest"}
THREE_DAYS = "max-age=259200"
asked, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
try:
    for more, sent, paths, control in (("", {}, OWN, THREE_DAYS), ("no-digest", {}, set(), THREE_DAYS),
                                       ("no-digest", {"Cache-Control": "max-age=1"}, set(), "max-age=1")):
        asked.clear()
        port = squid(server.server_address[1], more)
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        client.request("GET", "/time", headers={"Host": "gateway", "Connection": "close", **sent})
        client.getresponse().read()
        client.close()
        time.sleep(3)
        own = {path for path, _ in asked} - {"/time"}
        seen = next(headers for path, headers in asked if path == "/time").get("cache-control")
        good = (own, seen) == (paths, control)
        changed += not good
        print(f"cache_peer {more or 'plain'}, {sent or 'no Cache-Control'}: /time is asked with {seen}, and besides"
              f" {', '.join(sorted(own)) or 'nothing'} {'' if good else 'CHANGED'}")
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
