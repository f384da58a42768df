"""The worklist: figures that a reader sees for certain, mixed with a random sample of all others.

Two orders run through the N figures of the slides: by *impact* (``review.impact``), and *at random*, by a number that each
figure has for good, the hash of its UUID and the seed. Row after row the list takes the next figure that it does not hold yet
of the one order or the other, ``certain_share`` of its rows by impact. Having gone K figures down the one and J down the other,

- the first K by impact are the stratum ``certain``, with inclusion probability 1;
- of the N - K others, those among the first J at random are the stratum ``random``: given their number n they are a simple
  random sample of the N - K, and each has the inclusion probability n / (N - K).

That holds at *every* row, so a reader who stops early leaves a valid, smaller worklist behind, and a larger budget only adds
rows. A simple random sample is the choice here, not one stratified by probability: every part of it in order of the draw is
one again, it serves the counts, the AMF fraction and the detector's precision alike, and what strata would gain the
calibration of the weights on ``p_atypical`` and the detector's score gains as well (``review.estimates``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.errors import ReviewError
from wsiamf.files import sha256_bytes
from wsiamf.review.impact import impact

CERTAIN: Final = "certain"
RANDOM: Final = "random"
BLOCK: Final = 20
"""Rows that a blinded reader sees in an order of her own, before the next ones."""

COLUMNS: Final = (
    "worklist_rank",
    "slide_id",
    "fingerprint",
    "uuid",
    "candidate_id",
    "x",
    "y",
    "x_um",
    "y_um",
    "stratum",
    "inclusion_probability",
    "impact",
    "review_rank",
    "review_reason",
    "impact_rank",
    "draw_rank",
    "listed_by",
)
"""``impact_rank`` and ``draw_rank`` count from 1 through all figures, by impact and at random; ``listed_by`` (``impact`` or
``draw``) says which of the two orders put the row there: a figure that was drawn is in the stratum ``certain`` all the same
once the list has gone past it by impact."""
_LISTED_BY: Final = ("impact", "draw")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Worklist:
    """Figures to be looked at, and how they were drawn.

    Args:
        table: ``COLUMNS``, one row a figure, in the order in which they should be answered.
        budget: Number of figures asked for; the table has fewer where the slides do.
        seed: Of the random order.
        certain_share: Share of the rows taken by impact.
        n_figures: N, all figures of the slides.
        n_certain: K.
        figures_sha256: Of which figures there were (``figures_hash``).
    """

    table: pd.DataFrame
    budget: int
    seed: int
    certain_share: float
    n_figures: int
    n_certain: int
    figures_sha256: str

    @property
    def n_random(self) -> int:
        """n, the size of the random sample."""
        return len(self.table) - self.n_certain


def make_worklist(figures: pd.DataFrame, *, budget: int, seed: int = 0, certain_share: float = 0.5) -> Worklist:
    """Draw a worklist; with a larger budget, and all else equal, the same rows come first.

    Args:
        figures: Of ``figures.load_figures``.
        budget: Number of figures to look at, 1 or more.
        seed: Of the random order.
        certain_share: Share of the rows taken by impact, 0 to 1; at 1 nothing is random, and nothing can be estimated.

    Raises:
        ReviewError: The budget or the share makes no sense, or there are no figures.
    """
    if budget < 1:
        raise ReviewError(f"--review-budget {budget}: is below 1.")
    if not 0 <= certain_share <= 1:
        raise ReviewError(f"--certain-share {certain_share}: is not within 0 and 1.")
    if not len(figures):
        raise ReviewError("no figure counts on these slides: there is nothing to review.")
    impacts = impact(figures)
    identity = np.lexsort((figures["uuid"].to_numpy(dtype=str), figures["slide_id"].to_numpy(dtype=str)))
    by_impact = identity[np.argsort(-impacts[identity], kind="stable")]
    by_draw = identity[np.argsort(permanent_numbers(figures["uuid"].to_numpy()[identity], seed), kind="stable")]
    rows, turns = _interleaved(by_impact, by_draw, min(budget, len(figures)), certain_share)
    table = figures.iloc[rows].reset_index(drop=True)
    table["worklist_rank"] = np.arange(1, len(rows) + 1)
    table["impact"] = impacts[rows]
    table["impact_rank"] = _ranks(by_impact)[rows]
    table["draw_rank"] = _ranks(by_draw)[rows]
    table["listed_by"] = [_LISTED_BY[turn] for turn in turns]
    part = first_rows(table, len(table), len(figures))
    table["stratum"] = np.where(part.certain, CERTAIN, RANDOM)
    table["inclusion_probability"] = np.where(part.certain, 1.0, part.probability)
    drawn = table[list(COLUMNS)]
    return Worklist(drawn, budget, seed, float(certain_share), len(figures), part.n_certain, figures_hash(figures))


@dataclass(frozen=True)
class FirstRows:
    """The sample that the first rows of a worklist are.

    Args:
        certain: (b,) of each row, whether it is in the stratum of inclusion probability 1; the others are the random sample.
        n_certain: K, how many figures that stratum has.
        n_others: N - K, how many figures the random sample was drawn from.
    """

    certain: NDArray[np.bool_]
    n_certain: int
    n_others: int

    @property
    def n_random(self) -> int:
        """n, the size of the random sample."""
        return int((~self.certain).sum())

    @property
    def probability(self) -> float:
        """n / (N - K), the inclusion probability of every figure that is not certain; 0 where there is none."""
        return self.n_random / self.n_others if self.n_others else 0.0


def first_rows(table: pd.DataFrame, n_rows: int, n_figures: int) -> FirstRows:
    """The strata of a worklist's first rows alone.

    Args:
        table: Of ``Worklist``.
        n_rows: b.
        n_figures: N.
    """
    first = table.iloc[:n_rows]
    by_impact = first.loc[first["listed_by"] == _LISTED_BY[0], "impact_rank"]
    n_certain = int(by_impact.max()) if len(by_impact) else 0
    certain = (first["impact_rank"] <= n_certain).to_numpy(dtype=bool)
    return FirstRows(certain, n_certain, n_figures - n_certain)


def drawn_from_all(table: pd.DataFrame, n_rows: int) -> NDArray[np.bool_]:
    """Which of a worklist's first rows are nearly a simple random sample of *all* figures, certain ones among them.

    Nearly: where the sample ends hangs on which figures the order by impact had taken before, so that in short lists the chance
    of a figure to be in it differs a little with its impact. Estimates do not use it.

    Args:
        table: Of ``Worklist``.
        n_rows: b.

    Returns:
        (b,) those up to the last one, in the order of the draw, that was listed at random.
    """
    first = table.iloc[:n_rows]
    at_random = first.loc[first["listed_by"] == _LISTED_BY[1], "draw_rank"]
    last = int(at_random.max()) if len(at_random) else 0
    return (first["draw_rank"] <= last).to_numpy(dtype=bool)


def permanent_numbers(uuids: NDArray[np.object_], seed: int) -> NDArray[np.uint64]:
    """A random number for each figure that depends on its UUID and the seed alone, whatever other figures there are."""
    digests = (hashlib.sha256(f"{seed}/{uuid}".encode()).digest()[:8] for uuid in uuids)
    return np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)


def figures_hash(figures: pd.DataFrame) -> str:
    """Which figures there are: hex sha256 over slide and UUID of each, in no order."""
    keys = sorted(f"{slide_id}/{uuid}" for slide_id, uuid in zip(figures["slide_id"], figures["uuid"], strict=True))
    return sha256_bytes("\n".join(keys).encode())


def reader_order(n_rows: int, reader: str, *, block: int = BLOCK) -> Ints:
    """An order of the worklist's rows for a blinded reader: her own, yet valid where she stops.

    Rows are shuffled within blocks, so that neither strata nor ranks show, while whoever has answered some blocks has answered
    the first rows of the list.

    Args:
        n_rows: Number of rows.
        reader: Name of the reader, who always gets the same order.
        block: Rows in a block.

    Returns:
        (n_rows,) places of the rows, from 0.
    """
    number = int.from_bytes(hashlib.sha256(reader.encode()).digest()[:8], "big")
    random = np.random.default_rng(number)
    starts = range(0, n_rows, block)
    parts = [random.permutation(np.arange(start, min(start + block, n_rows))) for start in starts]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _interleaved(by_impact: Ints, by_draw: Ints, n_rows: int, certain_share: float) -> tuple[Ints, list[int]]:
    """The figures of the list in their order, and which order each row was taken from: 0 by impact, 1 at random."""
    turns = list(_turns(n_rows, certain_share))
    listed = np.zeros(len(by_impact), dtype=bool)
    rows = np.empty(n_rows, dtype=np.int64)
    orders = (by_impact, by_draw)
    reached = [0, 0]
    for place, which in enumerate(turns):
        order = orders[which]
        while listed[order[reached[which]]]:
            reached[which] += 1
        rows[place] = order[reached[which]]
        listed[rows[place]] = True
        reached[which] += 1
    return rows, turns


def _turns(n_rows: int, certain_share: float) -> Iterator[int]:
    """0 for a row by impact, 1 for one at random, evenly mixed from the first row on."""
    for row in range(n_rows):
        yield 0 if int((row + 1) * certain_share + 0.5) > int(row * certain_share + 0.5) else 1


def _ranks(order: Ints) -> Ints:
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    return ranks
