"""--evaluate: the standard metrics and the skeletons' consistency; and the validation that runs while training."""

from __future__ import annotations

import dataclasses

import numpy as np

from metrabs_acae.acae.pseudo_labels import predict_mirrored
from metrabs_acae.commands import evaluate_files, models, stores
from metrabs_acae.config import Config
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation import store_tables
from metrabs_acae.evaluation.crops import CropPredictions, predict_crops, sample_rows
from metrabs_acae.models.kinds import KINDS
from metrabs_acae.skeletons import Skeleton, corresponding_joints
from metrabs_acae.training.run_folder import RunFolder

VALIDATION_EXAMPLES = 64
"""Examples of each validation store: enough to see the curve, few enough not to slow the training down."""

NOT_EVALUATED = "Nothing was evaluated: no pose store of the run has a test split; name some with --test-on."
MIRROR_NOTE = "Each pose is the mean over the crop and its mirror image (--test-time-mirror-aug)."


def run(config: Config) -> None:
    """Evaluates prediction files if some are named, else a finished run on the stores that the command names."""
    if config.verbs.evaluate:
        evaluate_files.run(config)
        return
    folder = models.find_run(config.files.load_path)
    pose_model, skeleton, settings = models.load_pose_model(folder)
    of_command = ("test_on", "batch_size_test", "test_time_mirror_aug", "max_bad_fraction")
    given = {name: getattr(config.data, name) for name in of_command}
    config = dataclasses.replace(config, data=dataclasses.replace(settings.data, **given), model=settings.model)
    if not stores.test_stores(config.data, config.files.data_dir):
        raise UserError(NOT_EVALUATED)
    for line in check_stores(config, []):
        print(line)
    evaluate_and_report(pose_model, skeleton, config, folder)


def check_stores(config: Config, validation_stores: list[PoseStore]) -> list[str]:
    """What is to be said about the stores that will be scored; UserError where that could not be done."""
    notes, tested = [], stores.test_stores(config.data, config.files.data_dir)
    for split, chosen in (("valid", validation_stores), ("test", tested)):
        for store in chosen:
            rows = sample_rows(store.splits[split], VALIDATION_EXAMPLES if split == "valid" else None)
            notes.append(store_tables.check_root(store, rows, split, config.benchmark.root))
    return list(dict.fromkeys(filter(None, notes)))


def evaluate_and_report(pose_model, skeleton: Skeleton, config: Config, folder: RunFolder) -> dict[str, dict]:
    """Scores the model on all test stores; prints the tables and writes evaluation.json, .md and overlay pictures."""
    results, mirrored = {}, config.data.test_time_mirror_aug
    predict = predictor(pose_model, mirror=skeleton.mirror if mirrored else None)
    for store in stores.test_stores(config.data, config.files.data_dir):
        predictions = predict_crops(
            predict,
            skeleton,
            store,
            "test",
            image_size=config.model.proc_side,
            batch_size=config.data.batch_size_test,
            keep_images=12,
            max_bad_fraction=config.data.max_bad_fraction,
            is_absolute=KINDS[config.model.model].is_absolute,
        )
        measured = store_tables.measure(predictions, store.skeleton.joint_names, config.benchmark.root)
        name = store.name if store.name not in results else str(store.path)
        results[name] = {**measured, "mirror_averaged": mirrored}
        draw(predictions, store.skeleton, folder, f"test_{name.replace('/', '_')}.png")
    folder.write_json("evaluation.json", results)
    note = [] if results and not mirrored else [MIRROR_NOTE if results else NOT_EVALUATED]
    (folder.outputs / "evaluation.md").write_text("\n\n".join(store_tables.render(results, "markdown") + note) + "\n")
    print(*store_tables.render(results, "text"), *note, sep="\n\n", flush=True)
    return results


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
        for line in check_stores(config, self.stores):
            folder.log(line)
        root = config.benchmark.root
        self.stores = [s for s in self.stores if store_tables.STANDARD.applies(s.skeleton.joint_names, root)]
        if not self.stores:
            folder.log("No validation: no store of the run has a valid split and one root; name some by --validate-on.")
        consistent = (s for s in tested if store_tables.CONSISTENCY.applies(s.skeleton.joint_names, ""))
        self.consistency_store = next(consistent, None)
        self.scores = ("mpjpe", "pa_mpjpe", "pck@150") if self.stores else ()
        self.names = self.scores + (("disagreement_mm",) if self.consistency_store else ())

    def __call__(self, step: int) -> dict[str, float]:
        results = []
        for i, store in enumerate(self.stores):
            predictions = self._predict(store, "valid", keep_images=8 if i == 0 else 0)
            results.append(store_tables.standard(predictions, store.skeleton.joint_names, self.config.benchmark.root))
            if i == 0:
                draw(predictions, store.skeleton, self.folder, f"step_{step:07d}.png")
        means = {name: float(np.mean([r[name] for r in results])) for name in self.scores}
        if self.consistency_store:
            predictions = self._predict(self.consistency_store, "test")
            measured = store_tables.agreement(predictions, self.consistency_store.skeleton.joint_names)
            means["disagreement_mm"] = measured["disagreement_mm"]
        return means

    def _predict(self, store: PoseStore, split: str, *, keep_images: int = 0) -> CropPredictions:
        return predict_crops(
            predictor(self.pose_model),
            self.skeleton,
            store,
            split,
            image_size=self.config.model.proc_side,
            batch_size=self.config.data.batch_size_test,
            keep_images=keep_images,
            max_examples=VALIDATION_EXAMPLES,
            max_bad_fraction=self.config.data.max_bad_fraction,
            is_absolute=KINDS[self.config.model.model].is_absolute,
        )


def draw(predictions: CropPredictions, skeleton: Skeleton, folder: RunFolder, name: str) -> None:
    """A sheet of crops with the predicted and the true skeleton, and the prediction from the side."""
    from metrabs_acae.data.images import write_image
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
    write_image(folder.overlays / name, sheet)


def project(coords3d_mm: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """[N, J, 3] camera frame to [N, J, 2] pixels; points closer than 1 mm count as 1 mm away."""
    normalized = coords3d_mm / np.maximum(coords3d_mm[..., 2:], 1)
    return np.einsum("nij,npj->npi", intrinsics, normalized)[..., :2]
