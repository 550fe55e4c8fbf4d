#!/usr/bin/env bash
# prometheus_client's parser gives counters another name than the text has.
#
# Expected: text_string_to_metric_families() yields the samples under their names in the text, as Prometheus stores them.
# Happens:  a counter without the ending _total gets it: "requests" of the text is the sample "requests_total", and the
#           name "requests" is not found. Prometheus itself stores "requests". With TYPE untyped or gauge the name stays.
#           A test that reads /metrics by this parser and an alert that reads it by Prometheus want different names, and
#           a relay that parses and writes again renames the series. promtool only warns.
# Seen with: prometheus_client 0.26.0; Prometheus and promtool 2.42.0 (Debian 12).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'prometheus=2.42.0*')
dpkg -x "$work"/prometheus*.deb "$work/unpacked"
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" prometheus_client==0.26.0
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import json, signal, socket, subprocess, sys, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work = Path(sys.argv[1])
TEXT = """# HELP requests Requests sent.
# TYPE requests counter
requests{origin="a"} 5
# HELP weight Weight used.
# TYPE weight gauge
weight 7
# HELP refusals Refusals seen.
# TYPE refusals untyped
refusals 2
"""


class Exporter(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(TEXT.encode())

    def log_message(self, *args):
        pass


exporter = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
threading.Thread(target=exporter.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as chosen:
    port = chosen.getsockname()[1]
(work / "prometheus.yml").write_text(
    "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: gateway\n  static_configs:\n"
    f"  - targets: ['127.0.0.1:{exporter.server_port}']\n")
prometheus = subprocess.Popen(
    [work / "unpacked/usr/bin/prometheus", f"--config.file={work}/prometheus.yml", f"--storage.tsdb.path={work}/data",
     f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])
names = {}
try:
    deadline = time.monotonic() + 30
    query = f"http://127.0.0.1:{port}/api/v1/query?query=%7Bjob%3D%22gateway%22%2C__name__%21~%22up%7Cscrape_.%2A%22%7D"
    while time.monotonic() < deadline and not names.get("Prometheus"):
        time.sleep(0.5)
        try:
            answer = json.load(urllib.request.urlopen(query, timeout=5))
        except OSError:
            continue
        names["Prometheus"] = sorted(series["metric"]["__name__"] for series in answer["data"]["result"])
finally:
    prometheus.kill()
    prometheus.wait()
names["prometheus_client"] = sorted(
    sample.name for family in text_string_to_metric_families(TEXT) for sample in family.samples)
for reader, found in names.items():
    print(f"{reader:18} {found}")
lint = subprocess.run([work / "unpacked/usr/bin/promtool", "check", "metrics"], input=TEXT, capture_output=True, text=True)
print(f"promtool           code {lint.returncode}: {(lint.stdout + lint.stderr).strip()}")
as_seen = names == {
    "Prometheus": ["refusals", "requests", "weight"], "prometheus_client": ["refusals", "requests_total", "weight"]
} and lint.returncode == 3
print("as before" if as_seen else "CHANGED")
sys.exit(not as_seen)
PY
