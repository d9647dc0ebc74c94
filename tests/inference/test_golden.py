"""Agreement with the public reference's multi-person model (principal points at S / 2 and W / 2, as there)."""

import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.inference import augmentation, cameras, plausibility
from metrabs_acae.numpy_runtime.crop_views import AugmentationRanges, augmentations
from tests.golden import golden
from tests.inference import reference

ARRAYS = reference.ARRAYS
# Crops are 16-bit floats in the reference, and pixels are interpolated in another order: 0.0001 of a colour is 0.03 mm.
TOLERANCE_MM = 0.05
TOLERANCE_PX = 0.01
K = {"intrinsic_matrix": ARRAYS["intrinsics"], "average_aug": False}
CASES = {
    "default_aug5": {},
    "default_aug1": {"num_aug": 1},
    "noavg_aug5": {"average_aug": False},
    "noavg_aug2": {"average_aug": False, "num_aug": 2},
    "K_aug5": K,
    "K_dist5_aug5": {**K, "distortion_coeffs": ARRAYS["dist5"]},
    "K_dist12_aug3": {**K, "distortion_coeffs": ARRAYS["dist12"], "num_aug": 3},
    "K_dist5_E_aug5": {
        **K,
        "distortion_coeffs": ARRAYS["dist5"],
        "extrinsic_matrix": ARRAYS["extrinsics"],
        "world_up_vector": (0.1, -1.0, 0.2),
    },
    "K_aa2": {**K, "antialias_factor": 2, "num_aug": 2},
    "K_aa4": {**K, "antialias_factor": 4, "num_aug": 2},
    # Named after another factor in the file, but made with factor 5 and the first camera for both images.
    "K_aa3_area": {**K, "antialias_factor": 5, "num_aug": 1, "intrinsic_matrix": ARRAYS["intrinsics"][:1]},
    "K_ibs0": {**K, "internal_batch_size": 0},
    "K_ibs10": {**K, "internal_batch_size": 10},
    "fov80_skel_small": {"default_fov_degrees": 80.0, "skeleton": "small"},
}


@pytest.fixture(scope="module")
def estimator():
    return reference.estimator()


def compare(result, name):
    np.testing.assert_allclose(result["poses3d"].values, ARRAYS[f"{name}_poses3d"], atol=TOLERANCE_MM)
    np.testing.assert_allclose(result["poses2d"].values, ARRAYS[f"{name}_poses2d"], atol=TOLERANCE_PX)


@pytest.mark.parametrize("name", CASES)
def test_estimate_poses_batched(estimator, name):
    compare(estimator.estimate_poses_batched(ARRAYS["images"], reference.boxes(), **CASES[name]), name)


@pytest.mark.parametrize("mode, name", [("full", "rot360_aug5"), ("half_full", "rot360half_aug5")])
def test_rotation_modes(mode, name):
    estimator = reference.estimator(rotation_mode=mode)
    compare(estimator.estimate_poses_batched(ARRAYS["images"], reference.boxes(), **K), name)


def test_joint_transform():
    estimator = reference.estimator(
        joint_transform=ARRAYS["joint_transform_matrix"], transformed_skeleton=reference.SKELETON
    )
    compare(estimator.estimate_poses_batched(ARRAYS["images"], reference.boxes(), **K), "K_jointtransform")


@pytest.mark.parametrize("num_aug", [1, 2, 3, 5, 8])
def test_augmentations(num_aug):
    found = augmentation.crop_augmentations(tf.constant(num_aug))
    expected = [ARRAYS[f"tta{num_aug}_{key}"] for key in ("gammas", "angles_deg", "scales", "flip")]
    for a, b in zip(found._replace(angles=found.angles * (180 / np.pi)), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("mode", augmentation.ROTATION_MODES)
@pytest.mark.parametrize("num_aug", [1, 4, 5])
def test_numpy_augmentations_agree(mode, num_aug):
    ranges = AugmentationRanges(rotation_degrees=8, zoom_out=0.9, zoom_in=1.05, gamma=0.7)
    found = augmentation.crop_augmentations(tf.constant(num_aug), rotation_mode=mode, ranges=ranges)
    for a, b in zip(found, augmentations(num_aug, mode, ranges), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    if mode == "limited" and num_aug > 1:
        ends = [(x.numpy().min(), x.numpy().max()) for x in (found.angles * (180 / np.pi), found.scales, found.gammas)]
        np.testing.assert_allclose(ends, [(-8, 8), (0.9, 1.05), (0.7, 1)], atol=1e-5)


def test_look_at_rotation_agrees_and_survives_parallel_axes():
    found = cameras.look_at_rotation(ARRAYS["new_rotmat_in_fwd"], tf.constant([[0.0, -1.0, 0.0]] * 5)).numpy()
    known = np.isfinite(ARRAYS["new_rotmat"]).all((1, 2))
    np.testing.assert_allclose(found[known], ARRAYS["new_rotmat"][known], atol=1e-6)
    np.testing.assert_allclose(found @ found.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (5, 3, 3)), atol=1e-6)


def test_distortion():
    arrays = golden("g4_tf_distort")
    coefficients = arrays["D"][:, np.newaxis]
    np.testing.assert_allclose(cameras.distort(arrays["x"], coefficients), arrays["distort"], atol=1e-6)
    np.testing.assert_allclose(cameras.undistort(arrays["x"], coefficients), arrays["undistort"], atol=1e-6)
    first_five = np.pad(arrays["D"][:, :5], [(0, 0), (0, 7)])[:, np.newaxis]
    np.testing.assert_allclose(cameras.distort(arrays["x"], first_five), arrays["distort5"], atol=1e-6)


@pytest.mark.parametrize("lens, coefficients", [("nodist", "dist5"), ("dist5", "dist5")])
def test_crop_cameras(estimator, lens, coefficients):
    distortion = ARRAYS[coefficients] if lens != "nodist" else np.zeros((2, 5), np.float32)
    of_people = lambda x: tf.gather(x, [0, 0, 1, 1, 1])  # noqa: E731
    tta = augmentation.CropAugmentations(
        *(tf.constant(ARRAYS[f"crops_aug_{key}"]) for key in ("gammas", "angles", "scales", "flip"))
    )
    rotations, intrinsics, _ = estimator._crop_poses.crop_cameras(
        reference.boxes().values,
        of_people(ARRAYS["intrinsics"]),
        tf.pad(of_people(distortion), [[0, 0], [0, 7]]),
        tf.constant([[0.0, -1.0, 0.0]] * 5),
        tta,
    )
    np.testing.assert_allclose(tf.transpose(rotations, [1, 0, 2, 3]), ARRAYS[f"crops_{lens}_R"], atol=2e-6)
    np.testing.assert_allclose(tf.transpose(intrinsics, [1, 0, 2, 3]), ARRAYS[f"crops_{lens}_K"], rtol=1e-5)


class TestPlausibility:
    arrays = golden("g6_plausibility")

    def test_bones(self):
        found = plausibility.has_plausible_bones(
            self.arrays["plaus_in"], self.arrays["edges"], self.arrays["mean_bones"]
        )
        np.testing.assert_array_equal(found, self.arrays["plaus_out"])

    def test_augmentations_agree(self):
        poses = self.arrays["augcons_in"]
        np.testing.assert_array_equal(plausibility.augmentations_agree(poses), self.arrays["augcons_out"])
        scaled = plausibility.equalize_sizes(poses)
        np.testing.assert_allclose(scaled, self.arrays["scale_align"], atol=1e-2)
        np.testing.assert_allclose(plausibility.point_spread(scaled), self.arrays["stdevs"], atol=1e-2)

    def test_fits_box(self):
        found = plausibility.fits_box(self.arrays["box_poses2d"], self.arrays["box_boxes"])
        np.testing.assert_array_equal(found, self.arrays["box_out"])

    def test_nms(self):
        poses = self.arrays["nms_poses"]
        np.testing.assert_allclose(plausibility.pose_similarity(poses), self.arrays["nms_similarity"], atol=1e-5)
        found = plausibility.pose_nms(poses, self.arrays["nms_scores"], self.arrays["nms_valid"])
        np.testing.assert_array_equal(found, self.arrays["nms_selected"])


class GivenBoxes(tf.Module):
    """The detector of the golden file: fixed boxes; if limited, the best ones in ascending order."""

    def detect(self, images, threshold, nms_iou_threshold, max_detections, flip_aug):
        arrays = TestPlausibility.arrays

        def best(boxes):
            ranked = tf.argsort(boxes[:, 4])
            count = tf.minimum(max_detections, tf.size(ranked))
            return tf.cond(max_detections < 0, lambda: boxes, lambda: tf.gather(boxes, ranked[-count:]))

        boxes = tf.RaggedTensor.from_row_lengths(tf.constant(arrays["det_boxes"]), arrays["det_row_lengths"])
        return tf.map_fn(best, boxes, fn_output_signature=tf.RaggedTensorSpec([None, 5], tf.float32, ragged_rank=0))


@pytest.fixture(scope="module")
def detecting_estimator():
    return reference.estimator(detector=GivenBoxes(), mean_bone_lengths_mm=TestPlausibility.arrays["mean_bones"])


@pytest.mark.parametrize("suppress", [True, False])
@pytest.mark.parametrize("max_detections", [-1, 2])
def test_detect_poses_batched(detecting_estimator, suppress, max_detections):
    result = detecting_estimator.detect_poses_batched(
        ARRAYS["images"],
        suppress_implausible_poses=suppress,
        max_detections=max_detections,
        intrinsic_matrix=ARRAYS["intrinsics"],
    )
    arrays, name = TestPlausibility.arrays, f"detect_suppress{int(suppress)}_max{max_detections}"
    np.testing.assert_array_equal(result["boxes"].row_lengths(), arrays[f"{name}_row_lengths"])
    np.testing.assert_allclose(result["boxes"].values, arrays[f"{name}_boxes"])
    np.testing.assert_allclose(result["poses3d"].values, arrays[f"{name}_poses3d"], atol=TOLERANCE_MM)
    np.testing.assert_allclose(result["poses2d"].values, arrays[f"{name}_poses2d"], atol=TOLERANCE_PX)
