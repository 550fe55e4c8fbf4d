#!/usr/bin/env bash
# On uvloop call_at() and sleep() may end before their time.
#
# Expected: a timer never fires before loop.time() has reached its time; at worst it is late. So "sleep until
#           the minute begins, then send" sends within the new window.
# Happens:  asyncio's own loop rounds the wait up to a millisecond and is always late. uvloop rounds it to
#           the nearest millisecond: a wait of 10.4 ms ends about 0.4 ms early, and a wait below 0.5 ms does
#           not wait at all, so a loop of asyncio.sleep(0.0004) spins at full speed. Who must not be early
#           has to look at the clock again after the sleep, or add a millisecond.
# Seen with: uvloop 0.23.0, CPython 3.11, Linux.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" uvloop==0.23.0
PYTHONPATH="$work/lib" timeout 50 python3 - <<'PY'
import asyncio, sys, uvloop

WAITS_MS = (0.2, 0.4, 1.4, 10.4)
ROUNDS = 60


async def early_ms():
    """Say for each wait how early, in ms, the earliest of its timers fired, and how many were early."""
    loop, seen = asyncio.get_running_loop(), {}
    for wait in WAITS_MS:
        late = []
        for _ in range(ROUNDS):
            fired, due = loop.create_future(), loop.time() + wait / 1000
            loop.call_at(due, fired.set_result, None)
            await fired
            late.append((loop.time() - due) * 1000)
        seen[wait] = (min(late), sum(1 for one in late if one < 0))
    return seen


plain, other = asyncio.run(early_ms()), uvloop.run(early_ms())
for name, seen in (("asyncio", plain), ("uvloop", other)):
    for wait, (least, early) in seen.items():
        print(f"{name:8} wait {wait:5.1f} ms: {early:2} of {ROUNDS} early, the earliest by {max(0.0, -least):.2f} ms")
as_seen = all(early == 0 for _, early in plain.values()) and all(
    early >= 3 and least < -0.1 for least, early in other.values()
)
print("as before" if as_seen else "CHANGED")
sys.exit(not as_seen)
PY
