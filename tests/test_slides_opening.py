"""Which files open, by which library, and what is said of those that do not."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import tifffile

from tests.coordinate_slide import coordinate_coded, write_plain_tiff, write_pyramid_tiff
from tests.made_dicom import JPEG_LS_LOSSLESS, write_dicom_slide
from tests.made_ome import halves
from wsiamf.errors import MppError, SlideNotFoundError, SlideReadError, UnsupportedSlideError
from wsiamf.slides import open_slide
from wsiamf.slides.dicom_head import slide_series


def last_tile_end(path: Path) -> int:
    """Where the last tile or strip of a TIFF ends, in bytes."""
    with tifffile.TiffFile(path) as tiff:
        pages = list(tiff.pages)
    return max(
        start + count for page in pages for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)
    )


def cut(path: Path, size: int, to: Path) -> Path:
    """The first bytes of a file as another file."""
    to.write_bytes(path.read_bytes()[:size])
    return to


def test_a_missing_file_is_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(SlideNotFoundError, match=r"absent\.svs: no such slide file") as caught:
        open_slide(tmp_path / "absent.svs")
    assert isinstance(caught.value, FileNotFoundError)


def test_a_file_taken_for_a_folder_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(SlideNotFoundError):
        open_slide(tmp_path / "file" / "slide.svs")


def test_a_folder_is_no_slide(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSlideError, match=r"a folder, not a slide; name the \.mrxs"):
        open_slide(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = write_plain_tiff(tmp_path / "closed.tif", coordinate_coded(20, 20))
    path.chmod(0)
    with pytest.raises(UnsupportedSlideError, match="Permission denied"):
        open_slide(path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.tif").touch()
    with pytest.raises(UnsupportedSlideError, match=r"empty\.tif: no slide that"):
        open_slide(tmp_path / "empty.tif")


def test_what_is_no_image(shared_data: Path) -> None:
    with pytest.raises(
        UnsupportedSlideError, match=r"broken\.svs: no slide that OpenSlide or tifffile can read"
    ) as caught:
        open_slide(shared_data / "slides" / "broken.svs")
    assert "\n" not in str(caught.value)


def test_an_unsupported_compression_is_named_with_the_remedy(shared_data: Path) -> None:
    with pytest.raises(
        UnsupportedSlideError, match=r"unopenable\.tiff: compression 52479 .*convert it to an 8-bit RGB"
    ):
        open_slide(shared_data / "slides" / "unopenable.tiff")


def test_a_dicom_file_that_openslide_refuses(shared_data: Path) -> None:
    with pytest.raises(UnsupportedSlideError, match=r"small_dicom\.dcm: OpenSlide cannot open it: .*convert it"):
        open_slide(shared_data / "slides" / "small_dicom.dcm")


@pytest.mark.parametrize("suffix", [".svs", ".tif"])
@pytest.mark.parametrize("size", [100, 1_000, 969_477, 1_275_940, 1_938_202])
def test_a_truncated_aperio_slide_is_refused(shared_data: Path, tmp_path: Path, size: int, suffix: str) -> None:
    """Cut short in the header, in the middle, just inside level 0's last tile, and just inside the file's last tile."""
    whole = shared_data / "slides" / "CMU-1-Small-Region.svs"
    with pytest.raises(UnsupportedSlideError, match="copy it again"):
        open_slide(cut(whole, size, tmp_path / f"cut{suffix}"))


@pytest.mark.parametrize("write", [write_plain_tiff, write_pyramid_tiff])
def test_a_plain_file_that_ends_inside_its_last_tile_is_refused(tmp_path: Path, write: object) -> None:
    assert callable(write)
    whole = write(tmp_path / "whole.tiff", coordinate_coded(600, 500))
    end = last_tile_end(whole)
    with open_slide(cut(whole, end, tmp_path / "complete.tiff")) as slide:
        assert slide.dimensions == (600, 500)
    for size in (end - 1, end - 40, end // 2, end // 5):
        with pytest.raises(UnsupportedSlideError, match="incomplete"):
            open_slide(cut(whole, size, tmp_path / "cut.tiff"))


def test_a_file_whose_second_directory_is_lost_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "levels.tif"
    pixels = coordinate_coded(256, 256)
    with tifffile.TiffWriter(path) as writer:
        for step in (1, 2):
            writer.write(np.ascontiguousarray(pixels[::step, ::step]), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        second = tiff.pages[1].offset
    with open_slide(path) as slide:
        assert slide.level_count == 2
    with pytest.raises(UnsupportedSlideError, match="incomplete"):
        open_slide(cut(path, second, tmp_path / "cut.tif"))


@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_a_stack_is_sent_to_predict(tmp_path: Path, tile: tuple[int, int] | None) -> None:
    """OpenSlide would open the first picture of a tiled stack as if it were all."""
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for grey in (10, 20, 30):
            writer.write(np.full((128, 128, 3), grey, np.uint8), photometric="rgb", tile=tile, metadata=None)
    with pytest.raises(UnsupportedSlideError, match=r"a stack of 3 images of 128 x 128 px.*`wsiamf predict`"):
        open_slide(path)


def test_the_challenge_stack_is_sent_to_predict(shared_data: Path) -> None:
    with pytest.raises(UnsupportedSlideError, match=r"stack_5\.tiff: a stack of 16 images"):
        open_slide(shared_data / "challenge" / "stack_5.tiff")


def test_pictures_that_form_no_pyramid_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "several.tif"
    with tifffile.TiffWriter(path) as writer:
        for shape in ((128, 128, 3), (40, 100, 3)):
            writer.write(np.zeros(shape, np.uint8), photometric="rgb", metadata=None)
    with pytest.raises(UnsupportedSlideError, match="several pictures that form no pyramid"):
        open_slide(path)


def test_a_vendors_file_by_its_description_is_left_to_openslide(tmp_path: Path) -> None:
    path = write_plain_tiff(tmp_path / "a.tif", coordinate_coded(60, 50), description="Aperio Image Library v11.2.1")
    with pytest.raises(UnsupportedSlideError, match=r"a scanner vendor's slide \(Aperio\)"):
        open_slide(path)


def test_a_vendors_file_by_its_suffix_is_left_to_openslide(tmp_path: Path) -> None:
    path = write_plain_tiff(tmp_path / "a.ndpi", coordinate_coded(60, 50))
    with pytest.raises(UnsupportedSlideError, match=r"\(by its suffix, \.ndpi\)"):
        open_slide(path)


def test_samples_of_16_bits_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((40, 40, 3), np.uint16), photometric="rgb")
    with pytest.raises(UnsupportedSlideError, match=r"samples of 16 bits.*8-bit RGB TIFF"):
        open_slide(tmp_path / "deep.tif")


def test_a_palette_is_refused(tmp_path: Path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "palette.tif", np.zeros((40, 40), np.uint8), photometric="palette", colormap=colours)
    with pytest.raises(UnsupportedSlideError, match="colours of a kind that is not read"):
        open_slide(tmp_path / "palette.tif")


def test_unreadable_tiles_fail_at_reading_time_after_time(shared_data: Path) -> None:
    with open_slide(shared_data / "slides" / "unreadable.svs") as slide:
        assert slide.mpp == 0.499
        for _ in range(3):
            with pytest.raises(
                SlideReadError, match=r"16 x 16 px at \(0, 0\) of level 0 cannot be decoded: Bogus marker"
            ):
                slide.read_region((0, 0), 0, (16, 16))
        assert (slide.read_region((100, 100), 0, (4, 4)) == 255).all()


@pytest.mark.parametrize(("write", "backend"), [(write_pyramid_tiff, "openslide"), (write_plain_tiff, "tifffile")])
def test_a_slide_stays_usable_after_a_damaged_tile(tmp_path: Path, write: object, backend: str) -> None:
    assert callable(write)
    pixels = coordinate_coded(512, 512)
    path = write(tmp_path / "damaged.tif", pixels)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        start, count = page.dataoffsets[-1], page.databytecounts[-1]
    data = bytearray(path.read_bytes())
    data[start : start + count] = b"\xff" * count
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert slide.backend == backend
        for _ in range(2):
            with pytest.raises(SlideReadError, match="cannot be decoded"):
                slide.read_region((500, 500), 0, (8, 8))
            assert np.array_equal(slide.read_region((10, 20), 0, (30, 40)), pixels[20:60, 10:40])


def test_a_file_that_vanishes_fails_as_a_slide_error(tmp_path: Path, shared_data: Path) -> None:
    path = Path(shutil.copyfile(shared_data / "slides" / "unreadable.svs", tmp_path / "gone.svs"))
    with open_slide(path) as slide:
        path.unlink()
        for _ in range(2):
            with pytest.raises(SlideReadError):
                slide.read_region((0, 0), 0, (8, 8))
        with pytest.raises(SlideReadError, match="cannot be read again"):
            _ = slide.fingerprint


def test_a_given_mpp_is_checked_before_the_file(tmp_path: Path) -> None:
    with pytest.raises(MppError, match="--mpp 250"):
        open_slide(tmp_path / "absent.svs", mpp=250)


def test_a_dicom_slide_opens_beside_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = write_dicom_slide(tmp_path / "series", halves(coordinate_coded(128, 64), 1))[0], "notes.txt"
    (path.parent / other).write_bytes(b"x" * 200)
    failing_reads(monkeypatch, other)
    with open_slide(path) as slide:
        assert slide.backend == "openslide"
        with pytest.raises(SlideReadError, match=r"cannot be read again: .*notes\.txt: Input/output error"):
            _ = slide.fingerprint
    with pytest.raises(UnsupportedSlideError, match=r"series: cannot be read: .*notes\.txt: Input/output error"):
        open_slide(path.parent)


def test_a_file_whose_disk_fails_is_a_slide_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicom_slide(tmp_path, halves(coordinate_coded(128, 64), 1), syntax=JPEG_LS_LOSSLESS)[0]
    (tmp_path / "notes.txt").write_bytes(b"x" * 200)
    failing_reads(monkeypatch, "notes.txt")  # wsidicom has to be told which files are of the series
    with pytest.raises(UnsupportedSlideError, match=r"level_0\.dcm: cannot be read: .*notes\.txt: Input/output error"):
        open_slide(path)
    failing_reads(monkeypatch, path.name)
    with pytest.raises(UnsupportedSlideError, match=r"level_0\.dcm: cannot be read: Input/output error"):
        open_slide(path)


def test_heads_are_read_once_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicom_slide(tmp_path / "series", halves(coordinate_coded(256, 128)))[1]
    heads: list[None] = []

    def counted(stream: BinaryIO) -> str | None:
        heads.append(None)
        return slide_series(stream)

    monkeypatch.setattr("wsiamf.slides.parts.slide_series", counted)
    for place, n_heads in ((path, 1), (path.parent, 3)):
        heads.clear()
        open_slide(place).close()
        assert len(heads) == n_heads


def failing_reads(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the disk fail under a file, once it is open."""
    whole = Path.open

    def opened(path: Path, *how: Any, **options: Any) -> Any:
        stream = whole(path, *how, **options)
        if path.name != name:
            return stream
        stream.close()
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "open", opened)
