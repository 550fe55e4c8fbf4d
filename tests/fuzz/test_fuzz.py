"""The fuzzers in small, and whether they would notice a fault. `make fuzz` runs them in full."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import sys
from pathlib import Path

import aiohttp
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.verdict import Good
from tests.chaos.fleet import replica
from tests.fuzz import parsers
from tests.fuzz.answers import Asked, answers, fault, mutated
from tests.fuzz.corpus import Corpus, Found
from tests.fuzz.listener import Listener, complaint
from tests.fuzz.mutations import fuzz_answers
from tests.fuzz.parsers import PATHS, try_document, try_query
from tests.fuzz.streams import AT_ONCE, changed, judged
from tests.gateway.harness import INFO, hosts
from tests.simulator import Simulator, generate_document
from tests.simulator.document import render
from tests.sizes import sized

ANSWERS = sized(quick=20, usual=40, long=2000)
STREAMS = sized(quick=64, usual=128, long=4096)
NOW_MS = 1_800_000_000_000


def test_the_corpus_and_changes_of_it_are_taken_by_the_listener() -> None:
    corpus, chance = Corpus.read("streams"), random.Random(1)
    assert corpus.inputs
    batch: list[tuple[bytes, ...]] = [(given,) for given in corpus.inputs]
    batch += [(changed(chance, corpus.inputs),) for _ in range(STREAMS)]
    with asyncio.Runner() as runner:
        runner.run(_taken(batch, corpus))


async def _taken(batch: list[tuple[bytes, ...]], corpus: Corpus) -> None:
    async with Simulator(symbols=20) as origin, aiohttp.ClientSession() as session:
        chosen = {name: ",".join(urls) for name, urls in hosts(origin).items()}
        async with replica(session, "", "memory:", folder=None, forward="all", client_ratio="1", **chosen) as gateway:
            listener = Listener(gateway, corpus)
            for start in range(0, len(batch), AT_ONCE):
                await listener.try_one(batch[start : start + AT_ONCE])
            assert listener.statuses[200] > 0


@pytest.mark.parametrize(
    ("answered", "is_fault"),
    [
        (b"", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 Oops\r\n\r\n", True),
        (b"HTTP/1.1 503 Busy\r\n\r\n", True),
        (b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n", False),
        (b"HTTP/2.0 505 HTTP Version Not Supported\r\n\r\n", True),
        (b"garbage", True),
    ],
)
def test_what_comes_back_is_judged(answered: bytes, is_fault: bool) -> None:
    assert bool(judged(answered).fault) is is_fault


@pytest.mark.parametrize(
    ("line", "is_complaint"),
    [
        ('{"event":"listening","level":"info"}', False),
        ('{"event":"fill_failed","level":"warning"}', False),
        ('{"event":"unexpected_error","level":"error"}', True),
        ("Traceback (most recent call last):", True),
    ],
)
def test_a_log_that_complains_is_noticed(line: str, is_complaint: bool) -> None:
    assert (complaint([line]) is not None) is is_complaint


def test_a_corpus_keeps_one_input_for_each_outcome_within_bounds() -> None:
    corpus = Corpus.read("nothing")
    assert corpus.note(b"a", 200)
    assert not corpus.note(b"b", 200)
    assert not corpus.note(b"a", 400)
    assert not corpus.note(b"c" * 10_000, 500)
    assert corpus.inputs == [b"a"]


def test_mutated_answers_do_no_harm() -> None:
    run = fuzz_answers(ANSWERS, 1)
    assert run.sent == ANSWERS
    assert run.reached >= 0.8 * ANSWERS
    assert run.statuses[200] > 0
    assert run.statuses[502] > 0


def test_a_gateway_that_proves_nothing_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.origin.reading.judge", lambda *_: Good())
    with pytest.raises(Found, match=r"200 with|stored as"):
        fuzz_answers(ANSWERS, 1)


@pytest.mark.parametrize("asked", answers(NOW_MS), ids=lambda asked: asked.target)
def test_the_oracle_knows_good_answers_from_others(asked: Asked) -> None:
    assert not fault(asked, 200, asked.body)
    if not asked.is_market:
        for body in (b"", b"[]", b'{"code":-1}', asked.body[:-1], asked.body + b"}", b'{"a":"\xff",' + asked.body[1:]):
            assert fault(asked, 200, body)
    assert len({mutated(asked, random.Random(number), {}) for number in range(20)}) > 15


# --- The parsers alone.

_document = generate_document(3)
_rendered = render(_document, _document.symbols.values(), with_sets=True)
BODY = _rendered.before + b"%d" % NOW_MS + _rendered.after


@settings(max_examples=sized(quick=20, usual=60, long=5000))
@given(
    st.integers(0, 255),
    st.lists(st.sampled_from(("symbol=", "symbols=", "[", "]", '"', "%22", "A", "&", ",", "%", "%ff", "permissions=")))
    .map("".join)
    .map(str.encode)
    | st.binary(max_size=60),
)
@example(PATHS.index(INFO), b"symbol=\xff%00")
@example(PATHS.index("/api/v3/klines"), b'symbols=["\xff"]')
def test_any_query_is_read_or_refused(path: int, rest: bytes) -> None:
    try_query(bytes([path]) + rest)


@settings(max_examples=sized(quick=20, usual=60, long=5000))
@given(st.randoms(use_true_random=False))
@example(random.Random(0))
def test_any_document_is_read_or_refused(chance: random.Random) -> None:
    try_document(changed(chance, [BODY]))
    try_document(mutated(Asked(INFO, BODY, lambda _: True), chance, {}).partition(b"\r\n\r\n")[2])


def test_without_atheris_a_sentence_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert parsers.main(["query"]) == 3
    python, script, folder, lock = capsys.readouterr().out.partition("installs it: ")[2].split()
    assert (python, folder) == (sys.executable, sys.prefix)
    assert Path(script).exists()
    assert Path(lock).exists()
