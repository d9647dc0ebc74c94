"""The crop model alone, for runtimes without TensorFlow: ONNX and LiteRT files with static shapes, and their parity.

Inputs `image` [B, S, S, 3] float32 in 0..1 and `intrinsics` [B, 3, 3]; outputs as of `models.Metrabs.inference_outputs`
(`coords3d_mm` [B, J, 3] in the crop's camera frame, `entropy`, and what the two heads say), or only `coords3d_mm`.
Beside the files stands `numpy_runtime`, which poses whole images with them and needs only NumPy.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae import numpy_runtime
from metrabs_acae.errors import UserError
from metrabs_acae.inference.error_map import ErrorMap
from metrabs_acae.numpy_runtime import estimator as runtime
from metrabs_acae.numpy_runtime.crop_views import REFERENCE_RANGES, AugmentationRanges
from metrabs_acae.numpy_runtime.networks import FORMATS, load_network
from metrabs_acae.skeletons import Skeleton, shown

ONNX_OPSET = 17
PARITY_FILE = "parity.json"
OUTPUT_NAMES = ("coords3d_mm", "entropy", "coords2d_px", "coords3d_rel_mm")


@dataclass(frozen=True)
class Photograph:
    """A picture to compare on: [H, W, 3] uint8, boxes [P, 4], and its camera if that is known."""

    image: np.ndarray
    boxes: np.ndarray
    intrinsics: np.ndarray | None = None
    distortion: np.ndarray = ()


def export_crop_model(
    model,
    skeleton: Skeleton,
    folder,
    *,
    image_size: int,
    output_skeletons: Mapping[str, Skeleton],
    formats: Sequence[str] = tuple(FORMATS),
    batch_size: int = 1,
    joint_transform: np.ndarray | None = None,
    rotation_mode: str = "limited",
    augmentation_ranges: AugmentationRanges = REFERENCE_RANGES,
    center_offset_px: float = -0.5,
    error_map: ErrorMap | None = None,
    estimator=None,
    photographs: Sequence[Photograph] = (),
    log=print,
) -> dict[str, dict[str, float]]:
    """Writes network files, their description, `numpy_runtime` and `parity.json` into `folder`, and compares them.

    Args:
        model: Keras model or other callable, see `crop_model.CropModel`.
        skeleton: joints of the network's output. output_skeletons: by name, of what comes out in the end ("": all).
        image_size: crop side, px. batch_size: of the static shapes.
        joint_transform, rotation_mode, augmentation_ranges, center_offset_px, error_map: as of
            `multiperson.PoseEstimator`.
        estimator: a `multiperson.PoseEstimator` of the same model, to compare whole pictures with.
        photographs: to compare on; none: smooth noise.

    Returns:
        by format and for "tensorflow": `crop_difference_mm`, of any joint of the network's own output on crops from
        TensorFlow's, `crop_seconds` a crop; and, with `estimator`, `image_difference_mm` from its `estimate_poses` with
        one crop a person, everything around the network done by NumPy, and `image_seconds` a person.

    Raises:
        UserError: unknown format, or a package of the extra `[export]` is missing.
    """
    writers = {"onnx": _write_onnx, "litert": _write_litert}
    unknown = sorted(set(formats) - set(writers))
    if unknown:
        raise UserError(f"Unknown format {', '.join(unknown)}; the crop model can be written as onnx or litert.")
    require_packages(formats)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    function, names = frozen_function(model, image_size, batch_size)
    description = _describe(model, skeleton, output_skeletons, image_size, batch_size, names)
    description |= {"rotation_mode": rotation_mode, "center_offset_px": center_offset_px}
    description["augmentation_ranges"] = augmentation_ranges._asdict()
    if error_map is not None:
        description["error_map"] = error_map.lists()
    (folder / runtime.DESCRIPTION_FILE).write_text(json.dumps(description))
    decoder = np.asarray(model.decoder.matrix()) if getattr(model, "decodes_latents", False) else None
    matrices = {"decoder": decoder, "joint_transform": joint_transform}
    matrices = {name: np.asarray(m, np.float32) for name, m in matrices.items() if m is not None}
    if matrices:
        np.savez(folder / runtime.MATRICES_FILE, **matrices)
    source = Path(numpy_runtime.__file__).parent
    shutil.copytree(
        source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile
    )
    for name in formats:
        writers[name](function, names, folder / FORMATS[name])
    report = _compare(function, names, folder, formats, estimator, photographs, image_size, batch_size)
    (folder / PARITY_FILE).write_text(json.dumps(report, indent=1))
    log(render_parity(report))
    return report


def render_parity(report: Mapping[str, Mapping[str, float]]) -> str:
    """The parity report as a text table."""
    has_images = any("image_seconds" in values for values in report.values())
    lines = [f"{'crop model':12s} {'largest difference':>19s} {'ms a crop':>10s}"]
    if has_images:
        lines[0] += f" {'whole image':>13s} {'ms a person':>12s}"
    for name, values in report.items():
        line = f"{name:12s} {values['crop_difference_mm']:16.4f} mm {1000 * values['crop_seconds']:10.1f}"
        if has_images:
            line += f" {values['image_difference_mm']:10.4f} mm {1000 * values['image_seconds']:12.1f}"
        lines.append(line)
    return "\n".join(lines)


def example_inputs(image_size: int, batch_size: int) -> dict[str, np.ndarray]:
    """Smooth random crops and a usual camera."""
    center = (image_size - 1) / 2
    intrinsics = np.array([[1.5 * image_size, 0, center], [0, 1.5 * image_size, center], [0, 0, 1]], np.float32)
    images = np.stack([_smooth_noise(image_size, image_size, seed) for seed in range(batch_size)])
    return {"image": (images / 255).astype(np.float32), "intrinsics": np.stack([intrinsics] * batch_size)}


def _smooth_noise(height: int, width: int, seed: int) -> np.ndarray:
    import cv2

    return cv2.resize(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8), (width, height))


def _describe(model, skeleton, output_skeletons, image_size, batch_size, names) -> dict:
    """What `numpy_runtime` needs to know."""
    output = output_skeletons.get("", skeleton)
    skeletons = {
        name: {**shown(name, s).to_dict(), "indices": output.indices(s.joint_names).tolist()}
        for name, s in {"": output, **output_skeletons}.items()
    }
    description = {
        "image_size": image_size,
        "batch_size": batch_size,
        "inputs": {"image": [batch_size, image_size, image_size, 3], "intrinsics": [batch_size, 3, 3]},
        "outputs": list(names),
        "network_joints": list(skeleton.joint_names),
        "mirror": skeleton.mirror.tolist(),
        "skeletons": skeletons,
    }
    if "coords3d_rel_mm" in names:
        description["reconstruction"] = {
            "stride": model.grid.stride,
            "centered_stride": model.grid.centered_stride,
            "mix_3d_inside_fov": model.mix_3d_inside_fov,
            "weak_perspective": model.weak_perspective,
        }
    return description


def frozen_function(model, image_size: int, batch_size: int | None):
    """(the forward pass with its weights as constants, the names of its outputs in order); batch_size None: any."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from metrabs_acae.inference.crop_model import output_function

    outputs_of = output_function(model)
    names: list[str] = []

    @tf.function
    def forward(image, intrinsics):
        outputs = outputs_of({"image": image, "intrinsics": intrinsics})
        names[:] = [name for name in OUTPUT_NAMES if name in outputs]
        return [tf.cast(outputs[name], tf.float32) for name in names]

    concrete = forward.get_concrete_function(
        tf.TensorSpec([batch_size, image_size, image_size, 3], tf.float32, name="image"),
        tf.TensorSpec([batch_size, 3, 3], tf.float32, name="intrinsics"),
    )
    return convert_variables_to_constants_v2(concrete), tuple(names)


def _write_onnx(function, names, path: Path) -> None:
    path.write_bytes(to_onnx(function, names).SerializeToString())


def to_onnx(function, names):
    """The ONNX model of what `frozen_function` gives."""
    import tensorflow as tf
    import tf2onnx

    level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")  # the converter calls deprecated functions of TensorFlow
    graph = function.graph
    model, _ = tf2onnx.convert.from_graph_def(
        graph.as_graph_def(),
        input_names=[t.name for t in graph.inputs],
        output_names=[t.name for t in graph.outputs],
        opset=ONNX_OPSET,
    )
    tf.get_logger().setLevel(level)
    outputs = zip((t.name for t in graph.outputs), names, strict=True)
    _rename(model.graph, {t.name: t.op.name for t in graph.inputs} | dict(outputs))
    return model


def _rename(graph, names: dict[str, str]) -> None:
    """Gives inputs and outputs of an ONNX graph plain names."""
    for value in [*graph.input, *graph.output]:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(v, v) for v in values]


def _write_litert(function, names, path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    specs = [tf.TensorSpec(t.shape, t.dtype, name=t.op.name) for t in function.inputs]
    module.signature = tf.function(
        lambda image, intrinsics: dict(zip(names, _as_list(function(image, intrinsics)), strict=True)),
        input_signature=specs,
    )
    with tempfile.TemporaryDirectory() as folder:
        # By way of a SavedModel, so that inputs and outputs keep their names in the file.
        tf.saved_model.save(module, folder, signatures={"serving_default": module.signature})
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


def _compare(function, names, folder, formats, estimator, photographs, image_size, batch_size) -> dict:
    import tensorflow as tf

    inputs = example_inputs(image_size, batch_size)
    tensors = [tf.constant(inputs[name]) for name in ("image", "intrinsics")]
    expected, seconds = _timed(lambda: _as_list(function(*tensors))[names.index("coords3d_mm")].numpy())
    photographs = photographs or [
        Photograph(_smooth_noise(480, 640, i), np.array([[150.0, 60, 200, 400], [300, 40, 150, 300]])) for i in range(2)
    ]
    n_people = sum(len(p.boxes) for p in photographs)
    report = {"tensorflow": {"crop_difference_mm": 0.0, "crop_seconds": seconds / batch_size}}
    if estimator is not None:
        poses, seconds = _timed(lambda: _poses(estimator, photographs), 2)
        report["tensorflow"] |= {"image_difference_mm": 0.0, "image_seconds": seconds / n_people}
    for kind in formats:
        network = load_network(folder / FORMATS[kind], kind)
        found, seconds = _timed(lambda network=network: network(inputs)["coords3d_mm"])
        report[kind] = {"crop_difference_mm": _difference(found, expected), "crop_seconds": seconds / batch_size}
        if estimator is not None:
            own = numpy_runtime.PoseEstimator(folder, kind)
            found, seconds = _timed(lambda own=own: _poses(own, photographs), 2)
            report[kind] |= {"image_difference_mm": _difference(found, poses), "image_seconds": seconds / n_people}
    return report


def _poses(estimator, photographs) -> np.ndarray:
    """[people of all photographs, J, 3], of either kind of estimator."""
    found = []
    for p in photographs:
        camera = {} if p.intrinsics is None else {"intrinsic_matrix": np.asarray(p.intrinsics, np.float32)}
        if len(p.distortion):
            camera["distortion_coeffs"] = np.asarray(p.distortion, np.float32)
        result = estimator.estimate_poses(p.image, np.asarray(p.boxes, np.float32), num_aug=1, **camera)
        found.append(np.asarray(result["poses3d"]))
    return np.concatenate(found)


def _difference(a, b) -> float:
    return float(np.linalg.norm(a - b, axis=-1).max())


def _as_list(outputs) -> list:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _timed(function, repeats: int = 5):
    """(result, least seconds of several calls)."""
    result, best = function(), np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return result, best


def require_packages(formats) -> None:
    import importlib.util

    needed = [p for p in ("onnx", "tf2onnx", "onnxruntime") if "onnx" in formats]
    missing = [p for p in needed if importlib.util.find_spec(p) is None]
    if missing:
        raise UserError(
            f"{', '.join(missing)} is not installed, which the ONNX file needs; install it with: "
            "pip install 'metrabs_acae[export]'."
        )
