#!/usr/bin/env bash
# Installing niquests gives requests another urllib3, and the metadata does not say so.
#
# Expected: niquests is a client of its own name; installed beside requests it changes nothing for requests. The
#           pinned urllib3 2.8.0 is what runs.
# Happens:  niquests brings urllib3-future, which puts itself in the place of urllib3. urllib3.__version__ is then
#           2.25.904 while pip and importlib.metadata still say 2.8.0, and requests behaves otherwise: alone it
#           returns a 103 Early Hints as the answer, with niquests beside it the 200 that follows. A test of a
#           client's retries, time-outs or headers is only true for its own environment.
# Seen with: requests 2.34.2, urllib3 2.8.0, niquests 3.21.2 (urllib3-future 2.25.904); CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/ask.py" <<'PY'
import importlib.metadata, socketserver, threading, time

import requests, urllib3


class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            if line == b"\r\n":
                self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
                time.sleep(0.1)
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


socketserver.ThreadingTCPServer.daemon_threads = True
origin = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
status = requests.get(f"http://127.0.0.1:{origin.server_address[1]}/", timeout=10).status_code
print(urllib3.__version__, importlib.metadata.version("urllib3"), status)
PY
install() {
    python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/$1" "${@:2}"
}
install alone requests==2.34.2 urllib3==2.8.0
install beside requests==2.34.2 urllib3==2.8.0 niquests==3.21.2 urllib3-future==2.25.904
alone=$(PYTHONPATH="$work/alone" timeout 20 python3 "$work/ask.py")
beside=$(PYTHONPATH="$work/beside" timeout 20 python3 "$work/ask.py")
echo "urllib3.__version__, its metadata, status that requests returns"
echo "alone:           $alone"
echo "beside niquests: $beside"
if [ "$alone" = "2.8.0 2.8.0 103" ] && [ "$beside" = "2.25.904 2.8.0 200" ]; then
    echo "as before"
else
    echo "CHANGED"
    exit 1
fi
