#!/usr/bin/env bash
# A heavy call that a limiter refuses may use up the quota all the same.
#
# Expected: of a quota of 100, 90 are used. A call of weight 20 is refused, nothing is charged, and a call of
#           weight 5 still passes.
# Happens:  limits' fixed window (its default strategy), throttled-py's fixed window and rate-limiter-flexible
#           add first and compare then. The refused 20 make it 110, and every light call is refused until the
#           window ends. With weights from 1 to 80 one bot that retries a heavy call shuts out all others.
#           The other strategies of limits and throttled-py, pyrate-limiter and bottleneck charge nothing.
# Seen with: limits 5.8.0, throttled-py 3.5.0, pyrate-limiter 4.5.1, rate-limiter-flexible 11.4.0, bottleneck
#           2.19.5 on Node 20; stores in memory (limits, throttled-py and rate-limiter-flexible do the same
#           on Redis).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    limits==5.8.0 throttled-py==3.5.0 pyrate-limiter==4.5.1
npm install --silent --no-audit --no-fund --prefix "$work" rate-limiter-flexible@11.4.0 bottleneck@2.19.5
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import json, subprocess, sys

import limits, pyrate_limiter, throttled
from limits import strategies

WEIGHTS = (90, 20, 5)
BURNS, SPARES = [True, False, False], [True, False, True]


def by_limits(strategy):
    limiter = strategy(limits.storage.MemoryStorage())
    return [limiter.hit(limits.parse("100/60 seconds"), "ip", cost=weight) for weight in WEIGHTS]


def by_throttled(using):
    quota = throttled.rate_limiter.per_min(100, burst=100)
    limiter = throttled.Throttled(key="ip", using=using, quota=quota, store=throttled.store.MemoryStore())
    return [not limiter.limit(cost=weight).limited for weight in WEIGHTS]


def by_pyrate():
    rate = pyrate_limiter.Rate(100, pyrate_limiter.Duration.MINUTE)
    limiter = pyrate_limiter.Limiter(pyrate_limiter.InMemoryBucket([rate]))
    return [limiter.try_acquire("ip", weight=weight, blocking=False) for weight in WEIGHTS]


def by_node(code):
    script = f"""(async () => {{ const passed = [];
    {code}
    for (const weight of {list(WEIGHTS)}) {{ try {{ await use(weight); passed.push(true) }} catch {{ passed.push(false) }} }}
    console.log(JSON.stringify(passed)); process.exit() }})()"""
    return json.loads(subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True).stdout)


CASES = {
    "limits fixed window": (lambda: by_limits(strategies.FixedWindowRateLimiter), BURNS),
    "limits moving window": (lambda: by_limits(strategies.MovingWindowRateLimiter), SPARES),
    "limits sliding counter": (lambda: by_limits(strategies.SlidingWindowCounterRateLimiter), SPARES),
    "throttled-py fixed_window": (lambda: by_throttled("fixed_window"), BURNS),
    "throttled-py sliding_window": (lambda: by_throttled("sliding_window"), SPARES),
    "throttled-py gcra": (lambda: by_throttled("gcra"), SPARES),
    "pyrate-limiter": (by_pyrate, SPARES),
    "rate-limiter-flexible": (lambda: by_node(
        'const limiter = new (require("rate-limiter-flexible").RateLimiterMemory)({points: 100, duration: 60});'
        'const use = weight => limiter.consume("ip", weight);'), BURNS),
    "bottleneck": (lambda: by_node(
        'const Bottleneck = require("bottleneck");'
        "const limiter = new Bottleneck({reservoir: 100, strategy: Bottleneck.strategy.LEAK, highWater: 0});"
        "const use = weight => limiter.schedule({weight}, async () => 1);"), SPARES),
}
changed = 0
for name, (call, expected) in CASES.items():
    passed = call()
    changed += passed != expected
    words = ", ".join(f"{weight} {'passes' if one else 'refused'}" for weight, one in zip(WEIGHTS, passed))
    print(f"{name:28} {words} {'' if passed == expected else 'CHANGED'}")
sys.exit(changed > 0)
PY
