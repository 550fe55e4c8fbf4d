#!/usr/bin/env bash
# Binance's Python SDK raises "The truth value of an empty array is ambiguous" for each number that comes out of numpy or pandas.
#
# Expected: frame["price"].iloc[-1] is a number, np.float64 is even a float of Python, so that it can be a price or a quantity.
# Happens:  the SDK raises ValueError before it sends anything, for np.float64, np.float32, np.int64 and np.bool_, in whatever
#           argument: a strategy that works with figures typed in fails with its first computed one, and the text points to
#           arrays. float(x), int(x) or x.item() helps. binance-connector, python-binance and pybotters send the number.
# Seen with: binance-sdk-spot 13.3.0 (binance-common 4.7.0), binance-connector 3.13.0, python-binance 1.0.37, pybotters 1.11.2,
#           numpy 2.4.6, pandas 3.1.1; CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" binance-sdk-spot==13.3.0 \
    binance-common==4.7.0 python-binance==1.0.37 pybotters==1.11.2 numpy==2.4.6 pandas==3.1.1
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/old" binance-connector==3.13.0
cat > "$work/client.py" <<'PY'
import asyncio, sys

import numpy, pandas

url, which = sys.argv[1:]
frame = pandas.DataFrame({"price": [0.5, 1.25], "id": [1, 1000001]})
VALUES = {"1.25": 1.25, "float64": frame["price"].iloc[-1], "float32": numpy.float32(1.25), "int64": frame["id"].iloc[-1],
          "bool_": frame["id"].gt(1).iloc[-1], "item()": frame["price"].iloc[-1].item()}


def by_sdk(value):
    from binance_sdk_spot.spot import ConfigurationRestAPI, Spot
    Spot(config_rest_api=ConfigurationRestAPI(api_key="k", api_secret="s", base_path=url)).rest_api.new_order(
        symbol="BTCUSDT", side="BUY", type="MARKET", quantity=value)


def by_python_binance(value):
    from binance.client import Client
    Client.API_URL = url + "/api"
    Client("k", "s", ping=False).create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=value)


def by_connector(value):
    from binance.spot import Spot
    Spot("k", "s", base_url=url).new_order("BTCUSDT", "BUY", "MARKET", quantity=value)


def by_pybotters(value):
    import pybotters

    async def send():
        async with pybotters.Client(apis={"binance": ["k", "s"]}, base_url=url) as client:
            await client.post("/api/v3/order", data={"symbol": "BTCUSDT", "quantity": value})
    asyncio.run(send())


send = {"binance-sdk-spot": by_sdk, "python-binance": by_python_binance, "binance-connector": by_connector,
        "pybotters": by_pybotters}[which]
for name, value in VALUES.items():
    try:
        send(value)
        print(name, "sent")
    except Exception as error:
        print(name, type(error).__name__, error)
PY
cd "$work"
timeout 50 python3 - <<'PY'
import contextlib, os, re, signal, socketserver, subprocess, sys, threading

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
sent = []


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                length = 0
                while head := self.rfile.readline().strip().lower():
                    length = int(head.split(b":")[1]) if head.startswith(b"content-length") else length
                sent.extend(re.findall(r"quantity=([^&]*)", (line.split()[1] + b"&" + self.rfile.read(length)).decode()))
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


SENT = ["1.25", "1.25", "1.25", "1000001", "True", "1.25"]
EXPECTED = {"binance-sdk-spot": ["1.25", "1.25"], "python-binance": SENT, "binance-connector": SENT, "pybotters": SENT}
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
changed = 0
for name, expected in EXPECTED.items():
    sent.clear()
    folders = "old:lib" if name == "binance-connector" else "lib"
    run = subprocess.run([sys.executable, "-W", "ignore", "client.py", f"http://127.0.0.1:{server.server_address[1]}", name],
                         capture_output=True, text=True, timeout=30, env=dict(os.environ, PYTHONPATH=folders))
    good = sent == expected and (name != "binance-sdk-spot" or run.stdout.count("ValueError The truth value") == 4)
    changed += not good
    print(f"{name:18} sent {', '.join(sent)} {'' if good else 'CHANGED'}")
    print("".join(f"  {line}\n" for line in run.stdout.splitlines() + run.stderr.splitlines()[-3:] if "Error" in line), end="")
sys.exit(changed > 0)
PY
