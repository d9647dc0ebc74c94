"""Pose files: streaming, resume, filtering, mirror averaging; reading them again."""

import json

import numpy as np
import pytest

from metrabs_acae.acae import load_poses
from metrabs_acae.acae.pseudo_labels import PoseFileWriter, agreement_auc, predict_mirrored, write_pseudo_labels
from metrabs_acae.errors import UserError

NAMES = ("lhip_x", "rhip_x", "pelv_x", "neck_x")
MIRROR = np.array([1, 0, 2, 3])
SIZE = 8


def make_sources(counts, batch_size=3):
    """Stores whose images carry their row number; labels equal what `predict` says except in odd rows."""

    def batches_from(start, count):
        for first in range(start, count, batch_size):
            rows = np.arange(first, min(first + batch_size, count))
            images = np.broadcast_to(rows[:, None, None, None] / 100, (len(rows), SIZE, SIZE, 3)).astype(np.float32)
            labels = truth(rows)
            labels[rows % 2 == 1, 0] += 5000
            yield {
                "image": images,
                "intrinsics": np.broadcast_to(np.diag([100.0, 100, 1]), (len(rows), 3, 3)),
                "rotation_to_camera": np.broadcast_to(
                    np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]]), (len(rows), 3, 3)
                ),
                "index": rows,
                "coords3d_mm": labels,
                "valid3d": np.ones((len(rows), len(NAMES)), bool),
            }

    return [(f"store{i}", n, lambda start, n=n: batches_from(start, n)) for i, n in enumerate(counts)]


def truth(rows):
    base = np.array([[100, 0, 0], [-100, 10, 5], [0, 0, 30], [0, -500, 0]], float)
    return base + np.array([0, 0, 3000]) + np.asarray(rows)[:, None, None]


def predict(images, intrinsics):
    return truth((images[:, 0, 0, 0] * 100).round())


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_writes_what_was_predicted_in_the_original_cameras_frame(tmp_path, suffix):
    path = tmp_path / f"poses{suffix}"
    n = write_pseudo_labels(
        path, make_sources([7, 4]), predict, joint_names=NAMES, mirror=None, provenance={"model": "m"}
    )
    assert n == 11
    loaded = load_poses(path)
    assert loaded.joint_names == NAMES
    assert loaded.provenance["model"] == "m" and loaded.provenance["sources"] == ["store0", "store1"]
    assert isinstance(loaded.poses_mm, np.memmap)
    x, y, z = np.moveaxis(truth(np.r_[0:7, 0:4]), -1, 0)
    np.testing.assert_allclose(loaded.poses_mm, np.stack([-y, x, z], axis=-1), atol=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path):
    whole, broken = tmp_path / "whole.npz", tmp_path / "broken.npz"
    write_pseudo_labels(whole, make_sources([7, 8]), predict, joint_names=NAMES, mirror=None)
    calls = []

    def fails(images, intrinsics):
        calls.append(len(images))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return predict(images, intrinsics)

    with pytest.raises(KeyboardInterrupt):
        write_pseudo_labels(broken, make_sources([7, 8]), fails, joint_names=NAMES, mirror=None)
    assert not broken.exists()
    # half a batch that was being written when the process died
    with open(tmp_path / "broken.npz.partial" / "poses.bin", "ab") as stream:
        stream.write(b"1234567")
    progress = []
    write_pseudo_labels(
        broken,
        make_sources([7, 8]),
        predict,
        joint_names=NAMES,
        mirror=None,
        progress=lambda done, total, kept: progress.append((done, total, kept)),
    )
    assert progress[0][0] > 7 and progress[-1] == (15, 15, 15)
    with np.load(whole) as a, np.load(broken) as b:
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_unfinished_work_of_other_settings_is_refused(tmp_path):
    PoseFileWriter(tmp_path / "p.npz", NAMES, {"model": "a"}).append(
        truth([0]), source=0, rows=np.array([0]), rows_done=1
    )
    with pytest.raises(UserError, match="other settings"):
        PoseFileWriter(tmp_path / "p.npz", NAMES, {"model": "b"})
    resumed = PoseFileWriter(tmp_path / "p.npz", NAMES, {"model": "a"})
    assert resumed.n_poses == 1 and resumed.rows_done == {0: 1}


def test_the_filter_drops_poses_that_contradict_their_labels(tmp_path):
    path = tmp_path / "poses.npz"
    write_pseudo_labels(
        path,
        make_sources([6]),
        predict,
        joint_names=NAMES,
        mirror=None,
        label_joints=[np.arange(len(NAMES))],
        min_auc=0.5,
    )
    with np.load(path) as arrays:
        assert arrays["row"].tolist() == [0, 2, 4]
        assert json.loads(str(arrays["provenance"]))["min_auc"] == 0.5


def test_agreement_auc_of_known_errors():
    true = np.random.default_rng(0).normal(0, 300, (3, 10, 3))
    valid = np.ones((3, 10), bool)
    valid[2] = False
    np.testing.assert_allclose(agreement_auc(true * 1.3 + 50, true, valid), [1, 1, 1])


def test_mirror_averaging_is_mirror_equivariant():
    """A predictor with a bias to one side loses it."""

    def biased(images, intrinsics):
        poses = predict(images * 0, intrinsics) + [40, 0, 0]
        poses[:, :, 0] += 10 * images[:, SIZE // 2, 0, 0][:, None]
        return poses

    images = np.random.default_rng(0).random((2, SIZE, SIZE, 3)).astype(np.float32)
    intrinsics = np.broadcast_to(np.array([[100, 0, 3.5], [0, 100, 3.5], [0, 0, 1.0]]), (2, 3, 3))
    plain = predict_mirrored(biased, images, intrinsics, MIRROR)
    flipped = predict_mirrored(biased, images[:, :, ::-1], intrinsics, MIRROR)
    np.testing.assert_allclose(flipped[:, MIRROR] * [-1, 1, 1], plain, atol=1e-4)


def test_foreign_pose_files(tmp_path):
    poses = truth(np.arange(5)).astype(np.float32)
    np.savez_compressed(tmp_path / "packed.npz", poses=poses, joint_names=NAMES)
    np.testing.assert_array_equal(load_poses(tmp_path / "packed.npz").poses_mm, poses)
    np.savez(tmp_path / "nameless.npz", poses=poses)
    with pytest.raises(UserError, match="must hold arrays 'poses'"):
        load_poses(tmp_path / "nameless.npz")
    with pytest.raises(UserError, match="no pose file"):
        load_poses(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "text.h5").write_text("hello")
    for name in ("text.npz", "text.h5"):
        with pytest.raises(UserError, match="cannot be read"):
            load_poses(tmp_path / name)
