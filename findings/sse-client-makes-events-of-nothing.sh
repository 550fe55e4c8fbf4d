#!/usr/bin/env bash
# Server-Sent Events: one client makes events of blocks without data, others forget the last id.
#
# Expected: a block without a data line is no event, whether it holds an id, an event name or a retry time (the HTML
#           standard: "dispatch the event" ends where the data buffer is empty). The id stays the last one for
#           every event after it that has none of its own.
# Happens:  httpx-sse gives each such block as an event with empty data, so a feed that sends its reader's position
#           or a retry time by itself is seen as messages that are no JSON. sseclient-py and LaunchDarkly's
#           client give `id` as None for an event without one. aiohttp-sse-client and requests-sse do as expected.
# Seen with: httpx-sse 0.4.3 (httpx 0.28.1), sseclient-py 1.9.0 (requests 2.34.2), launchdarkly-eventsource 1.7.4,
#           aiohttp-sse-client 0.2.1, requests-sse 0.5.3, CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" httpx-sse==0.4.3 httpx==0.28.1 \
    sseclient-py==1.9.0 requests==2.34.2 launchdarkly-eventsource==1.7.4 aiohttp-sse-client==0.2.1 requests-sse==0.5.3
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import asyncio, http.server, importlib.metadata, itertools, sys, threading

STREAM = b"id: 5\n\nid: 6\ndata: first\n\nevent: named\n\nretry: 1000\n\ndata: last\n\n"


class Feed(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(STREAM)))
        self.end_headers()
        self.wfile.write(STREAM)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Feed)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"


def until_last(events):
    """(data, id) of each, up to the one that says so."""
    seen = []
    for event in itertools.islice(events, 9):
        seen.append(event)
        if event[0] == "last":
            break
    return seen


def httpx_sse():
    import httpx
    import httpx_sse

    with httpx.Client(trust_env=False) as client, httpx_sse.connect_sse(client, "GET", url) as source:
        return until_last((event.data, event.id) for event in source.iter_sse())


def sseclient_py():
    import requests
    import sseclient

    with requests.Session() as session:
        session.trust_env = False
        return until_last((event.data, event.id) for event in sseclient.SSEClient(session.get(url, stream=True)).events())


def launchdarkly_eventsource():
    from ld_eventsource import SSEClient

    client = SSEClient(url)
    try:
        return until_last((event.data, event.id) for event in client.events)
    finally:
        client.close()


def requests_sse():
    from requests_sse import EventSource

    with EventSource(url) as source:
        return until_last((event.data, event.last_event_id) for event in source)


def aiohttp_sse_client():
    from aiohttp_sse_client.client import EventSource

    async def read():
        seen = []
        async with EventSource(url) as source:
            async for event in source:
                seen.append((event.data, event.last_event_id))
                if event.data == "last":
                    return seen

    return asyncio.run(read())


right = [("first", "6"), ("last", "6")]
known = {
    httpx_sse: [("", "5"), ("first", "6"), ("", "6"), ("", "6"), ("last", "6")],
    sseclient_py: [("first", "6"), ("last", None)],
    launchdarkly_eventsource: [("first", "6"), ("last", None)],
    aiohttp_sse_client: right,
    requests_sse: right,
}
same = True
for client, before in known.items():
    name = client.__name__.replace("_", "-")
    seen = client()
    print(f"{name} {importlib.metadata.version(name)}: {seen}")
    same &= seen == before
print("as before" if same else "CHANGED")
sys.exit(not same)
PY
