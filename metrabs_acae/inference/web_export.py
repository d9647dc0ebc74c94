"""A folder for a plain file server: a page that runs an exported model in the browser, see docs/web.md."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.inference.crop_export import require_packages
from metrabs_acae.inference.demo_poses import PREFERRED_SKELETONS
from metrabs_acae.inference.export import CARD_FILE, PORTABLE_FOLDER, replace_folder, require_replaceable

PAGE = Path(__file__).parents[1] / "web"
DESCRIPTION_FILE = "page.json"
PACKAGE = "onnxruntime-web"
TRIED_VERSION = "1.30.0"
_RUNTIMES = {
    "wasm": {
        "script": "ort.wasm.min.mjs",
        "module": "ort-wasm-simd-threaded.mjs",
        "binary": "ort-wasm-simd-threaded.wasm",
    },
    "webgpu": {
        "script": "ort.webgpu.min.mjs",
        "module": "ort-wasm-simd-threaded.asyncify.mjs",
        "binary": "ort-wasm-simd-threaded.asyncify.wasm",
    },
}
"""By kind of processor, the files of the package's `dist/` that the page loads."""


def require_possible(folder: str, detector: str) -> None:
    """UserError if there can be no page: before the export, which takes long."""
    if detector != "movenet":
        raise UserError("The web page finds people with MoveNet; leave --detector out.")
    require_packages(["onnx"])
    require_replaceable(Path(folder), DESCRIPTION_FILE)


def read_runtime(given: str) -> tuple[dict[str, bytes], str]:
    """(by name, the files of the npm package onnxruntime-web that the page needs; the package's version).

    Args:
        given: the package's folder, or its .tgz as `npm pack` writes it; "": npm fetches it.

    Raises:
        UserError: it is not there, or is something else, or npm cannot fetch it.
    """
    if not given:
        with tempfile.TemporaryDirectory() as folder:
            return read_runtime(_fetch(folder))
    path = Path(given)
    if path.is_dir():
        return _read(lambda name: (path / name).read_bytes(), given)
    try:
        with tarfile.open(path) as archive:
            return _read(lambda name: archive.extractfile(f"package/{name}").read(), given)
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{given} is not the npm package {PACKAGE} as a folder or .tgz ({error}).") from None


def _read(read: Callable[[str], bytes], given: str) -> tuple[dict[str, bytes], str]:
    names = [name for files in _RUNTIMES.values() for name in files.values()]
    try:
        package = json.loads(read("package.json"))
        if package["name"] != PACKAGE:
            raise UserError(f"{given} is the npm package {package['name']}, not {PACKAGE}.")
        return {name: read(f"dist/{name}") for name in names}, package["version"]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{given} lacks a file of the npm package {PACKAGE} ({error}); the page was tried with version "
            f"{TRIED_VERSION}."
        ) from None


def _fetch(folder: str) -> str:
    package = f"{PACKAGE}@{TRIED_VERSION}"
    advice = f"get {package} with `npm pack {package}` elsewhere and name the file with --web-runtime."
    try:
        done = subprocess.run(["npm", "pack", package], cwd=folder, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"npm, which fetches the page's runtime, cannot be run ({error}); {advice}") from None
    found = list(Path(folder).glob("*.tgz"))
    if done.returncode or not found:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"npm cannot fetch the page's runtime ({reason}); {advice}")
    return str(found[0])


def write_page(folder, exported, *, runtime: tuple[dict[str, bytes], str], name: str) -> None:
    """Writes the page into `folder`; it appears only when complete and then replaces an older one.

    Args:
        exported: folder of the exported model, with its `portable/` files in ONNX.
        runtime: of `read_runtime`.
        name: of the model.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write(temporary, Path(exported), runtime, name)
        replace_folder(temporary, folder, mark=DESCRIPTION_FILE)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(folder: Path, exported: Path, runtime: tuple[dict[str, bytes], str], name: str) -> None:
    shutil.copytree(PAGE, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    for part in ("model", "runtime"):
        (folder / part).mkdir()
    files, version = runtime
    for file, data in files.items():
        (folder / "runtime" / _served(file)).write_bytes(data)
    models = {part: f"./model/{part}.onnx" for part in ("pose", "detector")}
    for file in models.values():
        write_compact(exported / PORTABLE_FOLDER / Path(file).name, folder / file)
    shutil.copyfile(exported / CARD_FILE, folder / "model" / "model_card.txt")
    runtimes = {k: {part: f"./runtime/{_served(n)}" for part, n in names.items()} for k, names in _RUNTIMES.items()}
    skeletons = json.loads((exported / PORTABLE_FOLDER / "portable.json").read_text(encoding="utf-8"))["skeletons"]
    description = {
        "models": models,
        "runtimes": runtimes,
        "bytes": sum((folder / file).stat().st_size for file in (*models.values(), runtimes["wasm"]["binary"])),
        "skeleton": next((name for name in PREFERRED_SKELETONS if name in skeletons), ""),
        "skeletons": skeletons,
        "about": f"Model: {name}, {len(skeletons['']['joint_names'])} joints. Detector: MoveNet (Apache-2.0). "
        f"Runtime: onnxruntime-web {version} (MIT).",
    }
    (folder / DESCRIPTION_FILE).write_text(json.dumps(description), encoding="utf-8")
    for path in (folder, *folder.rglob("*")):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)


def write_compact(source: Path, target: Path) -> None:
    """Copies an ONNX file; weights that lose nothing by it are stored in half precision, half as large."""
    import onnx

    model = onnx.load(source)
    nodes = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values, name = onnx.numpy_helper.to_array(tensor), tensor.name
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.size >= 1000 and np.array_equal(half.astype(np.float32), values):
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}/half"))
            nodes.append(onnx.helper.make_node("Cast", [f"{name}/half"], [name], to=onnx.TensorProto.FLOAT))
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, target)


def _served(name: str) -> str:
    """Not every file server knows .mjs as a script."""
    return name.replace(".mjs", ".js")
