"""``wsiamf review worklist``: draw the worklist of OUT, or extend the one that stands there."""

from __future__ import annotations

import logging
from pathlib import Path

from wsiamf.export.results import find_results
from wsiamf.review.estimates import MIN_RANDOM
from wsiamf.review.figures import load_figures
from wsiamf.review.places import check_out
from wsiamf.review.worklist import Worklist, make_worklist
from wsiamf.review.worklist_files import read_worklist, recorded_rules, write_worklist

_log = logging.getLogger(__name__)

SEED = 0
CERTAIN_SHARE = 0.5


def draw_worklist(
    out: Path, *, budget: int, seed: int | None = None, certain_share: float | None = None, overwrite: bool = False
) -> Worklist:
    """Draw a worklist over all slides of OUT and write it; what is not given is as in the record of the one that stands there.

    Args:
        out: The OUT of ``screen`` or ``cohort``.
        budget: Number of figures to look at.
        seed: Of the random sample; 0 for a new worklist.
        certain_share: Share of the rows taken by impact; 0.5 for a new worklist.
        overwrite: Replace a worklist that this one does not extend.

    Raises:
        WsiamfError: There are no results, another worklist stands there, or it cannot be written.
    """
    places = check_out(out)
    figures = load_figures(find_results(out))
    standing = None if overwrite or not places.worklist.is_file() else read_worklist(out)
    if standing is None:
        old_seed, old_share = recorded_rules(out) or (SEED, CERTAIN_SHARE)
    else:
        old_seed, old_share = standing.seed, standing.certain_share
    drawn = make_worklist(
        figures,
        budget=budget,
        seed=old_seed if seed is None else seed,
        certain_share=old_share if certain_share is None else certain_share,
    )
    write_worklist(drawn, out, extends=standing)
    if drawn.n_random < MIN_RANDOM and len(drawn.table) < drawn.n_figures:
        _log.warning(
            "%d of the figures are drawn at random, but estimates need answers to %d: draw with a larger --review-budget or a "
            "smaller --certain-share.",
            drawn.n_random,
            MIN_RANDOM,
        )
    return drawn
