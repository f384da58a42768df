"""Model bundles: one artefact, checked, never unpickled."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_model import tiny_bundle
from wsiamf.bundle import open_bundle, shipped_models
from wsiamf.errors import BundleError
from wsiamf.inference.openvino_files import read_int8
from wsiamf.model import Preprocess, build_network
from wsiamf.spec import ModelSpec
from wsiamf.weights import load_networks

TINY_NETWORK = {"backbone": "test_efficientnet", "hidden": 16, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
PACKAGE = Path(__file__).resolve().parent.parent / "wsiamf"


def edit_spec(folder: Path, **changes: Any) -> None:
    spec = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(spec | changes))


def test_weights_survive_storing(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    torch.manual_seed(0)
    expected = build_network(bundle.spec, len(bundle.spec.experts)).state_dict()
    for name, tensor in load_networks(bundle)[0].state_dict().items():
        assert torch.equal(
            tensor.half() if tensor.is_floating_point() else tensor,
            expected[name].half().to(tensor.dtype).half() if tensor.is_floating_point() else expected[name],
        )


def test_reopening_gives_the_same_hash(tmp_path: Path) -> None:
    assert tiny_bundle(tmp_path / "a").sha256 == tiny_bundle(tmp_path / "b").sha256
    assert tiny_bundle(tmp_path / "c", version="1").sha256 != open_bundle(tmp_path / "a").sha256


def test_a_changed_byte_in_the_weights_is_an_error(tmp_path: Path) -> None:
    tiny_bundle(tmp_path)
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(BundleError, match=r"model\.safetensors: altered or damaged"):
        load_networks(open_bundle(tmp_path))


@pytest.mark.parametrize("name", ["model.safetensors", "spec.json", "CARD.md", "LICENSES"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    tiny_bundle(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=f"incomplete model bundle, {name} is missing"):
        open_bundle(tmp_path)


def test_a_missing_model_names_the_shipped_ones() -> None:
    with pytest.raises(BundleError, match=r"neither a folder nor a shipped name \(shipped: .*default"):
        open_bundle("no-such-model")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experts": ["ami-br/1", "ami-br/2", "ami-br/3"]}, "do not fit"),
        ({"hardness": False}, "do not fit"),
        ({"backbone": "no_such_net"}, "do not fit"),
        ({"hidden": 32}, "do not fit"),
        ({"hidden": 0}, "do not fit"),
        ({"hardness_classes": 4}, "do not fit"),
        ({"extra_inputs": [{"view_px": 80}]}, "do not fit"),
        ({"second": {"backbone": "test_vit"}}, "do not fit"),
        ({"backbone_args": {"no_such_argument": 1}}, "do not fit"),
        ({"members": [TINY_NETWORK]}, r"names 2 network\(s\), model\.safetensors holds 1"),
        ({"members": [TINY_NETWORK | {"hardness": False}]}, "a member has other heads"),
        ({"extra_inputs": [{"view_px": 129}]}, "view_px 129 is larger than crop_px 128"),
        ({"std": [0, 1, 1]}, "std must be positive"),
        ({"schema": "wsiamf.model/2"}, "schema"),
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"view_px": 200}, "view_px 200 is larger than crop_px 128"),
        ({"experts": []}, "experts"),
        ({"thresholds": {"balanced": 1.5, "count": 0.5}}, "thresholds.balanced"),
    ],
)
def test_a_spec_that_does_not_fit_is_one_clear_error(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    tiny_bundle(tmp_path)
    edit_spec(tmp_path, **changes)
    with pytest.raises(BundleError, match=message) as caught:
        load_networks(open_bundle(tmp_path))
    assert "\n" not in str(caught.value)


def test_spec_that_is_no_json(tmp_path: Path) -> None:
    tiny_bundle(tmp_path)
    (tmp_path / "spec.json").write_bytes(b"\x00\xff")
    with pytest.raises(BundleError, match=r"spec\.json"):
        open_bundle(tmp_path)


def test_spec_round_trips(tmp_path: Path) -> None:
    spec = tiny_bundle(tmp_path).spec
    assert ModelSpec.model_validate_json(spec.model_dump_json(by_alias=True)) == spec


def test_the_shipped_spec_needs_none_of_the_later_fields() -> None:
    text = json.loads((open_bundle().folder / "spec.json").read_text())
    later = {
        "members",
        "second",
        "extra_inputs",
        "hardness_classes",
        "backbone_args",
        "frozen",
        "provisional",
        "parents",
    }
    spec = ModelSpec.model_validate({name: value for name, value in text.items() if name not in later})
    assert (spec.networks, spec.in_channels, spec.provisional) == ((spec,), 3, False)


def test_nothing_in_the_bundle_code_can_unpickle() -> None:
    for path in (PACKAGE / "bundle.py", *(PACKAGE / "inference").glob("*.py"), *(PACKAGE / "model").glob("*.py")):
        calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not [call for call in calls if call.startswith(("torch.load", "pickle", "joblib"))], path


def test_preprocess_shows_the_centre() -> None:
    crops = np.zeros((1, 128, 128, 3), dtype=np.uint8)
    crops[:, 16:112, 16:112] = 255
    shown = Preprocess(view_px=96, input_px=128, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))(torch.from_numpy(crops))
    assert shown.shape == (1, 3, 128, 128)
    assert torch.all(shown == 1)


def test_shipped_models_are_sound_and_small() -> None:
    names = shipped_models()
    assert "default" in names
    for name in names:
        bundle = open_bundle(name)
        load_networks(bundle)
        assert sum(path.stat().st_size for path in bundle.folder.rglob("*")) <= 20e6
        assert len(read_int8(bundle)) == len(bundle.spec.networks)
        assert bundle.spec.error_rates
        assert bundle.spec.thresholds.count != bundle.spec.thresholds.balanced
