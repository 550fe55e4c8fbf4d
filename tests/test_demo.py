"""The demo, run as `make tour` runs it, with a small document."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.transcript import where

ROOT = Path(__file__).parent.parent
MANY_SYMBOLS = 3000
"""With so many the story takes seconds."""
DEADLINE_SECONDS = 50
KEY_LINES = [
    "A stand-in for Binance with 60 symbols",
    "weight spent: 20\n",
    "refused here, in Binance's words",
    "1,000 of 1,000 got what they asked for",
    "weight spent: 0; asked of Binance itself: 20,000",
    "another one starts with the same Redis",
    "selected from cache, fresh for",
    "the IP is banned\n",
    "requests that reached Binance in that hour: 0",
    "of every 100 weight asked, 99.",
]
WORDS = [
    ("fwd=uri-miss; stored", "asked of Binance, now kept"),
    ("fwd=uri-miss; collapsed", "joined another client's request"),
    ("fwd=bypass", "asked of Binance"),
    ("hit; ttl=42", "cache, fresh for 42 s"),
    ("hit; ttl=0; detail=snapshot", "selected from cache, fresh for 0 s"),
    ("hit; ttl=-3", "cache, stale for 3 s: a newer one is on its way"),
    ("hit; ttl=-3; detail=ban", "cache, stale for 3 s: the IP is banned"),
    ("detail=quota", "the budget is used up"),
]


def _heed_ctrl_c() -> None:
    """What a shell starts in the background ignores it, and so would all that is started from there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Its path is short: that of a socket has 107 characters at most, and tmp_path may leave too few."""
    with tempfile.TemporaryDirectory(prefix="t") as path:
        yield Path(path)


@contextmanager
def demo(folder: Path, symbols: int = 60, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The running demo, its temporary files in `folder`; killed if the block leaves it running."""
    variables = os.environ | {"TMPDIR": str(folder)} | environment
    command = [sys.executable, "-m", "tests.demo", "--symbols", str(symbols)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_heed_ctrl_c,  # noqa: PLW1509 - takes no lock that another thread may hold
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_demo_tells_its_story_whatever_the_settings_of_the_shell(folder: Path) -> None:
    with demo(folder, SIDECAR_PORT="none", SIDECAR_SNAPSHOT="false") as process:
        told, complaints = process.communicate(timeout=DEADLINE_SECONDS)
    assert complaints == ""
    assert [line for line in KEY_LINES if line not in told] == [], told
    assert process.returncode == 0
    assert list(folder.iterdir()) == []


def test_ctrl_c_ends_the_demo_without_a_traceback_and_leaves_nothing_behind(folder: Path) -> None:
    with demo(folder, MANY_SYMBOLS) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("A stand-in for Binance")
        process.send_signal(signal.SIGINT)
        told, complaints = process.communicate(timeout=DEADLINE_SECONDS)
    assert (complaints, process.returncode) == ("", 130)
    assert told.endswith("\nstopped\n")
    assert "In all" not in told
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("cache_status", "words"), WORDS)
def test_every_cache_status_has_words(cache_status: str, words: str) -> None:
    assert where(f"binance-sidecar; {cache_status}") == words
