"""Predictions of phone videos from an exported model: joints by name, frame by frame, NaN where nobody is."""

import json

import numpy as np
import pytest

from data_processing.__main__ import main
from data_processing.datasets.bml_movi import PHONE_K
from data_processing.datasets.bml_movi_phones import load_predictions
from data_processing.datasets.bml_movi_predictions import JOINT_NAMES
from metrabs_acae.skeletons import Skeleton

from ..people import picture, write_video

NAMES = ("pelv_other", *reversed(JOINT_NAMES))
"""The model has another joint more, and MoVi's in another order."""
OFFSETS = np.stack([np.arange(21) * 20.0, np.arange(21) * -10.0, np.arange(21) * 5.0], 1)


def export(path, detector=None):
    import tensorflow as tf

    from metrabs_acae.inference.export import export_saved_model

    def network(inputs):
        """A person of fixed shape, 3 m away, whatever the picture."""
        n = tf.shape(inputs["image"])[0]
        pose = tf.constant(OFFSETS + [0, 0, 3000], tf.float32)
        return tf.tile(pose[tf.newaxis], [n, 1, 1])

    export_saved_model(network, Skeleton("dummy", NAMES), path, image_size=64, output_skeletons={}, detector=detector)
    return str(path)


@pytest.fixture(scope="module")
def model_without_detector(tmp_path_factory):
    return export(tmp_path_factory.mktemp("export") / "model")


def on_the_lawn(images):
    """A detector of one person in bright pictures, with a less sure one beside."""
    import tensorflow as tf

    n = tf.shape(images)[0]
    bright = tf.reduce_mean(tf.cast(images[:, ::8, ::8, 0], tf.float32), axis=[1, 2]) > 60
    boxes = tf.constant([[200.0, 200, 90, 200], [900, 300, 100, 300]])
    return tf.tile(boxes[tf.newaxis], [n, 1, 1]), tf.where(bright[:, tf.newaxis], [[0.5, 0.9]], 0.0)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    frames = [picture((1920, 1080), level) for level in (100, 100, 20, 100, 100)]
    write_video(folder / "F_CP1_Subject_1.mp4", frames, fps=30, codec="mpeg4")
    return folder


def check(path, missing):
    poses3d, poses2d = load_predictions(path)
    assert poses3d.shape == (5, 20, 3)
    assert np.flatnonzero(np.isnan(poses3d).any((1, 2))).tolist() == missing
    kept = np.setdiff1d(range(5), missing)
    projected = poses3d[kept] @ PHONE_K.T
    np.testing.assert_allclose(projected[..., :2] / projected[..., 2:], poses2d[kept], atol=0.05)  # float32 at 1500 px
    # the surer person is at (950, 450), seen by the model in the middle of its crop
    assert np.abs(poses2d[kept[0]] - [950, 450]).max() < 400
    distances = np.linalg.norm(poses3d[kept[0], :, None] - poses3d[kept[0]], axis=-1)
    order = [NAMES.index(n) for n in JOINT_NAMES]
    expected = np.linalg.norm(OFFSETS[order, None] - OFFSETS[order], axis=-1)
    np.testing.assert_allclose(distances, expected, atol=0.1)


@pytest.mark.slow
def test_with_the_models_own_detector(raw, tmp_path, capsys):
    from metrabs_acae.inference.detectors import PersonDetector

    model = export(tmp_path / "model", detector=PersonDetector(on_the_lawn))
    arguments = ["movi-predict", "--raw", str(raw), "--model", model, "--out", str(tmp_path / "p"), "--batch", "2"]
    assert main(arguments) == 0
    assert "predictions of 1 videos" in capsys.readouterr().out
    check(tmp_path / "p" / "F_CP1_Subject_1.npz", missing=[2])
    written = (tmp_path / "p" / "F_CP1_Subject_1.npz").stat().st_mtime_ns
    assert main(arguments) == 0 and (tmp_path / "p" / "F_CP1_Subject_1.npz").stat().st_mtime_ns == written


@pytest.mark.slow
def test_with_boxes_from_a_file(raw, model_without_detector, tmp_path, capsys):
    boxes = {f"F_CP1_Subject_1.mp4/{i:06d}": [[1, 1, 9, 9, 0.1], [900, 300, 100, 300, 0.8]] for i in (0, 1, 3)}
    (tmp_path / "d.json").write_text(json.dumps(boxes))
    arguments = ["movi-predict", "--raw", str(raw), "--model", model_without_detector]
    arguments += ["--out", str(tmp_path / "p")]
    assert main(arguments) == 2
    assert "exported without a detector; say --detector" in capsys.readouterr().err
    assert main([*arguments, "--detector", f"json:{tmp_path / 'd.json'}"]) == 0
    check(tmp_path / "p" / "F_CP1_Subject_1.npz", missing=[2, 4])


@pytest.mark.slow
def test_a_skeleton_may_show_its_joints_without_convention(tmp_path):
    import tensorflow as tf

    from data_processing.datasets.bml_movi_predictions import VideoPredictor

    (tmp_path / "d.json").write_text("{}")
    module = tf.Module()
    bases = [n.removesuffix("_bmlmovi") for n in reversed(JOINT_NAMES)]
    module.per_skeleton_joint_names = {"": tf.Variable(NAMES), "movi": tf.Variable(bases)}
    tf.saved_model.save(module, str(tmp_path / "model"))
    predictor = VideoPredictor(tmp_path / "model", detector=f"json:{tmp_path / 'd.json'}", skeleton="movi")
    assert predictor._joints.tolist() == list(range(20))[::-1]


@pytest.mark.slow
def test_unusable_models_and_videos(raw, model_without_detector, tmp_path, capsys):
    import tensorflow as tf

    arguments = ["movi-predict", "--raw", str(raw), "--out", str(tmp_path / "p"), "--detector", "ssdlite", "--model"]
    assert main([*arguments, str(tmp_path)]) == 2
    assert "is not an exported model" in capsys.readouterr().err
    assert main(["movi-predict", "--raw", str(tmp_path), "--out", "p", "--model", "m"]) == 2
    assert "no phone video" in capsys.readouterr().err
    (tmp_path / "d.json").write_text("{}")
    module = tf.Module()
    module.per_skeleton_joint_names = {"": tf.Variable(NAMES[:10])}
    tf.saved_model.save(module, str(tmp_path / "small"))
    arguments[-2] = f"json:{tmp_path / 'd.json'}"
    assert main([*arguments, str(tmp_path / "small")]) == 2
    assert "does not predict head_bmlmovi" in capsys.readouterr().err
    write_video(tmp_path / "F_CP2_Subject_1.mp4", [picture((320, 240), 9)], codec="mpeg4")
    arguments[2] = str(tmp_path)
    assert main([*arguments, model_without_detector]) == 2
    assert "is 320 x 240" in capsys.readouterr().err
