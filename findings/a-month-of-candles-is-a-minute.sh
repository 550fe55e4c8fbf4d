#!/usr/bin/env bash
# Nine of fourteen parsers of durations take Binance's interval 1M, a month, for 1m, a minute.
#
# Expected: a bot that reads "3d" and "1M" from its settings, for the life of a cache or the pause until the next candle, gets days
#           and a month, or an error. Binance has both 1m and 1M.
# Happens:  pytimeparse, pytimeparse2, humanfriendly, tempora, ms, @lukeed/ms, parse-duration, enhanced-ms and timestring do
#           not look at the case: a month is 60 seconds, so that the monthly candle is fetched each minute. durations and
#           timelength make 30.5 days of it. pandas, polars and durationpy refuse it. The other intervals agree in all.
# Seen with: pytimeparse 1.1.10, pytimeparse2 1.7.1, humanfriendly 10.0, tempora 5.13.0, durations 0.3.3, timelength 3.0.4,
#           durationpy 0.11, polars 2.1.0, pandas 3.1.1; ms 2.1.3, @lukeed/ms 2.0.2, parse-duration 2.1.9, enhanced-ms 5.0.0,
#           timestring 7.0.0 on Node 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" pytimeparse==1.1.10 \
    pytimeparse2==1.7.1 humanfriendly==10.0 tempora==5.13.0 durations==0.3.3 timelength==3.0.4 durationpy==0.11 \
    polars==2.1.0 pandas==3.1.1
npm install --silent --no-audit --no-fund --prefix "$work" ms@2.1.3 @lukeed/ms@2.0.2 parse-duration@2.1.9 \
    enhanced-ms@5.0.0 timestring@7.0.0
cat > "$work/parsers.mjs" <<'JS'
import { parse as lukeed } from "@lukeed/ms"
import * as enhanced from "enhanced-ms"
import ms from "ms"
import duration from "parse-duration"
import timestring from "timestring"
const parsers = { ms, "@lukeed/ms": lukeed, "parse-duration": duration, "enhanced-ms": enhanced.default ?? enhanced.ms,
                  timestring: text => timestring(text, "ms") }
const seen = {}
for (const [name, parse] of Object.entries(parsers)) seen[name] = process.argv.slice(2).map(text => parse(text) / 1000)
console.log(JSON.stringify(seen))
JS
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - <<'PY'
import json, subprocess, sys
from datetime import datetime

import durationpy, durations, humanfriendly, pandas, polars, pytimeparse, pytimeparse2, tempora, timelength

MONTH, INTERVALS = 30.5 * 86400, {"1m": 60, "1h": 3600, "3d": 3 * 86400, "1w": 7 * 86400}
start = datetime(2026, 1, 1)
PARSERS = {
    "pytimeparse": (pytimeparse.parse, 60), "pytimeparse2": (pytimeparse2.parse, 60),
    "humanfriendly": (humanfriendly.parse_timespan, 60),
    "tempora": (lambda text: tempora.parse_timedelta(text).total_seconds(), 60),
    "durations": (lambda text: durations.Duration(text).to_seconds(), MONTH),
    "timelength": (lambda text: timelength.TimeLength(text).result.seconds, MONTH),
    "durationpy": (lambda text: durationpy.from_str(text).total_seconds(), "DurationError"),
    "pandas": (lambda text: pandas.Timedelta(text).total_seconds(), "ValueError"),
    "polars": (lambda text: (polars.Series([start]).dt.offset_by(text)[0] - start).total_seconds(), "InvalidOperationError"),
}
node = subprocess.run(["node", "parsers.mjs", "1M", *INTERVALS], capture_output=True, text=True, timeout=20)
seen = json.loads(node.stdout or "{}")
expected = dict.fromkeys(("ms", "@lukeed/ms", "parse-duration", "enhanced-ms", "timestring"), 60)
for name, (parse, month) in PARSERS.items():
    try:
        first = parse("1M")
    except Exception as error:
        first = type(error).__name__
    seen[name] = [first, *(parse(text) for text in INTERVALS)]
    expected[name] = month
changed = 0
for name, month in expected.items():
    good = seen.get(name) == [month, *INTERVALS.values()]
    changed += not good
    print(f"{name:15} 1M is {seen.get(name, ['nothing'])[0]} s, {', '.join(INTERVALS)} are"
          f" {seen.get(name, [])[1:]} {'' if good else 'CHANGED'}")
print(node.stderr[-300:], end="")
sys.exit(changed > 0)
PY
