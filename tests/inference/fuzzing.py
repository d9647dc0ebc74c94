"""Random arguments for all public inference methods, good and bad, and what must hold of every call.

A call ends in finite poses of the right number and shape, or in one sentence that says what is wrong; never in a
crash, a hang, or poses that are not finite.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

from metrabs_acae import numpy_runtime
from metrabs_acae.errors import UserError
from metrabs_acae.inference import detectors, export
from metrabs_acae.inference.error_map import ErrorMap
from metrabs_acae.inference.image_list import detect_poses_list, estimate_poses_list
from metrabs_acae.skeletons import available_output_skeletons, get_skeleton

SIZE = 32
SKELETON = get_skeleton("h36m")
ERROR_MAP = ErrorMap(SKELETON.joint_names, *np.random.default_rng(1).uniform(1, 4, (3, SKELETON.n_joints)))
TEMPLATE = np.random.default_rng(0).uniform(-400, 400, (SKELETON.n_joints, 3)).astype(np.float32)
TEMPLATE = (TEMPLATE + TEMPLATE[SKELETON.mirror] * [-1, 1, 1]).astype(np.float32) / 2  # the same in mirrored crops
EIGHT_K = (4320, 7680)


class Network:
    """Poses that depend on the crop's colours and on the focal length."""

    def inference_outputs(self, inputs):
        color = tf.reduce_mean(inputs["image"], axis=[1, 2])
        depth = inputs["intrinsics"][:, 0, 0] * (1000 / SIZE)
        away = tf.stack([tf.zeros_like(depth), tf.zeros_like(depth), depth], axis=-1)
        poses = TEMPLATE * (1 + color[:, tf.newaxis]) + away[:, tf.newaxis]
        return {
            "coords3d_mm": poses,
            "entropy": tf.clip_by_value(tf.tile(color[:, :1], [1, SKELETON.n_joints]), 0.0, 1.0),
        }


def candidates(images):
    """One person in the middle, most of the same again, one as large as the image's brightness, one without size."""
    n = tf.shape(images)[0]
    h, w = tf.cast(tf.shape(images)[1], tf.float32), tf.cast(tf.shape(images)[2], tf.float32)
    light = tf.reduce_mean(tf.cast(images[:, ::8, ::8], tf.float32), axis=[1, 2, 3])
    middle = tf.tile(tf.stack([w / 4, h / 4, w / 2, h / 2])[tf.newaxis], [n, 1])
    bright = tf.stack([light - 50, light - 50, light * 3, light * 2], axis=1)
    boxes = tf.stack([middle, middle * 1.05, bright, tf.zeros_like(middle)], axis=1)
    return boxes, tf.tile(tf.constant([[0.9, 0.8, 0.7, 0.6]]), [n, 1])


def export_model(path, crop_formats=(), portable=()):
    """Writes the SavedModel that is fuzzed: users have it saved and loaded."""
    return export.export_saved_model(
        Network(),
        SKELETON,
        path,
        image_size=SIZE,
        output_skeletons=available_output_skeletons(SKELETON),
        detector=detectors.PersonDetector(candidates),
        bone_lengths=np.full(len(SKELETON.edges), 800, np.float32),
        error_map=ERROR_MAP,
        crop_formats=crop_formats,
        portable=portable,
        log=lambda text: None,
    )


class NumpyEstimator(numpy_runtime.PoseEstimator):
    """The NumPy runtime around the same network."""

    def __init__(self):
        self.skeletons = {
            n: {"indices": SKELETON.indices(s.joint_names).tolist()}
            for n, s in available_output_skeletons(SKELETON).items()
        }
        self.joint_names, self.image_size = list(SKELETON.joint_names), SIZE
        self.description = {"batch_size": 2, "outputs": ["coords3d_mm", "entropy"], "center_offset_px": -0.5}
        self.description["rotation_mode"] = "limited"
        self._ranges = numpy_runtime.crop_views.REFERENCE_RANGES
        self._mirror, self._decoder, self._joint_transform = SKELETON.mirror, None, None
        self._network = lambda inputs: {k: v.numpy() for k, v in Network().inference_outputs(inputs).items()}


numbers = st.one_of(
    st.floats(-500, 1500, width=32),
    st.sampled_from([0.0, -1.0, 1e-6, 1e4, 1e5, 1e6, 1e7, 1e30, float("nan"), float("inf"), -float("inf")]),
)
in_corner = st.tuples(*[st.floats(-100, 0.5, width=32)] * 2, *[st.floats(101, 500, width=32)] * 2)
anywhere = st.tuples(*[st.floats(-100, 400, width=32)] * 2, *[st.floats(1, 500, width=32)] * 2)
usual_box = st.one_of(in_corner, in_corner, in_corner, anywhere)  # the corner is in every picture
odd_side, channels = st.sampled_from([0, 1, 2, 3, 7, 64, 200]), st.sampled_from([3, 3, 3, 0, 1, 2, 4])
usual_shapes = st.tuples(st.sampled_from([1, 3, 64, 200]), st.sampled_from([1, 3, 64, 200]), st.just(3))
odd_shapes = st.one_of(
    st.tuples(odd_side, odd_side, channels), st.tuples(odd_side, odd_side), st.just(()), st.just((2, 2, 2, 3))
)
dtypes = st.sampled_from(["uint8"] * 6 + ["float32", "float64", "float16", "int64", "int32", "bool", "uint16"])


@st.composite
def pixels(draw, *batch, wild=False):
    """[*batch, H, W, 3] uint8; if wild, perhaps of another rank, type or number of channels."""
    shape = (*batch, *draw(odd_shapes if wild and draw(st.booleans()) else usual_shapes))
    value = draw(st.sampled_from([0, 1 if wild else 2, 128, 255, None, None]))
    if value is None:
        image = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 256, shape, np.uint8)
    else:
        image = np.full(shape, value, np.uint8)
    dtype = draw(dtypes) if wild else "uint8"
    return image if dtype == "uint8" else (image / 255 if "float" in dtype else image).astype(dtype)


@st.composite
def boxes(draw, wild=False):
    """[P, 4] or, if wild, something of another width, rank or type, with any numbers."""
    if not wild:
        return np.array(draw(st.lists(usual_box, max_size=3)), np.float32).reshape(-1, 4)
    rows = draw(st.one_of(st.lists(usual_box, max_size=2), st.lists(st.lists(numbers, max_size=6), max_size=2)))
    width = max(map(len, rows), default=4)
    array = np.array([[*row, *[1.0] * (width - len(row))] for row in rows], np.float32)
    kind = draw(st.sampled_from(["as is", "as is", "as is", "flat", "deep", "float64", "int"]))
    with np.errstate(all="ignore"):
        return {
            "as is": lambda: array,
            "flat": array.ravel,
            "deep": lambda: array[np.newaxis],
            "float64": lambda: array.astype(np.float64),
            "int": lambda: np.nan_to_num(array, posinf=9, neginf=-9).clip(-1e6, 1e6).astype(np.int32),
        }[kind]()


@st.composite
def boxes_by_image(draw, n_images, wild=False):
    """Boxes of `n_images` images; if wild, of any numbers, perhaps for one image more or less."""
    n_rows = max(0, n_images + draw(st.sampled_from([0, 0, 0, -1, 1]))) if wild else n_images
    box = st.tuples(numbers, numbers, numbers, numbers) if wild and draw(st.booleans()) else usual_box
    rows = [draw(st.lists(box, max_size=2)) for _ in range(n_rows)]
    return [np.array(r, np.float32).reshape(-1, 4) for r in rows]


USUAL_CAMERA = np.array([[300, 0, 150], [0, 310, 150], [0, 0, 1]], np.float32)


@st.composite
def intrinsics(draw, n_images=1, wild=False):
    fx, fy, cx, cy, skew = (draw(numbers) for _ in range(5)) if wild else (200.0, 250.0, 90.0, -20.0, 3.0)
    drawn = np.array([[fx, skew, cx], [0, fy, cy], [0, 0, 1]], np.float32)
    singular = np.array([[300, 300, 150], [310, 310, 150], [0, 0, 1]], np.float32)
    choices = [drawn, drawn, USUAL_CAMERA, -np.ones((3, 3), np.float32)]
    matrix = draw(st.sampled_from([*choices, singular, USUAL_CAMERA * 0, USUAL_CAMERA[:2]] if wild else choices))
    n = draw(st.sampled_from([n_images, n_images + 1])) if wild else n_images
    return draw(st.sampled_from([matrix, matrix[np.newaxis], np.stack([matrix] * n) if n else matrix]))


@st.composite
def extrinsics(draw, wild=False):
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-1e4, 1e4, width=32)] * 3))
    if wild:
        matrix[draw(st.integers(0, 3)), draw(st.integers(0, 3))] = draw(numbers)
        matrix = draw(st.sampled_from([matrix, matrix, matrix[:3]]))
    return draw(st.sampled_from([matrix, matrix[np.newaxis]]))


def call_settings(n_images=1, wild=False):
    def either(usual, odd):
        return st.one_of(usual, odd) if wild else usual

    some = st.sampled_from
    lens = st.floats(-0.25, 0.25, width=32)
    return st.fixed_dictionaries(
        {"num_aug": either(some([1] * 6 + [2, 5]), some([1, 0, -3, 1001]))},
        optional={
            "intrinsic_matrix": intrinsics(n_images, wild),
            "extrinsic_matrix": extrinsics(wild),
            "distortion_coeffs": either(st.lists(lens, max_size=12), st.lists(numbers, max_size=14)),
            "world_up_vector": either(some([[0.0, -1, 0], [0.5, 1, 2], [0.0, 0, 1]]), st.lists(numbers, max_size=4)),
            "default_fov_degrees": either(st.floats(1, 179), numbers),
            "antialias_factor": either(some([1, 1, 2, 3]), some([1, 0, -1, 65])),
            "average_aug": st.booleans(),
            "skeleton": either(some(["", "h36m_17"]), some(["unknown", "\0", "pelv"])),
        },
    )


def detection_settings(wild=False):
    odd = [-0.1, 1.5, float("nan")] if wild else []
    return st.fixed_dictionaries(
        {},
        optional={
            "detector_threshold": st.sampled_from([0.0, 0.3, 0.85, 1.0, *odd]),
            "detector_nms_iou_threshold": st.sampled_from([0.0, 0.7, 1.0, *odd]),
            "max_detections": st.sampled_from([-1, 0, 1, 2, 1000, *([-5] if wild else [])]),
            "detector_flip_aug": st.booleans(),
            "suppress_implausible_poses": st.booleans(),
        },
    )


@st.composite
def case(draw, method: str):
    """(positional arguments, keyword arguments) for a method's name: all usual, or some of them wild."""
    wild = draw(st.sampled_from(["", "", "images", "boxes", "settings", "settings", "images boxes settings"]))
    n_images = 1 if method in ("estimate_poses", "detect_poses", "numpy") else draw(st.integers(0, 3))
    keywords = dict(draw(call_settings(n_images, "settings" in wild)))
    if method != "numpy":
        sizes = [0, 1, 3, 64, *([-2] if "settings" in wild else [])]
        keywords |= draw(st.fixed_dictionaries({}, optional={"internal_batch_size": st.sampled_from(sizes)}))
    if method.startswith("detect"):
        keywords |= draw(detection_settings("settings" in wild))
    if method.endswith("_list"):
        images = [draw(pixels(wild="images" in wild)) for _ in range(n_images)]
    else:
        images = draw(pixels(*([n_images] if method.endswith("_batched") else []), wild="images" in wild))
    if method.startswith("detect"):
        return (images,), keywords
    of_images = method in ("estimate_poses_batched", "estimate_list")
    found = boxes_by_image(n_images, "boxes" in wild) if of_images else boxes("boxes" in wild)
    return (images, draw(found)), keywords


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

    n_joints = 17 if keywords.get("skeleton") == "h36m_17" else SKELETON.n_joints
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
