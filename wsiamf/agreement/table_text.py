"""What ``compare`` found, as a table of text."""

from __future__ import annotations

from typing import Final

from wsiamf.summary.json_fields import Fields

_ESTIMATES: Final = {
    "bias (95 %)": "bias",
    "lower limit (95 %)": "lower_limit",
    "upper limit (95 %)": "upper_limit",
    "ICC(2,1) (95 %)": "icc_2_1",
    "weighted kappa (95 %)": "kappa",
}


def agreement_table(found: Fields) -> str:
    """One line a comparison; a dash where nothing can be estimated, no kappa without bands, n after an ICC of fewer regions."""
    shown = {title: name for title, name in _ESTIMATES.items() if name != "kappa" or found["bands"]}
    rows = [["measure", "reader", "n", *shown]]
    for one in found["comparisons"]:
        known = [_cell(one, name) for name in shown.values()]
        rows.append([one["measure"], one["reader"], str(one["n_regions"]), *known])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _cell(one: Fields, name: str) -> str:
    if one[name] is None:
        return "-"
    interval = one[f"{name}_interval"]
    value = f"{one[name]:.3g}"
    if interval is not None:
        value += f" ({interval['low']:.3g} to {interval['high']:.3g})"
    return (
        value if name != "icc_2_1" or one["icc_n_regions"] == one["n_regions"] else f"{value}, n {one['icc_n_regions']}"
    )
