#!/usr/bin/env bash
# binance-connector, binance-futures-connector and python-binance write into one folder; what works depends on the order.
#
# Expected: two packages of Binance can be installed side by side, and pip or "pip check" says so if not.
# Happens:  all three install a package named binance, and the last one overwrites api.py, error.py or __init__.py of the
#           others. The futures connector then loses new_batch_order() (TypeError) while new_order() works still, and
#           "from binance import Client" of python-binance fails. In the other order both work. Who uninstalls one of them
#           takes the shared files away from the other. "pip check" finds nothing broken each time.
# Seen with: binance-connector 3.13.0, binance-futures-connector 4.2.0, python-binance 1.0.37; pip of CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q --disable-pip-version-check --no-compile requests==2.34.2 pycryptodome==4.4.0 \
    websocket-client==1.9.2 aiohttp==3.14.5 dateparser==1.5.0 websockets==17.4 six==1.17.0
"$work/venv/bin/python" -m pip download -q --disable-pip-version-check --no-deps -d "$work/wheels" \
    binance-connector==3.13.0 binance-futures-connector==4.2.0 python-binance==1.0.37
timeout 100 python3 - "$work" <<'PY'
import contextlib, signal, socketserver, subprocess, sys, threading
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work = Path(sys.argv[1])
PYTHON = [work / "venv/bin/python"]


class Binance(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while self.rfile.readline():
                length = 0
                while header := self.rfile.readline().strip().lower():
                    if header.startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                self.rfile.read(length)
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


def pip(*words):
    return subprocess.run([*PYTHON, "-m", "pip", *words, "--disable-pip-version-check"], capture_output=True, text=True)


def install(name):
    wheel = next((work / "wheels").glob(f"{name.replace('-', '_')}-*"))
    assert pip("install", "--no-deps", "--no-compile", "--no-index", wheel).returncode == 0, name


def outcome(code):
    script = f"import warnings; warnings.simplefilter('ignore'); URL = {url!r}\n{code}"
    ended = subprocess.run([*PYTHON, "-c", script], capture_output=True, text=True, timeout=20)
    return "works" if ended.returncode == 0 else ended.stderr.strip().splitlines()[-1].partition(":")[0]


FUTURES = "from binance.um_futures import UMFutures\nclient = UMFutures('k', 's', base_url=URL)\n"
CHECKS = {
    "spot order": "from binance.spot import Spot\nSpot('k', 's', base_url=URL).new_order('BTCUSDT', 'BUY', 'MARKET', quantity=1)",
    "futures order": FUTURES + "client.new_order('BTCUSDT', 'BUY', 'MARKET', quantity=1)",
    "futures batch": FUTURES + "client.new_batch_order([{'symbol': 'BTCUSDT', 'side': 'BUY', 'type': 'MARKET'}])",
    "binance.Client": "from binance import Client",
}
SPOT, USD, OTHER = "binance-connector", "binance-futures-connector", "python-binance"
CASES = [  # installed in this order, then uninstalled, and what each check comes to
    ((USD,), None, {"futures order": "works", "futures batch": "works"}),
    ((SPOT, USD), None, {"spot order": "works", "futures order": "works", "futures batch": "works"}),
    ((USD, SPOT), None, {"spot order": "works", "futures order": "works", "futures batch": "TypeError"}),
    ((SPOT, USD), SPOT, {"futures order": "ModuleNotFoundError"}),
    ((SPOT, OTHER), None, {"spot order": "works", "binance.Client": "works"}),
    ((OTHER, SPOT), None, {"spot order": "works", "binance.Client": "ImportError"}),
]
changed = 0
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Binance)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
for names, removed, expected in CASES:
    for name in names:
        install(name)
    if removed:
        pip("uninstall", "-y", removed)
    broken = pip("check").returncode != 0
    seen = {check: outcome(CHECKS[check]) for check in expected}
    good = seen == expected and not broken
    changed += not good
    words = ", ".join(f"{check} {one}" for check, one in seen.items())
    print(f"{' then '.join(names)}{f', without {removed}' if removed else ''}: {words}; pip check"
          f" {'complains' if broken else 'is content'} {'' if good else 'CHANGED'}")
    pip("uninstall", "-y", *names)
    subprocess.run(["rm", "-rf", *(work / "venv").glob("lib/*/site-packages/binance")], check=True)
sys.exit(changed > 0)
PY
