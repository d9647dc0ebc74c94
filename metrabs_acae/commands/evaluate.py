"""--evaluate: the standard metrics and the skeletons' consistency; and the validation that runs while training."""

from __future__ import annotations

import dataclasses

import numpy as np

from metrabs_acae import tables
from metrabs_acae.acae.pseudo_labels import predict_mirrored
from metrabs_acae.commands import evaluate_files, models, stores
from metrabs_acae.config import Config
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.consistency import consistency_metrics
from metrabs_acae.evaluation.stores import StorePredictions, predict_store, score
from metrabs_acae.models.kinds import KINDS
from metrabs_acae.skeletons import Skeleton, corresponding_joints
from metrabs_acae.training.run_folder import RunFolder

VALIDATION_EXAMPLES = 64
"""Examples of each validation store: enough to see the curve, few enough not to slow the training down."""

COLUMNS = {
    "n_poses": "poses",
    "mpjpe": "MPJPE",
    "pa_mpjpe": "PA-MPJPE",
    "pck@100": "PCK@100",
    "pck@150": "PCK@150",
    "auc@150": "AUC@150",
    "cps@200": "CPS@200",
    "constant_pose_mpjpe": "constant pose",
    "ratio": "ratio",
}
"""Results shown in the table: `ratio` is MPJPE over the error of the best constant pose."""

CONSISTENCY_COLUMNS = {
    "n_poses": "poses",
    "n_points": "points",
    "disagreement_mm": "disagreement",
    "disagreement_depth_mm": "in depth",
    "disagreement_plane_mm": "in plane",
    "bone_length_spread_mm": "bone length spread",
}
"""Results shown in the table of stores that have several skeletons, mm."""


MIRROR_NOTE = "Each pose is the mean over the crop and its mirror image (--test-time-mirror-aug)."


def run(config: Config) -> None:
    """Evaluates prediction files if some are named, else a finished run on the stores that the command names."""
    if config.verbs.evaluate:
        evaluate_files.run(config)
        return
    folder = models.find_run(config.files.load_path)
    pose_model, skeleton, settings = models.load_pose_model(folder)
    given = {name: getattr(config.data, name) for name in ("test_on", "batch_size_test", "test_time_mirror_aug")}
    config = dataclasses.replace(config, data=dataclasses.replace(settings.data, **given), model=settings.model)
    evaluate_and_report(pose_model, skeleton, config, folder)


def evaluate_and_report(pose_model, skeleton: Skeleton, config: Config, folder: RunFolder) -> dict[str, dict]:
    """Scores the model on all test stores; prints the table and writes evaluation.json, .md and overlay pictures."""
    results, mirrored = {}, config.data.test_time_mirror_aug
    predict = predictor(pose_model, mirror=skeleton.mirror if mirrored else None)
    for store in stores.test_stores(config.data, config.files.data_dir):
        predictions = predict_store(
            predict,
            skeleton,
            store,
            "test",
            image_size=config.model.proc_side,
            batch_size=config.data.batch_size_test,
            keep_images=12,
            is_absolute=KINDS[config.model.model].is_absolute,
        )
        results[store.name] = {**evaluate_store(predictions, store.skeleton), "mirror_averaged": mirrored}
        draw(predictions, store.skeleton, folder, f"test_{store.name}.png")
    folder.write_json("evaluation.json", results)
    note = [MIRROR_NOTE] if mirrored else []
    (folder.path / "evaluation.md").write_text("\n\n".join(render(results, fmt="markdown") + note) + "\n")
    print(*render(results, fmt="text"), *note, sep="\n\n", flush=True)
    return results


def evaluate_store(predictions: StorePredictions, skeleton: Skeleton) -> dict[str, float]:
    """The standard metrics and, of a store whose joints are of several skeletons, how much these contradict each other.

    Where each skeleton has a pelvis there is no one root to score poses at: then only the second.
    """
    if not stores.has_several_conventions(skeleton):
        return scores(predictions, skeleton)
    try:
        standard = scores(predictions, skeleton)
    except UserError:
        standard = {"n_poses": len(predictions.pred_mm)}
    return {**standard, **consistency(predictions, skeleton)}


def scores(predictions: StorePredictions, skeleton: Skeleton) -> dict[str, float]:
    """The standard metrics, and the ratio of the MPJPE to the best constant pose's."""
    result = score(predictions, skeleton)
    constant = result["constant_pose_mpjpe"]  # zero if all poses are the same
    return {**result, "ratio": result["mpjpe"] / constant if constant else float("nan")}


def consistency(predictions: StorePredictions, skeleton: Skeleton) -> dict[str, float]:
    """`consistency_metrics` of predictions of several skeletons' joints."""
    return consistency_metrics(predictions.pred_mm, predictions.true_mm, skeleton.joint_names, valid=predictions.valid)


def render(results: dict[str, dict], *, fmt: str) -> list[str]:
    """The tables of results by store that have rows: of standard metrics (mm or percent), and of consistency."""
    found = []
    for columns, key, first in (
        (COLUMNS, "mpjpe", "benchmark"),
        (CONSISTENCY_COLUMNS, "disagreement_mm", "consistency"),
    ):
        rows = [
            {first: name, **{title: result[k] for k, title in columns.items() if k in result}}
            for name, result in results.items()
            if key in result
        ]
        if rows:
            found.append(tables.render(rows, fmt=fmt, digits={"ratio": 3}))
    return found


def predictor(pose_model, *, mirror: np.ndarray | None = None):
    """(images, intrinsics) -> poses as NumPy arrays, through the model's own compiled prediction step.

    Args:
        mirror: [J] the skeleton's mirror map, to average with the mirrored images' poses; None: plain predictions.
    """
    from metrabs_acae.training.distribution import local_call

    call = local_call(pose_model) or pose_model.predict_on_batch

    def predict(images: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
        return np.asarray(call({"image": images, "intrinsics": intrinsics}))

    return predict if mirror is None else lambda *crops: predict_mirrored(predict, *crops, mirror)


class Validator:
    """Mean metrics over the validation stores, and pictures of some of their examples.

    Attributes:
        names: of the metrics that a call returns.
    """

    def __init__(self, pose_model, mixture, config: Config, folder: RunFolder):
        self.pose_model, self.skeleton, self.config, self.folder = pose_model, mixture.skeleton, config, folder
        self.stores = stores.validation_stores(config.data, mixture)
        # Nothing is chosen by this number, so that examples of a test split may give it.
        tested = stores.test_stores(config.data, config.files.data_dir)
        for store in (*self.stores, *tested):
            corresponding_joints(self.skeleton, store.skeleton.joint_names)  # better refused now than after training
        self.consistency_store = next((s for s in tested if stores.has_several_conventions(s.skeleton)), None)
        self.scores = ("mpjpe", "pa_mpjpe", "pck@150") if self.stores else ()
        self.names = self.scores + (("disagreement_mm",) if self.consistency_store else ())

    def __call__(self, step: int) -> dict[str, float]:
        results = []
        for i, store in enumerate(self.stores):
            predictions = self._predict(store, "valid", keep_images=8 if i == 0 else 0)
            results.append(score(predictions, store.skeleton))
            if i == 0:
                draw(predictions, store.skeleton, self.folder, f"step_{step:07d}.png")
        means = {name: float(np.mean([r[name] for r in results])) for name in self.scores}
        if self.consistency_store:
            skeleton = self.consistency_store.skeleton
            measured = consistency(self._predict(self.consistency_store, "test"), skeleton)
            means["disagreement_mm"] = measured["disagreement_mm"]
        return means

    def _predict(self, store, split: str, *, keep_images: int = 0) -> StorePredictions:
        return predict_store(
            predictor(self.pose_model),
            self.skeleton,
            store,
            split,
            image_size=self.config.model.proc_side,
            batch_size=self.config.data.batch_size_test,
            keep_images=keep_images,
            max_examples=VALIDATION_EXAMPLES,
            is_absolute=KINDS[self.config.model.model].is_absolute,
        )


def draw(predictions: StorePredictions, skeleton: Skeleton, folder: RunFolder, name: str) -> None:
    """A sheet of crops with the predicted and the true skeleton, and the prediction from the side."""
    import cv2

    from metrabs_acae.visualization.overlay import overlay_sheet

    count = len(predictions.images)
    if not count or folder.silent:
        return
    sheet = overlay_sheet(
        (predictions.images * 255).round().astype(np.uint8),
        project(predictions.pred_mm[:count], predictions.intrinsics),
        skeleton.edges,
        coords3d=predictions.pred_mm[:count],
        truth2d=np.where(
            predictions.valid[:count, :, None], project(predictions.true_mm[:count], predictions.intrinsics), np.nan
        ),
    )
    folder.overlays.mkdir(exist_ok=True)
    cv2.imwrite(str(folder.overlays / name), sheet[..., ::-1])


def project(coords3d_mm: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """[N, J, 3] camera frame to [N, J, 2] pixels; points closer than 1 mm count as 1 mm away."""
    normalized = coords3d_mm / np.maximum(coords3d_mm[..., 2:], 1)
    return np.einsum("nij,npj->npi", intrinsics, normalized)[..., :2]
