"""Worklists: which figures, with which probability, and that they stay valid when they grow or are left unfinished."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.made_review import made_figures
from wsiamf.errors import ReviewError
from wsiamf.review.impact import effect, impact
from wsiamf.review.worklist import (
    COLUMNS,
    drawn_from_all,
    first_rows,
    make_worklist,
    permanent_numbers,
    reader_order,
)

FIGURES = made_figures(80, 4)


@given(
    budget=st.integers(1, 90),
    more=st.integers(0, 40),
    seed=st.integers(0, 5),
    share=st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]),
)
@settings(max_examples=15, deadline=None)
def test_a_larger_budget_adds_rows_and_every_row_has_its_probability(
    budget: int, more: int, seed: int, share: float
) -> None:
    small = make_worklist(FIGURES, budget=budget, seed=seed, certain_share=share)
    large = make_worklist(FIGURES, budget=budget + more, seed=seed, certain_share=share)
    n = len(small.table)
    assert n == min(budget, len(FIGURES))
    assert large.table["uuid"].tolist()[:n] == small.table["uuid"].tolist()
    assert small.table["uuid"].is_unique
    certain = small.table["stratum"] == "certain"
    assert (small.table.loc[certain, "inclusion_probability"] == 1).all()
    assert sorted(small.table.loc[certain, "impact_rank"]) == list(range(1, small.n_certain + 1))
    if small.n_random:
        expected = small.n_random / (len(FIGURES) - small.n_certain)
        assert small.table.loc[~certain, "inclusion_probability"].to_numpy() == pytest.approx(expected)
    # the first rows of the large list are the small one, strata and all
    part = first_rows(large.table, n, len(FIGURES))
    assert part.certain.tolist() == certain.tolist()
    assert part.n_certain == small.n_certain


def test_the_random_stratum_is_the_first_of_the_others_in_the_order_of_the_draw() -> None:
    drawn = make_worklist(FIGURES, budget=30, seed=3)
    impacts = impact(FIGURES)
    ranked = FIGURES.iloc[np.argsort(-impacts, kind="stable")]["uuid"].tolist()
    others = [uuid for uuid in FIGURES["uuid"] if uuid not in ranked[: drawn.n_certain]]
    numbers = dict(zip(others, permanent_numbers(np.array(others, dtype=object), 3), strict=True))
    expected = set(sorted(others, key=lambda uuid: numbers[uuid])[: drawn.n_random])
    random = drawn.table.loc[drawn.table["stratum"] == "random", "uuid"]
    assert set(random) == expected
    assert list(drawn.table.columns) == list(COLUMNS)


def test_each_figure_outside_the_certain_ones_is_drawn_as_often_as_its_probability_says() -> None:
    n_draws = 80
    hits: dict[str, int] = {}
    probability: dict[str, float] = {}
    for seed in range(n_draws):
        drawn = make_worklist(FIGURES, budget=20, seed=seed)
        outside = set(FIGURES["uuid"]) - set(drawn.table.loc[drawn.table["stratum"] == "certain", "uuid"])
        for uuid in outside:
            probability[uuid] = probability.get(uuid, 0.0) + drawn.n_random / len(outside)
        for uuid in drawn.table.loc[drawn.table["stratum"] == "random", "uuid"]:
            hits[uuid] = hits.get(uuid, 0) + 1
    often = [uuid for uuid, expected in probability.items() if expected > 8]
    apart = np.array([hits.get(uuid, 0) - probability[uuid] for uuid in often])
    spread = np.sqrt([probability[uuid] * (1 - probability[uuid] / n_draws) for uuid in often])
    assert len(often) > 50
    assert np.abs(apart / spread).max() < 4.5
    assert np.mean((apart / spread) ** 2) == pytest.approx(1.0, abs=0.5)


def test_figures_that_come_and_go_leave_the_other_draws_as_they_were() -> None:
    before = make_worklist(FIGURES, budget=20, certain_share=0.0).table["uuid"].tolist()
    fewer = FIGURES[~FIGURES["uuid"].isin(before[:3])]
    after = make_worklist(fewer, budget=17, certain_share=0.0).table["uuid"].tolist()
    assert after == before[3:]


def test_the_rows_up_to_the_last_draw_are_a_sample_of_all_figures() -> None:
    table = make_worklist(FIGURES, budget=40, seed=1).table
    chosen = table[drawn_from_all(table, 40)]
    assert sorted(chosen["draw_rank"]) == list(range(1, len(chosen) + 1))
    assert (chosen["stratum"] == "certain").any()


def test_effect_is_larger_on_small_slides_and_in_hotspots_and_does_not_grow_below_ten() -> None:
    figures = pd.DataFrame(
        {
            "slide_id": ["large"] * 100 + ["small"] * 25 + ["tiny"],
            "in_hotspot": pd.Series([True] * 25 + [False] * 101, dtype="boolean"),
        }
    )
    found = effect(figures)
    assert found[[0, 99, 100, 125]] == pytest.approx([(0.1 + 0.2) / 2, 0.05, 0.1, 10**-0.5 / 2])


def test_a_reader_has_an_order_of_her_own_that_is_whole_block_by_block() -> None:
    ann, bob = reader_order(50, "ann", block=20), reader_order(50, "bob", block=20)
    assert ann.tolist() == reader_order(50, "ann", block=20).tolist() != bob.tolist()
    for start, stop in ((0, 20), (20, 40), (40, 50)):
        assert sorted(ann[start:stop]) == list(range(start, stop))
    assert reader_order(0, "ann").tolist() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"budget": 0}, "--review-budget"), ({"budget": 5, "certain_share": 1.5}, "--certain-share")],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ReviewError, match=message):
        make_worklist(FIGURES, **options)  # type: ignore[arg-type]
    with pytest.raises(ReviewError, match="nothing to review"):
        make_worklist(FIGURES.head(0), budget=1)
