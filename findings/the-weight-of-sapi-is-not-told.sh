#!/usr/bin/env bash
# Binance's wallet SDKs have an empty rate_limits for each call, since they do not know the headers of /sapi.
#
# Expected: answer.rate_limits tells the used weight, as it does for /api in the same SDKs. The calls of the wallet have theirs
#           in X-SAPI-USED-IP-WEIGHT-1M and X-SAPI-USED-UID-WEIGHT-1M.
# Happens:  the SDKs look for x-mbx-used-weight and x-mbx-order-count alone. rate_limits is [] for each call to /sapi, which reads as
#           "no limit is near" and is what an answer without headers looks like too: a bot that waits by it never waits. The
#           header itself is there in answer.headers. The old binance-connector, which is deprecated, tells both
#           with show_limit_usage=True.
# Seen with: binance-sdk-wallet 13.8.0, binance-sdk-spot 13.3.0 (binance-common 4.7.0), binance-connector 3.13.0;
#           @binance/wallet 16.0.2 (@binance/common 2.4.9) on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" binance-sdk-wallet==13.8.0 \
    binance-sdk-spot==13.3.0 binance-common==4.7.0
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/old" binance-connector==3.13.0
npm install --silent --no-audit --no-fund --prefix "$work" @binance/wallet@16.0.2 @binance/common@2.4.9
cat > "$work/client.cjs" <<'JS'
const { Wallet } = require("@binance/wallet")
const basePath = process.argv[2]
new Wallet({ configurationRestAPI: { apiKey: "k", apiSecret: "s", basePath } }).restAPI.accountStatus().then(answer => {
  console.log(JSON.stringify([answer.rateLimits.map(limit => limit.count)]))
  process.exit()
})
JS
cat > "$work/client.py" <<'PY'
import json, sys

url, which = sys.argv[1:]
keys = {"api_key": "k", "api_secret": "s"}
if which == "connector":
    from binance.spot import Spot
    usage = Spot(**keys, base_url=url, show_limit_usage=True).account_status()["limit_usage"]
    print(json.dumps([sorted(map(int, usage.values()))]))
elif which == "wallet":
    from binance_sdk_wallet.wallet import ConfigurationRestAPI, Wallet
    answer = Wallet(config_rest_api=ConfigurationRestAPI(**keys, base_path=url)).rest_api.account_status()
    headers = {name.lower(): value for name, value in answer.headers.items()}
    print(json.dumps([[limit.count for limit in answer.rate_limits], int(headers["x-sapi-used-ip-weight-1m"])]))
else:
    from binance_sdk_spot.spot import ConfigurationRestAPI, Spot
    answer = Spot(config_rest_api=ConfigurationRestAPI(**keys, base_path=url)).rest_api.time()
    print(json.dumps([[limit.count for limit in answer.rate_limits]]))
PY
cd "$work"
timeout 50 python3 - <<'PY'
import contextlib, json, os, signal, socketserver, subprocess, sys, threading

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
BODY = '{"data":"Normal","serverTime":100}'
HEADERS = {True: "X-SAPI-USED-IP-WEIGHT-1M: 11\r\nX-SAPI-USED-UID-WEIGHT-1M: 900\r\n", False: "x-mbx-used-weight-1m: 7\r\n"}


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{HEADERS[b'/sapi/' in line]}"
                                 f"Content-Length: {len(BODY)}\r\n\r\n{BODY}".encode())


socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
CASES = [
    ("binance-sdk-spot, /api", "lib", "spot", [[7]]), ("binance-sdk-wallet, /sapi, and the header", "lib", "wallet", [[], 11]),
    ("@binance/wallet, /sapi", "", "", [[]]), ("binance-connector, /sapi", "old", "connector", [[11, 900]]),
]
changed = 0
for name, folder, which, expected in CASES:
    command = [sys.executable, "-W", "ignore", "client.py", url, which] if folder else ["node", "client.cjs", url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20, env=dict(os.environ, PYTHONPATH=folder))
    seen = json.loads(run.stdout or "null")
    changed += seen != expected
    print(f"{name}: {seen} {'' if seen == expected else 'CHANGED ' + run.stderr[-300:]}")
sys.exit(changed > 0)
PY
