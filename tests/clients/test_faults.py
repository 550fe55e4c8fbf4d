"""The comparison of `make clients`: what may differ, what is told, and that no fault is left out."""

from __future__ import annotations

import json

import pytest

from tests.clients import failures
from tests.clients.failures import FailingCall, Raised
from tests.clients.faults import FAILING, STANDS_FOR, Compared, differences, table
from tests.simulator import Fault

ANSWERED = {
    Fault.HTML_403,
    Fault.TEAPOT_418,
    Fault.TOO_MANY_429,
    Fault.RESTRICTED_451,
    Fault.INTERNAL_500,
    Fault.BAD_GATEWAY_502,
    Fault.OVERLOADED_503,
    Fault.GATEWAY_TIMEOUT_504,
    Fault.HTML_503,
}


def one(fault: Fault, straight: str, through: str, *, client: str = "bot 1.0") -> Compared:
    return Compared(fault, FailingCall.INFO, client, straight, through)


def test_every_error_that_binance_answers_must_be_the_same() -> None:
    assert set(Fault) - set(STANDS_FOR) == ANSWERED
    assert set(STANDS_FOR.values()) <= ANSWERED


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault in ANSWERED])
def test_an_exception_that_differs_is_told(fault: Fault) -> None:
    compared = [one(fault, "NetworkError", "OperationFailed")]
    assert list(differences(compared)) == [
        f"bot 1.0, {fault.value}, exchangeInfo: NetworkError straight, OperationFailed through the gateway"
    ]
    assert list(differences([one(fault, "NetworkError", "NetworkError")])) == []


@pytest.mark.parametrize(
    ("through", "is_told"), [("ConnectionError", False), ("ServerError", False), ("JSONDecodeError", True)]
)
def test_where_nothing_came_the_exception_of_binances_own_failure_will_do(through: str, is_told: bool) -> None:
    compared = [
        one(Fault.BAD_GATEWAY_502, "ServerError", "ServerError"),
        one(Fault.BAD_GATEWAY_502, "JSONDecodeError", "JSONDecodeError", client="other 1.0"),
        one(Fault.DOWN, "ConnectionError", through),
    ]
    assert bool(list(differences(compared))) is is_told


def test_the_table_has_a_row_for_each_fault_and_a_column_for_each_client() -> None:
    compared = [
        one(Fault.DOWN, "NetworkError", "ServerError"),
        one(Fault.DOWN, "A", "A", client="other 2.0"),
        one(Fault.HTML_503, "B", "B"),
        one(Fault.HTML_503, "C", "C", client="other 2.0"),
    ]
    assert list(table(compared)) == [
        "fault     call          bot 1.0                     other 2.0",
        "DOWN      exchangeInfo  NetworkError > ServerError  A",
        "HTML_503  exchangeInfo  B                           C",
    ]


def test_lines_of_the_clients_own_are_no_answers() -> None:
    raised = Raised("bot 1.0", "NetworkError")
    assert Raised.from_line(raised.to_line()) == raised
    for line in ("hello", "{}", "[]", json.dumps({"client": "a"})):
        with pytest.raises(ValueError, match=r".*"):
            Raised.from_line(line)


def test_a_call_is_told_by_the_class_of_its_exception() -> None:
    async def later(_: FailingCall, __: str) -> None:
        raise TimeoutError

    assert failures._raised(lambda call, url: int("x"), FailingCall.INFO, "") == "ValueError"
    assert failures._raised(lambda call, url: None, FailingCall.TIME, "") == "no error"
    assert failures._raised(later, FailingCall.INFO, "") == "TimeoutError"


def test_blocking_and_asynchronous_clients_are_compared() -> None:
    assert {manner for module, manner in FAILING if module in ("fail_ccxt", "fail_python_binance")} == {"sync", "async"}
    assert "fail_binance_sdk_spot" in {module for module, _ in FAILING}
