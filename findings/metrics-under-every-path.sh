#!/usr/bin/env bash
# prometheus_client's server answers every path with the metrics, HEAD with 405, and a refused format with that format.
#
# Expected: a path that is not there is 404, so that a check of /healthz or a misspelt path shows. HEAD is answered where GET
#           is (RFC 9110, 9.1). "application/openmetrics-text;q=0, text/plain" brings plain text.
# Happens:  start_http_server() and make_asgi_app() say 200 with all metrics to /healthz, /metrics/ and /nothing: a probe
#           of a process that serves nothing else is always content. start_http_server() answers HEAD with 405, which
#           some monitors take for a failure; the ASGI app does not. OpenMetrics is chosen as soon as it is named, with
#           q=0 or a lower q than plain text too. The node exporter and the pushgateway, in Go, have a page or 404
#           there, and heed the q.
# Seen with: prometheus_client 0.26.0, uvicorn 0.54.0; prometheus-node-exporter 1.5.0, prometheus-pushgateway 1.5.1
#           (Debian 12).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'prometheus-node-exporter=1.5.0-*' \
    'prometheus-pushgateway=1.5.1-*')
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" prometheus_client==0.26.0 \
    uvicorn==0.54.0
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import http.client, signal, socket, subprocess, sys, time
from pathlib import Path

import prometheus_client

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
ASGI = """import prometheus_client, sys, uvicorn
uvicorn.run(prometheus_client.make_asgi_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="critical")"""
REFUSED, LESS = "application/openmetrics-text;q=0, text/plain", "application/openmetrics-text;q=0.1, text/plain;q=1"


def start(*command):
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    words = [str(word).replace("PORT", str(port)) for word in command]
    running.append(subprocess.Popen(words, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"{command[0]} did not start")


def ask(port, verb, path, accept="*/*"):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request(verb, path, headers={"Accept": accept})
    answer = client.getresponse()
    body = answer.read().decode()
    client.close()
    metrics = " with metrics" if "\n# TYPE " in f"\n{body}" else ""
    return f"{answer.status}{metrics}", (answer.headers["Content-Type"] or "").partition(";")[0]


PLAIN, OPEN = "text/plain", "application/openmetrics-text"
EXPECTED = {  # /healthz, HEAD, OpenMetrics refused, plain text preferred
    "start_http_server": ("200 with metrics", "405", OPEN, OPEN), "make_asgi_app": ("200 with metrics", "200", OPEN, OPEN),
    "node exporter": ("200", "200", PLAIN, PLAIN), "pushgateway": ("404", "405", PLAIN, PLAIN),
}
try:
    server, _ = prometheus_client.start_http_server(0, "127.0.0.1")
    ports = {
        "start_http_server": server.server_port, "make_asgi_app": start(sys.executable, "-c", ASGI, "PORT"),
        "node exporter": start(work / "unpacked/usr/bin/prometheus-node-exporter", "--web.listen-address=127.0.0.1:PORT"),
        "pushgateway": start(work / "unpacked/usr/bin/prometheus-pushgateway", "--web.listen-address=127.0.0.1:PORT"),
    }
    for name, port in ports.items():
        seen = (ask(port, "GET", "/healthz")[0], ask(port, "HEAD", "/metrics")[0], ask(port, "GET", "/metrics", REFUSED)[1],
                ask(port, "GET", "/metrics", LESS)[1])
        changed += seen != EXPECTED[name]
        print(f"{name:18} /healthz {seen[0]}, HEAD {seen[1]}, OpenMetrics refused {seen[2]}, plain text preferred {seen[3]}"
              f" {'' if seen == EXPECTED[name] else 'CHANGED'}")
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
