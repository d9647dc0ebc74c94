"""The portable files of a model: from picture to poses in ONNX and LiteRT, and the person detector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.inference import crop_export, portable_detector, portable_pose
from metrabs_acae.inference.error_map import ErrorMap
from metrabs_acae.numpy_runtime.crop_views import REFERENCE_RANGES, AugmentationRanges
from metrabs_acae.numpy_runtime.detection import DETECTORS
from metrabs_acae.numpy_runtime.portable import DESCRIPTION_FILE, POSE_FILES
from metrabs_acae.skeletons import Skeleton, shown


def export_portable(
    model,
    skeleton: Skeleton,
    folder,
    *,
    image_size: int,
    output_skeletons: Mapping[str, Skeleton],
    formats: Sequence[str] = ("onnx",),
    precisions: Sequence[str] = ("float32",),
    joint_transform: np.ndarray | None = None,
    rotation_mode: str = "limited",
    augmentation_ranges: AugmentationRanges = REFERENCE_RANGES,
    center_offset_px: float = -0.5,
    error_map: ErrorMap | None = None,
    with_detector: bool = False,
) -> None:
    """Writes the files that docs/use-the-model.md lists into `folder`; arguments as of `crop_export.export_crop_model`.

    Args:
        formats: "onnx", "litert".
        precisions: of the weights, see `POSE_FILES`; float32 is always written.
        with_detector: write the detector, too.

    Raises:
        UserError: a package of the extra `[export]` is missing.
    """
    crop_export.require_packages(formats)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    output = output_skeletons.get("", skeleton)
    skeletons = {n: shown(n, s).to_dict() | {"indices": output.indices(s.joint_names).tolist()}
                 for n, s in {"": output, **output_skeletons}.items()}  # fmt: skip
    (folder / DESCRIPTION_FILE).write_text(json.dumps({"image_size": image_size, "skeletons": skeletons}))
    function, names = crop_export.frozen_function(model, image_size, None)
    settings = {
        "image_size": image_size,
        "mirror": skeleton.mirror.tolist(),
        "joint_transform": joint_transform,
        "rotation_mode": rotation_mode,
        "ranges": augmentation_ranges,
        "center_offset_px": center_offset_px,
        "error_map": error_map,
    }
    notes = {"joint_names": json.dumps(skeletons[""]["joint_names"])}
    precisions = dict.fromkeys(["float32", *precisions])
    for kind in formats:
        paths = {precision: folder / POSE_FILES[kind][precision] for precision in precisions}
        if kind == "onnx":
            import onnx

            pose = pose_graph(crop_export.to_onnx(function, names), notes, **settings)
            for precision, path in paths.items():
                onnx.save(with_small_weights(pose, precision), path)
        else:
            from metrabs_acae.inference.litert_graph import convert

            for precision, path in paths.items():
                path.write_bytes(
                    convert(
                        portable_pose.INPUTS,
                        lambda g: portable_pose.whole_way(g, lambda x: g.include(function, names, x), **settings),
                        precision=precision,
                    )
                )
        if with_detector:
            write_detector(folder / DETECTORS[kind])


def pose_graph(network, notes: Mapping[str, str], **settings):
    """The ONNX model of `portable_pose.whole_way` around that of a network; notes are kept as its metadata."""
    from metrabs_acae.inference.onnx_graph import OnnxGraph

    g = OnnxGraph()
    way = portable_pose.whole_way(g, lambda inputs: g.include(network, inputs, "network/"), **settings)
    return g.model(way, notes)


def write_detector(path) -> None:
    """MoveNet as an .onnx or a .tflite file, its weights in half precision, as published."""
    path = Path(path)
    if path.suffix == ".tflite":
        from metrabs_acae.inference.litert_graph import convert
        from metrabs_acae.inference.movenet import MoveNet

        network = MoveNet()
        build = lambda g: portable_detector.found_people(g, lambda x: g.channels_first(network, x, 3))  # noqa: E731
        path.write_bytes(convert(portable_detector.INPUTS, build, resources=network, precision="float16"))
        return
    import onnx

    from metrabs_acae.inference.onnx_graph import OnnxGraph

    g = OnnxGraph()
    people = portable_detector.found_people(g, portable_detector.Network(g))
    onnx.save(g.model(people, {"licence": "MoveNet MultiPose (Google), Apache-2.0"}), path)


def with_small_weights(model, precision: str):
    """The ONNX model with its convolutions' weights stored as "float16" or "int8" (a scale for each output channel).

    The file turns them into float32 when it is loaded, so that it is smaller, but computes as before.
    """
    import onnx
    from onnx import helper, numpy_helper

    small = onnx.ModelProto()
    small.CopyFrom(model)
    if precision == "float32":
        return small
    kernels = {node.input[1] for node in small.graph.node if node.op_type == "Conv"}
    nodes, initializers = [], []
    for tensor in small.graph.initializer:
        if tensor.name not in kernels or tensor.data_type != onnx.TensorProto.FLOAT:
            initializers.append(tensor)
            continue
        stored, name = f"{tensor.name}/stored", tensor.name
        kernel = numpy_helper.to_array(tensor)
        if precision == "float16":
            initializers.append(numpy_helper.from_array(kernel.astype(np.float16), stored))
            nodes.append(helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
            continue
        scale = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True).clip(1e-12) / 127
        initializers.append(numpy_helper.from_array(np.round(kernel / scale).astype(np.int8), stored))
        initializers.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}/scale"))
        nodes.append(helper.make_node("Cast", [stored], [f"{name}/whole"], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}/whole", f"{name}/scale"], [name]))
    nodes += small.graph.node
    initializers = [onnx.TensorProto.FromString(t.SerializeToString()) for t in initializers]
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del small.graph.node[:], small.graph.initializer[:]
    small.graph.node.extend(nodes)
    small.graph.initializer.extend(initializers)
    return small
