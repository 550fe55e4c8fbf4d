#!/usr/bin/env bash
# The same OpenTelemetry meters have other names in Prometheus when the bot is written in JavaScript than in Python.
#
# Expected: a latency with the unit "s" and an offset with "ms" are the same series from a gateway in Python and from a bot in
#           JavaScript: one specification says how a meter is named for Prometheus.
# Happens:  Python's exporter adds the unit (binance_latency_seconds, binance_offset_milliseconds). The one for JavaScript does not
#           (binance_latency, binance_offset), and writes a line "# UNIT" for it. The bounds of histograms are le="5.0" in
#           one and le="5" in the other, which are two series. Neither makes a _ratio of a gauge with the unit "1". Counters
#           agree, but for two labels that are empty in Python. A panel made for the one is empty for the other.
# Seen with: opentelemetry-exporter-prometheus 0.66b2 with opentelemetry-sdk 1.45.2, prometheus_client 0.26.0;
#           @opentelemetry/exporter-prometheus 0.223.0 with @opentelemetry/sdk-metrics 2.12.1 on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    opentelemetry-exporter-prometheus==0.66b2 opentelemetry-sdk==1.45.2 prometheus_client==0.26.0
npm install --silent --no-audit --no-fund --prefix "$work" @opentelemetry/exporter-prometheus@0.223.0 \
    @opentelemetry/sdk-metrics@2.12.1
cat > "$work/meters.cjs" <<'JS'
const { PrometheusExporter, PrometheusSerializer } = require("@opentelemetry/exporter-prometheus")
const { MeterProvider } = require("@opentelemetry/sdk-metrics")
const reader = new PrometheusExporter({ preventServerStart: true })
const meter = new MeterProvider({ readers: [reader] }).getMeter("gateway")
meter.createCounter("binance.used.weight", { unit: "1" }).add(5)
meter.createGauge("binance.quota.left", { unit: "1" }).record(0.5)
meter.createGauge("binance.offset", { unit: "ms" }).record(3)
meter.createHistogram("binance.latency", { unit: "s" }).record(1)
reader.collect().then(seen => console.log(new PrometheusSerializer().serialize(seen.resourceMetrics)))
JS
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import re, subprocess, sys

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import generate_latest

meter = MeterProvider(metric_readers=[PrometheusMetricReader()]).get_meter("gateway")
meter.create_counter("binance.used.weight", unit="1").add(5)
meter.create_gauge("binance.quota.left", unit="1").set(0.5)
meter.create_gauge("binance.offset", unit="ms").set(3)
meter.create_histogram("binance.latency", unit="s").record(1)
texts = {"Python": generate_latest().decode(),
         "JavaScript": subprocess.run(["node", "meters.cjs"], capture_output=True, text=True, timeout=20).stdout}
EXPECTED = {
    "Python": ({"binance_used_weight_total", "binance_quota_left", "binance_offset_milliseconds", "binance_latency_seconds"},
               "5.0", False, {"otel_scope_name", "otel_scope_version", "otel_scope_schema_url"}),
    "JavaScript": ({"binance_used_weight_total", "binance_quota_left", "binance_offset", "binance_latency"},
                   "5", True, {"otel_scope_name"}),
}
changed = 0
for name, text in texts.items():
    bounds = re.findall(r'binance_latency\w*_bucket\{.*le="([^"]*)"', text)
    counter = re.search(r"^binance_used_weight_total\{(.*)\}", text, re.MULTILINE)
    seen = (set(re.findall(r"^# TYPE (binance_\w+)", text, re.MULTILINE)), bounds[1] if bounds else "none",
            "# UNIT binance_latency s" in text, set(re.findall(r'(\w+)="', counter[1] if counter else "")))
    changed += seen != EXPECTED[name]
    print(f"{name}: {', '.join(sorted(seen[0]))}; second bound le=\"{seen[1]}\", UNIT {'told' if seen[2] else 'not told'},"
          f" labels {', '.join(sorted(seen[3]))} {'' if seen == EXPECTED[name] else 'CHANGED'}")
sys.exit(changed > 0)
PY
