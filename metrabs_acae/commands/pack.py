"""--pack: a finished run as a small run folder with nothing but what its users need, weights in 16 bits."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.commands import evaluate, models, stores
from metrabs_acae.config import Config
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.crops import predict_crops
from metrabs_acae.models.kinds import KINDS
from metrabs_acae.training.run_folder import RunFolder

COPIED = ("skeleton.json", models.ACAE_FILE, models.BONES_FILE, "evaluation.json", "evaluation.md")
CLEANED = ("config.json", "versions.json")
"""Files with paths, of which only the last parts are kept."""
EXAMPLES = 64
"""Crops of each store that both models are compared on."""


def run(config: Config) -> None:
    """Packs the run of --load-path and says how far apart the poses of the two are."""
    folder, target = models.find_run(config.files.load_path), Path(config.verbs.pack)
    of_run = dataclasses.replace(models.settings_of(folder).data, test_on=config.data.test_on)
    moved = pack(folder, target, stores.test_stores(of_run, config.files.data_dir))
    size = sum(p.stat().st_size for p in target.rglob("*") if p.is_file()) / 1e6
    print(f"Wrote {target}, {size:.1f} MB.\n{describe(moved)}")


def pack(folder: RunFolder, target: Path, compared_on: Sequence[PoseStore]) -> dict:
    """Writes the packed run; it appears only when it is complete.

    Args:
        compared_on: stores whose test crops go through both models.

    Returns:
        `mean_mm`, `p99_mm`, `largest_mm`: distances between the joints of the two models, the second exceeded by one
        in a hundred; `n_poses`. It is also in packed.json.

    Raises:
        UserError: `target` holds something, or the run cannot be read or packed.
    """
    from metrabs_acae.training import checkpoints, packed

    if target.exists() and any(target.iterdir()):
        raise UserError(f"{target} is not empty; give --pack a new folder.")
    pose_model, skeleton, settings = models.load_pose_model(folder)
    step = checkpoints.newest_step(folder.checkpoints)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = RunFolder(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for name in COPIED:
            if (folder.path / name).exists():
                shutil.copyfile(folder.path / name, temporary.path / name)
        for name in CLEANED:
            temporary.write_json(name, without_folders(folder.read_json(name)))
        packed.write(temporary.checkpoints / f"ckpt-{step:08d}", checkpoints.weights_of(pose_model))
        moved = compare(pose_model, models.load_pose_model(temporary)[0], skeleton, settings, compared_on)
        temporary.write_json("packed.json", moved)
        temporary.path.chmod(0o755)
        if target.exists():
            target.rmdir()
        temporary.path.rename(target)
    finally:
        shutil.rmtree(temporary.path, ignore_errors=True)
    return moved


def compare(first, second, skeleton, settings: Config, compared_on: Sequence[PoseStore]) -> dict:
    """How far apart two models put the joints of the same crops."""
    distances = []

    def both(images, intrinsics):
        poses = [evaluate.predictor(model)(images, intrinsics) for model in (first, second)]
        distances.append(np.linalg.norm(poses[0] - poses[1], axis=-1))
        return poses[0]

    for store in compared_on:
        predict_crops(
            both,
            skeleton,
            store,
            "test",
            image_size=settings.model.proc_side,
            batch_size=settings.data.batch_size_test,
            max_examples=EXAMPLES,
            is_absolute=KINDS[settings.model.model].is_absolute,
        )
    if not distances:
        raise UserError("There is nothing to compare the packed model on; name stores with --test-on.")
    every = np.concatenate(distances)
    return {
        "mean_mm": float(every.mean()),
        "p99_mm": float(np.quantile(every, 0.99)),
        "largest_mm": float(every.max()),
        "n_poses": len(every),
    }


def describe(moved: dict) -> str:
    return (
        f"Storage in 16 bits moves the joints of {moved['n_poses']} poses by {moved['mean_mm']:.2f} mm on average, "
        f"99 % by less than {moved['p99_mm']:.2f} mm and all by less than {moved['largest_mm'] + 0.005:.2f} mm: "
        "joints at the border of a crop may change over to the other way of being placed in space."
    )


def without_folders(data):
    """Plain data in which of every path only the last part is left: the rest is about one machine."""
    if isinstance(data, dict):
        return {key: without_folders(value) for key, value in data.items()}
    if isinstance(data, list):
        return [without_folders(value) for value in data]
    return Path(data).name if isinstance(data, str) and "/" in data else data
