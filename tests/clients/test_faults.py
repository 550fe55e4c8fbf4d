"""The comparison of `make clients`: what may differ, what is told, and that no fault is left out."""

from __future__ import annotations

import json

import pytest

from tests.clients import failures
from tests.clients.failures import FailingCall, Raised
from tests.clients.faults import BROAD, FAILING, NOTHING_CAME, UNUSABLE, Compared, differences, table
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


NETWORK = ("NetworkError", "OperationFailed", "BaseError", "Exception")
UNAVAILABLE = ("ExchangeNotAvailable", *NETWORK)
FAILED = NETWORK[1:]
EXCHANGE = ("ExchangeError", "BaseError", "Exception")


def one(fault: Fault, straight: tuple[str, ...], through: tuple[str, ...], *, client: str = "ccxt 1.0") -> Compared:
    return Compared(fault, FailingCall.INFO, Raised(client, straight), Raised(client, through))


def test_every_error_that_binance_answers_must_be_the_same() -> None:
    assert set(Fault) - NOTHING_CAME - UNUSABLE == ANSWERED


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault in ANSWERED])
def test_an_exception_that_differs_is_told(fault: Fault) -> None:
    assert list(differences([one(fault, NETWORK, UNAVAILABLE)])) == [
        f"ccxt 1.0, {fault.value}, exchangeInfo: NetworkError straight, ExchangeNotAvailable through the gateway"
    ]
    assert list(differences([one(fault, NETWORK, NETWORK)])) == []


@pytest.mark.parametrize(
    ("straight", "through", "is_told"),
    [
        (NETWORK, NETWORK, False),
        (NETWORK, UNAVAILABLE, False),
        (NETWORK, FAILED, True),
        (FAILED, FAILED, False),
        ((), UNAVAILABLE, False),
        ((), FAILED, True),
        (EXCHANGE, UNAVAILABLE, False),
        (EXCHANGE, EXCHANGE, False),
    ],
)
def test_where_nothing_came_the_exception_that_users_catch_will_do(
    straight: tuple[str, ...], through: tuple[str, ...], is_told: bool
) -> None:
    assert bool(list(differences([one(Fault.DOWN, straight, through)]))) is is_told


@pytest.mark.parametrize(("through", "is_told"), [(FAILED, False), (EXCHANGE, False), (UNAVAILABLE, True), ((), True)])
def test_where_the_answer_is_of_no_use_the_exception_of_binances_502_will_do(
    through: tuple[str, ...], is_told: bool
) -> None:
    compared = [one(Fault.BAD_GATEWAY_502, FAILED, FAILED), one(Fault.TRUNCATED, EXCHANGE, through)]
    assert bool(list(differences(compared))) is is_told


def test_the_table_has_a_row_for_each_fault_and_a_column_for_each_client() -> None:
    compared = [
        one(Fault.DOWN, EXCHANGE, UNAVAILABLE),
        one(Fault.DOWN, (), ("A", "Exception"), client="other 2.0"),
        one(Fault.HTML_503, ("B",), ("B",)),
        one(Fault.HTML_503, ("C",), ("C",), client="other 2.0"),
    ]
    assert list(table(compared)) == [
        "fault     call          ccxt 1.0                                          other 2.0",
        "DOWN      exchangeInfo  ExchangeError > ExchangeNotAvailable (BaseError)  no error > A",
        "HTML_503  exchangeInfo  B                                                 C",
    ]


def test_every_client_has_a_class_that_its_users_catch() -> None:
    assert {module.removeprefix("fail_").replace("_", "-") for module, _ in FAILING} == set(BROAD)


def test_lines_of_the_clients_own_are_no_answers() -> None:
    for raised in (Raised("bot 1.0", NETWORK), Raised("bot 1.0", ())):
        assert Raised.from_line(raised.to_line()) == raised
    for line in ("hello", "{}", "[]", json.dumps({"client": "a"})):
        with pytest.raises(ValueError, match=r".*"):
            Raised.from_line(line)


def test_a_call_is_told_by_the_classes_of_its_exception() -> None:
    async def later(_: FailingCall, __: str) -> None:
        raise TimeoutError

    assert failures._raised(lambda call, url: int("x"), FailingCall.INFO, "") == ("ValueError", "Exception")
    assert failures._raised(lambda call, url: None, FailingCall.TIME, "") == ()
    assert failures._raised(later, FailingCall.INFO, "") == ("TimeoutError", "OSError", "Exception")


def test_blocking_and_asynchronous_clients_are_compared() -> None:
    assert {manner for module, manner in FAILING if module in ("fail_ccxt", "fail_python_binance")} == {"sync", "async"}
    assert "fail_binance_sdk_spot" in {module for module, _ in FAILING}
