"""Predicting a store's full images: cameras, people, interrupted runs, broken images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.data.lens import Lens, undistort_points
from metrabs_acae.data.store import CameraParams, PoseStore, PoseStoreWriter
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predict import predict_store
from metrabs_acae.evaluation.prediction_settings import PredictionSettings
from metrabs_acae.evaluation.predictions import load_predictions
from metrabs_acae.evaluation.protocols import get_protocol
from metrabs_acae.evaluation.views import person_view, project
from metrabs_acae.inference import PoseEstimator
from metrabs_acae.inference.detectors import PersonDetector
from metrabs_acae.skeletons import Skeleton

MODEL = Skeleton("model", ("neck_a", "pelv_a", "lhip_a", "rhip_a"))
OFFSETS = np.array([[0, -400, 0], [0, 0, 0], [-100, 0, 0], [100, 0, 0]], float)
BOXES = np.array([[20, 10, 30, 60], [50, 20, 30, 60]], np.float32)
GENERIC, MUPOTS = (get_protocol(name).prediction for name in ("generic", "mupots"))
PEOPLE = [2, 1, 2, 1, 2]
"""In the five images of the store; the third and fourth are of another size."""


def network(inputs):
    """In every crop the same pose, four metres before the camera, on its axis."""
    batch = tf.shape(inputs["image"])[0]
    return tf.tile(tf.constant(OFFSETS + (0, 0, 4000), tf.float32)[tf.newaxis], [batch, 1, 1])


def candidates(images):
    n = tf.shape(images)[0]
    return tf.tile(tf.constant(BOXES)[tf.newaxis], [n, 1, 1]), tf.tile(tf.constant([[0.9, 0.6]]), [n, 1])


@pytest.fixture(scope="module")
def estimator():
    return PoseEstimator(network, MODEL, image_size=64, detector=PersonDetector(candidates))


def camera(i: int) -> CameraParams:
    """Turned about the vertical, and held upright: then crops turn about that axis and the pose stays upright."""
    angle = 0.3 * i
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    K = np.array([[100.0, 0, 50], [0, 110, 45], [0, 0, 1]])
    return CameraParams(rotation, np.array([500.0 * i, 20, 30]), K, None, (0, -1, 0))


@pytest.fixture()
def store(tmp_path):
    """Sequences named after the person, as in the embedded data; joints in another order than the model's."""
    skeleton = Skeleton("benchmark", ("pelv_a", "lhip_a", "rhip_a", "htop_a"))
    about = {"name": "store", "kind": "3d", "licence": "CC0", "allow_suspicious": True}  # people in a point
    with PoseStoreWriter(tmp_path / "store", skeleton=skeleton, **about) as writer:
        for i, n in enumerate(PEOPLE):
            image = np.full((90, 100 if i not in (2, 3) else 120, 3), 40 + i, np.uint8)
            for person in range(n):
                writer.add(
                    "test",
                    image_key=f"{i}.jpg",
                    image=image if person == 0 else None,
                    box_ltwh_px=BOXES[person],
                    camera=camera(i),
                    coords=np.zeros((4, 3)) + (0, 0, 4000 + i),
                    sequence=f"s{i % 2}-{person}",
                    frame=i,
                    person=person,
                )
    return PoseStore(tmp_path / "store")


def predict(estimator, store, path, settings=None, **more):
    settings = settings or GENERIC
    return predict_store(estimator, MODEL.joint_names, store, "test", path, settings=settings, **more)


def test_poses_are_in_the_real_cameras_frames(estimator, store, tmp_path):
    predictions = predict(estimator, store, tmp_path / "p.npz", metadata={"model": "x"})
    assert predictions.joint_names == ("pelv_a", "lhip_a", "rhip_a")  # of the store's joints those that it has
    assert predictions.frame.tolist() == [0, 0, 1, 2, 2, 3, 4, 4]
    assert predictions.person.tolist() == [0, 1, 0, 0, 1, 0, 0, 1]
    assert predictions.sequence.tolist() == [f"s{f % 2}-0" for f in predictions.frame]  # one picture, one sequence
    for row, person in enumerate(predictions.person):
        center = BOXES[person, :2] + BOXES[person, 2:] / 2
        ray = np.linalg.inv(camera(0).K) @ [*center, 1]
        pelvis = 4000 * ray / np.linalg.norm(ray)
        # The camera's own turn cancels out: what is in its frame does not depend on where it looks.
        np.testing.assert_allclose(predictions.poses3d_mm[row, 0], pelvis, atol=0.05)  # float32 at 4 m
        hips = predictions.poses3d_mm[row, 2] - predictions.poses3d_mm[row, 1]
        np.testing.assert_allclose(hips, 200 * np.array([ray[2], 0, -ray[0]]) / np.hypot(ray[0], ray[2]), atol=0.05)
        projected = camera(0).K @ predictions.poses3d_mm[row, 0]
        np.testing.assert_allclose(predictions.poses2d_px[row, 0], projected[:2] / projected[2], atol=0.01)
    loaded = load_predictions(tmp_path / "p.npz")
    assert loaded.metadata["store"] == f"{store.path}:test" and loaded.metadata["model"] == "x"
    assert loaded.score is None and not (tmp_path / "p.npz.partial").exists()


def test_an_interrupted_run_goes_on_and_ends_alike(estimator, store, tmp_path):
    whole = predict(estimator, store, tmp_path / "whole.npz")
    seen = []

    def interrupt(done, total, people):
        seen.append((done, total))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(estimator, store, tmp_path / "p.npz", progress=interrupt)
    assert seen == [(2, 5)] and not (tmp_path / "p.npz").exists()
    other = PredictionSettings(num_aug=2)
    with pytest.raises(UserError, match="unfinished predictions of other settings"):
        predict(estimator, store, tmp_path / "p.npz", other)
    again = predict(estimator, store, tmp_path / "p.npz", progress=lambda *state: seen.append(state[:2]))
    assert seen == [(2, 5), (4, 5), (5, 5)]
    np.testing.assert_array_equal(again.poses3d_mm, whole.poses3d_mm)
    np.testing.assert_array_equal(again.frame, whole.frame)


def test_detected_people_have_scores_and_unknown_cameras_a_field_of_view(estimator, store, tmp_path):
    # `candidates` does not look at the picture, so a mirrored look would find other people.
    found = predict(estimator, store, tmp_path / "p.npz", replace(MUPOTS, detector_flip_aug=False))
    assert found.score.round(2).tolist() == [0.9, 0.6] * 5 and found.person.tolist() == [0, 1] * 5
    best = predict(estimator, store, tmp_path / "q.npz", get_protocol("mpi_inf_3dhp").prediction)
    assert best.score.round(2).tolist() == [0.9] * 5
    wide = predict(estimator, store, tmp_path / "r.npz", PredictionSettings(known_camera=False))
    focal = 50 / np.tan(np.radians(55 / 2))
    ray = np.array([35 - 49.5, 40 - 44.5, focal])
    np.testing.assert_allclose(wide.poses3d_mm[0, 0], 4000 * ray / np.linalg.norm(ray), atol=0.05)
    blind = PoseEstimator(network, MODEL, image_size=64)
    with pytest.raises(UserError, match="--boxes-from store"):
        predict(blind, store, tmp_path / "s.npz", MUPOTS)


def test_broken_images_are_named_and_counted(estimator, store, tmp_path, caplog):
    (store.path / "images" / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"So far 1 of 5 examples .*first: store test \(1.jpg\)"):
        predict(estimator, store, tmp_path / "p.npz")
    assert "store test (1.jpg): the image cannot be read; it does not count" in caplog.text
    predictions = predict(estimator, store, tmp_path / "p.npz", max_bad_fraction=0.5)
    assert 1 not in predictions.frame and predictions.metadata["bad_images"] == ["1.jpg"]
    other = Skeleton("other", ("nose_b",))
    with pytest.raises(UserError, match="none of the joints"):
        predict_store(estimator, other.joint_names, store, "test", tmp_path / "x.npz", settings=GENERIC)


LENSES = [
    Lens.brown_conrady((-0.1, 0.02, 0.001, 0.002)),
    Lens.fisheye((-0.2, 0.05, 0.02, 0.01)),
    Lens.fisheye((0, 0, 0, 0)),
    Lens.brown_conrady([-0.3] + [0] * 12 + [0.1]),
]


@pytest.mark.parametrize("lens", LENSES)
def test_lenses_that_the_estimator_knows_or_not(estimator, tmp_path, lens):
    """Those that it does not know are seen in views without a lens; the poses are in the real camera's frame."""
    center = BOXES[:, :2] + BOXES[:, 2:] / 2
    for name, skewed in (("known", None), ("unknown", lens)):
        with PoseStoreWriter(
            tmp_path / name, name=name, skeleton=MODEL, licence="CC0", allow_suspicious=True
        ) as writer:
            for i in range(4):
                where = {"image_key": f"{i // 2}.jpg", "box_ltwh_px": BOXES[i % 2], "person": i % 2}
                seen_by = replace(camera(i // 2), lens=skewed)
                image = np.full((90, 100, 3), 99, np.uint8)
                writer.add("test", **where, image=image, camera=seen_by, coords=np.zeros((4, 3)) + (0, 0, 4000))
    plain = predict(estimator, PoseStore(tmp_path / "known"), tmp_path / "known.npz")
    found = predict(estimator, PoseStore(tmp_path / "unknown"), tmp_path / "unknown.npz")
    np.testing.assert_array_equal(found.person, [0, 1, 0, 1])
    ray = undistort_points(center, camera(0).K, lens)
    pelvis = 4000 * ray / np.linalg.norm(ray, axis=1, keepdims=True)
    np.testing.assert_allclose(found.poses3d_mm[:2, 1], pelvis, atol=0.1)
    np.testing.assert_allclose(found.poses3d_mm[2:, 1], pelvis, atol=0.1)
    np.testing.assert_allclose(found.poses2d_px[:2, 1], center, atol=0.01)
    assert np.linalg.norm(found.poses3d_mm[:2, 1] - plain.poses3d_mm[:2, 1], axis=1).max() > 2
    if lens is not LENSES[0]:
        with pytest.raises(UserError, match=f"{lens.model} lens .* --boxes-from store"):
            predict(
                estimator, PoseStore(tmp_path / "unknown"), tmp_path / "d.npz", PredictionSettings(boxes="detector")
            )


def test_a_view_shows_the_person_whole_with_room_to_turn():
    lens = LENSES[1]
    seen_by = CameraParams(
        np.eye(3), np.zeros(3), np.array([[100.0, 0, 50], [0, 100, 45], [0, 0, 1]]), lens, (0, -1, 0)
    )
    image = np.zeros((90, 100, 3), np.uint8)
    image[10:70, 20:50] = 200
    view = person_view(image, seen_by, [20, 10, 30, 60], 180)
    left, top, width, height = view.box_ltwh_px
    assert abs(height - 100) < 1 and abs(top + height / 2 - 89.5) < 0.5  # 180 / 1.8, in the middle
    rows, columns = (np.flatnonzero((view.image[..., 0] > 100).any(axis)) for axis in (1, 0))
    bounds = [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
    np.testing.assert_allclose(bounds, view.box_ltwh_px, atol=8)  # the lens bends the sides of the box
    np.testing.assert_allclose(project(np.array([[0, 0, 1000.0]]), seen_by), [[50, 45]])
