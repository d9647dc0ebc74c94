"""Which numbers an evaluation gives for which store."""

from __future__ import annotations

import numpy as np
import pytest

from metrabs_acae.commands import evaluate
from metrabs_acae.data.store import PoseStore
from metrabs_acae.evaluation import store_tables
from metrabs_acae.evaluation.crops import CropPredictions, predict_crops
from metrabs_acae.models.backbones import build_backbone
from metrabs_acae.models.metrabs import Metrabs
from metrabs_acae.skeletons import Skeleton, merge_by_name, union
from tests.small_stores import POSE_MM, write_store

ONE = Skeleton("one", tuple(f"{n}_a" for n in POSE_MM))
TWO = union([ONE, Skeleton("two", tuple(f"{n}_b" for n in POSE_MM))])


def predictions(skeleton: Skeleton, error_mm) -> CropPredictions:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 300, (20, skeleton.n_joints, 3)) + (0, 0, 4000)
    nothing = np.zeros((0, 4, 4, 3))
    return CropPredictions(truth + error_mm, truth, np.ones(truth.shape[:2], bool), nothing, nothing)


def measure(skeleton: Skeleton, error_mm) -> dict[str, float]:
    return store_tables.measure(predictions(skeleton, error_mm), skeleton.joint_names)


def test_a_store_of_several_skeletons_is_scored_by_their_consistency():
    agreeing = measure(TWO, (30, 0, 50))
    assert agreeing["disagreement_mm"] == pytest.approx(0, abs=1e-9) and agreeing["n_points"] == len(POSE_MM)
    second = np.array([n.endswith("_b") for n in TWO.joint_names])[:, None]
    apart = measure(TWO, second * (0.0, 40, 0))
    assert apart["disagreement_mm"] == pytest.approx(40)
    assert "mpjpe" not in apart  # two pelvises: no one root


def test_each_kind_of_result_has_its_table():
    results = {
        "x": measure(ONE, (30, 0, 50)),
        "y": measure(TWO, 0.0),
    }
    assert "disagreement_mm" not in results["x"] and results["x"]["mpjpe"] == pytest.approx(0, abs=1e-9)
    benchmarks, agreement = store_tables.render(results, "text")
    assert "MPJPE" in benchmarks and "disagreement" in agreement
    assert "x" in benchmarks.splitlines()[-1] and "y" in agreement.splitlines()[-1]
    assert len(store_tables.render({"x": results["x"]}, "text")) == 1


def test_a_merged_model_is_read_at_the_merged_joints(tmp_path):
    store = PoseStore(write_store(tmp_path / "b", "b", counts={"test": 3}))
    merged, _ = merge_by_name(TWO)

    def predict(images, intrinsics):
        return np.broadcast_to(np.arange(merged.n_joints)[None, :, None], (len(images), merged.n_joints, 3))

    found = predict_crops(predict, merged, store, "test", image_size=64, batch_size=2)
    assert [merged.joint_names[int(i)] for i in found.pred_mm[0, :, 0]] == list(POSE_MM)


def test_averaged_predictions_do_not_depend_on_the_side():
    """With the mirror map, a picture and its mirror image get mirrored poses, whatever the model says."""
    backbone = build_backbone("mobilenetv3-small", 64)
    sides = Skeleton("sides", ("pelv_x", "lhip_x", "rhip_x"))
    model = Metrabs(backbone, sides)
    predict = evaluate.predictor(model, mirror=sides.mirror)
    images = np.random.default_rng(0).uniform(size=(2, 64, 64, 3)).astype(np.float32)
    intrinsics = np.array([[[90, 0, 30], [0, 90, 31.5], [0, 0, 1]]] * 2, np.float32)
    mirrored_intrinsics = intrinsics.copy()
    mirrored_intrinsics[:, 0, 2] = 63 - 30
    poses = predict(images, intrinsics)
    mirrored = predict(images[:, :, ::-1], mirrored_intrinsics)
    np.testing.assert_allclose(mirrored, poses[:, [0, 2, 1]] * [-1, 1, 1], atol=0.05)
    assert np.abs(evaluate.predictor(model)(images, intrinsics) - poses).max() > 1
