"""The graph from picture to poses, as ONNX and LiteRT, against `numpy_runtime`, around a network that sees colours."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from metrabs_acae import numpy_runtime
from metrabs_acae.numpy_runtime import networks
from metrabs_acae.numpy_runtime.crop_views import AugmentationRanges

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from metrabs_acae.inference import litert_graph, portable, portable_pose  # noqa: E402
from metrabs_acae.inference.error_map import ErrorMap  # noqa: E402
from metrabs_acae.inference.onnx_graph import OnnxGraph  # noqa: E402

SIZE, MIRROR = 32, (1, 0, 2, 3)
RANGES = AugmentationRanges(15.0, 0.85, 1.1, 0.7)
ERROR_MAP = ErrorMap(tuple("abcd"), *np.array([[9.0, 20, 30, 40], [0.0, 1, 2, 3], [0.1, 0.2, 0.3, 0]]))
TRANSFORM = np.eye(4) * 0.8 + 0.05
NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
IMAGE = np.kron(NOISE, np.ones((8, 8, 1), np.uint8))  # 480 x 640
LENS = np.array([0.05, -0.02, 0.003, -0.002, 0.01, 0, 0, 0, 0.001, 0, 0, 0], np.float32)
K = np.array([[500, 2, 330], [0, 510, 250], [0, 0, 1]], np.float32)
SMALL, LARGE, HUGE = [300, 200, 24, 30], [200, 100, 70, 110], [-50, -20, 500, 480]
TOLERANCE = {"poses3d": 0.1, "poses2d": 0.1, "uncertainty": 0.1, "entropy": 1e-4}


def network(g, inputs):
    rng = np.random.default_rng(1)
    means = inputs["image"].reshape(-1, 4, SIZE // 4, 4, SIZE // 4 * 3).reduce("Mean", [2])
    means = means.reshape(-1, 4, 4, SIZE // 4, 3).reduce("Mean", [3]).reshape(-1, 48)
    weights = np.float32(rng.normal(0, 1000, (48, 12)) / np.sqrt(48))
    poses = g.op("MatMul", means, weights, rank=2).reshape(-1, 4, 3) + np.float32([0, 0, 3000])
    return {"coords3d_mm": poses, "entropy": means[:, :4]}


def network_file():
    g = OnnxGraph()
    inputs = {"image": g.input("image", "float32", ["C", SIZE, SIZE, 3])}
    g.input("intrinsics", "float32", ["C", 3, 3])
    poses, entropy = network(g, inputs).values()
    return g.model({"coords3d_mm": (poses, ["C", 4, 3]), "entropy": (entropy, ["C", 4])}, {})


@pytest.fixture(scope="module", params=["onnx limited", "onnx half_full", "litert half_full"])
def pair(request, tmp_path_factory):
    """(function of the file, `numpy_runtime`'s estimator of the same network, and that of the file)"""
    runtime, rotation_mode = request.param.split()
    folder = tmp_path_factory.mktemp("network")
    description = {"image_size": SIZE, "batch_size": 1, "outputs": ["coords3d_mm", "entropy"], "mirror": MIRROR}
    description |= {"rotation_mode": rotation_mode, "center_offset_px": -0.5, "augmentation_ranges": RANGES._asdict()}
    joints = {"joint_names": list("abcd"), "edges": [], "indices": [0, 1, 2, 3]}
    transform, error_map = (TRANSFORM, None) if rotation_mode == "half_full" else (None, ERROR_MAP)
    if error_map:
        description["error_map"] = error_map.lists()
    (folder / "crop_model.json").write_text(json.dumps({**description, "skeletons": {"": joints}}))
    onnx.save(network_file(), folder / "crop_model.onnx")
    if transform is not None:
        np.savez(folder / "matrices.npz", joint_transform=np.float32(transform))
    settings = {"image_size": SIZE, "mirror": MIRROR, "joint_transform": transform, "rotation_mode": rotation_mode}
    settings |= {"ranges": RANGES, "center_offset_px": -0.5, "error_map": error_map}
    path = folder / portable.POSE_FILES[runtime]["float32"]
    if runtime == "onnx":
        model = portable.pose_graph(network_file(), {"joints": "abcd"}, **settings)
        onnx.checker.check_model(model)
        onnx.save(model, path)
    else:
        build = lambda g: portable_pose.whole_way(g, lambda inputs: network(g, inputs), **settings)  # noqa: E731
        path.write_bytes(litert_graph.convert(portable_pose.INPUTS, build))
    file = networks.load_network(path, runtime)

    def run(image, boxes, K=None, lens=None, up=(0, -1, 0), num_aug=1):
        boxes = np.float32(boxes).reshape(-1, 4)
        if runtime == "litert" and not len(boxes):
            pytest.skip("LiteRT has no arrays without elements")
        given = {"image": image, "boxes": boxes, "num_aug": num_aug, "world_up_vector": up}
        given["intrinsic_matrix"] = np.full((3, 3), -1) if K is None else K
        return file({**given, "distortion_coeffs": np.zeros(12) if lens is None else lens})

    (folder / "portable.json").write_text(json.dumps({"image_size": SIZE, "skeletons": {"": joints}}))
    return run, numpy_runtime.PoseEstimator(folder, "onnx"), numpy_runtime.PortableEstimator(path)


CASES = {
    "one small person": {"boxes": [SMALL]},
    "people of all sizes": {"boxes": [LARGE, SMALL, HUGE]},
    "people of all sizes, augmented": {"boxes": [LARGE, SMALL, HUGE], "num_aug": 4},
    "nobody": {"boxes": []},
    "a camera with a lens": {"boxes": [SMALL, HUGE], "K": K, "lens": LENS, "num_aug": 2},
    "a camera held askew": {"boxes": [LARGE], "up": (0.7, -1.0, 0.4)},
    "a camera that looks up": {"boxes": [[300, 220, 40, 40]], "up": (0.0, 0.0, 1.0), "num_aug": 5},
    "partly outside": {"boxes": [[-100, 300, 300, 400], [600, -90, 200, 100]]},
    "in the last corner": {"boxes": [[636, 476, 60, 60], [320, 440, 400, 400]]},
    "one pixel": {"boxes": [[0, 0, 1, 1]], "image": IMAGE[:1, :1]},
    "three rows": {"boxes": [[0, 0, 640, 3], [0, 0, 5, 3]], "image": IMAGE[:3]},
    "odd sizes": {"boxes": [[-20, 30, 250, 250], [10, 10, 90, 200]], "image": IMAGE[:333, :215]},
    "portrait": {"boxes": [[20, 30, 250, 500]], "image": np.ascontiguousarray(IMAGE.transpose(1, 0, 2))},
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_numpy_runtime(pair, case):
    run, estimator, _ = pair
    given = {"image": IMAGE, **CASES[case]}
    found = run(**given)
    expected = estimator.estimate_poses(
        given["image"],
        given["boxes"],
        given.get("K"),
        given.get("lens", np.zeros(12)),
        world_up_vector=given.get("up", (0, -1, 0)),
        num_aug=given.get("num_aug", 1),
    )
    assert set(found) == set(expected)
    if "error_map" in estimator.description:
        np.testing.assert_allclose(found["uncertainty"], ERROR_MAP(found["entropy"]), rtol=1e-4)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=TOLERANCE[name], rtol=1e-4, err_msg=name)


def test_the_estimators_agree_in_the_world(pair):
    """Of people and of nobody, which LiteRT itself cannot be asked for."""
    _, estimator, of_file = pair
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = Rotation.from_euler("xyz", [10, 20, -30], degrees=True).as_matrix()
    extrinsics[:3, 3] = [100, -200, 300]
    settings = {"extrinsic_matrix": extrinsics, "world_up_vector": (0.1, -1, 0.2), "default_fov_degrees": 60}
    for boxes in ([LARGE, SMALL], []):
        found, expected = (e.estimate_poses(IMAGE, boxes, num_aug=2, **settings) for e in (of_file, estimator))
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=TOLERANCE[name], rtol=1e-4, err_msg=name)
    with pytest.raises(ValueError, match="overlap the picture"):
        of_file.estimate_poses(IMAGE, [[900, 0, 5, 5]])
    with pytest.raises(ValueError, match="no detector"):
        of_file.detect_poses(IMAGE)


def test_what_cannot_be_is_nan(pair):
    """The poses of the box concerned, or for a camera all; the others as without it."""
    run, _, _ = pair
    boxes = [SMALL, [5, 5, 0, 30], [700, 10, 30, 30], [np.nan, 1, 20, 20], [3, 3, 0.5, 20], LARGE]
    found, alone = run(IMAGE, boxes), run(IMAGE, [SMALL, LARGE])
    for name in TOLERANCE:
        assert np.isnan(found[name][1:5]).all()
        np.testing.assert_allclose(found[name][[0, 5]], alone[name], atol=1e-3)
    for wrong in (
        {"K": K * [[0], [1], [1]]},
        {"K": K * np.float32(np.nan)},
        {"lens": np.float32([-5] + 11 * [0])},
        {"up": (0, 0, 0)},
    ):
        assert np.isnan(run(IMAGE, [SMALL], **{k: np.float32(v) for k, v in wrong.items()})["poses3d"]).all()
    assert np.isfinite(run(IMAGE, [SMALL], num_aug=0)["poses3d"]).all()


def test_turning_the_up_vector_turns_the_crop(pair):
    """What the network sees of a camera that is rolled by 90 degrees is what it saw before, so poses turn with it."""
    run, _, _ = pair
    square = np.ascontiguousarray(IMAGE[:480, :480])
    upright = run(square, [[140, 140, 200, 200]])["poses3d"]
    rolled = run(np.ascontiguousarray(np.rot90(square)), [[140, 139, 200, 200]], up=(-1, 0, 0))["poses3d"]
    turn = Rotation.from_euler("z", -90, degrees=True).as_matrix()
    np.testing.assert_allclose(rolled, upright @ turn.T, atol=1)
