"""Points files as other programs write them, each from its layout's source (named in the reader's docstring)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

Point = tuple[float, float]


def asap(objects: Sequence[tuple[str, str, Sequence[Point]]]) -> bytes:
    """ASAP's XML of (type, group, coordinates)."""
    annotations = "".join(
        f'\t\t<Annotation Name="Annotation {number}" Type="{kind}" PartOfGroup="{group}" Color="#F4FA58">\n'
        "\t\t\t<Coordinates>\n"
        + "".join(
            f'\t\t\t\t<Coordinate Order="{order}" X="{x!r}" Y="{y!r}" />\n' for order, (x, y) in enumerate(places)
        )
        + "\t\t\t</Coordinates>\n\t\t</Annotation>\n"
        for number, (kind, group, places) in enumerate(objects)
    )
    groups = "".join(
        f'\t\t<Group Name="{group}" PartOfGroup="None" Color="#64FE2E">\n\t\t\t<Attributes />\n\t\t</Group>\n'
        for group in sorted({group for _, group, _ in objects} - {"None"})
    )
    return (
        '<?xml version="1.0"?>\n<ASAP_Annotations>\n\t<Annotations>\n'
        f"{annotations}\t</Annotations>\n\t<AnnotationGroups>\n{groups}\t</AnnotationGroups>\n</ASAP_Annotations>\n"
    ).encode()


def imagescope(
    layers: Sequence[tuple[str, Sequence[tuple[str, str, Sequence[Point]]]]], mpp: str = "0.250000", negative: str = "0"
) -> bytes:
    """ImageScope's XML of layers: (name, regions of (type, text, vertices))."""
    text = f'<Annotations MicronsPerPixel="{mpp}">\n'
    for number, (name, regions) in enumerate(layers, start=1):
        text += (
            f'\t<Annotation Id="{number}" Name="{name}" ReadOnly="0" NameReadOnly="0" LineColorReadOnly="0" '
            'Incremental="0" Type="4" LineColor="65280" Visible="1" Selected="1" MarkupImagePath="" MacroName="">\n'
            '\t\t<Attributes>\n\t\t\t<Attribute Name="Description" Id="0" Value=""/>\n\t\t</Attributes>\n\t\t<Regions>\n'
            '\t\t\t<RegionAttributeHeaders>\n\t\t\t\t<AttributeHeader Id="9999" Name="Region" ColumnWidth="-1"/>\n'
            "\t\t\t</RegionAttributeHeaders>\n"
        )
        for at, (kind, words, vertices) in enumerate(regions, start=1):
            text += (
                f'\t\t\t<Region Id="{at}" Type="{kind}" Zoom="1" Selected="0" ImageLocation="" ImageFocus="-1" '
                f'Length="0" Area="0" LengthMicrons="0" AreaMicrons="0" Text="{words}" NegativeROA="{negative}" '
                f'InputRegionId="0" Analyze="1" DisplayId="{at}">\n\t\t\t\t<Attributes/>\n\t\t\t\t<Vertices>\n'
                + "".join(f'\t\t\t\t\t<Vertex X="{x!r}" Y="{y!r}" Z="0"/>\n' for x, y in vertices)
                + "\t\t\t\t</Vertices>\n\t\t\t</Region>\n"
            )
        text += "\t\t</Regions>\n\t\t<Plots/>\n\t</Annotation>\n"
    return (text + "</Annotations>\n").encode()


def ndpa_pin(x: int, y: int, kind: str = "pin") -> str:
    """The annotation of one point; x, y in nm."""
    return (
        f'<annotation type="{kind}" displayname="AnnotatePin" color="#ffff00"><x>{x}</x><y>{y}</y>'
        "<icon>pin</icon><stricon>iconpin</stricon></annotation>"
    )


def ndpa_freehand(places: Sequence[tuple[int, int]]) -> str:
    """The annotation of an outline; nm."""
    points = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in places)
    return (
        '<annotation type="freehand" displayname="AnnotateFreehand" color="#00ffff"><measuretype>0</measuretype>'
        f"<closed>1</closed><pointlist>{points}</pointlist></annotation>"
    )


def ndpa(views: Sequence[tuple[str, str]], coordformat: str = "nanometers") -> bytes:
    """NDP.view's file of (title, annotation)."""
    states = "".join(
        f'<ndpviewstate id="{number}"><title>{title}</title><details/><coordformat>{coordformat}</coordformat>'
        "<lens>40.000000</lens><x>-123456</x><y>654321</y><z>0</z><showtitle>0</showtitle>"
        f"<showhistogram>0</showhistogram><showlineprofile>0</showlineprofile>{annotation}</ndpviewstate>"
        for number, (title, annotation) in enumerate(views, start=1)
    )
    return f'<?xml version="1.0" encoding="utf-8" standalone="yes"?><annotations>{states}</annotations>'.encode()


def grand_challenge(points: Sequence[dict[str, Any]]) -> bytes:
    """MIDOG's output of track 1."""
    version = {"major": 1, "minor": 0}
    document = {"name": "Points of interest", "type": "Multiple points", "points": points, "version": version}
    return json.dumps(document, indent=4).encode()


def cellvit(cells: Sequence[dict[str, Any]], type_map: dict[str, str]) -> bytes:
    """CellViT's cells.json."""
    metadata = {"base_magnification": 40.0, "base_mpp": 0.25, "target_patch_mpp": 0.25, "patch_size": 1024}
    return json.dumps({"wsi_metadata": metadata, "type_map": type_map, "cells": list(cells)}).encode()


def cell(x: float, y: float, kind: int, probability: float = 0.5) -> dict[str, Any]:
    """One of CellViT's cells, a square of 20 px."""
    left, top, right, bottom = x - 10, y - 10, x + 10, y + 10
    return {
        "bbox": [[top, left], [bottom, right]],
        "centroid": [x, y],
        "contour": [[left, top], [right, top], [right, bottom], [left, bottom]],
        "type_prob": probability,
        "type": kind,
        "patch_coordinates": [1, 1],
        "cell_status": 0,
        "offset_global": [0, 0],
    }


def hovernext_table(points: Sequence[Point], name: str = "mitosis") -> bytes:
    """HoVer-NeXt's pred_<class>.tsv."""
    return ("x\ty\tname\tcolor\n" + "".join(f"{x!r}\t{y!r}\t{name}\t-256\n" for x, y in points)).encode()


def hovernext_nuclei(nuclei: Sequence[tuple[int, float, float]]) -> bytes:
    """HoVer-NeXt's class_inst.json of (class, x, y)."""
    return json.dumps({str(n): [kind, [y, x]] for n, (kind, x, y) in enumerate(nuclei, start=1)}).encode()


def tiatoolbox_store(path: Path, rows: Sequence[tuple[float, float, dict[str, Any] | str, float]]) -> Path:
    """A store's tables, as its SQLiteStore makes them, but for the spatial index; rows of (cx, cy, properties, area)."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE metadata (key TEXT UNIQUE, value TEXT)")
        connection.execute(
            "CREATE TABLE annotations(id INTEGER PRIMARY KEY, key TEXT UNIQUE, objtype TEXT, cx FLOAT NOT NULL, "
            "cy FLOAT NOT NULL, geometry BLOB, properties TEXT, area FLOAT NOT NULL)"
        )
        connection.executemany(
            "INSERT INTO annotations VALUES (NULL, ?, 'Point', ?, ?, NULL, ?, ?)",
            [
                (f"key-{number}", x, y, known if isinstance(known, str) else json.dumps(known), area)
                for number, (x, y, known, area) in enumerate(rows, start=1)
            ],
        )
    connection.close()
    return path


def qupath_measurements(
    image: str, objects: Sequence[tuple[str, str, str | None, float, float]], mpp_xy: Point, separator: str = "\t"
) -> bytes:
    """QuPath's table (MeasurementExporter) of (id, type, class, x, y), px from the bounds' corner.

    It writes um by the spacing of each axis, with fewer decimals the larger they are (MeasurementBuilder.formatNumber).
    """
    header = ("Image", "Object ID", "Object type", "Name", "Classification", "Parent", "ROI")
    rows: list[tuple[str, ...]] = [(*header, "Centroid X µm", "Centroid Y µm", "Area µm^2")]
    for identity, kind, name, x, y in objects:
        um = (qupath_number(px * mpp) for px, mpp in zip((x, y), mpp_xy, strict=True))
        rows.append((image, identity, kind, "", name or "", "Root object (Image)", "Polygon", *um, "156.25"))
    return "".join(separator.join(row) + "\n" for row in rows).encode()


def qupath_number(value: float) -> str:
    """A measurement as QuPath writes it."""
    return f"{value:.{qupath_decimals(value)}f}".rstrip("0").rstrip(".")


def qupath_decimals(value: float) -> int:
    """How many decimals of a measurement QuPath writes at most."""
    return 1 if value > 1000 else 2 if value > 10 else 3 if value > 1 else 4


def ami_br(rows: Sequence[tuple[str, str, int, int, int, Sequence[bool]]]) -> str:
    """AMi-Br's table, as its authors' pandas wrote it, of (slide, dataset, uid, x, y, three experts' atypical)."""
    words = {True: "AMF bipolar assymetric", False: "NMF metaphase"}  # the file's spelling
    table = [
        {"slide": slide, "dataset": dataset, "uid": uid, "x": x, "y": y}
        | {f"expert{number}_label": words[vote] for number, vote in enumerate(votes[:2], start=1)}
        | {f"expert{number}_atypical": vote for number, vote in enumerate(votes, start=1)}
        | {"majority_atypical": sum(votes) >= 2}
        for slide, dataset, uid, x, y, votes in rows
    ]
    return pd.DataFrame(table).to_csv()
