"""Python, wsiamf and the libraries it computes and reads with.

Libraries are loaded by name when their check runs: one that is broken must not keep the others from being examined. What may
end the process (a driver, an instruction that the processor lacks) runs in a child.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np

from wsiamf._version import __version__
from wsiamf.bundle import FORMS, open_bundle
from wsiamf.doctor.finding import FAIL, PASS, WARN, Verdict
from wsiamf.machine import may_have_gpu

CHILD_TIMEOUT_S: Final = 60
_OLDEST_PYTHON: Final = (3, 11)
_REINSTALL: Final = "install wsiamf anew into a fresh environment (pip install wsiamf)"

_TORCH_TRIAL: Final = """
import json, torch
gpu = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else None
facts = {"version": torch.__version__, "gpu": gpu, "name": None, "error": None}
if gpu:
    try:
        ones = torch.ones(64, 64, device=gpu)
        assert float((ones @ ones).sum().cpu()) == 64.0**3
        facts["name"] = torch.cuda.get_device_name() if gpu == "cuda" else "Apple GPU"
    except Exception as error:
        facts["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(facts))
"""
_OPENVINO_TRIAL: Final = """
import json
from wsiamf.inference.openvino_trial import try_openvino
print(json.dumps(try_openvino()))
"""

Facts = dict[str, Any]


def python() -> Verdict:
    """The interpreter."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return Verdict(FAIL, found, "install Python 3.11 or newer")
    return Verdict(PASS, found)


def package() -> Verdict:
    """wsiamf itself: the code that runs is the code that was installed."""
    try:
        installed = version("wsiamf")
    except PackageNotFoundError:
        return Verdict(WARN, f"{__version__}, run from a folder and not installed", "install it with pip")
    if installed != __version__:
        return Verdict(
            WARN, f"{__version__} runs, {installed} is installed", "unset PYTHONPATH, or install wsiamf anew with pip"
        )
    return Verdict(PASS, __version__)


def torch_facts() -> Facts:
    """Version of torch, and the GPU that it sees, after a product on it."""
    return _in_child(_TORCH_TRIAL)


def openvino_facts() -> Facts:
    """Version of OpenVINO and its devices, after a tiny graph was compiled and computed."""
    return _in_child(_OPENVINO_TRIAL)


def openvino(facts: Facts) -> Verdict:
    """Whether OpenVINO computes on the CPU."""
    if facts.get("error"):
        return Verdict(FAIL, facts["error"], f"{_REINSTALL}; until then use --backend torch")
    return Verdict(PASS, f"{facts['version']}, compiles and computes on {facts['device']}")


def telemetry(facts: Facts) -> Verdict:
    """Whether OpenVINO's usage statistics are barred; slides of patients are read on machines that must call nobody."""
    if facts.get("error"):
        return Verdict(WARN, "cannot be told, since OpenVINO does not load", "see OpenVINO above")
    if not facts["telemetry_barred"]:
        return Verdict(FAIL, "openvino_telemetry could be loaded", "remove it: pip uninstall openvino-telemetry")
    return Verdict(PASS, "barred: no usage statistics are sent")


def torch(facts: Facts) -> Verdict:
    """Whether torch loads: it converts a model at its first start, and computes on GPUs."""
    if "version" not in facts:
        return Verdict(FAIL, facts["error"], _REINSTALL)
    return Verdict(PASS, str(facts["version"]))


def gpu(facts: Facts) -> Verdict:
    """The GPU that would be computed on."""
    if "version" not in facts:
        return Verdict(WARN, "cannot be told, since torch does not load", "see torch above")
    if facts["gpu"] is None:
        if may_have_gpu() and sys.platform == "linux":
            return Verdict(
                WARN,
                "a GPU's driver is there, but torch sees no GPU",
                "install a torch that fits the driver, or go on with the CPU (--device cpu)",
            )
        return Verdict(PASS, "none; the CPU computes")
    if facts["error"]:
        return Verdict(
            WARN, f"{facts['gpu']} is seen but fails: {facts['error']}", "free or repair it, or pass --device cpu"
        )
    return Verdict(PASS, f"{facts['name']} ({facts['gpu']}) computes")


def openslide() -> Verdict:
    """Whether OpenSlide reads a slide, and the formats it knows."""
    libraries = import_module("wsiamf.slides.libraries")
    library = str(libraries.openslide_version())
    libraries.read_made_slide()
    formats = libraries.openslide_formats()
    if not formats:
        return Verdict(PASS, f"{library}, reads a made slide; its formats are not listed")
    found = f"{library}, reads {', '.join(formats)}"
    if "dicom" not in formats:
        return Verdict(WARN, found, "DICOM slides need OpenSlide 4: pip install -U openslide-bin")
    return Verdict(PASS, found)


def codecs() -> Verdict:
    """Whether imagecodecs and simplejpeg decode what tiles are compressed with: each is given an image of ours."""
    imagecodecs = import_module("imagecodecs")
    image = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    trials: dict[str, Callable[[], Any]] = {
        "JPEG": lambda: import_module("simplejpeg").decode_jpeg(imagecodecs.jpeg8_encode(image)).shape,
        "JPEG 2000": lambda: imagecodecs.jpeg2k_decode(imagecodecs.jpeg2k_encode(image)).shape,
        "LZW": lambda: len(imagecodecs.lzw_decode(imagecodecs.lzw_encode(image.tobytes()))),
        "WebP": lambda: imagecodecs.webp_decode(imagecodecs.webp_encode(image, lossless=True)).shape,
    }
    missing = [name for name, trial in trials.items() if not _decodes(trial, image)]
    if missing:
        return Verdict(
            FAIL if "JPEG" in missing else WARN,
            f"cannot decode {', '.join(missing)}",
            "install the decoders anew: pip install -U imagecodecs simplejpeg",
        )
    return Verdict(PASS, f"{imagecodecs.__version__} decodes {', '.join(trials)}")


def model(name: str | None) -> Verdict:
    """Whether a bundle is whole."""
    bundle = open_bundle(name)
    bundle.checked_weights()
    return Verdict(PASS, f"{bundle.title} is whole")


def int8_form(name: str | None) -> Verdict:
    """Whether a bundle's int8 form is there and made from these weights."""
    bundle = open_bundle(name)
    if not (bundle.folder / FORMS).is_dir():
        return Verdict(WARN, "the model holds none; only --precision int8 needs it", "wsiamf models compile FOLDER")
    import_module("wsiamf.inference.openvino_files").read_int8(bundle)
    return Verdict(PASS, "there, whole and made from this model")


def _decodes(trial: Callable[[], Any], image: np.ndarray[Any, Any]) -> bool:
    try:
        return trial() in (image.shape, image.nbytes)
    except Exception:  # noqa: BLE001 - a decoder that is missing or broken raises whatever it likes
        return False


def _in_child(code: str) -> Facts:
    """The facts that a program prints as JSON in its last line; a child that dies gives its last words as ``error``."""
    try:
        done = subprocess.run(  # noqa: S603 - this very interpreter, and code of ours
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=CHILD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return {"error": f"does not load within {CHILD_TIMEOUT_S} s"}
    if done.returncode:
        words = done.stderr.strip().splitlines()
        ended = f"killed by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        return {"error": words[-1] if words and done.returncode > 0 else f"does not load ({ended})"}
    facts: Facts = json.loads(done.stdout.splitlines()[-1])
    return facts
