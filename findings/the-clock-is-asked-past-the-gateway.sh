#!/usr/bin/env bash
# The npm package "binance" asks api.binance.com for the time, whatever baseUrl says, and signs by its own clock if it cannot.
#
# Expected: MainClient with baseUrl sends all its requests there, as it does with orders and prices, and disableTimeSync: false
#           corrects its clock by the gateway's /api/v3/time. The futures client of the same package does so.
# Happens:  getServerTime() of MainClient takes the address from a table in the package. Behind one address for many bots this
#           is weight that the gateway does not count. Where Binance can be reached only through the gateway the call fails,
#           the client writes to the console, sets the offset to 0 and sends the order all the same: on a host whose
#           clock is a minute off each order is refused (-1021) with the clock's correction turned on.
# Seen with: binance 3.6.5 on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-audit --no-fund --prefix "$work" binance@3.6.5
cd "$work"
timeout 50 python3 - <<'PY'
import contextlib, json, os, re, signal, socketserver, subprocess, sys, threading, time
from urllib.parse import urlsplit

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
AHEAD = 60_000


class Gateway(socketserver.StreamRequestHandler):
    """The gateway, whose clock is right while the client's is a minute slow; and the way out, which is closed."""

    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                method, target, _ = line.decode().split()
                now = int(time.time() * 1000) + AHEAD
                if method == "CONNECT" or not target.startswith("/"):
                    outside.append(target.split(":")[0] if method == "CONNECT" else urlsplit(target).hostname)
                    self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                inside.append(urlsplit(target).path)
                if found := re.search(r"timestamp=(\d+)", target):
                    late.append(round((now - int(found[1])) / 1000))
                body = json.dumps({"serverTime": now}).encode()
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                                 + body)


CLIENTS = {
    "MainClient": (["/api/v3/account"], ["api.binance.com"], [60], "await client.getAccountInformation()"),
    "USDMClient": (["/fapi/v1/time", "/fapi/v3/balance"], [], [0], "await client.getBalanceV3()"),
}
inside, outside, late, changed = [], [], [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
for name, (paths, hosts, seconds, call) in CLIENTS.items():
    for seen in (inside, outside, late):
        seen.clear()
    subprocess.run(["node", "-e", f"""const {{{name}}} = require("binance");
        const client = new {name}({{api_key: "k", api_secret: "s", baseUrl: "{url}", disableTimeSync: false}});
        (async () => {{ await client.syncTime(); {call} }})().catch(() => {{}}).then(() => process.exit())"""],
                   capture_output=True, timeout=20, env=env | {"https_proxy": url, "no_proxy": "127.0.0.1"})
    good = (inside, sorted(set(outside)), late) == (paths, hosts, seconds)
    changed += not good
    print(f"binance 3.6.5 {name}: the gateway is asked for {', '.join(inside)}; past it go requests to "
          f"{', '.join(sorted(set(outside))) or 'nobody'}; the timestamp is {late} s late {'' if good else 'CHANGED'}")
sys.exit(changed > 0)
PY
