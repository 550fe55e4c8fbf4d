"""Which part of our work Redis does not do, by the errors that it answered."""

from __future__ import annotations

import pytest

from proxy.redis_client.refusals import REMEMBERED_SECONDS, Part, Refusals

OOM = "OutOfMemoryError: command not allowed when used memory > 'maxmemory'."


class Server:
    """The memory of one server's errors, on a clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.refusals = Refusals(lambda: self.now)

    def refuse(self, part: Part, operation: str, *, command: str = "EVALSHA", words: str = OOM) -> None:
        self.refusals.refused(part, operation, command=command, words=words)

    def parts(self) -> set[Part]:
        """Those that are not done."""
        return {part for part in Part if self.refusals.of(part) is not None}


def test_each_part_is_judged_by_itself() -> None:
    server = Server()
    assert (server.parts(), server.refusals.has_any) == (set(), False)
    server.refuse(Part.QUOTA, "reserve")
    assert (server.parts(), server.refusals.has_any) == ({Part.QUOTA}, True)
    server.refuse(Part.CACHE, "put", command="MULTI")
    assert server.parts() == {Part.QUOTA, Part.CACHE}


def test_an_operation_that_is_done_again_ends_its_own_trouble_only() -> None:
    server = Server()
    server.refuse(Part.QUOTA, "reserve")
    server.refuse(Part.QUOTA, "reconcile")
    server.refusals.served(Part.QUOTA, "reserve", is_probe=False)
    assert server.parts() == {Part.QUOTA}
    server.refusals.served(Part.QUOTA, "reconcile", is_probe=False)
    assert server.parts() == set()


def test_a_probe_that_is_done_again_ends_that_of_its_part_and_of_its_command() -> None:
    server = Server()
    server.refuse(Part.QUOTA, "ping")
    server.refuse(Part.QUOTA, "block", command="OTHER")
    server.refuse(Part.CACHE, "unlock")
    server.refuse(Part.FEED, "store", command="OTHER")
    server.refusals.served(Part.QUOTA, "ping", is_probe=True)
    assert server.parts() == {Part.FEED}


def test_a_probe_that_never_failed_ends_nothing() -> None:
    server = Server()
    server.refuse(Part.QUOTA, "reserve")
    server.refusals.served(Part.QUOTA, "ping", is_probe=True)
    assert server.parts() == {Part.QUOTA}


def test_what_is_not_tried_again_is_forgotten() -> None:
    server = Server()
    server.refuse(Part.CACHE, "unlock")
    server.now += REMEMBERED_SECONDS - 0.1
    assert server.parts() == {Part.CACHE}
    server.now += 0.1
    assert server.parts() == set()


@pytest.mark.parametrize(
    ("words", "command", "said"),
    [
        (OOM, "EVALSHA", OOM),
        ("NoPermissionError: this user has no permissions to run the 'script|load' command", "SCRIPT LOAD", None),
        ("ResponseError: unknown command 'EVALSHA', with args beginning with:", "EVALSHA", None),
        (
            "ReadOnlyError: Command # 2 (HSET a b) of pipeline caused error: read only",
            "HSET",
            "ReadOnlyError: read only",
        ),
        ("x" * 500, "EVALSHA", "x" * 200),
    ],
)
def test_the_words_name_the_command(words: str, command: str, said: str | None) -> None:
    server = Server()
    server.refuse(Part.QUOTA, "reserve", words=words)
    refusal = server.refusals.of(Part.QUOTA)
    assert refusal is not None
    assert (refusal.command, refusal.words) == (command, said or words)
