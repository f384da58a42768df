"""Slides at an address through the commands: screen, info, points, cohort, verify and export, with and without credentials."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.coordinate_slide import coordinate_coded, write_pyramid_tiff
from tests.remote_store import WebServer, put_in_memory, serving
from tests.tiny_model import tiny_bundle
from wsiamf import screen_slide
from wsiamf.addresses import Url
from wsiamf.cli.main import run
from wsiamf.cohort.child_process import Request
from wsiamf.cohort.manifest import read_manifest
from wsiamf.errors import ExportError, ManifestError
from wsiamf.export.exporting import export_results
from wsiamf.slides import read_fingerprint
from wsiamf.slides.finding import find_slide

SIGNATURE = "?X-Amz-Signature=0badc0ffee0badc0ffee&alt=media"
SECRETS = (b"s3cr3t", b"0badc0ffee", b"alt=media")
POINTS = "id,x,y,score\na,200,200,0.9\nb,500,400,0.8\nc,790,595,0.7\n"


@pytest.fixture(autouse=True, scope="module")
def _no_proxy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pyramid_tiff(tmp_path_factory.mktemp("slides") / "slide.tiff", coordinate_coded(800, 600), 0.25)


@pytest.fixture(scope="module")
def server(slide: Path) -> Iterator[WebServer]:
    with serving({"/data/slide.tiff": slide.read_bytes()}) as content:
        yield content


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("points") / "points.csv"
    path.write_text(POINTS)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("model")).folder


@pytest.fixture(scope="module")
def result(server: WebServer, points: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a screening of the signed address."""
    out = tmp_path_factory.mktemp("remote")
    return screen_slide(signed(server), points, out=out, model=model).folder


def signed(server: WebServer) -> str:
    """The slide's address with all the credentials that one can hold."""
    return server.url("/data/slide.tiff").replace("http://", "http://me:s3cr3t@") + SIGNATURE


def check_no_secrets(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in SECRETS if secret in content], path


def test_results_are_those_of_the_local_slide_and_hold_no_credentials(
    result: Path, server: WebServer, slide: Path, points: Path, model: Path, tmp_path: Path
) -> None:
    local = screen_slide(slide, points, out=tmp_path, model=model).folder
    assert result.name == local.name == "slide"
    for path in sorted(local.iterdir()):
        if path.name not in ("run.json", "summary.json", "report.html"):  # which name the reading library
            assert (result / path.name).read_bytes() == path.read_bytes(), path.name
    check_no_secrets(result)
    record = json.loads((result / "run.json").read_text())
    assert record["host"]["paths"]["slide"] == server.url("/data/slide.tiff")
    assert record["slide"]["name"] == "slide.tiff"
    assert record["key"] == json.loads((local / "run.json").read_text())["key"]


def test_the_commands_take_an_address(
    server: WebServer, points: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["info", signed(server)]) == 0
    assert re.search(r"name +slide\.tiff\nvendor +generic-tiff", capsys.readouterr().out)
    assert run(["points", "inspect", str(points), "--slide", signed(server)]) == 0
    assert run(["screen", signed(server), "--points", str(points), "--out", str(out), "--model", str(model)]) == 0
    assert capsys.readouterr().out.rstrip().endswith("slide")
    assert run(["verify", str(out)]) == 0
    assert run(["info", server.url("/gone.svs") + SIGNATURE]) == 1
    said = capsys.readouterr()
    assert f"wsiamf: error: {server.url('/gone.svs')}: no such slide at this address" in said.err
    assert not [secret for secret in SECRETS if secret.decode() in said.err + said.out]


@pytest.mark.long
def test_a_cohort_of_addresses_and_paths(
    server: WebServer, slide: Path, points: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, manifest = tmp_path / "out", points.parent / "cohort.csv"
    rows = [
        f"{signed(server)},points.csv,remote",
        f"{slide},points.csv,local",
        f"{server.url('/gone.svs')},points.csv,",
    ]
    manifest.write_text("slide,points,slide_id\n" + "\n".join(rows) + "\n")
    command = ["cohort", str(manifest), "--out", str(out), "--model", str(model), "--workers", "0"]
    assert run(command) == 1
    failures = (out / "failures.csv").read_text()
    assert "no such slide at this address" in failures
    assert failures.count("\n") == 2
    check_no_secrets(out)
    first = (out / "remote" / "run.json").read_bytes()
    del rows[2]
    manifest.write_text("slide,points,slide_id\n" + "\n".join(rows) + "\n")
    assert run(command) == 0
    assert (out / "remote" / "run.json").read_bytes() == first, "what is done was done again"
    capsys.readouterr()
    assert run(["verify", str(out)]) == 0


def test_a_manifest_leaves_addresses_as_they_are_and_checks_them_without_a_network(points: Path) -> None:
    manifest = points.parent / "manifest.csv"
    manifest.write_text("slide,points\ns3://bucket/a/x.svs,points.csv\nhttps://no.host/y.svs?sig=1,points.csv\n")
    first, second = read_manifest(manifest)
    assert (first.slide, first.slide_id) == (Url("s3://bucket/a/x.svs"), "x")
    assert isinstance(second.slide, Url)
    assert second.slide.full == "https://no.host/y.svs?sig=1"
    assert second.as_json()["slide"] == "https://no.host/y.svs"
    sent = Request(second, {}, None, overwrite=False).as_json()["item"]  # to the process that opens it
    assert second.from_json(json.loads(json.dumps(sent))) == second
    manifest.write_text(
        "slide,points\ns3://bucket/x.mrxs,points.csv\nnonsense://a/b.svs,points.csv\nhttps://h/,points.csv\n"
    )
    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest)
    _, mrxs, protocol, *no_name = str(caught.value).splitlines()
    assert mrxs.endswith(
        "row 1: slide s3://bucket/x.mrxs: an MRXS slide, which is a file and a folder; copy it to a local disk first."
    )
    assert "row 2: slide nonsense://a/b.svs: nonsense:// is no protocol" in protocol
    assert any("names no file" in line for line in no_name)


def test_a_slide_of_another_address_is_found_where_it_was_or_in_a_folder(slide: Path) -> None:
    url = put_in_memory(slide, "finding/slide.tiff")
    fingerprint = read_fingerprint(slide)
    assert find_slide("slide.tiff", fingerprint, url) == url
    assert find_slide("slide.tiff", fingerprint, Url("memory://lost/slide.tiff"), [slide.parent]) == slide


def test_what_opens_in_qupath_needs_the_slide_on_a_disk(result: Path, slide: Path, tmp_path: Path) -> None:
    export_results(result, "qupath-points", target=tmp_path)
    with pytest.raises(ExportError, match=r"/data/slide\.tiff: an address; copy the slide to a local disk .*--slide"):
        export_results(result, "qupath-project", target=tmp_path)
    (script,) = export_results(result, "qupath-project", target=tmp_path, slide=slide)
    assert script.is_file()
    check_no_secrets(tmp_path)
