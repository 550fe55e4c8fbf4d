#!/usr/bin/env bash
# A refusal whose body has no "code" becomes a KeyError, or a broken network, in Binance's own clients.
#
# Expected: 403, 418 and 429 raise the client's error for that status, whatever a proxy put into the body.
# Happens:  binance-connector raises KeyError when the body is JSON without "code" (the errors of most web frameworks
#           look like that). The official SDK raises RateLimitBanError, TooManyRequestsError and ForbiddenError,
#           also for HTML; but with an empty body of Content-Type application/json each is a NetworkError, so a
#           bot takes a ban for a broken line and tries again. A gateway should give each refusal a body of
#           {"code": ..., "msg": ...}.
# Seen with: binance-connector 3.13.0, binance-sdk-spot 13.3.0; CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    binance-connector==3.13.0 binance-sdk-spot==13.3.0
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - <<'PY'
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from binance.spot import Spot as Connector
from binance_sdk_spot.spot import ConfigurationRestAPI, Spot

BODIES = {
    "Binance's JSON": b'{"code":-1003,"msg":"no"}', "other JSON": b'{"error":"no"}', "HTML": b"<html></html>",
    "empty": b"",
}
NAMED = {403: "ForbiddenError", 418: "RateLimitBanError", 429: "TooManyRequestsError"}
answer = (403, b"")


class Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(answer[0])
        self.send_header("Content-Type", "text/html" if answer[1].startswith(b"<") else "application/json")
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    def log_message(self, *args):
        pass


def outcome(call):
    try:
        return f"returned {call()!r}"
    except Exception as error:
        return type(error).__name__


server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=server.serve_forever, daemon=True).start()
url, changed = f"http://127.0.0.1:{server.server_port}", 0
connector = Connector(base_url=url)
sdk = Spot(ConfigurationRestAPI(base_path=url, retries=0, timeout=5000))
for status, named in NAMED.items():
    for name, body in BODIES.items():
        answer = (status, body)
        seen = outcome(connector.time), outcome(lambda: sdk.rest_api.time().data())
        expected = (
            "KeyError" if name == "other JSON" else "ClientError", "NetworkError" if name == "empty" else named
        )
        changed += seen != expected
        print(f"{status} {name:14} connector {seen[0]:12} SDK {seen[1]:20} {'' if seen == expected else 'CHANGED'}")
server.shutdown()
sys.exit(changed > 0)
PY
