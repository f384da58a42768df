"""Points files of any size in each format that wsiamf reads, written piece by piece."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

Places = list[tuple[float, float]]
MPP: Final = 0.25
SLIDE_NAME: Final = "slide.svs"


class Text(NamedTuple):
    """A text format: what stands before, between and after the points, and how the point (x, y) number n looks."""

    head: str
    point: Callable[[float, float, int], str]
    between: str
    foot: str


_XML: Final = '<?xml version="1.0"?>\n'
_GEOJSON_POINT: Final = (
    '{{"type":"Feature","id":"{n:08x}-0000-4000-8000-000000000000","geometry":{{"type":"Point","coordinates":[{x},{y}]}},'
    '"properties":{{"objectType":"detection","classification":{{"name":"Mitosis","color":[200,0,0]}},'
    '"measurements":{{"score":0.5}}}}}}'
)
_CELL: Final = (
    '{{"bbox":[[{y},{x}],[{y},{x}]],"centroid":[{x},{y}],"contour":[{contour}],"type_prob":0.9,"type":1,'
    '"patch_coordinates":[1,1],"cell_status":0,"offset_global":[0,0]}}'
)
_REGION: Final = (
    '<Region Id="{n}" Type="5" Zoom="1" Selected="0" ImageLocation="" Text="" NegativeROA="0" Analyze="1" DisplayId="{n}">'
    '<Attributes/><Vertices><Vertex X="{x}" Y="{y}" Z="0"/></Vertices></Region>'
)
_VIEW: Final = (
    '<ndpviewstate id="{n}"><title>Mitosis</title><details/><coordformat>nanometers</coordformat><lens>40.0</lens><x>0</x>'
    '<y>0</y><z>0</z><annotation type="pin" displayname="AnnotatePin" color="#ffff00"><x>{x_nm}</x><y>{y_nm}</y>'
    "</annotation></ndpviewstate>"
)
_DOT: Final = (
    '<Annotation Name="Annotation {n}" Type="Dot" PartOfGroup="Mitosis" Color="#F4FA58"><Coordinates>'
    '<Coordinate Order="0" X="{x}" Y="{y}" /></Coordinates></Annotation>'
)
_BOX: Final = '{{"id":{n},"image_id":1,"category_id":1,"bbox":[{left},{top},{right},{bottom}],"labels":[1,1]}}'


def _cell(x: float, y: float, _n: int) -> str:
    contour = ",".join(
        f"[{x + dx},{y + dy}]" for dx, dy in ((-9, 0), (-6, -6), (0, -9), (6, -6), (9, 0), (6, 6), (0, 9))
    )
    return _CELL.format(x=x, y=y, contour=contour)


def _box(x: float, y: float, n: int) -> str:
    return _BOX.format(n=n, left=x - 25, top=y - 25, right=x + 25, bottom=y + 25)


def texts(side_px: int) -> dict[str, Text]:
    """The text formats by wsiamf's name; NDPA counts from the middle of a slide of the side given."""
    image = f'{{"id":1,"file_name":"{SLIDE_NAME}","width":{side_px},"height":{side_px}}}'
    middle = side_px / 2

    def view(x: float, y: float, n: int) -> str:
        return _VIEW.format(n=n, x_nm=round((x - middle) * MPP * 1000), y_nm=round((y - middle) * MPP * 1000))

    return {
        "asap-xml": Text(
            f"{_XML}<ASAP_Annotations><Annotations>",
            lambda x, y, n: _DOT.format(x=x, y=y, n=n),
            "\n",
            "</Annotations><AnnotationGroups></AnnotationGroups></ASAP_Annotations>",
        ),
        "imagescope-xml": Text(
            f'<Annotations MicronsPerPixel="{MPP}"><Annotation Id="1" Name="Mitosis" Type="4"><Regions>',
            lambda x, y, n: _REGION.format(x=x, y=y, n=n),
            "\n",
            "</Regions></Annotation></Annotations>",
        ),
        "ndpa": Text(f"{_XML}<annotations>", view, "", "</annotations>"),
        "grand-challenge-json": Text(
            '{"name":"Points of interest","type":"Multiple points","points":[',
            lambda x, y, _: (
                f'{{"name":"mitotic figure","point":[{x * MPP / 1000},{y * MPP / 1000},0],"probability":0.9}}'
            ),
            ",",
            '],"version":{"major":1,"minor":0}}',
        ),
        "cellvit-json": Text('{"wsi_metadata":{},"type_map":{"1":"Mitotic figure"},"cells":[', _cell, ",", "]}"),
        "hovernext-json": Text("{", lambda x, y, n: f'"{n}":[7,[{y / 2},{x / 2}]]', ",", "}"),
        "hovernext-tsv": Text("x\ty\tname\tcolor\n", lambda x, y, _: f"{x}\t{y}\tmitosis\t-256", "\n", "\n"),
        "midog-json": Text(
            f'{{"images":[{image}],"categories":[{{"id":1,"name":"mitotic figure"}}],"annotations":[', _box, ",", "]}"
        ),
        "midog25-csv": Text(
            "image_id,filename,coordinateX,coordinateY,expert1,expert2,expert3,majority\n",
            lambda x, y, n: f"{n}.png,{SLIDE_NAME},{x},{y},AMF,NMF,AMF,AMF",
            "\n",
            "\n",
        ),
        "ami-br-csv": Text(
            "slide,dataset,uid,x,y,expert1_atypical,expert2_atypical,expert3_atypical,majority_atypical\n",
            lambda x, y, n: f"{SLIDE_NAME},MIDOG21,{n},{x},{y},True,False,True,True",
            "\n",
            "\n",
        ),
        "qupath-geojson": Text(
            '{"type":"FeatureCollection","features":[', lambda x, y, n: _GEOJSON_POINT.format(x=x, y=y, n=n), ",", "]}"
        ),
        "qupath-points": Text("x\ty\tclass\n", lambda x, y, _: f"{x}\t{y}\tMitosis", "\n", "\n"),
        "qupath-measurements": Text(
            "Image\tObject ID\tObject type\tClassification\tCentroid X µm\tCentroid Y µm\n",
            lambda x, y, n: f"{SLIDE_NAME}\t{n}\tDetection\tMitosis\t{x * MPP}\t{y * MPP}",
            "\n",
            "\n",
        ),
        "csv": Text("id,x,y,score\n", lambda x, y, n: f"{n},{x},{y},0.5", "\n", "\n"),
    }


def write_points(path: Path, name: str, places: Places, side_px: int) -> None:
    """Write points in the format that wsiamf calls ``name``."""
    known = texts(side_px)
    if name in known:
        with path.open("w", encoding="utf-8") as stream:
            stream.writelines(_pieces(known[name], places))
    elif name == "parquet":
        pd.DataFrame(places, columns=["x", "y"]).assign(score=0.5).to_parquet(path)
    else:
        _write_database(path, name, places)


def _pieces(text: Text, places: Places) -> Iterator[str]:
    yield text.head
    for n, (x, y) in enumerate(places, start=1):
        if n > 1:
            yield text.between
        yield text.point(x, y, n)
    yield text.foot


_STORE: Final[tuple[str, ...]] = (
    (
        "CREATE TABLE annotations(id INTEGER PRIMARY KEY, key TEXT UNIQUE, objtype TEXT, cx FLOAT NOT NULL, cy FLOAT NOT NULL, "
        "geometry BLOB, properties TEXT, area FLOAT NOT NULL)"
    ),
)
_SLIDERUNNER: Final[tuple[str, ...]] = (
    "CREATE TABLE Slides(uid INTEGER PRIMARY KEY, filename TEXT, width INTEGER, height INTEGER, directory TEXT)",
    "INSERT INTO Slides VALUES (1, 'slide.svs', 0, 0, '')",
    "CREATE TABLE Classes(uid INTEGER PRIMARY KEY, name TEXT)",
    "INSERT INTO Classes VALUES (1, 'Mitosis')",
    "CREATE TABLE Persons(uid INTEGER PRIMARY KEY, name TEXT)",
    "INSERT INTO Persons VALUES (1, 'A')",
    "CREATE TABLE Annotations(uid INTEGER PRIMARY KEY, slide INTEGER, type INTEGER, agreedClass INTEGER)",
    (
        "CREATE TABLE Annotations_coordinates(uid INTEGER PRIMARY KEY, coordinateX INTEGER, coordinateY INTEGER, "
        "slide INTEGER, annoId INTEGER, orderIdx INTEGER)"
    ),
    "CREATE TABLE Annotations_label(uid INTEGER PRIMARY KEY, person INTEGER, class INTEGER, annoId INTEGER)",
)
_PROPERTIES: Final = '{"type":"Mitotic_Figure","probability":0.9}'


def _write_database(path: Path, name: str, places: Places) -> None:
    numbered = list(enumerate(places, start=1))
    rows: dict[str, Iterable[tuple[object, ...]]]
    if name == "tiatoolbox-db":
        made = _STORE
        rows = {"annotations": ((n, str(n), "Point", x, y, None, _PROPERTIES, 0.0) for n, (x, y) in numbered)}
    elif name == "sliderunner":
        made = _SLIDERUNNER
        rows = {
            "Annotations": ((n, 1, 1, 1) for n, _ in numbered),
            "Annotations_coordinates": ((n, round(x), round(y), 1, n, 1) for n, (x, y) in numbered),
            "Annotations_label": ((n, 1, 1, n) for n, _ in numbered),
        }
    else:
        raise ValueError(f"no writer for {name}")
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in made:
            connection.execute(statement)
        for table, values in rows.items():
            n_columns = len(connection.execute(f"PRAGMA table_info({table})").fetchall())
            connection.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * n_columns)})", values)  # noqa: S608
