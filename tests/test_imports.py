"""The architecture as a test: a module imports only lower ranks, and some libraries have one importer."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "wsiamf"

RANKS = {
    "__main__": 10,
    "_version": 0,
    "addresses": 0,
    "errors": 0,
    "classes": 0,
    "geometry": 0,
    "files": 0,
    "statuses": 0,
    "machine": 0,
    "slide_names": 0,
    "wording": 0,
    "packed": 0,
    "qupath_objects": 0,
    "stains": 0,
    "config": 1,
    "slides": 1,
    "candidates": 1,
    "regions": 1,
    "spec": 1,
    "model": 2,
    "crops": 2,
    "coordinates": 2,
    "predictions": 2,
    "bundle": 2,
    "crop_store": 3,
    "weights": 3,
    "ensemble": 4,
    "inference": 4,
    "summary": 4,
    "export": 5,
    "report": 5,
    "agreement": 6,
    "challenge": 6,
    "predict": 6,
    "review": 6,
    "screen": 6,
    "training": 6,
    "cohort": 7,
    "doctor": 8,
    "cli": 9,
}
# Rank 0 holds names, errors and arithmetic; its modules may use one another as long as there is no cycle.
FLAT_RANK_0 = {
    "errors": set(),
    "files": {"errors"},
    "slide_names": {"addresses", "errors"},
    "packed": {"errors", "wording"},
    "qupath_objects": {"errors", "wording"},
}
SOLE_IMPORTERS = {
    "openslide": {"slides"},
    "tiffslide": {"slides"},
    "tifffile": {"slides"},
    "simplejpeg": {"slides"},
    "torch": {"model", "weights", "inference", "training"},
    "timm": {"model", "training"},
    "openvino": {"inference"},
    "nncf": {"inference"},
    "click": {"cli"},
    "dask": {"cohort", "doctor"},
    "distributed": {"cohort", "doctor"},
    "starlette": {"review"},
    "uvicorn": {"review"},
}
TORCH_FREE = [
    *("summary", "export", "candidates", "regions", "slides", "spec", "config", "predictions", "crops", "crop_store"),
    *("bundle", "inference", "screen", "predict", "agreement", "doctor", "report", "review"),
]
MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = ["wsiamf", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULE_NAMES = frozenset(map(module_name, MODULES))


def part(path: Path) -> str:
    """The ranked module or package that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path, *, parts: bool = False) -> list[str]:
    """Dotted names that a file imports, ``TYPE_CHECKING`` blocks left out.

    Args:
        path: The file.
        parts: Whether ``from package import part`` gives ``package.part``, and ``package`` only if that is no module.
    """
    tree = ast.parse(path.read_text("utf-8"))
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    names: list[str] = []
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            whole = node.module or ""
            taken = [f"{whole}.{alias.name}" for alias in node.names]
            names += taken if parts else [whole]
            # a part may take its fellows by way of their package, but no name that the package gives only when it is whole
            names += [whole] if parts and not MODULE_NAMES.issuperset(taken) else []
    return names


def test_every_module_has_a_rank() -> None:
    assert len(MODULES) > 30
    assert {part(path) for path in MODULES} - {"__init__"} == set(RANKS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = part(path)
    for name in imports(path):
        if not name.startswith("wsiamf.") or here == "__init__":
            continue
        there = name.split(".")[1]
        if there == here:
            continue
        if RANKS[here] == 0:
            assert there in FLAT_RANK_0.get(here, set()), f"{here} imports {there}"
        else:
            assert RANKS[there] < RANKS[here], f"{here} (rank {RANKS[here]}) imports {there} (rank {RANKS[there]})"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_sole_importers(path: Path) -> None:
    for name in imports(path):
        library = name.split(".")[0]
        if library in SOLE_IMPORTERS:
            assert part(path) in SOLE_IMPORTERS[library], f"{part(path)} imports {library}"


def test_no_cycles_inside_packages() -> None:
    graph = {module_name(path): MODULE_NAMES.intersection(imports(path, parts=True)) for path in MODULES}
    TopologicalSorter(graph).prepare()  # CycleError names the ring


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sorted(name.split('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", TORCH_FREE)
def test_loads_no_torch(name: str) -> None:
    assert "torch" not in loaded_by(f"import wsiamf.{name}")


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_by("from wsiamf.cli.main import run; run(['--help'])")
    assert (
        loaded & {"torch", "openslide", "tifffile", "numpy", "pandas", "pydantic", "timm", "dask", "openvino"} == set()
    )


def test_public_names() -> None:
    import wsiamf

    assert wsiamf.__all__ == ["__version__", "load_model", "open_slide", "read_candidates", "screen_slide"]
    modules = {path.stem for path in PACKAGE.iterdir()}
    assert modules.isdisjoint(wsiamf.__all__)
    for name in wsiamf.__all__:
        assert getattr(wsiamf, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wsiamf.nothing
