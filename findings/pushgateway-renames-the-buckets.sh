#!/usr/bin/env bash
# A histogram has the bucket le="1.0" when it is scraped and le="1" when it was pushed: two series for Prometheus.
#
# Expected: a batch job that pushes and a gateway that is scraped have the same series, but for the job's labels.
# Happens:  prometheus_client writes le="1.0" and Prometheus keeps that text. The pushgateway reads the number and
#           writes it as Go does, le="1". A rule or panel with le="1.0" finds no pushed job, and a sum by (le) over both
#           has two buckets for one bound, so that histogram_quantile counts wrongly. Bounds with
#           a fraction, such as 2.5, agree.
# Seen with: prometheus_client 0.26.0, prometheus-pushgateway 1.5.1 and Prometheus 2.42.0 (Debian 12).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'prometheus=2.42.0*' 'prometheus-pushgateway=1.5.1-*')
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" prometheus_client==0.26.0
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import contextlib, json, signal, socket, subprocess, sys, time, urllib.parse, urllib.request
from pathlib import Path

import prometheus_client

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running = Path(sys.argv[1]), []
EXPECTED = {"scraped": ["+Inf", "0.5", "1.0", "2.5"], "pushed": ["+Inf", "0.5", "1", "2.5"]}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(*command):
    running.append(subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


gateway, pushed, asked = free_port(), free_port(), free_port()
registry = prometheus_client.CollectorRegistry()
waits = prometheus_client.Histogram("wait_seconds", "Waiting.", buckets=(0.5, 1, 2.5), registry=registry)
waits.observe(0.7)
prometheus_client.start_http_server(gateway, "127.0.0.1", registry)
(work / "prometheus.yml").write_text(
    "global: {scrape_interval: 300ms, scrape_timeout: 300ms}\nscrape_configs:\n"
    f"- {{job_name: scraped, static_configs: [{{targets: ['127.0.0.1:{gateway}']}}]}}\n"
    f"- {{job_name: gateway, honor_labels: true, static_configs: [{{targets: ['127.0.0.1:{pushed}']}}]}}\n")
try:
    start(work / "unpacked/usr/bin/prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{pushed}")
    for _ in range(100):
        with contextlib.suppress(OSError):
            prometheus_client.push_to_gateway(f"127.0.0.1:{pushed}", "pushed", registry)
            break
        time.sleep(0.05)
    start(work / "unpacked/usr/bin/prometheus", f"--config.file={work}/prometheus.yml", f"--storage.tsdb.path={work}/data",
          f"--web.listen-address=127.0.0.1:{asked}", "--log.level=error")
    query = urllib.parse.urlencode({"query": 'wait_seconds_bucket{job=~"scraped|pushed"}'})
    seen = {}
    for _ in range(100):
        time.sleep(0.1)
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{asked}/api/v1/query?{query}") as answer:
            rows = [row["metric"] for row in json.load(answer)["data"]["result"]]
            seen = {job: sorted(row["le"] for row in rows if row["job"] == job) for job in EXPECTED}
        if all(seen.get(job) for job in EXPECTED):
            break
    for job, expected in EXPECTED.items():
        print(f"{job:8} le: {', '.join(seen[job])} {'' if seen[job] == expected else 'CHANGED'}")
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(seen != EXPECTED)
PY
