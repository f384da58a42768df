"""What a reader must know before believing a slide's numbers, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from wsiamf.report.wording import counted
from wsiamf.statuses import OK
from wsiamf.summary.slide_summary import FEW, FEW_FLAG, NOT_ESTIMABLE_FLAG

_FLAGS: Final = {
    FEW_FLAG: f"Fewer than {FEW} figures count: every share is very uncertain.",
    NOT_ESTIMABLE_FLAG: "No figure counts, so that no share can be estimated.",
    "resampled": "The crops were resampled to the model's resolution.",
    "upsampled": "The slide is coarser than what the model was trained on; the crops were upsampled and lack detail.",
    "mpp_from_objective_power": "The um per pixel are guessed from the objective's power; areas may be off by a fifth.",
    "most_points_on_background": "Most candidates lie on background: do the points belong to this slide?",
    "points_do_not_fit": "The points do not seem to fit the slide; the screening was forced to go on.",
    "points_not_on_nuclei": "The points do not seem to lie on nuclei.",
}
_STATUSES: Final = {
    "ok": "counts",
    "duplicate": "closer to a better detection than figures lie: one figure, counted once",
    "below_min_score": "detector score below the least one asked for",
    "outside_roi": "outside the regions of interest",
    "unreadable": "its pixels could not be decoded",
    "bad_point": "the row cannot be used",
    "non_mitotic": "labelled as no mitotic figure",
}


def flag_sentences(flags: Sequence[str]) -> list[str]:
    """Each flag of ``summary.json`` in words; one that is not known, as it is."""
    return [_FLAGS.get(flag, f"Flag: {flag}.") for flag in flags]


def status_rows(n_by_status: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """(status, candidates, what it means) of every status that candidates have; those that count come first."""
    return [(status, n, _STATUSES.get(status, "")) for status, n in n_by_status.items() if n or status == OK]


def outside_sentence(summary: Mapping[str, Any]) -> str:
    """What to say of figures that count but lie outside the area that densities go by; empty where there are none."""
    n = summary["n_ok_outside_area"]
    if not n:
        return ""
    area = "tissue mask" if summary["area_kind"] == "tissue" else "regions"
    return f"{counted(n, 'figure')} that count lie outside the {area}: densities include them, the area does not."
