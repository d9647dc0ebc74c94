"""An exported model in older and newer TensorFlow versions: does it load, and are the poses the same?

    python -m benchmarks.tensorflow_versions --model my_model --folder environments

makes, one after the other, an environment with tensorflow-cpu of each version and nothing else below the folder (about
1.5 GB; it is removed again), and lets it load the model, detect people and estimate poses in eight rendered pictures.
The poses are compared with those of the TensorFlow that this command runs in. Takes some two minutes a version.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.environments import environment, run_program
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.files import write_npz
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings
from metrabs_acae.tables import render

PROGRAM = "python -m benchmarks.tensorflow_versions"
RESULTS = Path(__file__).parent / "results" / "tensorflow_versions.md"
N_PICTURES = 8

CLIENT = """
import json, sys
import numpy as np
import tensorflow as tf

model_path, pictures_path, out_path = sys.argv[1:]
model = tf.saved_model.load(model_path)
given, detected = [], []
with np.load(pictures_path) as pictures:
    for i in range(len(pictures["boxes"])):
        image, boxes = pictures[f"image{i}"], pictures["boxes"][i : i + 1]
        given.append(model.estimate_poses(image, boxes, num_aug=1)["poses3d"].numpy())
        found = model.detect_poses(image, skeleton="smpl_24", detector_threshold=0.1)
        detected.append(found["poses3d"].numpy())
np.savez(out_path, given=np.concatenate(given), detected=np.concatenate(detected), people=[len(d) for d in detected])
print(json.dumps({"TensorFlow": tf.__version__, "NumPy": np.__version__}))
"""


@settings
class Settings:
    """Loads an exported model in several TensorFlow versions and compares the poses."""

    model: Path = setting()
    """Folder of an exported model, with a detector."""
    folder: Path = setting()
    """Where the environments are made, and removed again."""
    versions: tuple[str, ...] = setting(("2.16", "2.17", "2.18", "2.19", "2.20", "2.21"))
    """Of tensorflow-cpu."""
    keep: bool = setting(False)
    """Keep the environments; those that are there are used."""
    write: bool = setting(False)
    """Write the table to benchmarks/results/tensorflow_versions.md."""


def run(flags: Settings) -> int:
    """1 where a version does not load the model or finds other people."""
    flags.folder.mkdir(parents=True, exist_ok=True)
    rows, failed = [], False
    with tempfile.TemporaryDirectory() as temporary:
        pictures = Path(temporary, "pictures.npz")
        write_npz(pictures, rendered_pictures(N_PICTURES))
        reference, its_row = run_client(Path(sys.executable), flags.model, pictures)
        for version in flags.versions:
            place = flags.folder / f"tensorflow-{version}"
            try:
                python = environment(place, f"tensorflow-cpu=={version}.*")
                poses, row = run_client(python, flags.model, pictures)
                row |= differences(poses, reference)
            except subprocess.CalledProcessError as error:
                row = {"TensorFlow": version, "note": f"fails with exit code {error.returncode}"}
            finally:
                if not flags.keep:
                    shutil.rmtree(place, ignore_errors=True)
            failed |= "note" in row
            rows.append(row)
            print(json.dumps(row), flush=True)
    text = render(rows, "markdown", digits=4)
    print(text)
    if flags.write:
        RESULTS.write_text(page(text, its_row["TensorFlow"]))
    return int(failed)


def rendered_pictures(count: int) -> dict[str, np.ndarray]:
    """`image0`, ... [h, w, 3] uint8 of one person each, and `boxes` [count, 4] px."""
    from data_processing.synthetic.datasets import STORES
    from data_processing.synthetic.scene import make_example

    examples = [make_example(STORES["synthetic-3dhp-test"], "test", i, 0) for i in range(count)]
    images = {f"image{i}": image for i, (image, _) in enumerate(examples)}
    return images | {"boxes": np.stack([rows[0].box_ltwh_px for _, rows in examples])}


def run_client(python: Path, model: Path, pictures: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Poses by a TensorFlow version, and what it says of itself.

    Raises:
        subprocess.CalledProcessError: it does not load the model or use it.
    """
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary, "poses.npz")
        versions = run_program(python, "-c", CLIENT, model, pictures, out)
        with np.load(out) as poses:
            return dict(poses), versions


def differences(poses: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict:
    """The largest distances of a joint from the reference's, mm, or a note that other people were found."""
    given = np.linalg.norm(poses["given"] - reference["given"], axis=-1)
    row = {"given boxes, largest mm": float(given.max()), "people detected": int(poses["people"].sum())}
    if poses["people"].tolist() != reference["people"].tolist():
        return row | {"note": f"{reference['people'].tolist()} people detected by the reference"}
    distances = np.linalg.norm(poses["detected"] - reference["detected"], axis=-1)
    return row | {"detected, largest mm": float(distances.max())}


def page(table: str, version: str) -> str:
    return (
        "# One exported model in several TensorFlow versions\n\n"
        f"The model in the box, exported by TensorFlow {version}, on {N_PICTURES} rendered pictures "
        "(synthetic-3dhp-test): largest distance of a joint from where\nthat version puts it. Given boxes: one crop a "
        "person, all joints; detected: five crops a person, smpl_24. Python\n"
        f"{platform.python_version()}, {date.today()}, {os.cpu_count()} cores, {platform.machine()}, no GPU. "
        f"Made by `{PROGRAM} --model MODEL --folder DIR --write`.\n\n{table}\n"
    )


if __name__ == "__main__":
    sys.exit(exit_code(lambda: run(parse(Settings, sys.argv[1:], PROGRAM))))
