#!/usr/bin/env bash
# Binance's own SDKs report a cancelled order as "Unknown order" after a 503, since they cancel it twice.
#
# Expected: on 503 with -1007 ("execution status unknown") the caller hears of it and looks at the order. An SDK may repeat
#           what only reads.
# Happens:  both SDKs repeat DELETE too, up to three times, a second after. The first attempt had cancelled the order, so
#           the second is answered with -2011, and that is all that the caller gets: BadRequestError, without a
#           word of the 503. A bot takes the order for filled. The Python SDK signs each attempt anew, the one for
#           JavaScript sends the old timestamp again. POST is not repeated.
# Seen with: binance-sdk-spot 13.3.0 with binance-common 4.7.0, @binance/spot 32.0.4 with @binance/common 2.4.9 on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" binance-sdk-spot==13.3.0 \
    binance-common==4.7.0
npm install --silent --no-audit --no-fund --prefix "$work" @binance/spot@32.0.4 @binance/common@2.4.9
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - <<'PY'
import contextlib, signal, socketserver, subprocess, sys, threading
from urllib.parse import parse_qs

from binance_sdk_spot.spot import ConfigurationRestAPI, Spot

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Binance(socketserver.StreamRequestHandler):
    """Do the first thing that is asked but answer 503; say of an order that it is unknown from then on."""

    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                sent = parse_qs(line.split()[1].decode().partition("?")[2])
                asked.append(sent["timestamp"][0])
                status, code, text = (503, -1007, "Execution status unknown.") if len(asked) == 1 else (
                    400, -2011, "Unknown order sent.")
                body = f'{{"code": {code}, "msg": "{text}"}}'.encode()
                self.wfile.write(f"HTTP/1.1 {status} So\r\nContent-Type: application/json\r\n"
                                 f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


def by_python(verb):
    client = Spot(config_rest_api=ConfigurationRestAPI(api_key="k", api_secret="s", base_path=url)).rest_api
    try:
        if verb == "DELETE":
            client.delete_order("BTCUSDT", order_id=1)
        else:
            client.new_order("BTCUSDT", "BUY", "MARKET", quantity=1)
    except Exception as error:
        return type(error).__name__


def by_node(verb):
    call = 'deleteOrder({symbol: "BTCUSDT", orderId: 1})' if verb == "DELETE" else (
        'newOrder({symbol: "BTCUSDT", side: "BUY", type: "MARKET", quantity: 1})')
    code = f"""const {{Spot}} = require("@binance/spot");
    const client = new Spot({{configurationRestAPI: {{apiKey: "k", apiSecret: "s", basePath: "{url}"}}}}).restAPI;
    client.{call}.catch(error => console.log(error.name)).then(() => process.exit())"""
    return subprocess.run(["node", "-e", code], capture_output=True, text=True, timeout=30).stdout.strip()


CASES = [  # times asked, the error, whether the timestamps differ
    ("Python, cancel", by_python, "DELETE", (2, "BadRequestError", True)),
    ("Python, new order", by_python, "POST", (1, "ServerError", False)),
    ("JavaScript, cancel", by_node, "DELETE", (2, "BadRequestError", False)),
    ("JavaScript, new order", by_node, "POST", (1, "ServerError", False)),
]
asked, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
for name, call, verb, expected in CASES:
    asked.clear()
    error = call(verb)
    seen = (len(asked), error, len(set(asked)) > 1)
    changed += seen != expected
    print(f"{name:22} sent {seen[0]} time(s), {'signed anew, ' if seen[2] else ''}caller gets {error}"
          f" {'' if seen == expected else 'CHANGED'}")
sys.exit(changed > 0)
PY
