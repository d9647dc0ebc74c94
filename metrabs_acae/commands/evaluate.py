"""--evaluate: the standard metrics on every benchmark store; and the validation that runs while training."""

from __future__ import annotations

import dataclasses

import numpy as np

from metrabs_acae.commands import models, stores
from metrabs_acae.config import Config
from metrabs_acae.evaluation import tables
from metrabs_acae.evaluation.stores import StorePredictions, predict_store, score
from metrabs_acae.skeletons import Skeleton
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


def run(config: Config) -> None:
    """Evaluates a finished run on the stores that the command names."""
    folder = models.find_run(config.files.load_path)
    pose_model, skeleton, settings = models.load_pose_model(folder)
    data = dataclasses.replace(settings.data, test_on=config.data.test_on, batch_size_test=config.data.batch_size_test)
    config = dataclasses.replace(config, data=data, model=settings.model)
    evaluate_and_report(pose_model, skeleton, config, folder)


def evaluate_and_report(pose_model, skeleton: Skeleton, config: Config, folder: RunFolder) -> dict[str, dict]:
    """Scores the model on all test stores; prints the table and writes evaluation.json, .md and overlay pictures."""
    results = {}
    for store in stores.test_stores(config.data, config.files.data_dir):
        predictions = predict_store(
            predictor(pose_model),
            skeleton,
            store,
            "test",
            image_size=config.model.proc_side,
            batch_size=config.data.batch_size_test,
            keep_images=12,
        )
        result = score(predictions, store.skeleton)
        result["ratio"] = result["mpjpe"] / result["constant_pose_mpjpe"]
        results[store.name] = result
        draw(predictions, store.skeleton, folder, f"test_{store.name}.png")
    folder.write_json("evaluation.json", results)
    (folder.path / "evaluation.md").write_text(tables.render(rows(results), fmt="markdown") + "\n")
    print(tables.render(rows(results), fmt="text"), flush=True)
    return results


def rows(results: dict[str, dict]) -> list[dict]:
    """Table rows of results by store: one column per metric, mm or percent."""
    return [
        {"benchmark": name, **{title: result[key] for key, title in COLUMNS.items() if key in result}}
        for name, result in results.items()
    ]


def predictor(pose_model):
    """(images, intrinsics) -> poses as NumPy arrays, through the model's own compiled prediction step."""

    def predict(images: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
        return np.asarray(pose_model.predict_on_batch({"image": images, "intrinsics": intrinsics}))

    return predict


class Validator:
    """Mean metrics over the validation stores, and pictures of some of their examples.

    Attributes:
        names: of the metrics that a call returns.
    """

    names = ("mpjpe", "pa_mpjpe", "pck@150")

    def __init__(self, pose_model, mixture, config: Config, folder: RunFolder):
        self.pose_model, self.skeleton, self.config, self.folder = pose_model, mixture.skeleton, config, folder
        self.stores = stores.validation_stores(config.data, mixture)

    def __call__(self, step: int) -> dict[str, float]:
        results = []
        for i, store in enumerate(self.stores):
            predictions = predict_store(
                predictor(self.pose_model),
                self.skeleton,
                store,
                "valid",
                image_size=self.config.model.proc_side,
                batch_size=self.config.data.batch_size_test,
                keep_images=8 if i == 0 else 0,
                max_examples=VALIDATION_EXAMPLES,
            )
            results.append(score(predictions, store.skeleton))
            if i == 0:
                draw(predictions, store.skeleton, self.folder, f"step_{step:07d}.png")
        return {name: float(np.mean([r[name] for r in results])) for name in self.names} if results else {}


def draw(predictions: StorePredictions, skeleton: Skeleton, folder: RunFolder, name: str) -> None:
    """A sheet of crops with the predicted and the true skeleton, and the prediction from the side."""
    import cv2

    from metrabs_acae.visualization.overlay import overlay_sheet

    count = len(predictions.images)
    if not count:
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
