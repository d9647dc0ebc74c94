"""MoveNet as an ONNX file finds what it finds as part of a SavedModel."""

import numpy as np
import pytest

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from metrabs_acae.inference import detectors, portable  # noqa: E402

NOISE = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    path = tmp_path_factory.mktemp("detector") / "detector.onnx"
    portable.write_detector(path)
    assert path.stat().st_size < 11e6
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(image, threshold, iou):
        thresholds = {"detector_threshold": threshold, "detector_nms_iou_threshold": iou}
        given = {name: np.array(value, np.float32) for name, value in thresholds.items()}
        return session.run(["boxes", "scores"], {"image": image, **given})

    return run, detectors.movenet_detector()


@pytest.mark.parametrize("height, width", [(480, 640), (333, 201), (3, 200), (1, 1)])
@pytest.mark.parametrize("iou", [0.7, 0.1])
def test_agrees_with_the_detector_of_the_saved_model(pair, height, width, iou):
    run, detector = pair
    image = np.kron(NOISE, np.ones((12, 12, 1), np.uint8))[:height, :width]
    image = np.ascontiguousarray(image)
    boxes, scores = run(image, 1e-3, iou)
    expected = detector.detect(image[None], 1e-3, iou, -1, False)[0].numpy()
    assert boxes.shape == (len(scores), 4) and (np.diff(scores) <= 0).all()
    if height > 100:
        assert len(boxes) > 3
    np.testing.assert_allclose(scores, expected[:, 4], atol=1e-4)
    np.testing.assert_allclose(boxes, expected[:, :4], atol=0.2)


def test_nobody_is_found_in_the_dark(pair):
    run, _ = pair
    boxes, scores = run(np.zeros((90, 120, 3), np.uint8), 0.3, 0.7)
    assert boxes.shape == (0, 4) and scores.shape == (0,)
