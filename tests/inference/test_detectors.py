"""Thresholds, doubles, mirrored second look and limits; the detectors that packages and the project bring."""

import json
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.inference import detectors, movenet, movenet_convert

IMAGES = np.zeros((2, 40, 100, 3), np.uint8)
CANDIDATES = np.array([[0, 0, 10, 20], [50, 0, 10, 20], [0.5, 0, 10, 20], [80, 5, 10, 20], [0, 0, 0, 20]], np.float32)
SCORES = np.array([0.7, 0.9, 0.8, 0.2, 1.0], np.float32)


def fixed(images):
    return tf.constant(np.stack([CANDIDATES] * 2)), tf.constant(np.stack([SCORES] * 2))


def find(candidates=fixed, *, threshold=0.3, overlap=0.7, limit=-1, flip=False):
    detector = detectors.PersonDetector(candidates)
    return detector.detect(
        tf.constant(IMAGES), tf.constant(threshold), tf.constant(overlap), tf.constant(limit), tf.constant(flip)
    )


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({}, [0.9, 0.8]),
        ({"overlap": 1.0}, [0.9, 0.8, 0.7]),
        ({"threshold": 0.1}, [0.9, 0.8, 0.2]),
        ({"limit": 1}, [0.9]),
    ],
)
def test_filters(settings, expected):
    found = find(**settings)
    assert found.row_lengths().numpy().tolist() == [len(expected)] * 2
    np.testing.assert_allclose(found[0][:, 4], expected)


def bright_column(images):
    """One box: the columns that are not black."""
    bright = tf.reduce_any(images > 0, axis=[1, 3])
    first = tf.cast(tf.argmax(bright, axis=1), tf.float32)
    width = tf.reduce_sum(tf.cast(bright, tf.float32), axis=1)
    boxes = tf.stack([first - 0.5, tf.zeros_like(first), width, tf.ones_like(first) * 40], axis=1)
    return boxes[:, tf.newaxis], tf.ones_like(first)[:, tf.newaxis]


def test_mirrored_look_finds_the_same_place():
    images = IMAGES.copy()
    images[:, :, 10:25] = 255
    detector = detectors.PersonDetector(bright_column)
    arguments = [tf.constant(x) for x in (0.5, 0.9, -1, True)]
    found = detector.detect(tf.constant(images), *arguments)
    assert found.row_lengths().numpy().tolist() == [1, 1]
    np.testing.assert_allclose(found[0][0], [9.5, 0, 15, 40, 1])


def test_wrong_thresholds():
    with pytest.raises(tf.errors.InvalidArgumentError, match="between 0 and 1"):
        find(threshold=1.5)


def test_unknown_detector():
    with pytest.raises(UserError, match="no detector 'yolo'"):
        detectors.load_detector("yolo")


def test_external_saved_model(tmp_path):
    module = tf.Module()
    signature = tf.function(
        lambda images: dict(zip(("boxes", "scores"), fixed(images), strict=True)),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")],
    )
    tf.saved_model.save(module, str(tmp_path), signatures=signature)
    detector = detectors.load_detector(str(tmp_path))
    found = detector.detect(tf.constant(IMAGES), *(tf.constant(x) for x in (0.3, 0.7, -1, False)))
    np.testing.assert_allclose(found[1][:, 4], [0.9, 0.8])


@pytest.mark.skipif(find_spec(detectors.SSDLITE_PACKAGE) is None, reason="needs the extra [detector]")
def test_ssdlite_finds_nobody_in_noise():
    detector = tf.function(detectors.load_detector("ssdlite").detect)
    noise = np.random.default_rng(0).integers(0, 256, (1, 120, 160, 3), np.uint8)
    found = detector(tf.constant(noise), *(tf.constant(x) for x in (0.5, 0.7, -1, True)))
    assert found.row_lengths().numpy().tolist() == [0]


PICTURE = Path(__file__).parents[2] / "data_processing" / "synthetic" / "assets" / "coffee.jpg"


def test_heads_of_movenet_are_those_of_its_source():
    """movenet_heads.npz: the tensors in question, by TensorFlow from the published graph, in half precision."""
    image = cv2.resize(cv2.imread(str(PICTURE), cv2.IMREAD_COLOR_RGB), (192, 128), interpolation=cv2.INTER_AREA)
    found = movenet.MoveNet()(image[None].astype(np.float32) * (2 / 255) - 1)
    with np.load(Path(__file__).parent / "movenet_heads.npz") as heads:
        for mine, name in zip(found, ("center", "scale", "offset"), strict=True):
            np.testing.assert_allclose(mine[0], heads[name], atol=1e-3 * np.abs(heads[name]).max())


@pytest.mark.parametrize("shape", [(90, 60), (60, 90), (1, 500), (333, 333)])
def test_movenet_takes_any_shape(shape):
    boxes, scores = movenet.MoveNet().candidates(np.zeros((2, *shape, 3), np.uint8))
    assert boxes.shape[0] == 2 and tuple(boxes.shape[:2]) == tuple(scores.shape) and np.isfinite(boxes).all()


class SeesWhite(movenet.MoveNet):
    """Takes white for a person of 10 cells by 6."""

    def __call__(self, x):
        center = tf.nn.avg_pool2d(x, 4, 4, "SAME")[..., :1] * 10
        pair = tf.ones_like(center[..., :1])
        return center, tf.concat([10 * pair, 6 * pair], -1), tf.concat([0.5 * pair, 0.5 * pair], -1)


@pytest.mark.parametrize(("height", "width"), [(320, 320), (160, 320), (640, 480), (150, 75), (777, 1234)])
def test_boxes_of_movenet_are_in_pixels_of_the_picture(height, width):
    image = np.zeros((1, height, width, 3), np.uint8)
    cell = movenet.STRIDE * max(height, width) / movenet.LONGER_SIDE_PX
    left, top = round(5 * cell), round(8 * cell)
    image[:, top : round(top + cell), left : round(left + cell)] = 255
    boxes, scores = SeesWhite().candidates(image)
    expected = np.array([left + cell / 2 - 3 * cell, top + cell / 2 - 5 * cell, 6 * cell, 10 * cell]) - [0.5, 0.5, 0, 0]
    assert scores[0, 0] > 0.9
    np.testing.assert_allclose(boxes[0, 0], expected, atol=0.51, rtol=3e-3)  # whole pixels: white, shrunken


def test_published_weights_are_read(tmp_path):
    """A file of the published layout with our weights in it gives them back."""
    with np.load(movenet.ASSET) as arrays:
        ours = dict(arrays)
    names = movenet_convert.published_names()
    assert set(names) == set(ours)
    entries = [
        {"name": theirs, "shape": ours[k].shape, "dtype": "float32", "quantization": {"dtype": "float16"}}
        for k, theirs in names.items()
    ]
    (tmp_path / "model.json").write_text(json.dumps({"weightsManifest": [{"paths": ["a.bin"], "weights": entries}]}))
    (tmp_path / "a.bin").write_bytes(b"".join(ours[k].tobytes() for k in names))
    found = movenet_convert.read_tfjs_weights(tmp_path / "model.json")
    assert all(np.array_equal(found[theirs], ours[k]) for k, theirs in names.items())
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(UserError, match="no TensorFlow.js model"):
        movenet_convert.read_tfjs_weights(tmp_path / "model.json")
