"""Where slides are: paths and URLs, and what of a URL may be shown."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsiamf.addresses import Url, parse_address, without_secrets
from wsiamf.errors import ConfigError
from wsiamf.slide_names import result_folder_name

SIGNED = (
    "https://me:s3cr3t@bucket.example.org/a%20b/slide%201.svs?X-Amz-Credential=AKIAEXAMPLE%2F20260101&"
    "X-Amz-Signature=0123456789abcdef#part"
)
SHOWN = "https://bucket.example.org/a%20b/slide%201.svs"


def test_text_with_a_protocol_is_a_url_and_keeps_its_slashes() -> None:
    url = parse_address("s3://bucket/folder/slide.svs", Path("/manifests"))
    assert isinstance(url, Url)
    assert str(url) == url.full == "s3://bucket/folder/slide.svs"
    assert (url.protocol, url.name, url.suffix) == ("s3", "slide.svs", ".svs")


@pytest.mark.parametrize("text", ["slide.svs", "a/b:c.svs", "C:/slides/a.svs", "C://a.svs", "s3:/bucket/a.svs", "://a"])
def test_other_text_is_a_path(text: str) -> None:
    assert parse_address(text) == Path(text)
    assert parse_address(text, Path("/manifests")) == Path("/manifests") / text


def test_paths_and_urls_stay_what_they_are() -> None:
    assert parse_address(Path("a.svs")) == Path("a.svs")
    assert parse_address(Url("s3://b/a.svs")) == Url("s3://b/a.svs")
    assert parse_address("file:///data/my%20slide.svs") == Path("/data/my slide.svs")


def test_what_is_shown_of_a_url_opens_nothing() -> None:
    url = Url(SIGNED)
    assert str(url) == f"{url}" == str(url.absolute()) == SHOWN
    assert repr(url) == f"Url({SHOWN!r})"
    assert url.full == SIGNED


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (SIGNED, "slide 1.svs"),
        ("s3://bucket/slide%201.svs", "slide%201.svs"),  # a store's names are not encoded
        ("s3://bucket/case #1.svs", "case #1.svs"),
        ("memory://a/slide.ome.zarr/", "slide.ome.zarr"),
        ("https://host/o/dir%2Fslide.svs?alt=media", "slide.svs"),
        ("https://host/", ""),
        ("https://host", ""),
        ("HTTPS://host/x/切片.SVS?a=/b.tiff", "切片.SVS"),
    ],
)
def test_the_name_is_the_last_component_without_the_query(text: str, name: str) -> None:
    assert Url(text).name == name


def test_a_librarys_message_loses_what_it_repeats() -> None:
    url = Url(SIGNED)
    said = f"403, message='Forbidden', url='{SIGNED}' (X-Amz-Signature=0123456789abcdef) for me:s3cr3t at {SIGNED}"
    cleaned = url.without_secrets(said)
    assert cleaned.startswith(f"403, message='Forbidden', url='{SHOWN}'")
    for secret in ("s3cr3t", "AKIAEXAMPLE", "0123456789abcdef"):
        assert secret not in cleaned


def test_addresses_of_any_text_lose_their_secrets() -> None:
    assert (
        without_secrets("see https://u:p@h/x?sig=1, or s3://b/k@2.svs; a@b.org")
        == "see https://h/x or s3://b/k@2.svs; a@b.org"
    )


@given(
    st.text("abcdefXYZ0189-_.~%", min_size=4, max_size=12),
    st.text("abcdefXYZ0189-_.~%&=/+", min_size=4, max_size=40),
)
def test_no_password_and_no_query_is_ever_shown(password: str, query: str) -> None:
    url = Url(f"https://HOST/PATH/SLIDE?{query}".replace("HOST", f"U:{password}@H"))
    assert str(url) == "https://H/PATH/SLIDE"
    assert query not in url.without_secrets(f"GET {url.full} failed: {query} is no good")


def test_the_full_address_survives_pickling_and_compares() -> None:
    url = pickle.loads(pickle.dumps(Url(SIGNED)))  # noqa: S301 - our own bytes
    assert url.full == SIGNED
    assert url == Url(SIGNED)
    assert len({url, Url(SIGNED), Url(SHOWN)}) == 2


@pytest.mark.parametrize(("text", "folder"), [(SIGNED, "slide 1"), ("s3://b/a.ome.tiff", "a"), ("s3://b/a", "a")])
def test_a_remote_slides_results_are_named_as_a_local_ones(text: str, folder: str) -> None:
    assert result_folder_name(Url(text), None) == folder
    assert result_folder_name(Url(text), "case 7") == "case 7"


@pytest.mark.parametrize("text", ["https://host/", "s3://bucket/a/..", "https://host/%2e%2e", "https://host/a%00b"])
def test_an_address_without_a_usable_name_needs_a_slide_id(text: str) -> None:
    with pytest.raises(ConfigError, match="--slide-id"):
        result_folder_name(Url(text), None)


CHAINED = [
    ("zip://a.svs::https://me:s3cr3t@h/a.zip?sig=0123456789", "zip://a.svs::https://h/a.zip"),
    ("simplecache::https://me:s3cr3t@h/a.svs", "simplecache::https://h/a.svs"),
    ("tar://a.svs::simplecache::ftp://me:s3cr3t@h/a.tar", "tar://a.svs::simplecache::ftp://h/a.tar"),
]


@pytest.mark.parametrize(("text", "shown"), CHAINED)
def test_every_link_of_a_chain_loses_its_secrets(text: str, shown: str) -> None:
    url = parse_address(text)
    assert isinstance(url, Url)
    assert str(url) == shown
    assert without_secrets(f"see {text}") == f"see {shown}"
    assert "s3cr3t" not in url.without_secrets(f"login of me:s3cr3t with s3cr3t failed at {text}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("abfs://slides@lab.dfs.core.windows.net/a.svs", "abfs://slides@lab.dfs.core.windows.net/a.svs"),
        ("oci://slides@lab/a.svs", "oci://slides@lab/a.svs"),
        ("github://lab:slides@main/a.tiff", "github://lab:slides@main/a.tiff"),
        ("abfs://me:s3cr3t@lab/a.svs", "abfs://lab/a.svs"),
        ("https://s3cr3t@h/a.svs", "https://h/a.svs"),
        ("gist://me:s3cr3t@1234/a.tiff", "gist://1234/a.tiff"),
        ("other://s3cr3t@h/a.svs", "other://h/a.svs"),
    ],
)
def test_a_container_is_no_user(text: str, shown: str) -> None:
    assert str(Url(text)) == shown
    assert without_secrets(f"{text}, gone") == f"{shown}, gone"
    assert "s3cr3t" not in Url(text).without_secrets(f"gone: {text}")
