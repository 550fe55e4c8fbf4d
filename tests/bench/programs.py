"""What is compared: how each program is set up as a cache before the same origin.

Owns: the settings of each, chosen in its favour. Must not know: what load it gets.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.interpreter import Installed
from tests.bench.processes import LOAD_CORE, SERVER_CORE, Running, running
from tests.ports import free_port

FRESH_SECONDS = 60
WEIGHT_LIMIT = 100_000_000
"""So that nobody is refused for what a peer spends."""
SYMBOLS = 3698
INFO = "/api/v3/exchangeInfo"
EARLIER = "earlier commit"
MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Program:
    """One way to answer. `start` gives it an origin's URL and a folder of its own."""

    name: str
    version: str
    start: Callable[[str, Path], AbstractContextManager[Running]]
    settings: str = ""
    """Of a peer that is measured with several: which ones. The best of them counts in each row."""

    @property
    def label(self) -> str:
        """The name with the settings."""
        return f"{self.name} ({self.settings})" if self.settings else self.name


@dataclass(frozen=True, slots=True)
class Missing:
    """A peer that is not on this machine."""

    name: str
    package: str

    def __str__(self) -> str:
        return f"{self.name} was not found and is left out: apt-get install {self.package}"


def simulator() -> AbstractContextManager[Running]:
    """The origin, with a document of full size."""
    port = free_port()
    command = (sys.executable, "-m", "tests.simulator", "--quiet", "--port", str(port), "--symbols", str(SYMBOLS))
    return running(
        (*command, "--weight-limit", str(WEIGHT_LIMIT)),
        url=f"http://127.0.0.1:{port}",
        core=LOAD_CORE,
        ready="/_simulator/state",
    )


def sidecar(installed: Installed, *, fast_lane: bool = True) -> Program:
    """This project, as `make run` starts it: one process, uvloop, a Valkey of its own."""

    def start(origin: str, _: Path) -> AbstractContextManager[Running]:
        port = free_port()
        chosen = {
            "SIDECAR_PORT": str(port),
            "SIDECAR_UPSTREAMS": origin,
            "SIDECAR_REDIS_URL": "embedded:",
            "SIDECAR_FRESH_SECONDS": str(FRESH_SECONDS),
            "SIDECAR_KEEP_WARM": "always",
            "SIDECAR_FAST_LANE": str(fast_lane).lower(),
            "SIDECAR_SHUTDOWN_SECONDS": "0",
            "SIDECAR_LOG_LEVEL": "error",
        }
        return running(
            (str(installed.python), "-m", "proxy"),
            url=f"http://127.0.0.1:{port}",
            core=SERVER_CORE,
            ready="/readyz",
            environment=chosen,
            folder=installed.folder,
        )

    if installed.is_earlier:
        return Program(EARLIER, installed.version, start)
    name = "binance-sidecar" if fast_lane else "binance-sidecar, fast path off"
    return Program(name, installed.version, start)


def nginx(*, from_memory: bool) -> Program | Missing:
    """proxy_cache, one worker; identity and gzip are entries of their own. From memory: for large bodies."""
    binary = find("nginx")
    if binary is None:
        return Missing("nginx", "nginx-light")
    sending = "sendfile off; output_buffers 2 512k;" if from_memory else "sendfile on; tcp_nopush on;"

    def start(origin: str, folder: Path) -> AbstractContextManager[Running]:
        port = free_port()
        config = folder / "nginx.conf"
        user = f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
        host, cache = origin.removeprefix("http://"), folder / "cache"
        if from_memory:
            cache = MEMORY / folder.parent.name / folder.name
            cache.mkdir(parents=True)
        filled = {"user": user, "port": str(port), "host": host, "folder": str(folder), "cache": str(cache)}
        config.write_text(_filled("nginx.conf", sending=sending, **filled))
        return running(
            (binary, "-e", str(folder / "error.log"), "-c", str(config)),
            url=f"http://127.0.0.1:{port}",
            core=SERVER_CORE,
            ready="/api/v3/ping",
            leaves=cache.parent if from_memory else None,
        )

    settings = "sendfile off, cache in /dev/shm" if from_memory else "sendfile on, cache on disk"
    return Program("nginx", _version(binary, "-v"), start, settings)


def haproxy(*, buffer_bytes: int) -> Program | Missing:
    """One thread, entries in memory; a larger buffer suits large bodies."""
    binary = find("haproxy")
    if binary is None:
        return Missing("HAProxy", "haproxy")

    def start(origin: str, folder: Path) -> AbstractContextManager[Running]:
        port = free_port()
        config = folder / "haproxy.cfg"
        host = origin.removeprefix("http://")
        config.write_text(_filled("haproxy.cfg", port=str(port), host=host, buffer=str(buffer_bytes)))
        return running(
            (binary, "-db", "-q", "-f", str(config)),
            url=f"http://127.0.0.1:{port}",
            core=SERVER_CORE,
            ready="/api/v3/ping",
        )

    return Program("HAProxy", _version(binary, "-v"), start, f"buffers of {buffer_bytes >> 10} KB")


def varnish() -> Program | Missing:
    """Entries in memory; identity and gzip are kept apart, so that nothing is unpacked for a hit."""
    binary = find("varnishd")
    if binary is None:
        return Missing("Varnish", "varnish")

    def start(origin: str, folder: Path) -> AbstractContextManager[Running]:
        port = free_port()
        config = folder / "default.vcl"
        config.write_text(_filled("default.vcl", port=origin.rpartition(":")[2]))
        flags = ("-F", "-j", "none", "-n", str(folder / "varnish"), "-f", str(config), "-s", "malloc,1g")
        return running(
            (binary, *flags, "-a", f"127.0.0.1:{port}", "-p", "http_gzip_support=off"),
            url=f"http://127.0.0.1:{port}",
            core=SERVER_CORE,
            ready="/api/v3/ping",
        )

    return Program("Varnish", _version(binary, "-V"), start)


def find(name: str) -> str | None:
    """On the path, or where Debian puts programs for administrators."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


def _filled(name: str, **values: str) -> str:
    text = Path(__file__).with_name(name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def _version(binary: str, flag: str) -> str:
    told = subprocess.run((binary, flag), capture_output=True, text=True, check=False)
    line = (told.stdout + told.stderr).strip().partition("\n")[0]
    if "nginx" in line:
        return line.rpartition("/")[2]
    return line.partition(" version ")[2].partition("-")[0] or line.partition("-")[2].partition(" ")[0]
