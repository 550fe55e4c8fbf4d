"""The exception tree, and the answer that each error implies."""

from __future__ import annotations

import inspect
import re

import pytest

from proxy import errors
from proxy.errors import BadAnswer, BudgetUsedUp, RequestRejected, Restricted, SidecarError, UpstreamFailed

ROW = re.compile(r"^    (?P<tree>[│├└─ ]*)(?P<name>[A-Z]\w+)(?P<rest>.*)$", re.MULTILINE)


def documented() -> dict[str, tuple[str | None, int | None, int | None]]:
    """Class -> parent, status and code, as the docstring draws them."""
    rows: dict[str, tuple[str | None, int | None, int | None]] = {}
    branch: list[str] = []
    for row in ROW.finditer(errors.__doc__ or ""):
        depth = len(row["tree"]) // 4
        told = re.match(r"\s+(\d{3})?\s*(-\d{4})?", row["rest"])
        status, code = told.groups() if told else (None, None)
        branch[depth:] = [row["name"]]
        parent = branch[depth - 1] if depth else None
        rows[row["name"]] = (parent, int(status) if status else None, int(code) if code else None)
    return rows


def classes() -> dict[str, type[SidecarError]]:
    return {
        name: found for name, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, SidecarError)
    }


def test_the_tree_in_the_docstring_is_the_class_tree() -> None:
    parents = {name: parent for name, (parent, _, _) in documented().items()}
    assert parents == {
        name: None if found is SidecarError else found.__bases__[0].__name__ for name, found in classes().items()
    }
    assert len(parents) > 14


def test_the_statuses_and_codes_in_the_docstring_are_those_of_the_classes() -> None:
    for name, (_, status, code) in documented().items():
        found = classes()[name]
        assert status in (None, found.status), name
        assert code in (None, found.code), name


def test_every_error_that_a_client_can_see_tells_its_status_in_the_docstring() -> None:
    silent = {name for name, (_, status, _) in documented().items() if status is None}
    assert silent == {"SidecarError", "SendingRefused", "UpstreamFailed", "PassedOn", "RedisAway"}


def test_no_two_errors_share_a_reason_unless_one_is_the_others_parent() -> None:
    for one in classes().values():
        for other in classes().values():
            if one.reason == other.reason:
                assert issubclass(one, other) or issubclass(other, one)


def test_reasons_are_fit_for_headers_and_labels() -> None:
    assert [found.reason for found in classes().values() if not re.fullmatch("[a-z]+(-[a-z]+)*", found.reason)] == []


@pytest.mark.parametrize(
    ("seconds", "header"),
    [(None, None), (-5.0, "1"), (0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (59.99, "60"), (259_200.0, "259200")],
)
def test_retry_after_is_in_whole_seconds_rounded_up(seconds: float | None, header: str | None) -> None:
    assert BudgetUsedUp("m", retry_after_seconds=seconds).retry_after == header


def test_an_error_is_its_text() -> None:
    error = BadAnswer("The origin answered 500.")
    assert (str(error), error.msg, error.retry_after) == ("The origin answered 500.", "The origin answered 500.", None)


def test_a_rejected_request_has_the_origins_code_and_text() -> None:
    error = RequestRejected(-1121, "Invalid symbol.")
    assert (error.status, error.code, error.msg) == (400, -1121, "Invalid symbol.")
    assert RequestRejected.code == SidecarError.code


def test_an_error_of_the_origin_may_know_the_head_of_its_answer() -> None:
    assert UpstreamFailed("m").headers == {}
    assert UpstreamFailed("m", headers={"date": "d"}).headers == {"date": "d"}


def test_a_restricted_location_passes_the_origins_body_on() -> None:
    error = Restricted(b"body", content_type="text/html")
    assert (error.status, error.body, error.content_type) == (451, b"body", "text/html")
