"""Slides in an S3 store: moto's server, which takes a while to load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from wsiamf.errors import SlideNotFoundError, SlideReadError, UnsupportedSlideError
from wsiamf.slides import open_slide, read_fingerprint, remote_file

pytestmark = pytest.mark.long


@pytest.fixture
def bucket(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address in a bucket that holds a slide, for whoever has credentials."""
    server_of = pytest.importorskip(
        "moto.server", reason="needs moto: pip install 'wsiamf[s3-test]'"
    ).ThreadedMotoServer

    monkeypatch.setattr(remote_file, "PAUSES_S", (0.01, 0.02))
    server = server_of(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name, value in {
        "ACCESS_KEY_ID": "AKIAEXAMPLE",
        "SECRET_ACCESS_KEY": "s3cr3t",
        "DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    fs = fsspec.filesystem("s3")
    fs.clear_instance_cache()
    fs = fsspec.filesystem("s3")
    fs.makedirs("bucket", exist_ok=True)  # moto keeps it from test to test
    fs.put(str(shared_data / "slides" / "CMU-1-Small-Region.svs"), "bucket/case 1/CMU.svs")
    yield "s3://bucket/case 1"
    server.stop()
    fs.clear_instance_cache()


def test_a_slide_of_a_bucket(bucket: str, shared_data: Path) -> None:
    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    with open_slide(f"{bucket}/CMU.svs") as slide, open_slide(path) as local:
        assert (slide.name, slide.mpp, slide.fingerprint) == ("CMU.svs", local.mpp, local.fingerprint)
        region = slide.read_region((400, 500), 0, (700, 600))
        assert np.array_equal(region, local.read_region((400, 500), 0, (700, 600)))


def test_what_is_not_there_or_may_not_be_read(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"{bucket}/no.svs", "s3://no-bucket/no.svs"):
        with pytest.raises(SlideNotFoundError, match="no such slide at this address"):
            open_slide(url)
    with pytest.raises(UnsupportedSlideError, match="a folder, not a slide"):
        open_slide(bucket)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(SlideReadError, match=r"no credentials.*AWS_PROFILE.*anon"):
        read_fingerprint(f"{bucket}/CMU.svs")
