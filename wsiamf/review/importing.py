"""``wsiamf review import``: a reader's edits in QuPath into the decisions file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsiamf.export.results import find_results
from wsiamf.review.answers import Answer
from wsiamf.review.decisions import DecisionStore, check_reader
from wsiamf.review.places import check_out
from wsiamf.review.qupath_edits import Edits, read_edits
from wsiamf.review.standing import Said


@dataclass(frozen=True)
class Imported:
    """What came of a file.

    Args:
        edits: All that it says.
        n_new: Decisions that were kept.
        n_known: Decisions that stood already, as after a second import of one file.
    """

    edits: Edits
    n_new: int
    n_known: int


def import_edits(
    out: Path, path: Path, *, reader: str, slide_id: str | None = None, deletions: Answer | None = None
) -> Imported:
    """Read a file that QuPath wrote, and keep what the reader changed.

    Args:
        out: The OUT of ``screen`` or ``cohort``.
        path: The file.
        reader: Who edited it.
        slide_id: Which slide it is of; None to find that by the objects' ids.
        deletions: What it means that a figure is missing; None for nothing.

    Raises:
        WsiamfError: There are no results, the file cannot be used, or the decisions cannot be kept.
    """
    check_reader(reader)
    places = check_out(out)
    edits = read_edits(path, find_results(out), reader=reader, slide_id=slide_id, deletions=deletions)
    with DecisionStore(places.decisions) as store:
        said = Said(one for one in store.current() if one.reader == reader)
        new = [one for one in edits.decisions if not said.holds(one)]
        store.extend(new)
    return Imported(edits, len(new), len(edits.decisions) - len(new))
