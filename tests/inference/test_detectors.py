"""Thresholds, doubles, mirrored second look and limits; the packaged detector where it is installed."""

import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.inference import detectors

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


@pytest.mark.skipif(not detectors.ssdlite_available(), reason="needs the extra [detector]")
def test_ssdlite_finds_nobody_in_noise():
    detector = tf.function(detectors.load_detector("ssdlite").detect)
    noise = np.random.default_rng(0).integers(0, 256, (1, 120, 160, 3), np.uint8)
    found = detector(tf.constant(noise), *(tf.constant(x) for x in (0.5, 0.7, -1, True)))
    assert found.row_lengths().numpy().tolist() == [0]
