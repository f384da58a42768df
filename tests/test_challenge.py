"""``wsiamf challenge``: stacks in, answers that the track 2 evaluator takes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import tifffile
from numpy.typing import NDArray

from tests.coordinate_slide import coordinate_coded, write_pyramid_tiff
from tests.tiny_model import tiny_bundle
from wsiamf.challenge import ANSWERS, SOCKET, find_stack, fit_page, read_crops
from wsiamf.cli.main import run
from wsiamf.crops import paint_padding_white, plan_reading, read_crop
from wsiamf.errors import CropError
from wsiamf.inference import Classifier, load_model
from wsiamf.slides import open_slide
from wsiamf.slides.resolution import Resolution
from wsiamf.slides.stacks import StackPage, read_stack
from wsiamf.spec import Calibration, ModelSpec

ROOT = Path(__file__).resolve().parent.parent
Pixels = NDArray[np.uint8]
ODD = np.uint8(1)  # or-ed into noise, so that nothing of it can be taken for padding


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier(tiny_bundle(tmp_path_factory.mktemp("model")), device="cpu")


@pytest.fixture
def spec(classifier: Classifier) -> ModelSpec:
    return classifier.spec


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def job(folder: Path, *stacks: str, sockets: Any = None) -> Path:
    """An input folder as the platform has it; returns where its stack belongs."""
    images = folder / "images" / SOCKET
    images.mkdir(parents=True)
    inputs = [{"image": {"name": "stack.tiff"}, "interface": {"slug": SOCKET}}] if sockets is None else sockets
    (folder / "inputs.json").write_text(inputs if isinstance(inputs, str) else json.dumps(inputs))
    for name in stacks:
        tifffile.imwrite(images / name, noise(2, 128, 128, 3), photometric="rgb")
    return images


def write_mha(path: Path, pages: Pixels, mm: tuple[float, ...] | None = None, *, compress: bool = False) -> None:
    image: Any = SimpleITK.GetImageFromArray(pages, isVector=pages.shape[-1] in (2, 3, 4))
    if mm is not None:
        image.SetSpacing(mm)
    SimpleITK.WriteImage(image, str(path.with_suffix(".mha")), compress)
    path.with_suffix(".mha").rename(path)


def answer(folder: Path, model: Path | None, *options: str) -> int:
    chosen = [] if model is None else ["--model", str(model)]
    arguments = ["--input", str(folder), "--output", str(folder / "out"), "--device", "cpu", *chosen, *options]
    return run(["challenge", *arguments])


def evaluated(text: str, n_pages: int) -> list[dict[str, Any]]:
    """What the evaluator demands before it counts anything, and what wsiamf promises beyond it."""
    entries = json.loads(text)
    assert isinstance(entries, list)
    assert len(entries) == n_pages
    for entry in entries:
        assert isinstance(entry, dict)
        assert set(entry) == {"class", "confidence"}
        assert entry["class"] in ("normal", "atypical")
        assert isinstance(entry["confidence"], float)
        assert 0.0 <= entry["confidence"] <= 1.0
    numbers = re.findall(r'"confidence":\s*([^,}\s]+)', text)
    assert len(numbers) == n_pages
    assert all(re.fullmatch(r"\d+\.\d+|\d(\.\d+)?e-\d+", number) for number in numbers)
    return entries


# Answers


def test_the_checker_can_fail() -> None:
    evaluated('[{"class": "normal", "confidence": 1.0}]', 1)
    for text in (
        '[{"class": "normal", "confidence": 1}]',
        '[{"class": "normal", "confidence": "0.5"}]',
        '[{"class": "NMF", "confidence": 0.5}]',
        '[{"class": "normal"}]',
        "[]",
        '{"class": "normal", "confidence": 0.5}',
    ):
        with pytest.raises(AssertionError):
            evaluated(text, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "deflate"},
        {"compression": None},
        {"compression": "lzw", "predictor": True},
        {"compression": "zstd", "rowsperstrip": 7},
        {"planarconfig": "separate", "compression": "deflate"},
        {"planarconfig": "separate", "tile": (64, 48)},
        {"tile": (32, 32), "compression": "deflate"},
        {"bigtiff": True, "byteorder": ">"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
@pytest.mark.parametrize("n_pages", [1, 5])
def test_answers_are_what_the_model_says(
    tmp_path: Path, classifier: Classifier, options: dict[str, Any], n_pages: int
) -> None:
    crops = noise(n_pages, 128, 128, 3)
    separate = options.get("planarconfig") == "separate"
    stored = crops.transpose(0, 3, 1, 2) if separate else crops
    stored = stored[0] if n_pages == 1 else stored  # a stack of one is written as one 2-D picture
    tifffile.imwrite(job(tmp_path) / "stack.tif", stored, photometric="rgb", **options)
    assert (read_crops(find_stack(tmp_path), classifier.spec) == crops).all()
    p = classifier.predict(crops).p_atypical.round(6)
    cut_off = float(np.median(p))  # so that both classes come, and one page lies exactly on it
    assert answer(tmp_path, classifier.bundle.folder, "--threshold", str(cut_off)) == 0
    entries = evaluated((tmp_path / "out" / ANSWERS).read_text(), n_pages)
    assert [entry["confidence"] for entry in entries] == p.tolist()
    assert [entry["class"] == "atypical" for entry in entries] == (p >= cut_off).tolist()
    assert {entry["class"] for entry in entries} == ({"atypical", "normal"} if n_pages > 1 else {"atypical"})


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("n_pages", [1, 4])
def test_mha_answers_as_tiff_does(tmp_path: Path, classifier: Classifier, n_pages: int, compress: bool) -> None:
    crops = noise(n_pages, 128, 128, 3)
    tifffile.imwrite(job(tmp_path / "tiff") / "a.tiff", crops, photometric="rgb")
    stored = crops[0] if n_pages == 1 else crops
    write_mha(job(tmp_path / "mha") / "a.MHA", stored, (0.00025, 0.00025, 1.0)[: stored.ndim - 1], compress=compress)
    texts = []
    for kind in ("tiff", "mha"):
        assert answer(tmp_path / kind, classifier.bundle.folder) == 0
        texts.append((tmp_path / kind / "out" / ANSWERS).read_bytes())
    assert texts[0] == texts[1]
    evaluated(texts[0].decode(), n_pages)


@pytest.mark.parametrize("shipped", [True, False])
def test_the_organisers_stack(
    tmp_path: Path, shared_data: Path, classifier: Classifier, shipped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared_data / "challenge" / "stack_5.tiff"
    images = job(tmp_path)
    (images / "stack_5.tiff").symlink_to(source)
    assert answer(tmp_path, None if shipped else classifier.bundle.folder) == 0
    entries = evaluated((tmp_path / "out" / ANSWERS).read_text(), 16)
    shown = capsys.readouterr()
    assert "page" not in shown.err  # slightly anisotropic, but nothing to warn of
    model = load_model(device="cpu") if shipped else classifier
    p = model.predict(paint_padding_white(tifffile.imread(source))).p_atypical
    assert [entry["confidence"] for entry in entries] == [round(float(value), 6) for value in p]
    assert [entry["class"] == "atypical" for entry in entries] == (p >= model.spec.thresholds.balanced).tolist()


def test_both_readers_agree_on_the_organisers_stack(tmp_path: Path, shared_data: Path, spec: ModelSpec) -> None:
    source = shared_data / "challenge" / "stack_5.tiff"
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(source)), str(tmp_path / "stack.mha"), True)
    assert (read_crops(tmp_path / "stack.mha", spec) == read_crops(source, spec)).all()


@pytest.mark.parametrize(("b", "confidence", "word"), [(60.0, "1.0", "atypical"), (-60.0, "0.0", "normal")])
def test_certainty_stays_a_float(tmp_path: Path, b: float, confidence: str, word: str) -> None:
    bundle = tiny_bundle(tmp_path / "sure", calibration=Calibration(a=0.0, b=b))
    job(tmp_path, "stack.tiff")
    assert answer(tmp_path, bundle.folder) == 0
    text = (tmp_path / "out" / ANSWERS).read_text()
    assert f'"confidence": {confidence}\n' in text
    assert {entry["class"] for entry in evaluated(text, 2)} == {word}


@pytest.mark.parametrize(("threshold", "word"), [("0", "atypical"), ("1", "normal")])
def test_the_threshold_decides_the_class(tmp_path: Path, classifier: Classifier, threshold: str, word: str) -> None:
    job(tmp_path, "stack.tiff")
    assert answer(tmp_path, classifier.bundle.folder, "--threshold", threshold) == 0
    entries = evaluated((tmp_path / "out" / ANSWERS).read_text(), 2)
    assert {entry["class"] for entry in entries} == {word}
    p = classifier.predict(noise(2, 128, 128, 3)).p_atypical
    assert [entry["confidence"] for entry in entries] == pytest.approx(p, abs=1e-6)


# Pages


@pytest.mark.parametrize("kind", ["grey", "inverted", "grey+alpha", "rgba", "fifth"])
def test_pages_of_other_colours(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "stack.tiff"
    n_samples = {"grey": 1, "inverted": 1, "grey+alpha": 2, "rgba": 4, "fifth": 4}[kind]
    samples = noise(2, 30, 20, n_samples)
    samples[..., -1] = samples[..., -1] if n_samples == 1 else np.where(samples[..., -1] > 127, 255, 0)
    photometric = {"inverted": "miniswhite", "rgba": "rgb", "fifth": "rgb"}.get(kind, "minisblack")
    extra = {"grey+alpha": ["unassalpha"], "rgba": ["unassalpha"], "fifth": ["unspecified"]}.get(kind)
    with tifffile.TiffWriter(path) as writer:
        for page in samples:
            writer.write(page.squeeze(), photometric=photometric, extrasamples=extra, metadata=None)
    colours = samples[..., :3] if n_samples == 4 else np.repeat(samples[..., :1], 3, axis=3)
    wanted = {"inverted": 255 - colours, "grey": colours, "fifth": colours}.get(
        kind, np.where(samples[..., -1:] == 255, colours, 255)
    )
    assert (np.stack([page.pixels_HW3 for page in read_stack(path)]) == wanted).all()


def test_mha_pages_of_other_colours(tmp_path: Path) -> None:
    grey, rgba = noise(3, 30, 20), noise(3, 30, 20, 4)
    rgba[..., 3] = np.where(rgba[..., 3] > 127, 255, 0)
    write_mha(tmp_path / "grey.mha", grey)
    write_mha(tmp_path / "rgba.mha", rgba)
    assert (pages(tmp_path / "grey.mha") == grey[..., None]).all()
    assert (pages(tmp_path / "rgba.mha") == np.where(rgba[..., 3:] == 255, rgba[..., :3], 255)).all()


def pages(path: Path) -> Pixels:
    return np.stack([page.pixels_HW3 for page in read_stack(path)])


def test_jpeg_pages(tmp_path: Path) -> None:
    path = tmp_path / "stack.tiff"
    tifffile.imwrite(
        path, np.repeat(noise(3, 16, 16, 3), 8, axis=1).repeat(8, axis=2), photometric="rgb", compression="jpeg"
    )
    assert (pages(path) == tifffile.imread(path)).all()


def test_the_placeholder_of_the_platform(
    tmp_path: Path, classifier: Classifier, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mha(job(tmp_path) / "placeholder.mha", np.zeros((1, 1), dtype=np.uint8))
    assert answer(tmp_path, classifier.bundle.folder) == 0
    evaluated((tmp_path / "out" / ANSWERS).read_text(), 1)
    assert "placeholder.mha: page 1: 1x1 px instead of 128x128" in capsys.readouterr().err


@pytest.mark.parametrize(("width", "height"), [(128, 128), (200, 131), (127, 64), (31, 300), (129, 129), (1, 1)])
def test_the_middle_of_a_page_stays_the_middle(spec: ModelSpec, width: int, height: int) -> None:
    pixels = noise(height, width, 3) | ODD
    crop = fit_page(StackPage(pixels, Resolution()), spec)
    assert crop.shape == (128, 128, 3)
    for y, x in np.ndindex(128, 128):
        row, column = y - 64 + height // 2, x - 64 + width // 2
        inside = 0 <= row < height and 0 <= column < width
        assert (crop[y, x] == (pixels[row, column] if inside else 255)).all()


@pytest.mark.parametrize(("x", "y"), [(0.2482, 0.2491), (0.226, 0.226), (0.275, 0.2727)])
def test_inside_the_tolerance_pages_are_read_as_they_are(spec: ModelSpec, x: float, y: float) -> None:
    pixels = noise(128, 128, 3)
    assert (fit_page(StackPage(pixels, Resolution(x, y, "tag")), spec) == pixels).all()


@pytest.mark.parametrize("mpp", [0.125, 0.18, 0.4, 0.5])
def test_outside_it_they_are_resampled_as_a_slide_is(tmp_path: Path, spec: ModelSpec, mpp: float) -> None:
    smooth = coordinate_coded(300, 300)[:, :, :2].repeat(2, axis=2)[:, :, :3] // 2 + 40
    path = write_pyramid_tiff(tmp_path / "slide.tiff", smooth, mpp, levels=1)
    with open_slide(path) as slide:
        plan = plan_reading(mpp, (1.0,), target_mpp=spec.mpp, tolerance=spec.mpp_tolerance)
        wanted = read_crop(slide, (150.0, 150.0), plan)
    crop = fit_page(StackPage(smooth, Resolution(mpp, mpp, "tag")), spec)
    assert np.abs(crop.astype(int) - wanted).max() <= 1


def test_each_axis_has_its_own_resolution(spec: ModelSpec) -> None:
    x = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (128, 256, 3))
    crop = fit_page(StackPage(np.ascontiguousarray(x) | ODD, Resolution(0.125, 0.25, "tag")), spec)
    assert np.abs(np.diff(crop[0, 4:-4, 0].astype(int)) - 2).max() <= 1
    assert (crop == crop[:1]).all()


@pytest.mark.parametrize(
    ("options", "remark"),
    [
        (
            {"resolution": (20_000, 20_000), "resolutionunit": "centimeter"},
            "stack.tiff: pages 1, 2, 3: states 0.5 x 0.5 um/px",
        ),
        ({"resolution": (72, 72), "resolutionunit": "inch"}, "states 352.8 x 352.8 um/px"),
        ({"resolution": (40_000, 40_000), "resolutionunit": "centimeter"}, None),
        ({"resolution": (72, 72), "resolutionunit": "none"}, None),
        ({}, None),
    ],
)
def test_what_is_said_of_the_resolution(
    tmp_path: Path, spec: ModelSpec, caplog: pytest.LogCaptureFixture, options: dict[str, Any], remark: str | None
) -> None:
    tifffile.imwrite(tmp_path / "stack.tiff", noise(3, 128, 128, 3), photometric="rgb", **options)
    read_crops(tmp_path / "stack.tiff", spec)
    assert caplog.text == "" if remark is None else remark in caplog.text
    assert caplog.text.count("\n") == (remark is not None)


def test_itk_spacing_is_in_mm(tmp_path: Path, spec: ModelSpec, caplog: pytest.LogCaptureFixture) -> None:
    write_mha(tmp_path / "near.mha", noise(2, 128, 128, 3), (0.00025, 0.00024, 1.0))
    write_mha(tmp_path / "unstated.mha", noise(2, 128, 128, 3))
    for name in ("near", "unstated"):
        assert (read_crops(tmp_path / f"{name}.mha", spec) == noise(2, 128, 128, 3)).all()
    assert caplog.text == ""
    write_mha(tmp_path / "coarse.mha", noise(2, 128, 128, 3), (0.0005, 0.0005, 1.0))
    read_crops(tmp_path / "coarse.mha", spec)
    assert "coarse.mha: pages 1, 2: states 0.5 x 0.5 um/px (ElementSpacing); resampled" in caplog.text


def test_black_padding_is_painted_white(tmp_path: Path, spec: ModelSpec) -> None:
    stored = noise(2, 128, 128, 3) | ODD
    stored[0, :30] = 0
    stored[1, :, 100:] = 0
    tifffile.imwrite(tmp_path / "stack.tiff", stored, photometric="rgb")
    crops = read_crops(tmp_path / "stack.tiff", spec)
    assert (crops == paint_padding_white(stored)).all()
    assert (crops[0, :30] == 255).all()
    assert (crops[1, :, 100:] == 255).all()


# What is wrong with a stack


def pages_or_refusal(path: Path) -> Pixels | str:
    try:
        return pages(path)
    except CropError as error:
        return str(error)


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_no_truncated_tiff_passes(tmp_path: Path, compression: str | None) -> None:
    whole, cut = tmp_path / "whole.tiff", tmp_path / "cut.tiff"
    tifffile.imwrite(whole, noise(4, 12, 12, 3), photometric="rgb", compression=compression, metadata=None)
    data = whole.read_bytes()
    for length in range(0, len(data), 7):
        cut.write_bytes(data[:length])
        read = pages_or_refusal(cut)
        if isinstance(read, str):
            assert re.search(r"cut\.tiff: (incomplete, .*page \d|not a readable TIFF)", read)
        else:  # only tags of the last page that nobody needs are cut off
            assert length > len(data) - 30
            assert (read == tifffile.imread(whole)).all()


@pytest.mark.parametrize("compress", [False, True])
def test_no_truncated_mha_passes(tmp_path: Path, compress: bool, capfd: pytest.CaptureFixture[str]) -> None:
    whole, cut = tmp_path / "whole.mha", tmp_path / "cut.mha"
    write_mha(whole, noise(4, 12, 12, 3), compress=compress)
    data = whole.read_bytes()
    start = data.index(b"LOCAL\n") + 6
    for length in range(start, len(data), 31):
        cut.write_bytes(data[:length])
        with pytest.raises(CropError, match=r"cut\.mha: incomplete") as caught:
            list(read_stack(cut))
        assert compress or f"page {(length - start) // 432 + 1} on" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def spoilt_strip(path: Path) -> None:
    tifffile.imwrite(path, noise(3, 128, 128, 3), photometric="rgb", compression="deflate")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[1].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(data)


def sixteen_bit(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise(128, 128, 3), photometric="rgb", metadata=None)
        writer.write(noise(128, 128, 3).astype(np.uint16), photometric="rgb", metadata=None)


def premultiplied(path: Path) -> None:
    tifffile.imwrite(path, noise(128, 128, 4), photometric="rgb", extrasamples=["assocalpha"])


def whole_slide(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((9000, 9000), dtype=np.uint8), photometric="minisblack", compression="deflate")


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("a.tiff", spoilt_strip, "a.tiff: page 2 of 3 cannot be decoded"),
        ("a.tiff", sixteen_bit, "page 2 of 2: .*a.tiff: samples of 16 bits"),
        ("a.tiff", premultiplied, "a.tiff: page 1 of 1 has colours multiplied by their alpha"),
        ("a.tiff", whole_slide, "a.tiff: page 1 of 1 has 81,000,000 pixels, which is no crop"),
        ("a.tiff", lambda path: path.write_bytes(b"junk"), "a.tiff: not a readable TIFF stack"),
        ("a.mha", lambda path: path.write_bytes(b"junk"), "a.mha: not a readable MetaImage"),
        ("a.mha", lambda path: write_mha(path, noise(2, 8, 8).astype(np.float32)), "1 channels of 32-bit float"),
        ("a.mha", lambda path: write_mha(path, noise(2, 2, 8, 8)[None][0]), "an image of 4 dimensions"),
        ("a.tif", lambda path: path.write_bytes(b""), "a.tif: not a readable TIFF stack"),
    ],
)
def test_a_bad_stack_is_one_line(
    tmp_path: Path,
    classifier: Classifier,
    capsys: pytest.CaptureFixture[str],
    name: str,
    spoil: Callable[[Path], None],
    message: str,
) -> None:
    spoil(job(tmp_path) / name)
    assert answer(tmp_path, classifier.bundle.folder) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = [line for line in shown.err.splitlines() if "error" in line]
    assert re.search(message, line)
    assert not (tmp_path / "out").exists()


def test_mha_with_its_pixels_elsewhere(tmp_path: Path) -> None:
    write_mha(tmp_path / "a.mha", noise(2, 8, 8, 3))
    head, _, pixels = (tmp_path / "a.mha").read_bytes().partition(b"LOCAL\n")
    (tmp_path / "a.raw").write_bytes(pixels)
    (tmp_path / "a.mha").write_bytes(head + b"a.raw\n")
    with pytest.raises(CropError, match=r"a\.mha: its pixels are in another file"):
        list(read_stack(tmp_path / "a.mha"))


def test_without_simpleitk_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mha(tmp_path / "a.mha", noise(2, 8, 8, 3))
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(CropError, match=r"wsiamf\[challenge\]"):
        list(read_stack(tmp_path / "a.mha"))


# The folders


@pytest.mark.parametrize(
    ("stacks", "message"),
    [([], "holds no stack, where one is wanted"), (["a.tiff", "b.tif"], r"holds 2 stacks \(a.tiff, b.tif\)")],
)
def test_one_stack_a_job(tmp_path: Path, stacks: list[str], message: str) -> None:
    job(tmp_path, *stacks)
    with pytest.raises(CropError, match=message):
        find_stack(tmp_path)


def test_other_files_are_no_stacks(tmp_path: Path) -> None:
    images = job(tmp_path, "stack.TIFF", "._stack.tiff")
    (images / ".DS_Store").write_bytes(b"")
    assert find_stack(tmp_path) == images / "stack.TIFF"


def test_without_inputs_json_the_folder_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = job(tmp_path, "stack.tiff")
    (tmp_path / "inputs.json").unlink()
    assert find_stack(tmp_path) == images / "stack.tiff"
    assert "inputs.json: missing" in caplog.text


@pytest.mark.parametrize(
    ("sockets", "message"),
    [
        ("{", "inputs.json: not readable as JSON"),
        ({"interface": {"slug": SOCKET}}, "inputs.json: must be a list of sockets, not dict"),
        ([], "names no socket stacked-.*names: none"),
        ([{"interface": {"slug": "histopathology-region-of-interest-cropout"}}], "names: histopathology-region"),
        ([SOCKET, {"interface": SOCKET}, None], "names no socket"),
    ],
)
def test_bad_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str], sockets: Any, message: str) -> None:
    job(tmp_path, "stack.tiff", sockets=sockets)
    assert answer(tmp_path, None) == 1
    assert re.search(message, capsys.readouterr().err)


def test_the_default_folders_are_the_platforms(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["challenge", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "/input" in shown
    assert "/output" in shown


def test_answers_are_replaced_only_on_request(tmp_path: Path, classifier: Classifier) -> None:
    job(tmp_path, "stack.tiff")
    folder, target = classifier.bundle.folder, tmp_path / "out" / ANSWERS
    assert answer(tmp_path, folder) == 0
    assert [path.name for path in target.parent.iterdir()] == [ANSWERS]
    before = target.read_bytes()
    assert answer(tmp_path, folder, "--threshold", "1") == 1
    assert target.read_bytes() == before
    assert answer(tmp_path, folder, "--threshold", "1", "--overwrite") == 0
    assert target.read_bytes() != before


@pytest.mark.parametrize("mine", ["hello", '{"class": 1}', '[{"class": "normal"}]', "[1]"])
def test_a_file_of_the_users_is_never_touched(tmp_path: Path, classifier: Classifier, mine: str) -> None:
    job(tmp_path, "stack.tiff")
    target = tmp_path / "out" / ANSWERS
    target.parent.mkdir()
    target.write_text(mine)
    assert answer(tmp_path, classifier.bundle.folder, "--overwrite") == 1
    assert target.read_text() == mine


def test_an_unwritable_output_is_one_line(
    tmp_path: Path, classifier: Classifier, capsys: pytest.CaptureFixture[str]
) -> None:
    job(tmp_path, "stack.tiff")
    (tmp_path / "out").write_text("a file")
    assert answer(tmp_path, classifier.bundle.folder) == 1
    assert f"error: {tmp_path / 'out' / ANSWERS}: cannot be written" in capsys.readouterr().err


# The container


def test_the_dockerfile_copies_what_is_there() -> None:
    lines = (ROOT / "challenge" / "Dockerfile").read_text("utf-8").splitlines()
    let_in = (ROOT / "challenge" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1] if name[0] != "-"]
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in let_in
    assert let_in[0] == "*"
    assert lines[-1] == 'ENTRYPOINT ["wsiamf", "challenge"]'
    assert "USER user" in lines
