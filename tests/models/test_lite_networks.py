"""Networks with weights of others: features of the source, where cells look, files that are refused."""

import importlib.util
import struct
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.models.backbones.lite_networks import (
    BLAZEPOSE,
    EFFICIENTNET_LITE,
    MOBILENET_V2,
    build_lite_network,
)
from metrabs_acae.models.backbones.lite_weights import fill, save_npz
from metrabs_acae.models.backbones.torch_file import MAGIC, read_torch_weights

HERE = Path(__file__).parent
PICTURE = HERE.parents[1] / "data_processing" / "synthetic" / "assets" / "coffee.jpg"


def picture(size=256):
    """[1, size, size, 3] in 0..255."""
    image = cv2.imread(str(PICTURE), cv2.IMREAD_COLOR_RGB)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)[np.newaxis]


def installed(package, file):
    """The path of a package's file; skips the test where the package is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"needs {package}")
    return Path(spec.submodule_search_locations[0]) / file


def test_features_of_blazepose_full_are_those_of_its_interpreter():
    """blazepose_features.npz: the tensor in question, by TensorFlow's own interpreter of the published file."""
    network = fill(build_lite_network(BLAZEPOSE["full"], 256, "blazepose-full"), ASSET)
    with np.load(HERE / "blazepose_features.npz") as features:
        np.testing.assert_allclose(network(picture() / 255)[0], features["full"], atol=6e-3)  # half precision, of 6


@pytest.mark.parametrize("kind", BLAZEPOSE)
def test_published_blazepose_files_are_read(kind):
    file = NODE_MODULES / f"pose_landmark_{kind}.tflite"
    if not file.is_file():
        pytest.skip("needs the npm package @mediapipe/pose in node_modules")
    network = fill(build_lite_network(BLAZEPOSE[kind], 256, kind), file)
    with np.load(HERE / "blazepose_features.npz") as features:
        np.testing.assert_allclose(network(picture() / 255)[0], features[kind], atol=6e-3)
