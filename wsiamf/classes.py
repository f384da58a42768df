"""Names of classes and heads, their order and their display colours: written once, used everywhere.

AMF is the positive class throughout (as in the MIDOG 2025 evaluation). NMF means *normal* mitotic figure; what is no mitotic
figure at all is spelt out as ``non-mitotic``.
"""

from __future__ import annotations

from typing import Final

AMF: Final = "AMF"
"""Atypical mitotic figure, the positive class."""

NMF: Final = "NMF"
"""Normal mitotic figure."""

MITOTIC_FIGURE: Final = "mitotic figure"
"""A figure labelled mitotic without saying whether it is atypical."""

NON_MITOTIC: Final = "non-mitotic"
"""Labelled as no mitotic figure (MIDOG's hard negatives); never counted."""

CLASS_COLORS: Final[dict[str, tuple[int, int, int]]] = {
    AMF: (215, 48, 39),
    NMF: (69, 117, 180),
}
"""RGB display colours; red and blue of ColorBrewer's RdYlBu, told apart by colour-blind readers."""

NON_MITOTIC_COLOR: Final = (150, 150, 150)
UNRESOLVED: Final = "Unresolved"
"""What readers could not tell, or did not agree on."""
UNRESOLVED_COLOR: Final = (255, 217, 47)

EXPERTS: Final = "experts"
HARDNESS: Final = "hardness"
PHASE: Final = "phase"
"""Names of a network's heads."""

HARD_CLASSES: Final = (1, 3)
"""Which of a hardness head's four classes are hard: NMF easy, NMF hard, AMF easy, AMF hard (2 x AMF + hard)."""

HARD_CASE: Final = "Hard case"
HARD_CASE_COLOR: Final = (254, 153, 41)
HOTSPOT: Final = "Hotspot"
HOTSPOT_COLOR: Final = (35, 139, 69)

PHASES: Final[tuple[str, ...]] = (
    "NMF prometaphase",
    "NMF metaphase",
    "NMF ring shape",
    "NMF anaphase-telophase",
    "AMF segregation",
    "AMF multipolar",
    "AMF bipolar asymmetric",
    "AMF other",
)
"""The eight labels of AMi-Br (whose file spells ``asymmetric`` with two s and one m)."""

_AMF_WORDS = frozenset({"amf", "atypical", "atypical mitotic figure", "atypical mitosis", "atypical mf"})
_NMF_WORDS = frozenset({"nmf", "normal", "normal mitotic figure", "typical", "typical mitosis", "normal mf"})
_MITOTIC_WORDS = frozenset({"mitotic figure", "mitotic figures", "mitosis", "mitose", "mitoses", "mf", "mitotic"})
_NON_MITOTIC_WORDS = frozenset(
    {
        "non-mitotic",
        "non mitotic",
        "nonmitotic",
        "non-mitotic figure",
        "non mitotic figure",
        "not mitotic figure",
        "not mitotic",
        "not a mitosis",
        "nonmitosis",
        "non-mitosis",
        "hard negative",
        "hard negative look-alike",
        "hard-negative",
        "imposter",
        "impostor",
        "mitotic-like figure",
    }
)


def canonical_label(text: str) -> str | None:
    """Translate a file's class word into one of the four class names.

    Args:
        text: The label as the file writes it; case and outer blanks do not matter, and ``_`` stands for a blank.

    Returns:
        ``AMF``, ``NMF``, ``MITOTIC_FIGURE`` or ``NON_MITOTIC``; None for a word that names none of them.
    """
    word = text.strip().lower().replace("_", " ")
    if word in _AMF_WORDS or word.startswith("amf "):
        return AMF
    if word in _NMF_WORDS or word.startswith("nmf "):
        return NMF
    if word in _MITOTIC_WORDS:
        return MITOTIC_FIGURE
    return NON_MITOTIC if word in _NON_MITOTIC_WORDS else None
