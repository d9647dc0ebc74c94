"""An exported model in older and newer versions of its runtimes: does it load, and are the poses the same?

    python -m benchmarks.runtime_versions --model my_model --folder environments --runtime tensorflow

makes, one after the other, an environment with each version of the runtime and nothing else below the folder (1.5 GB
with TensorFlow; it is removed again), and lets it load the model, detect people and estimate poses in eight rendered
pictures. The poses are compared with those of the SavedModel in the TensorFlow that this command runs in. Takes some
two minutes a version of TensorFlow, half a minute one of the others.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.environments import environment, run_program
from metrabs_acae.errors import UserError
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.files import write_npz
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings
from metrabs_acae.tables import render

PROGRAM = "python -m benchmarks.runtime_versions"
RESULTS = Path(__file__).parent / "results"
N_PICTURES = 8

HEAD = """
import json, sys
from pathlib import Path
import numpy as np

model_path, pictures_path, out_path, suppress = sys.argv[1:]
given, detected = [], []
"""
TENSORFLOW = """
import tensorflow as tf

version = f"TensorFlow {tf.__version__}"
model = tf.saved_model.load(model_path)

def estimate(image, boxes):
    return model.estimate_poses(image, boxes, num_aug=1)["poses3d"].numpy()

def detect(image):
    settings = {"detector_threshold": 0.1, "suppress_implausible_poses": suppress == "True"}
    return model.detect_poses(image, skeleton="smpl_24", **settings)["poses3d"].numpy()
"""
PORTABLE = """
folder = Path(model_path, "portable")
smpl = json.loads((folder / "portable.json").read_text())["skeletons"]["smpl_24"]["indices"]
camera = {"intrinsic_matrix": np.full((3, 3), -1, np.float32), "distortion_coeffs": np.zeros(12, np.float32)}
camera["world_up_vector"] = np.array([0, -1, 0], np.float32)

def estimate(image, boxes, num_aug=1):
    boxes = np.asarray(boxes, np.float32)
    return run(pose, {"image": image, "boxes": boxes, "num_aug": np.int32(num_aug), **camera})["poses3d"]

def detect(image):
    thresholds = {"detector_threshold": np.float32(0.1), "detector_nms_iou_threshold": np.float32(0.7)}
    boxes = run(detector, {"image": image, **thresholds})["boxes"]
    return estimate(image, boxes, 5)[:, smpl] if len(boxes) else np.zeros((0, len(smpl), 3))
"""
ONNX = """
import onnxruntime

version = f"onnxruntime {onnxruntime.__version__}"
load = lambda path: onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
pose, detector = load(folder / "pose.onnx"), load(folder / "detector.onnx")

def run(session, inputs):
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {k: np.asarray(v) for k, v in inputs.items()})))
"""
LITERT = """
import importlib.metadata
try:
    from ai_edge_litert.interpreter import Interpreter
    package = "ai-edge-litert"
except ImportError:
    from tflite_runtime.interpreter import Interpreter
    package = "tflite-runtime"

version = f"{package} {importlib.metadata.version(package)}"
interpreters = [Interpreter(model_path=str(folder / name)) for name in ("pose.tflite", "detector.tflite")]
pose, detector = (i.get_signature_runner() for i in interpreters)

def run(network, inputs):
    return network(**inputs)
"""
TAIL = """
with np.load(pictures_path) as pictures:
    for i in range(len(pictures["boxes"])):
        image, boxes = pictures[f"image{i}"], pictures["boxes"][i : i + 1]
        given.append(estimate(image, boxes))
        detected.append(detect(image))
np.savez(out_path, given=np.concatenate(given), detected=np.concatenate(detected), people=[len(d) for d in detected])
print(json.dumps({"version": version, "NumPy": np.__version__}))
"""


@dataclass(frozen=True)
class Runtime:
    """What is tried of a runtime: its name, its packages of each version, the program, and what that loads.

    Attributes:
        suppresses: whether it leaves out implausible poses.
    """

    name: str
    packages: dict[str, tuple[str, ...]]
    program: str
    loads: str
    suppresses: bool = False


def _versions(package: str, versions: str, *more: str) -> dict[str, tuple[str, ...]]:
    return {f"{package} {version}": (f"{package}=={version}.*", *more) for version in versions.split()}


OLD_NUMPY = "numpy<2"
"""Of packages that were built for it, but do not ask for it."""
RUNTIMES = {
    "tensorflow": Runtime(
        "TensorFlow",
        _versions("tensorflow-cpu", "2.16 2.17 2.18 2.19 2.20 2.21"),
        HEAD + TENSORFLOW + TAIL,
        "the SavedModel",
        suppresses=True,
    ),
    "onnx": Runtime(
        "onnxruntime",
        _versions("onnxruntime", "1.15 1.17 1.18", OLD_NUMPY) | _versions("onnxruntime", "1.19 1.22 1.26 1.32"),
        HEAD + PORTABLE + ONNX + TAIL,
        "`pose.onnx` and `detector.onnx`",
    ),
    "litert": Runtime(
        "LiteRT",
        _versions("tflite-runtime", "2.14", OLD_NUMPY)
        | _versions("ai-edge-litert", "1.0", OLD_NUMPY)
        | _versions("ai-edge-litert", "1.2 1.4 2.0 2.1 2.2 2.3"),
        HEAD + PORTABLE + LITERT + TAIL,
        "`pose.tflite` and `detector.tflite`",
    ),
}


@settings
class Settings:
    """Loads an exported model in several versions of a runtime and compares the poses."""

    model: Path = setting()
    """Folder of an exported model, with the detector that comes with the project; for ONNX and LiteRT with its files of
    --portable."""
    folder: Path = setting()
    """Where the environments are made, and removed again."""
    runtime: Literal["tensorflow", "onnx", "litert"] = setting("tensorflow")
    """TensorFlow (tensorflow-cpu), onnxruntime, or tflite-runtime and its successor ai-edge-litert."""
    versions: tuple[str, ...] = setting(())
    """Only those packages, as the table names them: 'onnxruntime 1.19'; empty: all."""
    keep: bool = setting(False)
    """Keep the environments; those that are there are used."""
    write: bool = setting(False)
    """Write the table to benchmarks/results/RUNTIME_versions.md."""


def run(flags: Settings) -> int:
    """1 where a version does not load the model or finds other people."""
    runtime, rows, failed = RUNTIMES[flags.runtime], [], False
    if unknown := sorted(set(flags.versions) - set(runtime.packages)):
        raise UserError(f"--versions takes {', '.join(runtime.packages)}; not {', '.join(unknown)}.")
    flags.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        pictures = Path(temporary, "pictures.npz")
        write_npz(pictures, rendered_pictures(N_PICTURES))
        given = flags.model, pictures, runtime.suppresses
        reference, its_row = run_client(Path(sys.executable), RUNTIMES["tensorflow"].program, *given)
        for version in flags.versions or runtime.packages:
            place = flags.folder / version.replace(" ", "-")
            try:
                python = environment(place, *runtime.packages[version])
                poses, row = run_client(python, runtime.program, *given)
                row |= differences(poses, reference)
            except subprocess.CalledProcessError as error:
                row = {"version": version, "note": f"fails with exit code {error.returncode}"}
            finally:
                if not flags.keep:
                    shutil.rmtree(place, ignore_errors=True)
            failed |= "note" in row
            rows.append(row)
            print(json.dumps(row), flush=True)
    text = render(rows, "markdown", digits=4)
    print(text)
    if flags.write:
        path = RESULTS / f"{flags.runtime}_versions.md"
        path.write_text(page(text, runtime, flags.model.name, its_row["version"].split()[-1], flags.runtime))
    return int(failed)


def rendered_pictures(count: int) -> dict[str, np.ndarray]:
    """`image0`, ... [h, w, 3] uint8 of one person each, and `boxes` [count, 4] px."""
    from data_processing.synthetic.datasets import STORES
    from data_processing.synthetic.scene import make_example

    examples = [make_example(STORES["synthetic-3dhp-test"], "test", i, 0) for i in range(count)]
    images = {f"image{i}": image for i, (image, _) in enumerate(examples)}
    return images | {"boxes": np.stack([rows[0].box_ltwh_px for _, rows in examples])}


def run_client(
    python: Path, program: str, model: Path, pictures: Path, suppress: bool
) -> tuple[dict[str, np.ndarray], dict]:
    """Poses by a version of a runtime, and what it says of itself.

    Raises:
        subprocess.CalledProcessError: it does not load the model or use it.
    """
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary, "poses.npz")
        row = run_program(python, "-c", program, model, pictures, out, suppress)
        with np.load(out) as poses:
            return dict(poses), row


def differences(poses: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict:
    """The largest distances of a joint from the reference's, mm, or a note that other people were found."""
    given = np.linalg.norm(poses["given"] - reference["given"], axis=-1)
    row = {"given boxes, largest mm": float(given.max()), "people detected": int(poses["people"].sum())}
    if poses["people"].tolist() != reference["people"].tolist():
        return row | {"note": f"{reference['people'].tolist()} people detected by the reference"}
    distances = np.linalg.norm(poses["detected"] - reference["detected"], axis=-1)
    return row | {"detected, largest mm": float(distances.max())}


def page(table: str, runtime: Runtime, model: str, version: str, flag: str) -> str:
    return (
        f"# One exported model in several versions of {runtime.name}\n\n"
        f"The exported model `{model}` ({runtime.loads}) on {N_PICTURES} rendered pictures (synthetic-3dhp-test): "
        f"largest distance of a joint from where the SavedModel in TensorFlow\n{version} puts it. Given boxes: one "
        "crop a person, all joints; detected: five crops a person, smpl_24. Python\n"
        f"{platform.python_version()}, {date.today()}, {os.cpu_count()} cores, {platform.machine()}, no GPU. "
        f"Made by `{PROGRAM} --model {model} --folder DIR --runtime {flag} --write`.\n\n{table}\n"
    )


if __name__ == "__main__":
    sys.exit(exit_code(lambda: run(parse(Settings, sys.argv[1:], PROGRAM))))
