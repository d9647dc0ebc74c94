"""The exported folder: loads with TensorFlow alone, is complete or absent, and says what it is."""

import json
import shutil
import subprocess
import sys
import tarfile
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.inference import detectors, export
from metrabs_acae.inference.multiperson import PoseEstimator
from metrabs_acae.skeletons import Skeleton

SIZE = 64
SKELETON = Skeleton("three", ("pelv_own", "lhip_own", "rhip_own"), ((0, 1), (0, 2)))
IMAGE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
BOXES = np.array([[20, 10, 40, 60], [-10, 30, 50, 50]], np.float32)


class SmallNetwork(keras.Model):
    def __init__(self):
        super().__init__()
        self.features = keras.layers.Conv2D(8, 5, strides=4, activation="relu")
        self.head = keras.layers.Dense(9)

    def call(self, inputs, training=None):
        features = keras.ops.mean(self.features(inputs["image"]), axis=(1, 2))
        away = keras.ops.stack([0.0, 0.0, 3000.0])
        return keras.ops.reshape(self.head(features) * 100, (-1, 3, 3)) + away


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    model = SmallNetwork()
    model({"image": np.zeros((1, SIZE, SIZE, 3), np.float32), "intrinsics": np.eye(3, dtype=np.float32)[None]})
    return model


def write(network, path, **settings):
    outputs = {"hips": SKELETON.select(["lhip_own", "rhip_own"], "hips")}
    return export.export_saved_model(network, SKELETON, path, image_size=SIZE, output_skeletons=outputs, **settings)


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    card = {"settings": {"steps": 7}, "licence_notes": "Research use only."}
    return write(network, tmp_path_factory.mktemp("export") / "model", model_card=card, archive=True)


LOADER = """
    import importlib.machinery, sys

    class Blocked:  # the packages can be looked for, as TensorFlow does when it starts, but not imported
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("keras", "metrabs_acae"):
                return importlib.machinery.ModuleSpec(name, self, is_package=True)
        def create_module(self, spec):
            raise ImportError(spec.name)
        def exec_module(self, module):
            raise ImportError(module)

    sys.meta_path.insert(0, Blocked())
    import numpy as np
    import tensorflow as tf

    path, arrays = sys.argv[1:]
    given = np.load(arrays)
    model = tf.saved_model.load(path)
    single = model.estimate_poses(given["image"], given["boxes"])
    boxes = tf.RaggedTensor.from_row_lengths(given["boxes"], [0, 2])
    batched = model.estimate_poses_batched(
        np.stack([given["image"]] * 2), boxes, num_aug=2, average_aug=False, skeleton="hips")
    assert batched["poses3d"].row_lengths().numpy().tolist() == [0, 2]
    assert batched["poses3d"].values.shape == (2, 2, 2, 3)
    assert model.estimate_poses(given["image"], [])["poses2d"].shape == (0, 3, 2)
    served = model.signatures["serving_default"](
        image=tf.constant(given["image"]), boxes=tf.constant(given["boxes"]), intrinsic_matrix=-tf.ones([3, 3]))
    assert np.abs(served["poses3d"] - single["poses3d"]).max() < 1e-2
    assert model.per_skeleton_joint_names["hips"].numpy().tolist() == [b"lhip", b"rhip"]
    assert model.crop_model.input_resolution.numpy() == 64
    assert not hasattr(model, "detect_poses")
    assert "metrabs_acae" not in sys.modules and "keras" not in sys.modules
    np.save(arrays + ".out.npy", single["poses3d"].numpy())
"""


def test_loads_with_tensorflow_alone(network, exported, tmp_path):
    arrays = tmp_path / "given.npz"
    np.savez(arrays, image=IMAGE, boxes=BOXES)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOADER), exported, arrays], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    estimator = PoseEstimator(network, SKELETON, image_size=SIZE)
    expected = estimator.estimate_poses(IMAGE, BOXES)["poses3d"]
    np.testing.assert_allclose(np.load(f"{arrays}.out.npy"), expected, atol=1e-2)


def test_folder_says_what_it_holds(exported):
    card = (exported / "model_card.md").read_text()
    assert "exported without a detector" in card and '"steps": 7' in card and "Research use only." in card
    skeletons = json.loads((exported / "skeletons.json").read_text())
    assert skeletons["hips"]["joint_names"] == ["lhip", "rhip"] and skeletons[""]["joint_names"][1] == "lhip_own"
    for line in (exported / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert export.sha256(exported / name) == digest


def test_archive_holds_the_folder(exported):
    with tarfile.open(f"{exported}.tar.gz") as archive:
        names = {m.name for m in archive.getmembers() if m.isfile()}
    assert names == {f"model/{p.relative_to(exported).as_posix()}" for p in exported.rglob("*") if p.is_file()}


def test_replaces_a_model_and_nothing_else(network, exported, tmp_path):
    target = tmp_path / "model"
    shutil.copytree(exported, target)
    (target / "old").touch()
    write(network, target)
    assert not (target / "old").exists() and [p.name for p in tmp_path.iterdir()] == ["model"]
    other = tmp_path / "photos"
    other.mkdir()
    (other / "precious.jpg").touch()
    with pytest.raises(UserError, match="not an exported model"):
        write(network, other)
    assert (other / "precious.jpg").exists()


def one_person(images):
    """A detector that finds the middle half of every image, and most of it again a little less surely."""
    n, h, w = (tf.shape(images)[i] for i in range(3))
    h, w = tf.cast(h, tf.float32), tf.cast(w, tf.float32)
    boxes = tf.stack([tf.stack([w / 4, h / 4, w / 2, h / 2]), tf.stack([w / 4, h / 4, w / 2, h / 2.1])])
    scores = tf.constant([0.9, 0.8])
    return tf.tile(boxes[tf.newaxis], [n, 1, 1]), tf.tile(scores[tf.newaxis], [n, 1])


def test_detector_travels_with_the_model(network, tmp_path):
    write(network, tmp_path / "model", detector=detectors.PersonDetector(one_person))
    model = tf.saved_model.load(str(tmp_path / "model"))
    result = model.detect_poses(IMAGE, num_aug=1, suppress_implausible_poses=False)
    np.testing.assert_allclose(result["boxes"], [[30, 22.5, 60, 45, 0.9]])
    assert result["poses3d"].shape == (1, 3, 3)
    assert len(model.detect_poses(IMAGE, num_aug=1, detector_threshold=0.95)["boxes"]) == 0
    ragged = model.detect_poses_batched(np.stack([IMAGE] * 2), max_detections=0)
    assert ragged["poses3d"].row_lengths().numpy().tolist() == [0, 0]
    assert set(model.signatures) == {"serving_default", "detect"}
    assert "detect_poses" in (tmp_path / "model" / "model_card.md").read_text()
