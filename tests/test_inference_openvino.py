"""The OpenVINO backend: equal to torch, the same bytes whatever the order, its cache, and the int8 form."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.tiny_model import tiny_bundle
from wsiamf.bundle import FORM_RECORD, FORMS, Bundle, check_own_bundle, open_bundle, write_bundle
from wsiamf.cli.main import run
from wsiamf.config import SetConfig
from wsiamf.errors import BundleError, ConfigError, InferenceError, OutputExistsError, TrainingError
from wsiamf.files import sha256_bytes
from wsiamf.inference import Classifier, Probabilities, load_model
from wsiamf.inference.openvino_backend import OpenVinoBackend
from wsiamf.inference.openvino_files import read_form
from wsiamf.inference.torch_backend import TorchBackend
from wsiamf.model import build_network
from wsiamf.spec import BackboneSpec, InputSpec, ModelSpec, network_of
from wsiamf.training.compiling import calibration_crops, compile_bundle
from wsiamf.weights import store_weights

Crops = NDArray[np.uint8]


@pytest.fixture(scope="module")
def crops() -> Crops:
    """Noise, and smoother crops, on which resizing shows another face."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (12, 128, 128, 3), dtype=np.uint8)
    smooth = rng.integers(0, 256, (11, 8, 8, 3), dtype=np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    return np.concatenate([noise, smooth])


def on(backend: str, bundle: Bundle, **options: Any) -> Classifier:
    return Classifier(bundle, backend=backend, device="cpu", **options)


def of_spec(folder: Path, members: int = 0, **changes: Any) -> Bundle:
    """A bundle of random weights that fit any spec."""
    spec = tiny_bundle(folder, **changes).spec
    if members:
        spec = spec.model_copy(update={"members": (network_of(spec),) * members})
    torch.manual_seed(1)
    weights = store_weights(*(build_network(one, len(spec.experts)) for one in spec.networks))
    spec = ModelSpec.model_validate(
        spec.model_dump(by_alias=True) | {"weights_sha256": sha256_bytes(weights), "members": spec.members}
    )
    return write_bundle(folder, weights, spec, card="# tiny\n", licenses="none\n")


def assert_equal(one: Probabilities, other: Probabilities, tolerance: float) -> None:
    for name in ("p_atypical", "p_hard", "p_experts_NK", "p_phases_NP"):
        here, there = getattr(one, name), getattr(other, name)
        assert (here is None) == (there is None)
        if here is not None:
            assert here.dtype == there.dtype == np.float64
            np.testing.assert_allclose(here, there, atol=tolerance, rtol=0, err_msg=name)


@pytest.mark.parametrize(
    "changes",
    [
        {"view_px": 96, "input_px": 64},
        {"view_px": 80, "input_px": 80},
        {"view_px": 65, "input_px": 96},
        {"view_px": 128, "input_px": 64, "extra_inputs": (InputSpec(view_px=80, colour="hed"), InputSpec(view_px=64))},
        {"hardness_classes": 4},
        {"hardness": False, "hidden": 0},
        {"phases": ("a", "b", "c")},
        {"views": 8},
        {"backbone": "test_vit", "backbone_args": {"img_size": 64}},
        {"members": 1},
        {"second": BackboneSpec(backbone="test_vit", backbone_args={"img_size": 64}), "view_px": 96},
        {"backbone": "test_convnext"},
    ],
    ids="-".join,
)
def test_equals_torch(tmp_path: Path, crops: Crops, changes: dict[str, Any]) -> None:
    bundle = of_spec(tmp_path, **changes)
    assert_equal(on("openvino", bundle).predict(crops), on("torch", bundle).predict(crops), 1e-4)


def test_the_default_model_equals_torch_on_real_crops(shared_data: Path) -> None:
    from wsiamf.crops import read_crop_image

    files = sorted((shared_data / "crops" / "AMi-Br").rglob("*.png"))[::200]
    images = np.stack([read_crop_image(file) for file in files])
    assert len(images) >= 10
    assert_equal(
        load_model(backend="openvino").predict(images), load_model(backend="torch", device="cpu").predict(images), 1e-3
    )


@pytest.mark.parametrize("precision", ["f32", "int8"])
def test_neither_order_nor_number_changes_a_byte(compiled: Callable[[], Bundle], crops: Crops, precision: str) -> None:
    classifier = on("openvino", compiled(), batch_size=4, precision=precision)
    whole = classifier.predict(crops)
    for _ in range(3):
        assert_equal(classifier.predict(crops), whole, 0)
    parts = [crops[start : start + 4] for start in range(0, len(crops), 4)]
    pending = [classifier.submit(part) for part in parts for _ in range(3)]  # more than the capacity, and interleaved
    said = [one.result() for one in reversed(pending)][::-1]
    for k in range(3):
        assert np.array_equal(np.concatenate([one.p_atypical for one in said[k::3]]), whole.p_atypical)
    alone = np.concatenate([classifier.predict(crop[None]).p_experts_NK for crop in crops])
    assert np.array_equal(alone, whole.p_experts_NK)


def test_results_are_independent_copies(tmp_path: Path, crops: Crops) -> None:
    backend = OpenVinoBackend(tiny_bundle(tmp_path), batch_size=4)
    mine = crops[:4].copy()
    pending = backend.submit(mine)
    mine[:] = 0  # the caller's array is its own again
    first = pending.result()
    kept = first["experts"].copy()
    backend.submit(crops[4:8]).result()
    assert np.array_equal(first["experts"], kept)
    assert np.array_equal(pending.result()["experts"], kept)
    assert np.array_equal(backend.submit(crops[:4]).result()["experts"], kept)


def test_pending_requests_may_be_given_up(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from wsiamf.bundle import open_bundle\n"
        "from wsiamf.inference import Classifier\n"
        f"classifier = Classifier(open_bundle(Path({str(tmp_path)!r})), backend='openvino')\n"
        "crops = np.zeros((classifier.batch_size, 128, 128, 3), np.uint8)\n"
        "kept = [classifier.submit(crops) for _ in range(20)]\n"
        "raise KeyboardInterrupt\n"
    )
    tiny_bundle(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert "KeyboardInterrupt" in done.stderr
    assert done.returncode in (1, 130, -2)


def test_a_network_that_openvino_cannot_convert_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    monkeypatch.setenv("WSIAMF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("wsiamf.inference.openvino_graph.apply_moc_transformations", _raise)
    with pytest.raises(InferenceError, match=r"tiny-0.*cannot be converted for OpenVINO \(no such.*--backend torch"):
        on("openvino", bundle)


def test_a_batch_that_cannot_be_computed_is_one_line(
    tmp_path: Path, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = on("torch", tiny_bundle(tmp_path))
    monkeypatch.setattr(classifier.backend, "submit", _raise)
    with pytest.raises(InferenceError, match=r"cannot be computed here \(no such.*--batch-size"):
        classifier.predict(crops)


def _raise(*_: object, **__: object) -> None:
    raise RuntimeError("no such\noperation")


class TestCache:
    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("WSIAMF_CACHE", str(tmp_path / "cache"))
        return tmp_path / "cache"

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Bundle:
        return tiny_bundle(tmp_path / "bundle")

    def form(self, cache: Path, bundle: Bundle) -> Path:
        (found,) = cache.glob(f"openvino-*/{bundle.sha256}")
        return found

    def test_a_cached_form_computes_the_same_bytes(self, cache: Path, bundle: Bundle, crops: Crops) -> None:
        fresh = on("openvino", bundle).predict(crops)
        record = json.loads((self.form(cache, bundle) / FORM_RECORD).read_text())
        assert record["bundle_sha256"] == bundle.sha256
        assert_equal(on("openvino", bundle).predict(crops), fresh, 0)

    def test_a_cached_form_is_used(
        self, cache: Path, bundle: Bundle, crops: Crops, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        on("openvino", bundle)
        monkeypatch.setattr(
            "wsiamf.inference.openvino_graph.load_networks", lambda _bundle: pytest.fail("converted anew")
        )
        on("openvino", bundle).predict(crops)

    def test_a_start_with_a_cached_form_does_without_torch(self, cache: Path, bundle: Bundle) -> None:
        code = (
            "import sys\nimport numpy as np\nfrom wsiamf import load_model\n"
            "load_model(sys.argv[1], device='cpu').predict(np.zeros((3, 128, 128, 3), np.uint8))\n"
            "print('torch' in sys.modules)\n"
        )
        command = [sys.executable, "-W", "error", "-c", code, str(bundle.folder)]
        environment = os.environ | {"WSIAMF_CACHE": str(cache)}
        runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
        assert [run.stdout.strip() for run in runs] == ["True", "False"]

    @pytest.mark.parametrize("name", ["network-0.bin", "network-0.xml", FORM_RECORD])
    @pytest.mark.parametrize("damage", ["cut", "missing", "altered"])
    def test_a_damaged_form_is_made_anew(
        self, cache: Path, bundle: Bundle, crops: Crops, name: str, damage: str
    ) -> None:
        fresh = on("openvino", bundle).predict(crops)
        file = self.form(cache, bundle) / name
        whole = file.read_bytes()
        if damage == "missing":
            file.unlink()
        else:
            file.write_bytes(whole[:100] if damage == "cut" else b"0" + whole[1:])
        assert_equal(on("openvino", bundle).predict(crops), fresh, 0)
        assert len(read_form(file.parent, bundle)) == 1

    def test_a_form_of_another_bundle_is_not_used(self, cache: Path, bundle: Bundle, tmp_path: Path) -> None:
        other = tiny_bundle(tmp_path / "other", version="1")
        on("openvino", bundle)
        on("openvino", other)
        mine, theirs = self.form(cache, bundle), self.form(cache, other)
        shutil.rmtree(mine)
        shutil.copytree(theirs, mine)
        on("openvino", bundle)
        assert json.loads((mine / FORM_RECORD).read_text())["bundle_sha256"] == bundle.sha256

    def test_a_cache_that_cannot_be_written_costs_only_time(
        self, bundle: Bundle, crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fresh = on("openvino", bundle).predict(crops)
        (tmp_path / "file").write_text("no folder")
        monkeypatch.setenv("WSIAMF_CACHE", str(tmp_path / "file" / "cache"))
        assert_equal(on("openvino", bundle).predict(crops), fresh, 0)

    def test_a_cache_that_cannot_be_read_costs_only_time(
        self, cache: Path, bundle: Bundle, crops: Crops, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fresh = on("openvino", bundle).predict(crops)
        read = Path.read_bytes

        def refuse(path: Path) -> bytes:
            if cache in path.parents:
                raise PermissionError(13, "Permission denied")
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", refuse)
        assert_equal(on("openvino", bundle).predict(crops), fresh, 0)

    def test_altered_weights_are_refused_in_spite_of_the_cache(self, cache: Path, bundle: Bundle) -> None:
        on("openvino", bundle)
        weights = bundle.folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        with pytest.raises(BundleError, match="altered or damaged"):
            on("openvino", bundle)

    def test_two_processes_may_build_at_once(self, cache: Path, bundle: Bundle) -> None:
        code = (
            "import sys\nfrom pathlib import Path\nfrom wsiamf.bundle import open_bundle\n"
            "from wsiamf.inference import Classifier\n"
            "Classifier(open_bundle(Path(sys.argv[1])), backend='openvino')\n"
        )
        command = [sys.executable, "-W", "error", "-c", code, str(bundle.folder)]
        running = [subprocess.Popen(command, env=os.environ | {"WSIAMF_CACHE": str(cache)}) for _ in range(2)]
        assert [one.wait(timeout=120) for one in running] == [0, 0]
        assert [path.name for path in self.form(cache, bundle).parent.iterdir()] == [bundle.sha256]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, crops: Crops) -> Callable[[], Bundle]:
    """Gives a fresh copy of a bundle with its int8 form."""
    made = compile_bundle(tiny_bundle(tmp_path_factory.mktemp("f32")), crops, tmp_path_factory.mktemp("int8") / "made")

    def copy() -> Bundle:
        folder = tmp_path_factory.mktemp("copy") / "bundle"
        return open_bundle(shutil.copytree(made.folder, folder))

    return copy


class TestInt8:
    def test_is_near_f32_and_not_equal(self, compiled: Callable[[], Bundle], crops: Crops) -> None:
        bundle = compiled()
        f32, int8 = (on("openvino", bundle, precision=one) for one in ("f32", "int8"))
        assert (f32.backend.precision, int8.backend.precision) == ("f32", "int8")
        difference = np.abs(int8.predict(crops).p_atypical - f32.predict(crops).p_atypical)
        assert 0 < difference.max() < 0.1

    def test_computes_in_int8(self, compiled: Callable[[], Bundle]) -> None:
        text = (compiled().folder / FORMS / "network-0.xml").read_text()
        assert 'type="FakeQuantize"' in text
        assert 'element_type="i8"' in text

    def test_says_what_it_was_made_from(self, compiled: Callable[[], Bundle], crops: Crops) -> None:
        bundle = compiled()
        record = json.loads((bundle.folder / FORMS / FORM_RECORD).read_text())
        assert record["schema"] == "wsiamf.openvino/1"
        assert (record["precision"], record["n_calibration_crops"]) == ("int8", len(crops))
        assert record["bundle_sha256"] == bundle.sha256
        assert set(record["versions"]) == {"nncf", "openvino"}
        assert set(record["files"]) == {"network-0.bin", "network-0.xml"}

    def test_is_refused_where_the_bundle_changed(self, compiled: Callable[[], Bundle]) -> None:
        folder = compiled().folder
        spec = folder / "spec.json"
        spec.write_text(spec.read_text().replace('"balanced": 0.5', '"balanced": 0.4'))
        with pytest.raises(BundleError, match=r"compiled from another bundle.*wsiamf models compile --overwrite"):
            on("openvino", open_bundle(folder), precision="int8")
        on("openvino", open_bundle(folder))  # the f32 form does without it

    @pytest.mark.parametrize("name", ["network-0.bin", "network-0.xml", FORM_RECORD])
    def test_is_refused_where_it_is_damaged(self, compiled: Callable[[], Bundle], name: str) -> None:
        bundle = compiled()
        file = bundle.folder / FORMS / name
        file.write_bytes(file.read_bytes()[:-9])
        with pytest.raises(BundleError, match=r"altered or damaged|not a whole compiled form"):
            on("openvino", bundle, precision="int8")

    def test_is_asked_for_where_there_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="has no int8 form; make it with `wsiamf models compile"):
            on("openvino", tiny_bundle(tmp_path), precision="int8")

    def test_belongs_to_the_bundle_that_may_be_replaced(self, compiled: Callable[[], Bundle]) -> None:
        folder = compiled().folder
        check_own_bundle(folder)
        (folder / FORMS / "mine.txt").write_text("mine")
        with pytest.raises(OutputExistsError, match=r"mine\.txt"):
            check_own_bundle(folder)

    def test_the_same_crops_make_the_same_form(self, compiled: Callable[[], Bundle], crops: Crops) -> None:
        bundle = compiled()
        before = on("openvino", bundle, precision="int8").predict(crops)
        with pytest.raises(OutputExistsError, match="--overwrite"):
            compile_bundle(bundle, crops)
        compile_bundle(bundle, crops, overwrite=True)
        assert_equal(on("openvino", bundle, precision="int8").predict(crops), before, 0)

    def test_the_shipped_model_has_one(self, shared_data: Path) -> None:
        from wsiamf.crops import read_crop_image

        files = sorted((shared_data / "crops" / "AMi-Br").rglob("*.png"))[::200]
        images = np.stack([read_crop_image(file) for file in files])
        said = [load_model(device="cpu", precision=one).predict(images).p_atypical for one in ("int8", "f32")]
        assert np.abs(said[0] - said[1]).mean() < 0.03
        size = sum(path.stat().st_size for path in open_bundle().folder.rglob("*") if path.is_file())
        assert size < 20e6


class TestCompile:
    SETS = (
        SetConfig(kind="ami-br", path="AMi-Br", use="train"),
        SetConfig(kind="atnorm-md", path="AtNorM-MD", use="train"),
    )

    def trained(self, folder: Path, data_root: Path) -> tuple[Bundle, set[str]]:
        from wsiamf.spec import TrainingData
        from wsiamf.training.labels import read_labelled_set

        seen = set(read_labelled_set(self.SETS[0], data_root).hashes[:20])
        return tiny_bundle(folder, trained_on=TrainingData(crops=tuple(sorted(seen)))), seen

    def test_calibrates_with_the_models_own_training_crops(self, tmp_path: Path, data_root: Path) -> None:
        from wsiamf.crops import crop_hash

        bundle, seen = self.trained(tmp_path, data_root)
        found = calibration_crops(bundle, self.SETS, data_root)
        assert {crop_hash(crop) for crop in found} == seen
        assert np.array_equal(found, calibration_crops(bundle, self.SETS[::-1], data_root))

    def test_refuses_sets_that_the_model_has_not_seen(self, tmp_path: Path, data_root: Path) -> None:
        with pytest.raises(TrainingError, match="none of the crops that it was trained on"):
            calibration_crops(tiny_bundle(tmp_path), self.SETS, data_root)

    def test_from_the_command_line(self, tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        bundle, _ = self.trained(tmp_path / "bundle", data_root)
        recipe = tmp_path / "recipe.yaml"
        text = Path(__file__).resolve().parent.parent.joinpath("configs", "default.yaml").read_text()
        recipe.write_text(text.replace("crops/AMi-Br", "AMi-Br").replace("crops/AtNorM-MD", "AtNorM-MD"))
        command = ["models", "compile", str(bundle.folder), "--config", str(recipe), "--data", str(data_root)]
        assert run(command) == 0
        assert capsys.readouterr().out == f"{bundle.folder}\n"
        assert on("openvino", bundle, precision="int8").backend.precision == "int8"
        assert run(command) == 1
        assert "--overwrite" in capsys.readouterr().err

    def test_leaves_the_shipped_model_alone(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["models", "compile", "default"]) == 1
        assert "name a folder for a copy with --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tensorrt"}, "--backend tensorrt: unknown; choose one of auto, torch, openvino"),
        ({"precision": "f16"}, "--precision f16: unknown"),
        ({"backend": "openvino", "device": "cuda"}, "--backend openvino --device cuda: runs on cpu alone"),
        ({"backend": "openvino", "precision": "bf16"}, "--precision bf16: not to be had on cpu"),
        ({"backend": "torch", "device": "cpu", "precision": "int8"}, "--precision int8: is OpenVINO's"),
        ({"backend": "torch", "device": "cpu", "precision": "bf16"}, "--precision bf16: not to be had on cpu"),
        ({"device": "tpu"}, "--device tpu: unknown"),
    ],
)
def test_what_does_not_go_together_is_named(tmp_path: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Classifier(tiny_bundle(tmp_path), **options)  # type: ignore[arg-type]


def test_auto_takes_openvino_on_the_cpu(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    assert isinstance(Classifier(bundle, device="cpu").backend, OpenVinoBackend)
    assert isinstance(Classifier(bundle, backend="torch", device="cpu").backend, TorchBackend)


def test_an_error_of_a_request_comes_out_of_its_result(tmp_path: Path, crops: Crops) -> None:
    class Failing:
        """A request whose computation fails."""

        input_tensors = (SimpleNamespace(data=np.zeros((8, 128, 128, 3), np.uint8)),)

        def start_async(self) -> None:
            pass

        def wait(self) -> None:
            raise RuntimeError("out of memory")

    classifier = on("openvino", tiny_bundle(tmp_path), batch_size=8)
    whole = classifier.predict(crops)
    assert isinstance(classifier.backend, OpenVinoBackend)
    free = classifier.backend._networks[0]._free
    free.appendleft(Failing())
    pending = [classifier.submit(crops[:8]) for _ in range(2)]
    with pytest.raises(InferenceError, match="out of memory"):
        pending[0].result()
    assert np.array_equal(pending[1].result().p_atypical, whole.p_atypical[:8])
    assert not any(isinstance(one, Failing) for one in free)
    assert_equal(classifier.predict(crops), whole, 0)


@pytest.mark.parametrize("value", ["0", "many", "-1", "AUTO", "4097"])
def test_a_wrong_batch_size_is_named(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "x", "--batch-size", value]) == 2
    assert f"'--batch-size': '{value}' is neither auto nor a number of crops" in capsys.readouterr().err


def test_models_that_were_dropped_leave_a_process_that_takes_signals(tmp_path: Path, crops: Crops) -> None:
    """OpenVINO's plugin could leave a freed signal stack behind: the next Ctrl-C, or a child's end, was a crash."""
    code = (
        "import os, signal, sys\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from wsiamf.bundle import open_bundle\n"
        "from wsiamf.inference import Classifier\n"
        "from wsiamf.training.compiling import compile_bundle\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('handled'))\n"
        "bundle = open_bundle(Path(sys.argv[1]))\n"
        "first, second = (Classifier(bundle, backend='openvino') for _ in range(2))\n"
        "del first\n"
        "del second\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
        "compile_bundle(bundle, np.load(sys.argv[2]), Path(sys.argv[3]))\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    tiny_bundle(tmp_path / "bundle")
    np.save(tmp_path / "crops.npy", crops)
    command = [sys.executable, "-c", code, *(str(tmp_path / name) for name in ("bundle", "crops.npy", "int8"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["handled"] * 2), done.stderr


def test_nothing_that_calls_home_is_loaded() -> None:
    code = "import sys, wsiamf.inference; print(sys.modules['openvino_telemetry'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
