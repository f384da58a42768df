"""Identities of exported objects."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsiamf.export.uuids import DETECTION, HOTSPOT_ROLE, NAMESPACE, REVIEW, Role, assign_uuids

COORDINATES = st.floats(-1e6, 1e6)


def test_the_identity_is_never_to_change() -> None:
    # computed with ``uuid`` alone from the words of the contract; a change would orphan what users annotated
    namespace = uuid.uuid5(uuid.NAMESPACE_DNS, "wsiamf")
    assert namespace == NAMESPACE
    expected = [uuid.uuid5(namespace, name) for name in ("detection/abc/10/21/0", "detection/abc/-3/0/0")]
    assert assign_uuids("abc", DETECTION, [10.4, -3.2], [20.5, 0.49]) == [str(identity) for identity in expected]
    assert assign_uuids("abc", DETECTION, [10.0], [21.0]) == ["c1100082-610d-52f7-acc1-4eab9aaf2522"]


def test_repeats_of_a_place_are_counted() -> None:
    repeated = assign_uuids("abc", DETECTION, [10.0, 99.0, 10.4], [20.0, 9.0, 20.1])
    assert repeated[0] == assign_uuids("abc", DETECTION, [10.0], [20.0])[0]
    assert repeated[2] == str(uuid.uuid5(NAMESPACE, "detection/abc/10/20/1"))


def test_rows_without_a_position_have_identities_too() -> None:
    nan = float("nan")
    assert len(set(assign_uuids("abc", DETECTION, [nan, nan, 1.0], [nan, nan, nan]))) == 3


def test_no_positions_no_identities() -> None:
    assert assign_uuids("abc", REVIEW, [], []) == []


@given(st.lists(st.tuples(COORDINATES, COORDINATES), max_size=30))
def test_all_differ_by_place_role_and_slide(points: list[tuple[float, float]]) -> None:
    x_um, y_um = [x for x, _ in points], [y for _, y in points]
    roles: list[Role] = [DETECTION, REVIEW, HOTSPOT_ROLE]
    identities = [one for role in roles for slide in ("a", "b") for one in assign_uuids(slide, role, x_um, y_um)]
    assert len(set(identities)) == 6 * len(points)
    assert all(uuid.UUID(one).version == 5 for one in identities)


def test_they_survive_other_points_before_and_after() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.permutation(5_000)[:200] * 2.0, rng.uniform(0, 9_000, 200)
    whole = assign_uuids("abc", DETECTION, x, y)
    assert assign_uuids("abc", DETECTION, x[::-1], y[::-1]) == whole[::-1]
    assert assign_uuids("abc", DETECTION, x[50:], y[50:]) == whole[50:]


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        assign_uuids("abc", DETECTION, [1.0, 2.0], [1.0])
