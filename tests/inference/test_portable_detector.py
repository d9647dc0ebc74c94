"""MoveNet as an ONNX or LiteRT file finds what it finds as part of a SavedModel."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from metrabs_acae.inference import detectors, portable  # noqa: E402
from metrabs_acae.numpy_runtime import Detector  # noqa: E402

NOISE = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)


@pytest.fixture(scope="module", params=["detector.onnx", "detector.tflite"])
def pair(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("detector") / request.param
    portable.write_detector(path)
    assert path.stat().st_size < 11e6
    return Detector(path), detectors.movenet_detector()


@pytest.mark.parametrize("height, width", [(480, 640), (333, 201), (3, 200), (1, 1)])
@pytest.mark.parametrize("iou", [0.7, 0.1])
def test_agrees_with_the_detector_of_the_saved_model(pair, height, width, iou):
    run, detector = pair
    image = np.kron(NOISE, np.ones((12, 12, 1), np.uint8))[:height, :width]
    image = np.ascontiguousarray(image)
    found = run(image, 1e-3, iou)
    expected = detector.detect(image[None], 1e-3, iou, -1, False)[0].numpy()
    assert (np.diff(found[:, 4]) <= 0).all() and (height < 100 or len(found) > 3)
    np.testing.assert_allclose(found[:, 4], expected[:, 4], atol=1e-4)
    np.testing.assert_allclose(found[:, :4], expected[:, :4], atol=0.2)


def test_nobody_is_found_in_the_dark(pair):
    run, _ = pair
    assert run(np.zeros((90, 120, 3), np.uint8), 0.3, 0.7).shape == (0, 5)
