"""What is compared where each request goes through to the origin: the origin itself, and how each program is set up.

Owns: the settings of each, chosen in its favour, and a constant origin that is not the bottleneck. Must not know: what
load they get.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.interpreter import Installed
from tests.bench.processes import LOAD_CORE, SERVER_CORE, Running, running
from tests.bench.programs import EARLIER
from tests.ports import free_port
from tests.redis_client.tls import make_certificates
from tests.simulator import generate_document
from tests.simulator.document import render

WEIGHT_LIMIT = 100_000_000
"""Announced by the origin, so that no request of the load waits or is refused."""
KLINES = 100
MEMORY, REDIS = "memory:", "Redis"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the constant origin listens."""

    url: str
    tls_url: str
    folder: Path
    """With the certificates."""

    def of(self, *, tls: bool) -> str:
        """Its address."""
        return self.tls_url if tls else self.url


@contextmanager
def constant_origin(nginx: str, folder: Path) -> Iterator[Origin]:
    """An nginx that answers `time`, `klines`, orders and, so that its limit is known, `exchangeInfo`."""
    make_certificates(folder)
    document = generate_document(2).with_limits(weight=WEIGHT_LIMIT, raw=WEIGHT_LIMIT)
    rendered = render(document, document.symbols.values(), with_sets=True)
    now = b"%d" % (time.time() * 1000)
    (folder / "document.json").write_bytes(rendered.before + now + rendered.after)
    candle = [1785050100000, *["97000.12000000"] * 4, "12.34500000", 1785050159999, "1197000.12000000", 1234]
    (folder / "klines.json").write_text(json.dumps([[*candle, "6.1", "598500.0", "0"]] * KLINES, separators=(",", ":")))
    port, tls_port = free_port(), free_port()
    config = _config(folder, "forwarded_origin.conf", port=str(port), tls_port=str(tls_port))
    url = f"http://127.0.0.1:{port}"
    with running(
        (nginx, "-e", str(folder / "origin.log"), "-c", str(config)), url=url, core=LOAD_CORE, ready="/api/v3/ping"
    ):
        yield Origin(url, f"https://127.0.0.1:{tls_port}", folder)


def nginx_before(nginx: str, origin: Origin, folder: Path, *, tls: bool) -> AbstractContextManager[Running]:
    """proxy_pass over kept connections."""
    port = free_port()
    scheme, _, host = origin.of(tls=tls).partition("://")
    config = _config(folder, "forwarded.conf", port=str(port), scheme=scheme, host=host)
    return running(
        (nginx, "-e", str(folder / "error.log"), "-c", str(config)),
        url=f"http://127.0.0.1:{port}",
        core=SERVER_CORE,
        ready="/api/v3/ping",
    )


def gateway_before(origin: Origin, installed: Installed, *, tls: bool, redis: bool) -> AbstractContextManager[Running]:
    """This project, one process. Market data is kept for no time, as by default, so every candle is forwarded."""
    port = free_port()
    chosen: dict[str, str] = {
        "SIDECAR_PORT": str(port),
        "SIDECAR_UPSTREAMS": origin.of(tls=tls),
        "SIDECAR_REDIS_URL": "embedded:" if redis else "memory:",
        "SIDECAR_KEEP_WARM": "always",
        "SIDECAR_FRESH_SECONDS": "86400",
        "SIDECAR_SHUTDOWN_SECONDS": "0",
        "SIDECAR_LOG_LEVEL": "error",
        "SIDECAR_FORWARD": "all",
        "SSL_CERT_FILE": str(origin.folder / "ca.pem"),
    }
    return running(
        (str(installed.python), "-m", "proxy"),
        url=f"http://127.0.0.1:{port}",
        core=SERVER_CORE,
        ready="/readyz",
        environment=_known_to(chosen, installed),
        folder=installed.folder,
    )


def name_of(*, tls: bool, redis: bool, earlier: bool = False) -> str:
    """The gateway in the table."""
    words = (EARLIER if earlier else "binance-sidecar", REDIS if redis else MEMORY, "TLS" if tls else "")
    return ", ".join(word for word in words if word)


def _known_to(chosen: Mapping[str, str], installed: Installed) -> Mapping[str, str]:
    """Commits before market data know one mode only."""
    return {name: value for name, value in chosen.items() if not installed.is_earlier or name != "SIDECAR_FORWARD"}


def _config(folder: Path, name: str, **values: str) -> Path:
    user = f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
    text = Path(__file__).with_name(name).read_text()
    for key, value in {"user": user, "folder": str(folder), **values}.items():
        text = text.replace(f"@{key}@", value)
    path = folder / name
    path.write_text(text)
    return path
