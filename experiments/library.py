"""The steps that are functions of this program, and what is read from each step's output."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from experiments.experiment import AUTOENCODER, CONSISTENCY
from experiments.steps import Places, Step
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json

SHOWN = ("mpjpe", "pa_mpjpe", "a_mpjpe", "pck@50", "pck@100", "pck@150", "auc@150", "cps@200", "ratio")
"""Of a benchmark's results, those that are stored."""


def run_function(step: Step, places: Places) -> tuple[dict, dict]:
    """Does a step that is no call of the program; its numbers and details."""
    arguments = [places.fill(a) for a in step.arguments]
    if step.kind == "data":
        from data_processing.synthetic.generate import generate

        size, folder = arguments
        generate(folder, size=size)
        return {}, {}
    assert step.kind == "inconsistency"
    return inconsistency(Path(arguments[0]), Path(arguments[1]))


def collect(step: Step, places: Places) -> tuple[dict, dict]:
    """Numbers, ``{group: {metric: value}}``, and details of a step that was a call of the program."""
    output = Path(places.fill(step.output))
    if step.kind == "train":
        return training_numbers(_json(output / "evaluation.json")), {}
    if step.kind == "fit":
        return acae_numbers(_json(output.with_name(output.stem + "-report") / "report.json"))
    if step.kind == "score":
        report = _json(output / "report.json")
        values = {k: v for k, v in report["results"][0].items() if isinstance(v, int | float) and v is not None}
        return {report["protocol"]: values}, {"counts": report["counts"], "options": report["options"]}
    return {}, {}


def tidy(step: Step, places: Places) -> None:
    """Of a finished training only the last checkpoint is kept: what comes after needs no other."""
    from metrabs_acae.training import checkpoints

    if step.kind != "train":
        return
    folder = Path(places.fill(step.output)) / "checkpoints"
    _, last = checkpoints.list_checkpoints(folder)[-1]
    for path in folder.iterdir():
        if path != last:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def training_numbers(evaluation: dict) -> dict[str, dict[str, float]]:
    """evaluation.json of a run: benchmarks by their store's name, and consistency."""
    numbers: dict[str, dict[str, float]] = {}
    for store, values in evaluation.items():
        if "mpjpe" in values:
            numbers[store] = {k: round(values[k], 4) for k in (*SHOWN, "n_poses") if k in values}
        if "disagreement_mm" in values:
            kept = {k: v for k, v in values.items() if k.endswith("_mm") and ("disagreement" in k or "spread" in k)}
            numbers[CONSISTENCY] = {k: round(v, 4) for k, v in kept.items()}
    return numbers


def acae_numbers(report: dict) -> tuple[dict, dict]:
    numbers = {
        "error_2d_mm": report["error_2d_mm"],
        "error_3d_mm": report["error_3d_mm"],
        "main_loss_mm": 1000 * report["losses"]["main"],
        "encoder_zeros": 100 * report["encoder"]["small_fraction"],
        "decoder_zeros": 100 * report["decoder"]["small_fraction"],
        "joints_per_latent": report["encoder"]["used_per_point"],
    }
    if report["asymmetry_mm"] is not None:
        numbers["asymmetry_mm"] = report["asymmetry_mm"]
    details = {"latents": report["latents"], "n_poses": report["n_poses"], "held_out": report["held_out"]}
    return {AUTOENCODER: {k: round(v, 4) for k, v in numbers.items()}}, details


def inconsistency(run: Path, store_path: Path) -> tuple[dict, dict]:
    """Disagreement of a run's skeletons as a whole, by anatomical point and by skeleton, and one person as all see it.

    The person is the same for each model: the one of median extent along depth. Joints are relative to their mean, in
    the frame of the crop's camera (z away from it), mm.
    """
    import numpy as np

    from metrabs_acae.evaluation.consistency import agreement, consistency_metrics, like_named

    store, found = predicted(run, store_path)
    names = store.skeleton.joint_names
    pred, true, valid = found.pred_mm, found.true_mm, found.valid
    points = {}
    for base, members in like_named(names).items():
        try:
            of_point = consistency_metrics(
                pred[:, members], true[:, members], [names[i] for i in members], valid=valid[:, members]
            )
        except UserError:
            continue
        points[base] = [
            round(of_point[k], 2) for k in ("disagreement_mm", "disagreement_depth_mm", "disagreement_plane_mm")
        ]
    extent = [np.ptp(pose[labelled][:, 2]) for pose, labelled in zip(true, valid, strict=True)]
    person = int(np.argsort(extent, kind="stable")[len(extent) // 2])
    center = true[person][valid[person]].mean(0)
    whole = consistency_metrics(pred, true, names, valid=valid)
    of_agreed, skeletons = agreement(pred, names) or ({}, [])
    numbers = {k: v for k, v in (whole | of_agreed).items() if k.endswith("_mm") or k.startswith("agreed_cps")}
    details = {
        "points": points,
        "skeletons": [{k: v if isinstance(v, str) else round(v, 2) for k, v in row.items()} for row in skeletons],
        "person": person,
        "joint_names": list(names),
        "edges": [list(e) for e in store.skeleton.edges],
        "pred_mm": (pred[person] - center).round(0).tolist(),
        "true_mm": (true[person] - center).round(0).tolist(),
    }
    return {CONSISTENCY: {k: round(float(v), 4) for k, v in numbers.items()}}, details


def predicted(run: Path, store_path: Path, joint_names: Sequence[str] | None = None):
    """(the store, a run's `CropPredictions` of its test split).

    Args:
        joint_names: joints of the store that the run has; predictions of the others are NaN. None: all.
    """
    import numpy as np

    from metrabs_acae.commands import models
    from metrabs_acae.commands.evaluate import predictor
    from metrabs_acae.data.store import PoseStore
    from metrabs_acae.evaluation.crops import predict_crops
    from metrabs_acae.skeletons import corresponding_joints
    from metrabs_acae.training.run_folder import RunFolder

    store = PoseStore(store_path)
    pose_model, skeleton, settings = models.load_pose_model(RunFolder(run))
    predict = predictor(pose_model)
    if joint_names is not None:
        of_model, there = corresponding_joints(skeleton, joint_names), store.skeleton.indices(joint_names)
        of_all, skeleton = predict, store.skeleton

        def predict(images, intrinsics):
            poses = np.full((len(images), skeleton.n_joints, 3), np.nan)
            poses[:, there] = of_all(images, intrinsics)[:, of_model]
            return poses

    size = settings.model.proc_side
    return store, predict_crops(predict, skeleton, store, "test", image_size=size, batch_size=64)


def _json(path: Path):
    try:
        return load_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} was expected from a step but cannot be read ({error}).") from None
