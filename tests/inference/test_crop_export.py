"""ONNX and LiteRT files of the crop model, and posing whole images with them without TensorFlow."""

import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from metrabs_acae import numpy_runtime
from metrabs_acae.errors import UserError
from metrabs_acae.inference import crop_export
from metrabs_acae.inference.multiperson import PoseEstimator
from metrabs_acae.numpy_runtime import crop_views, networks, reconstruction
from metrabs_acae.skeletons import Skeleton
from tests.golden import golden
from tests.inference import reference
from tests.models import tiny

pytest.importorskip("tf2onnx")
FORMATS = ("onnx", "litert")
PAIR = Skeleton("pair", tiny.NAMES).select(["rhip_a", "pelv_a"], "pair")
IMAGE = np.kron(np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8), np.ones((20, 20, 1), np.uint8))
BOXES = np.array([[40, 10, 90, 150], [-20, 30, 100, 120], [120, 60, 30, 40]], np.float32)
LENS = np.array([0.05, -0.02, 0.003, -0.002, 0.01], np.float32)
EXTRINSICS = np.eye(4, dtype=np.float32)
EXTRINSICS[:3, :3] = Rotation.from_euler("xyz", [10, 20, -30], degrees=True).as_matrix()
EXTRINSICS[:3, 3] = [100, -200, 300]
K = np.array([[210, 0, 128], [0, 205, 91], [0, 0, 1]], np.float32)
# Crops by NumPy and by TensorFlow differ by 1e-5 of a colour; the rest is float32 at 3 m.
TOLERANCE_MM = 0.05


@pytest.fixture(scope="module")
def model():
    return tiny.tiny_model("latent")


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """With latents to decode, a transform of the joints, a batch not filled evenly, and small augmentation."""
    settings = {"image_size": tiny.SIZE, "output_skeletons": {"pair": PAIR}}
    settings["augmentation_ranges"] = crop_views.AugmentationRanges(8.0, 0.9, 1.05, 0.7)
    settings["joint_transform"] = np.eye(len(tiny.NAMES)) * 0.8 + 0.2 / len(tiny.NAMES)
    estimator = PoseEstimator(model, model.skeleton, transformed_skeleton=model.skeleton, **settings)
    folder, lines = tmp_path_factory.mktemp("crop_export"), []
    report = crop_export.export_crop_model(
        model, model.skeleton, folder, formats=FORMATS, batch_size=2, estimator=estimator, log=lines.append, **settings
    )
    assert lines == [crop_export.render_parity(report)]
    return folder, estimator


def test_report_is_stored(exported):
    folder, _ = exported
    report = json.loads((folder / "parity.json").read_text())
    assert set(report) == {"tensorflow", *FORMATS}
    for name in FORMATS:
        assert report[name]["crop_difference_mm"] < TOLERANCE_MM
        assert report[name]["image_difference_mm"] < TOLERANCE_MM
        assert report[name]["crop_seconds"] > 0 and report[name]["image_seconds"] > 0


@pytest.mark.parametrize("kind", FORMATS)
def test_files_have_static_shapes_and_plain_names(exported, kind):
    folder, _ = exported
    network = networks.load_network(folder / networks.FORMATS[kind], kind)
    outputs = network(crop_export.example_inputs(tiny.SIZE, 2))
    n, latents = len(tiny.NAMES), tiny.N_LATENTS
    expected = {"coords3d_mm": (2, n, 3), "entropy": (2, n), "coords2d_px": (2, latents, 2)}
    assert {k: v.shape for k, v in outputs.items()} == {**expected, "coords3d_rel_mm": (2, latents, 3)}


CASES = {
    "defaults": {},
    "one crop": {"num_aug": 1},
    "camera": {"intrinsic_matrix": K, "distortion_coeffs": LENS, "num_aug": 2, "average_aug": False},
    "world": {
        "extrinsic_matrix": EXTRINSICS,
        "world_up_vector": (0.1, -1.0, 0.2),
        "skeleton": "pair",
        "num_aug": 1,
        "antialias_factor": 2,
    },
}


@pytest.mark.parametrize("name", CASES)
def test_numpy_runtime_agrees_with_tensorflow(exported, name):
    folder, estimator = exported
    kind = FORMATS[len(name) % 2]
    expected = estimator.estimate_poses(IMAGE, BOXES, **CASES[name])
    found = numpy_runtime.PoseEstimator(folder, kind).estimate_poses(IMAGE, BOXES, **CASES[name])
    assert set(found) == set(expected)
    tolerances = {"poses2d": 0.05, "entropy": 1e-4}
    for key, value in expected.items():
        # The untrained network puts some joints beside the camera, where millimetres are many pixels.
        rtol = 1e-3 if key == "poses2d" else 2e-5
        np.testing.assert_allclose(found[key], value, atol=tolerances.get(key, TOLERANCE_MM), rtol=rtol, err_msg=key)


WITHOUT_TENSORFLOW = """
    import sys

    for name in ("tensorflow", "keras", "metrabs_acae", "scipy", "cv2"):
        sys.modules[name] = None
    folder, kind, arrays = sys.argv[1:]
    sys.path.insert(0, folder)
    import numpy as np
    from numpy_runtime import PoseEstimator

    given = np.load(arrays)
    estimator = PoseEstimator(folder, kind)
    np.savez(arrays + ".out.npz", **estimator.estimate_poses(given["image"], given["boxes"], num_aug=2))
    assert estimator.estimate_poses(given["image"], [], skeleton="pair")["poses3d"].shape == (0, 2, 3)
"""


@pytest.mark.parametrize("kind", FORMATS)
def test_the_folder_needs_neither_tensorflow_nor_this_package(exported, kind, tmp_path):
    if kind == "litert":
        pytest.importorskip("ai_edge_litert")
    folder, estimator = exported
    np.savez(tmp_path / "given.npz", image=IMAGE, boxes=BOXES)
    code = textwrap.dedent(WITHOUT_TENSORFLOW)
    command = [sys.executable, "-c", code, str(folder), kind, str(tmp_path / "given.npz")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = estimator.estimate_poses(IMAGE, BOXES, num_aug=2)
    found = np.load(tmp_path / "given.npz.out.npz")
    np.testing.assert_allclose(found["poses3d"], expected["poses3d"], atol=TOLERANCE_MM)


@pytest.mark.parametrize("mix", ["half", "one"])
@pytest.mark.parametrize("model_name, weak", [("weak", True), ("full", False)])
def test_reconstruction_agrees_with_the_training_code(mix, model_name, weak):
    """And, for the weak perspective model, with the public reference's arrays."""
    arrays = golden("g1_reconstruct")
    share = {"half": 0.5, "one": 1.0}[mix]
    heads = [arrays[k].astype(np.float32) for k in ("coords2d", "coords3d_rel", "intrinsics")]
    grid = {"image_size": 256, "stride": 32, "centered_stride": True}
    found = reconstruction.reconstruct_absolute(
        *heads, reconstruction.Grid(**grid), mix_3d_inside_fov=share, weak_perspective=weak
    )
    from metrabs_acae.geometry import perspective

    expected = perspective.reconstruct_absolute(*heads, **grid, mix_3d_inside_fov=share, weak_perspective=weak)
    np.testing.assert_allclose(found, expected, atol=0.05, rtol=1e-5)
    if weak:
        np.testing.assert_allclose(found, arrays[f"abs_weak_mix_{mix}"], atol=0.05, rtol=1e-5)


@pytest.mark.parametrize("lens, coefficients", [("nodist", np.zeros(12)), ("dist5", None)])
def test_crop_cameras_agree_with_the_reference(lens, coefficients):
    arrays = reference.ARRAYS
    boxes = np.concatenate([arrays["boxes0"], arrays["boxes1"]])
    n_aug = len(arrays["crops_aug_gammas"])
    for person, image in enumerate([0, 0, 1, 1, 1]):
        distortion = np.pad(arrays["dist5"][image], (0, 7)) if coefficients is None else coefficients
        crops = crop_views.crop_cameras(
            boxes[person][:4],
            arrays["intrinsics"][image],
            distortion,
            [0.0, -1, 0],
            size=256,
            num_aug=n_aug,
            center_offset_px=0.0,
        )
        # Zooms are those of three augmentations; angles are the file's own, but for the second one's 0.
        np.testing.assert_allclose(crops[1].rotation, arrays[f"crops_{lens}_R"][1, person], atol=3e-6)
        np.testing.assert_allclose([c.intrinsics for c in crops], arrays[f"crops_{lens}_K"][:, person], rtol=2e-5)


def test_other_reconstructions(exported):
    """Relative poses are the absolute ones up to where they stand, as far as the 2D head does not bend those."""
    folder, _ = exported
    estimator = numpy_runtime.PoseEstimator(folder, "onnx")
    centered = lambda p: p - p.mean(1, keepdims=True)  # noqa: E731
    relative = estimator.estimate_poses(IMAGE, BOXES, num_aug=1, absolute=False)
    assert "poses2d" not in relative
    absolute = estimator.estimate_poses(IMAGE, BOXES, num_aug=1, mix_3d_inside_fov=1.0)
    np.testing.assert_allclose(relative["poses3d"], centered(absolute["poses3d"]), atol=0.05)
    weak = estimator.estimate_poses(IMAGE, BOXES, num_aug=1, mix_3d_inside_fov=1.0, weak_perspective=True)
    np.testing.assert_allclose(centered(weak["poses3d"]), centered(absolute["poses3d"]), atol=0.05)
    assert np.abs(weak["poses3d"] - absolute["poses3d"]).max() > 1


WRONG = {
    "must be uint8": {"image": IMAGE / 255},
    "convert grey": {"image": IMAGE[..., 0]},
    "positive width": {"boxes": [[1.0, 2, 0, 4]]},
    "finite and within": {"boxes": [[1.0, np.nan, 3, 4]]},
    "shape \\[number": {"boxes": [1.0, 2, 3, 4]},
    "number of people, 4": {"boxes": [[]]},
    "invertible": {"intrinsic_matrix": [[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]},
    "positive focal": {"intrinsic_matrix": np.zeros((3, 3)) + [[0], [0], [0]] + np.diag([0, 0, 1.0])},
    "at most 12": {"distortion_coeffs": [0.0] * 13},
    "rotation matrix": {"extrinsic_matrix": np.diag([2.0, 1, 1, 1])},
    "without mirroring": {"extrinsic_matrix": np.diag([-1.0, 1, 1, 1])},
    "focal lengths in pixels": {"intrinsic_matrix": [[1.2, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]]},
    "principal point": {"intrinsic_matrix": [[200.0, 0, 5000], [0, 200, 90], [0, 0, 1]]},
    "fold back": {"distortion_coeffs": [-30.0, 0, 0, 0]},
    "shares of the picture": {"boxes": [[0.1, 0.1, 0.5, 0.8]]},
    "overlap the picture": {"boxes": [[-100.0, 10, 50, 80]]},
    "not all zero": {"world_up_vector": (0, 0, 0)},
    "num_aug must": {"num_aug": 0},
    "skeleton must": {"skeleton": "coco"},
}


@pytest.mark.parametrize("message", WRONG)
def test_errors_of_the_numpy_runtime_name_the_argument(exported, message):
    folder, _ = exported
    estimator = numpy_runtime.PoseEstimator(folder, "onnx")
    with pytest.raises(ValueError, match=message):
        estimator.estimate_poses(**{"image": IMAGE, "boxes": BOXES, **WRONG[message]})


def test_a_network_without_heads(tmp_path):
    """Any callable can be exported; it gives absolute poses and no entropy."""
    keras.utils.set_random_seed(0)
    image, intrinsics = keras.Input((32, 32, 3), name="image"), keras.Input((3, 3), name="intrinsics")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, strides=2)(image))
    scaled = keras.layers.Dot(axes=2)([keras.layers.Reshape((2, 3))(keras.layers.Dense(6)(features)), intrinsics])
    network = keras.Model({"image": image, "intrinsics": intrinsics}, scaled)
    skeleton = Skeleton("two", ("lhip", "rhip"))
    settings = {"image_size": 32, "output_skeletons": {}, "log": lambda text: None}
    report = crop_export.export_crop_model(network, skeleton, tmp_path, formats=["onnx"], **settings)
    assert report["onnx"]["crop_difference_mm"] < 1e-3 and "image_seconds" not in report["onnx"]
    estimator = numpy_runtime.PoseEstimator(tmp_path, "onnx")
    result = estimator.estimate_poses(IMAGE, BOXES, num_aug=1)
    assert set(result) == {"poses3d", "poses2d", "uncertainty"} and result["poses3d"].shape == (3, 2, 3)
    with pytest.raises(ValueError, match="absolute poses only"):
        estimator.estimate_poses(IMAGE, BOXES, absolute=False)
    with pytest.raises(UserError, match="Unknown format coreml"):
        crop_export.export_crop_model(network, skeleton, tmp_path, formats=["coreml"], **settings)
