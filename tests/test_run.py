"""The command behind `make test`: what goes to pytest in each part, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.run import PROCESSES, combined, main, parts
from tests.sizes import VARIABLE, Size, chosen

NOTHING = int(pytest.ExitCode.NO_TESTS_COLLECTED)
INTERRUPTED = int(pytest.ExitCode.INTERRUPTED)


def option(arguments: Sequence[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_every_test_that_is_not_left_out_is_in_one_part() -> None:
    beside, alone = parts([], Size.USUAL)
    assert (option(beside, "-m"), option(alone, "-m")) == ("not realtime", "realtime")
    assert option(beside, "--numprocesses") == str(PROCESSES)
    assert "--numprocesses" not in alone


def calls(flags: Sequence[str], *statuses: int, size: Size = Size.USUAL) -> list[list[str]]:
    """What is run when the parts end with these statuses."""
    left, seen = list(statuses), list[list[str]]()

    def run(arguments: Sequence[str]) -> int:
        seen.append(list(arguments))
        return left.pop(0)

    main(flags, environment={VARIABLE: size}, run=run)
    assert left == []
    return seen


def test_the_bound_on_coverage_is_for_both_parts_together_and_for_all_tests_only() -> None:
    for size in (Size.USUAL, Size.LONG):
        beside, alone, report = calls([], 0, 0, 0, size=size)
        assert {"--cov", "--cov-fail-under=0"} <= {*beside} & {*alone}
        assert "--cov-append" not in beside
        assert "--cov-append" in alone
        assert report == ["coverage", "report"]
        assert calls(["-k", "cache"], 0, NOTHING, 0)[-1] == ["coverage", "report", "--fail-under=0"]


def test_without_coverage_none_is_reported() -> None:
    assert all(call[0] == "pytest" for call in calls(["--no-cov"], 0, 0))
    assert all(call[0] == "pytest" for call in calls(["-k", "nothing"], NOTHING, NOTHING))
    assert [call[0] for call in calls([], 0, size=Size.QUICK)] == ["pytest"]


def test_while_writing_there_is_one_part_without_coverage() -> None:
    (only,) = parts(["-x"], Size.QUICK)
    assert option(only, "-m") == "not realtime and not slow"
    assert "--cov" not in only
    assert only[-1] == "-x"


def test_flags_come_last_and_marks_select_within_each_part() -> None:
    for part, marks in zip(
        parts(["tests/core", "-m", "slow", "-n", "0"], Size.USUAL), ("not realtime", "realtime"), strict=True
    ):
        assert option(part, "-m") == f"({marks}) and (slow)"
        assert part[-3:] == ["tests/core", "-n", "0"]


def test_a_long_run_is_given_time() -> None:
    assert all("faulthandler_timeout=" in " ".join(part) for part in parts([], Size.LONG))
    assert not any("faulthandler_timeout=" in " ".join(part) for part in parts([], Size.USUAL))


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ((0, 0, 0), 0),
        ((1, 0, 0), 1),
        ((0, 1, 0), 1),
        ((0, 0, 2), 2),
        ((NOTHING, 0, 0), 0),
        ((0, NOTHING, 0), 0),
        ((NOTHING, 1, 0), 1),
        ((NOTHING, NOTHING), NOTHING),
    ],
)
def test_the_worse_part_decides(statuses: tuple[int, ...], status: int) -> None:
    left = list(statuses)
    assert combined(statuses) == main([], environment={}, run=lambda _: left.pop(0)) == status


def test_after_an_interruption_nothing_more_is_run() -> None:
    left = [INTERRUPTED, 0]
    assert main([], environment={}, run=lambda _: left.pop(0)) == INTERRUPTED
    assert left == [0]


def test_the_size_is_a_word_of_the_list() -> None:
    assert chosen({}) is chosen({VARIABLE: ""}) is Size.USUAL
    assert chosen({VARIABLE: "long"}) is Size.LONG
    with pytest.raises(ValueError, match="huge"):
        chosen({VARIABLE: "huge"})
