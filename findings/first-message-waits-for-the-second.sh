#!/usr/bin/env bash
# simple-websocket keeps a first message back until a second one comes, if it arrived together with the 101.
#
# Expected: a server may send its first frame right behind the answer to the handshake, in the same segment (RFC 6455,
#           4.2.2), and the client gets it at once. A server of streams does so: it has the state at hand.
# Happens:  simple-websocket takes the bytes in, and looks at them only when more bytes come: receive() waits for the
#           second message and then returns the first. On a quiet stream the reader is one message behind for
#           as long as it is quiet, and a server that waits for an answer to its first message waits too.
#           When the frame comes in a segment of its own, which is the rule on a test machine, all is well.
#           websocket-client, websockets and httpx-ws return it at once.
# Seen with: simple-websocket 1.1.0 (wsproto 1.3.2), websocket-client 1.9.2, websockets 17.4, httpx-ws 0.9.0 (httpx
#           0.28.1), CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" simple-websocket==1.1.0 \
    wsproto==1.3.2 websocket-client==1.9.2 websockets==17.4 httpx-ws==0.9.0 httpx==0.28.1
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import base64, hashlib, os, socket, socketserver, sys, threading, time

import httpx_ws, simple_websocket, websocket
from websockets.sync.client import connect

PAUSE = 1.5


class Origin(socketserver.StreamRequestHandler):
    """Send the message 1 with the handshake or just behind it, and the message 2 after a pause."""

    def handle(self):
        key = b""
        while (line := self.rfile.readline().strip()):
            if line.lower().startswith(b"sec-websocket-key:"):
                key = line.split(b":")[1].strip()
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        handshake = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        first, second = (bytes((0x81, 1)) + text for text in (b"1", b"2"))
        if together:
            self.request.sendall(handshake + first)
        else:
            self.request.sendall(handshake)
            time.sleep(0.2)
            self.request.sendall(first)
        time.sleep(PAUSE)
        self.request.sendall(second + b"\x88\x00")
        time.sleep(0.2)


def with_simple_websocket(url):
    return simple_websocket.Client.connect(url).receive(timeout=5)


def with_websocket_client(url):
    return websocket.create_connection(url, timeout=5).recv()


def with_websockets(url):
    with connect(url, close_timeout=0.1) as client:
        seen = client.recv(timeout=5)
        times.append(time.monotonic())
        return seen


def with_httpx_ws(url):
    with httpx_ws.connect_ws(url.replace("ws:", "http:")) as client:
        seen = client.receive_text(timeout=5)
        times.append(time.monotonic())
        return seen


times, changed = [], 0
socketserver.ThreadingTCPServer.daemon_threads = True
origin = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
for call in (with_simple_websocket, with_websocket_client, with_websockets, with_httpx_ws):
    for together in (False, True):
        times.clear()
        begun = time.monotonic()
        message = call(f"ws://127.0.0.1:{origin.server_address[1]}/ws")
        waited = (times or [time.monotonic()])[0] - begun
        late, expected = waited > PAUSE - 0.3, together and call is with_simple_websocket
        good = message == "1" and late == expected
        changed += not good
        print(f"{call.__name__[5:]:17} {'with the 101' if together else 'behind it':12} message {message} after"
              f" {waited:.1f} s {'' if good else 'CHANGED'}", flush=True)
os._exit(changed > 0)
PY
