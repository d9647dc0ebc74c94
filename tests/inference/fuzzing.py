"""Random arguments for all public inference methods, good and bad, and what must hold of every call.

A call ends in finite poses of the right number and shape, or in one sentence that says what is wrong; never in a
crash, a hang, or poses that are not finite.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

from metrabs_acae.errors import UserError
from metrabs_acae.inference import detectors, numpy_runtime
from metrabs_acae.inference.image_list import detect_poses_list, estimate_poses_list
from metrabs_acae.inference.multiperson import PoseEstimator
from metrabs_acae.skeletons import Skeleton

SIZE = 32
SKELETON = Skeleton("fuzz", ("lhip", "rhip", "pelv", "neck"), ((0, 2), (1, 2), (2, 3)))
PAIR = SKELETON.select(["neck", "lhip"], "pair")
TEMPLATE = np.array([[-100, 0, 0], [100, 0, 0], [0, 0, 0], [0, -500, 0]], np.float32)
EIGHT_K = (4320, 7680)


class Network:
    """Poses that depend on the crop's colours and on the focal length."""

    def inference_outputs(self, inputs):
        color = tf.reduce_mean(inputs["image"], axis=[1, 2])
        depth = inputs["intrinsics"][:, 0, 0] * (1000 / SIZE)
        away = tf.stack([tf.zeros_like(depth), tf.zeros_like(depth), depth], axis=-1)
        poses = TEMPLATE * (1 + color[:, tf.newaxis]) + away[:, tf.newaxis]
        return {"coords3d_mm": poses, "entropy": tf.clip_by_value(tf.tile(color[:, :1], [1, 4]), 0.0, 1.0)}


def candidates(images):
    """One person in the middle, most of the same again, one as large as the image's brightness, one without size."""
    n = tf.shape(images)[0]
    h, w = tf.cast(tf.shape(images)[1], tf.float32), tf.cast(tf.shape(images)[2], tf.float32)
    light = tf.reduce_mean(tf.cast(images[:, ::8, ::8], tf.float32), axis=[1, 2, 3])
    middle = tf.tile(tf.stack([w / 4, h / 4, w / 2, h / 2])[tf.newaxis], [n, 1])
    bright = tf.stack([light - 50, light - 50, light * 3, light * 2], axis=1)
    boxes = tf.stack([middle, middle * 1.05, bright, tf.zeros_like(middle)], axis=1)
    return boxes, tf.tile(tf.constant([[0.9, 0.8, 0.7, 0.6]]), [n, 1])


def save_model(path) -> None:
    """The SavedModel that is fuzzed: users have it saved and loaded."""
    estimator = PoseEstimator(
        Network(),
        SKELETON,
        image_size=SIZE,
        output_skeletons={"pair": PAIR},
        detector=detectors.PersonDetector(candidates),
        mean_bone_lengths_mm=np.array([100, 100, 500], np.float32),
    )
    tf.saved_model.save(estimator, str(path))


class NumpyEstimator(numpy_runtime.PoseEstimator):
    """The NumPy runtime around the same network."""

    def __init__(self):
        names = {"": SKELETON, "pair": PAIR}
        self.skeletons = {
            n: {**s.to_dict(), "indices": SKELETON.indices(s.joint_names).tolist()} for n, s in names.items()
        }
        self.joint_names, self.image_size = list(SKELETON.joint_names), SIZE
        self.description = {"batch_size": 2, "outputs": ["coords3d_mm", "entropy"], "center_offset_px": -0.5}
        self.description["rotation_mode"] = "limited"
        self._mirror, self._decoder, self._joint_transform = SKELETON.mirror, None, None
        self._network = lambda inputs: {k: v.numpy() for k, v in Network().inference_outputs(inputs).items()}


numbers = st.one_of(
    st.floats(-500, 1500, width=32),
    st.sampled_from([0.0, -1.0, 1e-6, 1e4, 1e5, 1e6, 1e7, 1e30, float("nan"), float("inf"), -float("inf")]),
)
usual_box = st.tuples(*[st.floats(-100, 400, width=32)] * 2, *[st.floats(1, 500, width=32)] * 2)
any_box = st.lists(numbers, min_size=0, max_size=6)
side = st.sampled_from([0, 1, 2, 3, 7, 64, 200])
channels = st.sampled_from([3] * 10 + [0, 1, 2, 4])
dtypes = st.sampled_from(["uint8"] * 12 + ["float32", "float64", "float16", "int64", "int32", "bool", "uint16"])


@st.composite
def pixels(draw, *batch):
    """An array like an image, mostly [H, W, 3] uint8, with axes of the sizes `batch` before."""
    usual = st.tuples(st.sampled_from([1, 3, 64, 200]), st.sampled_from([1, 3, 64, 200]), st.just(3))
    odd = st.one_of(st.tuples(side, side, channels), st.tuples(side, side), st.just(()), st.just((2, 2, 2, 3)))
    shape = (*batch, *draw(st.one_of(usual, usual, usual, odd)))
    value = draw(st.sampled_from([0, 1, 128, 255, None, None]))
    if value is None:
        image = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 256, shape, np.uint8)
    else:
        image = np.full(shape, value, np.uint8)
    dtype = draw(dtypes)
    return image if dtype == "uint8" else (image / 255 if "float" in dtype else image).astype(dtype)


@st.composite
def boxes(draw):
    """[P, 4 or so] or, now and then, something of another rank."""
    rows = draw(
        st.one_of(st.lists(usual_box, max_size=3), st.lists(usual_box, max_size=3), st.lists(any_box, max_size=2))
    )
    width = max(map(len, rows), default=4)
    array = np.array([[*row, *[1.0] * (width - len(row))] for row in rows], np.float32)
    kind = draw(st.sampled_from(["as is"] * 12 + ["flat", "deep", "float64", "int"]))
    with np.errstate(all="ignore"):
        return {
            "as is": lambda: array,
            "flat": array.ravel,
            "deep": lambda: array[np.newaxis],
            "float64": lambda: array.astype(np.float64),
            "int": lambda: np.nan_to_num(array, posinf=9, neginf=-9).clip(-1e6, 1e6).astype(np.int32),
        }[kind]()


@st.composite
def ragged_boxes(draw, n_images):
    """Boxes of `n_images` images, or of one more or less."""
    n_rows = max(0, n_images + draw(st.sampled_from([0] * 8 + [-1, 1])))
    box = st.tuples(numbers, numbers, numbers, numbers) if draw(st.integers(0, 9)) == 0 else usual_box
    rows = [draw(st.lists(box, max_size=2)) for _ in range(n_rows)]
    return [np.array(r, np.float32).reshape(-1, 4) for r in rows]


@st.composite
def intrinsics(draw, n_images=1):
    fx, fy, cx, cy, skew = (draw(numbers) for _ in range(5))
    odd = np.array([[fx, skew, cx], [0, fy, cy], [0, 0, 1]], np.float32)
    usual = np.array([[300, 0, 150], [0, 310, 150], [0, 0, 1]], np.float32)
    singular = np.array([[300, 300, 150], [310, 310, 150], [0, 0, 1]], np.float32)
    matrix = draw(st.sampled_from([odd, usual, usual, singular, usual * 0, -np.ones((3, 3), np.float32), usual[:2]]))
    n = draw(st.sampled_from([n_images] * 4 + [1, 2]))
    return draw(st.sampled_from([matrix, matrix[np.newaxis], np.stack([matrix] * n) if n else matrix]))


@st.composite
def extrinsics(draw):
    matrix = np.eye(4, dtype=np.float32)
    matrix[draw(st.integers(0, 3)), draw(st.integers(0, 3))] = draw(numbers)
    return draw(st.sampled_from([matrix, np.eye(4, dtype=np.float32), matrix[np.newaxis], matrix[:3]]))


def call_settings(n_images=1):
    return st.fixed_dictionaries(
        {"num_aug": st.sampled_from([1] * 8 + [2, 2, 5, 0, -3, 1001])},
        optional={
            "intrinsic_matrix": intrinsics(n_images),
            "extrinsic_matrix": extrinsics(),
            "distortion_coeffs": st.lists(st.one_of(st.floats(-0.25, 0.25, width=32), numbers), max_size=14),
            "world_up_vector": st.lists(numbers, min_size=2, max_size=4),
            "default_fov_degrees": numbers,
            "antialias_factor": st.sampled_from([1, 1, 2, 3, 0, -1, 65]),
            "average_aug": st.booleans(),
            "skeleton": st.sampled_from(["", "pair", "pair", "unknown", "\0", "pelv"]),
        },
    )


detection_settings = st.fixed_dictionaries(
    {},
    optional={
        "detector_threshold": st.sampled_from([0.0, 0.3, 0.85, 1.0, -0.1, 1.5, float("nan")]),
        "detector_nms_iou_threshold": st.sampled_from([0.0, 0.7, 1.0, 2.0, float("nan")]),
        "max_detections": st.sampled_from([-1, 0, 1, 2, 1000, -5]),
        "detector_flip_aug": st.booleans(),
        "suppress_implausible_poses": st.booleans(),
    },
)
internal_batches = st.fixed_dictionaries({}, optional={"internal_batch_size": st.sampled_from([0, 1, 3, 64, -2])})


@st.composite
def case(draw, method: str):
    """(positional arguments, keyword arguments) for a method's name."""
    n_images = 1 if method in ("estimate_poses", "detect_poses", "numpy") else draw(st.integers(0, 3))
    keywords = dict(draw(call_settings(n_images)))
    if method != "numpy":
        keywords |= draw(internal_batches)
    if method.startswith("detect"):
        keywords |= draw(detection_settings)
    if method in ("estimate_poses", "numpy"):
        positional = (draw(pixels()), draw(boxes()))
    elif method == "detect_poses":
        positional = (draw(pixels()),)
    elif method == "estimate_poses_batched":
        positional = (draw(pixels(n_images)), draw(ragged_boxes(n_images)))
    elif method == "detect_poses_batched":
        positional = (draw(pixels(n_images)),)
    else:
        images = [draw(pixels()) for _ in range(n_images)]
        positional = (images, draw(ragged_boxes(n_images))) if method == "estimate_list" else (images,)
    return positional, keywords


METHODS = (
    *("estimate_poses", "detect_poses", "estimate_poses_batched", "detect_poses_batched"),
    *("estimate_list", "detect_list", "numpy"),
)


def check(model, method: str, positional, keywords) -> str:
    """Makes the call; "poses", "nobody" or "error". AssertionError if the outcome is none that may be."""
    tensors = {
        k: tf.constant(v, tf.float32) if isinstance(v, list) and "list" not in method and method != "numpy" else v
        for k, v in keywords.items()
    }
    try:
        if method == "numpy":
            results = [NumpyEstimator().estimate_poses(*positional, **tensors)]
            counts = [len(positional[1])]
        elif method.endswith("_list"):
            function = {"estimate_list": estimate_poses_list, "detect_list": detect_poses_list}[method]
            results = function(model, *positional, batch_size=2, **tensors)
            counts = [len(b) for b in positional[1]] if len(positional) > 1 else None
        elif method.endswith("_batched"):
            arguments = positional
            if len(positional) > 1:
                flat = np.concatenate([np.zeros((0, 4), np.float32), *positional[1]])
                arguments = (positional[0], tf.RaggedTensor.from_row_lengths(flat, [len(b) for b in positional[1]]))
            found = getattr(model, method)(*arguments, **tensors)
            counts = [len(b) for b in positional[1]] if len(positional) > 1 else None
            results = [{k: v[i].numpy() for k, v in found.items()} for i in range(len(positional[0]))]
        else:
            results = [{k: v.numpy() for k, v in getattr(model, method)(*positional, **tensors).items()}]
            counts = [len(positional[1])] if len(positional) > 1 else None
    except tf.errors.InvalidArgumentError as error:
        assert "must" in str(error), error
        return "error"
    except UserError:
        return "error"
    except TypeError as error:  # an argument that TensorFlow cannot convert to the type it must have
        assert "Binding inputs to tf.function failed" in str(error), error
        return "error"
    except ValueError as error:
        assert method == "numpy" and "must" in str(error), error
        return "error"

    n_joints = PAIR.n_joints if keywords.get("skeleton") == "pair" else SKELETON.n_joints
    augmentations = () if keywords.get("average_aug", True) else (keywords["num_aug"],)
    for i, result in enumerate(results):
        n_people = len(result["boxes"]) if counts is None else counts[i]
        expected = {
            "poses3d": (n_people, *augmentations, n_joints, 3),
            "poses2d": (n_people, *augmentations, n_joints, 2),
            "uncertainty": (n_people, n_joints),
            "entropy": (n_people, n_joints),
        }
        if counts is None:
            expected["boxes"] = (n_people, 5)
        assert {k: v.shape for k, v in result.items()} == expected
        for name, value in result.items():
            assert np.isfinite(value).all(), f"{name} is not finite"
        assert (result["entropy"] >= 0).all() and (result["entropy"] <= 1).all()
    return "poses" if any(len(r["poses3d"]) for r in results) else "nobody"
