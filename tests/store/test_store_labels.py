from __future__ import annotations

from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.core.live import Label
from everloop.store import labels
from everloop.store.database import Database


class TakenBack(Exception): ...


VALUES = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=10)


def test_the_first_label_counts_and_another_value_is_reported(database: Database) -> None:
    with database.write() as tx:
        assert labels.add(tx, "a", {"p1": 1, "p2": "x"}, at=2.0) == (2, [])
        assert labels.add(tx, "a", {"p1": 1, "p2": "y", "p3": 0.5}, at=1.0) == (1, ["p2"])
        assert labels.add(tx, "b", {"p4": True}, at=3.0) == (1, [])
        assert labels.get(tx, ["p2", "absent"]) == {"p2": Label(prediction="p2", loop="a", value="x", at=2.0)}
        assert labels.count(tx, "a") == 3
        assert labels.count(tx, "c") == 0
        assert list(labels.of(tx, "a")) == ["p3", "p1", "p2"]
        assert labels.add(tx, "a", {}) == (0, [])


@given(st.dictionaries(st.text("abc", min_size=1, max_size=8), VALUES, max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_values_of_every_type_come_back(database: Database, values: dict[str, bool | int | float | str]) -> None:
    with suppress(TakenBack), database.write() as tx:
        assert labels.add(tx, "a", values, at=0.0) == (len(values), [])
        found = labels.of(tx, "a")
        assert {id: label.value for id, label in found.items()} == values
        assert {id: type(label.value) for id, label in found.items()} == {id: type(value) for id, value in values.items()}
        assert labels.add(tx, "a", values, at=1.0) == (0, [])
        raise TakenBack


def test_thousands_at_once(database: Database) -> None:
    values = {f"p{at}": at for at in range(2500)}
    with database.write() as tx:
        assert labels.add(tx, "a", values) == (2500, [])
        assert len(labels.get(tx, values)) == 2500


@given(times=st.lists(st.sampled_from([0.0, 0.5, 1.0, 1e9 + 0.1]), max_size=12), limit=st.integers(1, 5))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labels_come_page_by_page_in_the_order_of_arrival(database: Database, times: list[float], limit: int) -> None:
    with suppress(TakenBack), database.write() as tx:
        for at, time in enumerate(times):
            labels.add(tx, "a", {f"p{at:02}": at}, at=time)
            labels.add(tx, "b", {f"q{at:02}": at}, at=time)
        found: list[Label] = []
        last: labels.Arrival | None = None
        while page := labels.behind(tx, "a", last, limit=limit):
            assert len(page) <= limit
            found += page
            last = (page[-1].at, page[-1].prediction)
            assert labels.count_until(tx, "a", last) == len(found)
        assert found == list(labels.of(tx, "a").values())
        assert labels.newest(tx, "a") == last
        if last is not None:
            labels.add(tx, "a", {"late": 1}, at=-1.0)
            assert labels.count_until(tx, "a", last) == len(found) + 1
        raise TakenBack
