"""Problems of a manifest, collected so that the user hears of all of them at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from wsiamf.errors import ManifestError

_MOST_SHOWN: Final = 50


@dataclass
class Problems:
    """What is wrong with a manifest or a folder, one line each.

    Args:
        source: The manifest or folder, as messages name it.
    """

    source: str
    lines: list[tuple[int, str]] = field(default_factory=list)

    def add(self, order: int, text: str) -> None:
        """Note a problem.

        Args:
            order: Number of the row that it is about, 0 for the file as a whole; lines are shown in this order.
            text: What is wrong and the remedy.
        """
        self.lines.append((order, " ".join(text.split())))

    def raise_any(self) -> None:
        """Raise a ``ManifestError`` of all problems noted so far; nothing where there are none."""
        if not self.lines:
            return
        n = len(self.lines)
        ordered = [text for _order, text in sorted(self.lines, key=lambda line: line[0])]
        more = [f"... and {n - _MOST_SHOWN:,} more."] if n > _MOST_SHOWN else []
        head = f"{self.source}: {n:,} problem{'s' if n > 1 else ''}, and nothing was begun:"
        raise ManifestError("\n".join([head, *ordered[:_MOST_SHOWN], *more]))
