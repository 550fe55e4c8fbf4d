"""L1 against the plainest model of itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.lru import MemoryStore
from proxy.core.messages import Entry
from tests.cache.entries import entry

OVERHEAD_BYTES = 1024
BOUND_BYTES = 10 * OVERHEAD_BYTES


def sized(size_bytes: int, *, stored_at: float = 0.0, fresh_seconds: float = 60.0) -> Entry:
    body = bytes(size_bytes - OVERHEAD_BYTES)
    one = entry(body, compressed=False, stored_at=stored_at, fresh_seconds=fresh_seconds)
    assert one.size_bytes == size_bytes
    return one


class Model:
    """A list of pairs, the most recently used last."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, Entry]] = []

    def get(self, key: str) -> Entry | None:
        for pair in self.pairs:
            if pair[0] == key:
                self.pairs.remove(pair)
                self.pairs.append(pair)
                return pair[1]
        return None

    def put(self, key: str, one: Entry) -> None:
        self.delete(key)
        if one.size_bytes <= BOUND_BYTES:
            self.pairs.append((key, one))
        while sum(kept.size_bytes for _, kept in self.pairs) > BOUND_BYTES:
            del self.pairs[0]

    def delete(self, key: str) -> None:
        self.pairs = [pair for pair in self.pairs if pair[0] != key]


keys = st.sampled_from("abcdefgh")
sizes = st.integers(min_value=OVERHEAD_BYTES, max_value=BOUND_BYTES + 500)
steps = st.one_of(
    st.tuples(st.just("get"), keys, st.just(0)),
    st.tuples(st.just("put"), keys, sizes),
    st.tuples(st.just("delete"), keys, st.just(0)),
)


@given(st.lists(steps, max_size=60))
def test_it_keeps_what_the_model_keeps_and_in_the_same_order(script: list[tuple[str, str, int]]) -> None:
    store, model = MemoryStore(BOUND_BYTES), Model()
    for action, key, size_bytes in script:
        match action:
            case "get":
                assert store.get(key) is model.get(key)
            case "put":
                one = sized(size_bytes)
                store.put(key, one)
                model.put(key, one)
            case _:
                store.delete(key)
                model.delete(key)
        assert list(store.items()) == model.pairs
        assert len(store) == len(model.pairs)
        assert store.bytes == sum(kept.size_bytes for _, kept in model.pairs) <= BOUND_BYTES


def test_an_entry_counts_as_what_it_is_said_to_take() -> None:
    store = MemoryStore(BOUND_BYTES)
    for number in range(5):
        store.put(f"shared:{number}", sized(BOUND_BYTES + 1), size_bytes=100)
    store.put("own", sized(BOUND_BYTES - 500))
    assert (len(store), store.bytes) == (6, BOUND_BYTES)
    store.put("shared:0", sized(2000))
    assert "own" not in dict(store.items())
    store.delete("shared:0")
    assert store.bytes == 100 * len(store)


@given(st.lists(st.tuples(st.sampled_from(("a:1", "a:2", "b:1", "b:2", "c")), sizes), max_size=12))
def test_entries_are_counted_and_dropped_by_how_their_keys_begin(script: list[tuple[str, int]]) -> None:
    store = MemoryStore(BOUND_BYTES)
    for key, size_bytes in script:
        store.put(key, sized(size_bytes))
    kept = dict(store.items())
    of_a = {key: one for key, one in kept.items() if key.startswith("a:")}
    assert store.counted("a:") == (len(of_a), sum(one.size_bytes for one in of_a.values()))
    store.drop("a:")
    assert dict(store.items()) == {key: one for key, one in kept.items() if key not in of_a}
    assert store.bytes == sum(one.size_bytes for _, one in store.items())


def test_an_entry_as_large_as_the_bound_is_kept_and_a_larger_one_replaces_nothing_but_its_own_older_self() -> None:
    store = MemoryStore(BOUND_BYTES)
    store.put("small", sized(2000))
    store.put("large", sized(3000))

    store.put("large", sized(BOUND_BYTES + 1))
    assert [key for key, _ in store.items()] == ["small"]

    store.put("large", sized(BOUND_BYTES))
    assert [key for key, _ in store.items()] == ["large"]


def test_an_expired_entry_is_still_handed_out_because_age_is_judged_elsewhere() -> None:
    store = MemoryStore(BOUND_BYTES)
    store.put("k", sized(2000, stored_at=-1e9))

    assert store.get("k") is not None
