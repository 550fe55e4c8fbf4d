"""When a heartbeat is called for."""

from __future__ import annotations

from random import Random

import pytest

from proxy.core.quota.push_trust import TRUST_SECONDS
from proxy.quota.push_proof import BEAT_SECONDS, PushProof


@pytest.mark.no_cover
@pytest.mark.parametrize("replicas", [1, 3, 10, 100, 1000])
def test_few_of_many_replicas_call_for_the_same_heartbeat(replicas: int) -> None:
    """All heard the last one now, and hear the next one two milliseconds after it was called for."""
    dice, calls, seconds = Random(1), 0, 0.0
    proofs = [PushProof(lambda: 0.0, dice.random, lambda: replicas) for _ in range(replicas)]
    for _ in range(200):
        for proof in proofs:
            proof.beat()
        due = sorted(proof.beat_in() for proof in proofs)
        calls += sum(at < due[0] + 0.002 for at in due)
        seconds += due[0]
        assert due[-1] < TRUST_SECONDS - 0.05, (
            "whoever calls last calls in time, so that one that is lost costs no proof"
        )
    assert calls < 1.5 * 200
    assert 4 < 200 / seconds < 5.5


def test_the_own_push_moves_nothing_and_that_of_another_does() -> None:
    now, dice = 100.0, iter([0.5, 0.0])
    proof = PushProof(lambda: now, lambda: next(dice), lambda: 1)
    proof.beat()
    due_at = now + proof.beat_in()
    now += 0.002
    proof.pushed(1.0)
    assert now + proof.beat_in() == pytest.approx(due_at)
    now += 0.1
    proof.pushed(1.1)
    assert proof.beat_in() == pytest.approx(BEAT_SECONDS)
