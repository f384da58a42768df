"""Write ``tests/files/tiatoolbox_2.1.3.db.gz`` with TIAToolbox itself: ``python tests/make_tiatoolbox_store.py TARGET``.

Not a test: it needs an environment that holds TIAToolbox. The points are what its nucleus detector writes (properties ``type``
and ``probability``); the outline is a nucleus as its segmentation engines write one.
"""

from __future__ import annotations

import gzip
import sqlite3
import sys
import tempfile
from pathlib import Path

from shapely.geometry import Point, Polygon
from tiatoolbox.annotation import Annotation, SQLiteStore

POINTS = ((1200, 3400, 0.9921875), (19_999, 0, 0.5), (7, 9_999, 0.75))


def compile_options() -> list[str]:
    """What TIAToolbox asks of SQLite, for a Python whose sqlite3 cannot load extensions (it loads none either)."""
    return [option for (option,) in sqlite3.connect(":memory:").execute("PRAGMA compile_options")]


def main(target: Path) -> None:
    """Write the store and compress it."""
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        SQLiteStore.compile_options = staticmethod(compile_options)
    outline = Polygon([(500, 600), (548, 600), (548, 640), (500, 640)])
    annotations = [
        *(Annotation(Point(x, y), {"type": "Mitotic_Figure", "probability": score}) for x, y, score in POINTS),
        Annotation(outline, {"type": "Non_Mitotic_Figure", "probability": 0.25}),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        store = SQLiteStore(path)
        store.append_many(annotations, [f"figure-{number}" for number in range(1, 5)])
        del store  # it closes when it is deleted, and the folder must still be there
        target.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
