#!/usr/bin/env bash
# python-binance sends a list of symbols as Python writes it, ['BTCUSDT', 'ETHUSDT'], and pays twice for each candle.
#
# Expected: symbols=["BTCUSDT","ETHUSDT"] becomes the JSON that Binance asks for, as in the other clients. One call for
#           today's candles is one request.
# Happens:  the list is sent with single quotes and a space, which is no JSON (Binance: -1100). One has to hand
#           over the text. binance-connector, the SDKs, @binance/connector and binance build the JSON from the list.
#           get_historical_klines() asks for the first candle of all time (startTime=0, limit=1) before each download,
#           and keeps no answer: twice the requests and the weight for who asks for a few candles every minute.
# Seen with: python-binance 1.0.37; binance-connector 3.13.0, binance-sdk-spot 13.3.0; @binance/spot 32.0.4,
#           @binance/connector 3.6.1, binance 3.6.5 on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# binance-connector and python-binance share the name of their package.
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" binance-sdk-spot==13.3.0 \
    python-binance==1.0.37
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/old" binance-connector==3.13.0
npm install --silent --no-audit --no-fund --prefix "$work" @binance/spot@32.0.4 @binance/connector@3.6.1 binance@3.6.5
cd "$work"
timeout 50 python3 - "$work" <<'PY'
import contextlib, json, os, signal, socketserver, subprocess, sys, threading, time
from urllib.parse import parse_qs

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                path, _, query = line.split()[1].decode().partition("?")
                asked.append((path, {name: values[0] for name, values in parse_qs(query).items()}))
                now = int(time.time()) * 1000
                candle = [now, "1", "1", "1", "1", "1", now + 59_999, "1", 1, "1", "1", "0"]
                body = json.dumps([candle] if "klines" in path else {"serverTime": now}).encode()
                self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                                 .encode() + body)


CLIENT = "from binance.client import Client\nclient = Client('k', 's', ping=False); client.API_URL = URL + '/api'\n"
JSON, PLAIN = '["BTCUSDT","ETHUSDT"]', "['BTCUSDT', 'ETHUSDT']"
LISTS = {
    "python-binance": (PLAIN, "lib", CLIENT + 'client.get_symbol_ticker(symbols=["BTCUSDT", "ETHUSDT"])'),
    "binance-sdk-spot": (JSON, "lib", """from binance_sdk_spot.spot import ConfigurationRestAPI, Spot
client = Spot(config_rest_api=ConfigurationRestAPI(api_key="k", api_secret="s", base_path=URL)).rest_api
client.ticker_price(symbols=["BTCUSDT", "ETHUSDT"])"""),
    "binance-connector": (JSON, "old", """from binance.spot import Spot
Spot(base_url=URL).ticker_price(symbols=["BTCUSDT", "ETHUSDT"])"""),
    "@binance/spot": (JSON, None, """const {Spot} = require("@binance/spot"), keys = {apiKey: "k", apiSecret: "s"};
await new Spot({configurationRestAPI: {...keys, basePath: GATEWAY}}).restAPI.tickerPrice({symbols})"""),
    "@binance/connector": (JSON, None, """const {Spot} = require("@binance/connector");
await new Spot("", "", {baseURL: GATEWAY}).tickerPrice("", symbols)"""),
    "binance": (JSON, None, """const {MainClient} = require("binance");
await new MainClient({baseUrl: GATEWAY, disableTimeSync: true}).getSymbolPriceTicker({symbols})"""),
}
asked, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"


def run(folder, code):
    asked.clear()
    if folder:
        command = [sys.executable, "-W", "ignore", "-c", f"URL = {url!r}\n{code}"]
    else:
        command = ["node", "-e", f"""const GATEWAY = "{url}", symbols = ["BTCUSDT", "ETHUSDT"];
        (async () => {{ {code} }})().catch(() => {{}}).then(() => process.exit())"""]
    subprocess.run(command, capture_output=True, timeout=30, env=dict(os.environ, PYTHONPATH=f"{sys.argv[1]}/{folder}"))


for name, (expected, folder, code) in LISTS.items():
    run(folder, code)
    seen = next((values["symbols"] for _, values in asked if "symbols" in values), None)
    changed += seen != expected
    print(f"{name:19} sends {seen} {'' if seen == expected else 'CHANGED'}")
run("lib", CLIENT + """for _ in range(3):
    client.get_historical_klines("BTCUSDT", "1m", "10 minutes ago UTC")""")
candles = [values for path, values in asked if path.endswith("klines")]
first = [values for values in candles if values.get("startTime") == "0" and values["limit"] == "1"]
good = (len(candles), len(first)) == (6, 3)
changed += not good
print(f"python-binance      three calls for candles: {len(candles)} requests, {len(first)} of them for the first candle"
      f" of all time {'' if good else 'CHANGED'}")
sys.exit(changed > 0)
PY
