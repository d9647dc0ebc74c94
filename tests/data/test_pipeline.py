import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.data import examples, loading, pipeline
from metrabs_acae.data.augmentation.geometry import Geometry
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.dealing import Dealing
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import Skeleton
from tests.data.stores import JOINTS, skeleton, write_toy_store


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    return {
        "a": write_toy_store(root / "a", suffix="_a", n=12),
        "b": write_toy_store(root / "b", suffix="_b", n=9, seed=1, distortion=(-0.1, 0.02, 0, 0, 0)),
        "c": write_toy_store(root / "c", kind="2d", n=7, seed=2),
    }


@pytest.fixture(scope="module")
def mixture(stores):
    return Mixture(
        [Entry(stores["a"], "train", 6), Entry(stores["b"], "train", 4), Entry(stores["c"], "train", 6)], seed=3
    )


def batches(mixture, n, **settings):
    dataset = pipeline.training_dataset(mixture, **{"image_size": 48, **settings})
    return list(dataset.take(n).as_numpy_iterator())


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_batches_have_the_agreed_shapes(mixture):
    dataset = pipeline.training_dataset(mixture, image_size=48)
    spec = {k: (tuple(v.shape), v.dtype.name) for k, v in dataset.element_spec.items()}
    assert spec == {
        "image": ((16, 48, 48, 3), "float32"),
        "intrinsics": ((16, 3, 3), "float32"),
        "coords3d_mm": ((10, 24, 3), "float32"),
        "valid3d": ((10, 24), "bool"),
        "coords2d_px": ((6, 10, 2), "float32"),
        "valid2d": ((6, 10), "bool"),
    }
    batch = next(dataset.as_numpy_iterator())
    assert all(np.isfinite(v).all() for v in batch.values())
    assert 0 <= batch["image"].min() and 0.9 < batch["image"].max() <= 1
    np.testing.assert_array_equal(batch["intrinsics"][:10, :2, 2], 23.5)
    # Each 3D example has labels for its own store's joints only, in front of the camera, 0 elsewhere.
    assert batch["valid3d"][:6, :12].all() and not batch["valid3d"][:6, 12:].any()
    assert batch["valid3d"][6:, 12:].all() and not batch["valid3d"][6:, :12].any()
    assert (batch["coords3d_mm"][~batch["valid3d"]] == 0).all()
    assert (batch["coords3d_mm"][batch["valid3d"]][:, 2] > 2000).all()


def test_the_stream_is_a_function_of_seed_and_step_only(mixture):
    reference = batches(mixture, 5, workers=1)
    for first, second in zip(reference, batches(mixture, 5, workers=4), strict=True):
        assert_equal(first, second)
    for first, second in zip(reference[3:], batches(mixture, 2, start_step=3), strict=True):
        assert_equal(first, second)
    other = Mixture(mixture.entries, seed=4)
    assert (batches(other, 1)[0]["image"] != reference[0]["image"]).any()
    assert (reference[0]["image"] != reference[1]["image"]).any()


def test_micro_batches_are_slices_of_the_batch(mixture):
    whole = batches(mixture, 2)
    parts = batches(mixture, 4, dealing=Dealing(2))
    for step in range(2):
        for part in range(2):
            batch = parts[2 * step + part]
            image = whole[step]["image"]
            expected = np.concatenate([image[5 * part :][:5], image[10 + 3 * part :][:3]])
            np.testing.assert_array_equal(batch["image"], expected)
            np.testing.assert_array_equal(batch["valid3d"], whole[step]["valid3d"][5 * part :][:5])
            np.testing.assert_array_equal(batch["coords2d_px"], whole[step]["coords2d_px"][3 * part :][:3])
    with pytest.raises(UserError, match="cannot be split into 3"):
        batches(mixture, 1, dealing=Dealing(3))


def test_hosts_together_are_the_batch(mixture):
    """Each of two hosts loads its half of both parts of every batch."""
    whole = batches(mixture, 2)
    for index in range(2):
        for step, part in enumerate(batches(mixture, 2, dealing=Dealing(n_hosts=2, host=index))):
            for name in ("image", "intrinsics"):
                half3, half2 = np.split(whole[step][name][:10], 2), np.split(whole[step][name][10:], 2)
                np.testing.assert_array_equal(part[name], np.concatenate([half3[index], half2[index]]))
            for name in ("coords3d_mm", "valid3d", "coords2d_px", "valid2d"):
                np.testing.assert_array_equal(part[name], np.split(whole[step][name], 2)[index])
    with pytest.raises(UserError, match="10 examples cannot be split into 4 equal parts"):
        batches(mixture, 1, dealing=Dealing(2, n_hosts=2))
    with pytest.raises(UserError, match="no host 2 of 2"):
        batches(mixture, 1, dealing=Dealing(n_hosts=2, host=2))


def test_a_mixture_without_2d_stores(stores):
    batch = batches(Mixture([Entry(stores["a"], "train", 2)], seed=0), 1)[0]
    assert batch["image"].shape[0] == 2 and batch["coords2d_px"].shape[::2] == (0, 2)


def test_augmentation_changes_pixels_but_not_labels(mixture):
    plain = batches(mixture, 1, augmentations=(Geometry(),))[0]
    full = batches(mixture, 1)[0]
    for name in ("intrinsics", "coords3d_mm", "coords2d_px"):
        np.testing.assert_array_equal(plain[name], full[name])
    assert (plain["image"] != full["image"]).any()


def test_evaluation_in_order_with_the_way_back(stores):
    store = stores["b"]
    dataset = pipeline.evaluation_dataset(store, "valid", image_size=48, batch_size=2)
    assert dataset.cardinality() == 3
    found = [b for b in dataset.as_numpy_iterator()]
    assert [b["index"].tolist() for b in found] == [[0, 1], [2, 3], [4]]
    whole = {k: np.concatenate([b[k] for b in found]) for k in found[0]}
    world = whole["coords3d_mm"] @ whole["rotation_to_world"].transpose(0, 2, 1) + whole["camera_position_mm"][:, None]
    # float32 at 5 m
    np.testing.assert_allclose(world, store.column("valid", "coords"), atol=2e-3)
    camera = whole["coords3d_mm"] @ whole["rotation_to_camera"].transpose(0, 2, 1)
    R, position = store.column("valid", "R"), store.column("valid", "optical_center_mm")
    expected = (store.column("valid", "coords") - position[:, None]) @ R.transpose(0, 2, 1)
    np.testing.assert_allclose(camera, expected, atol=2e-3)


def test_evaluation_mirrored_and_in_another_skeleton(stores):
    store = stores["a"]
    settings = {"image_size": 48, "batch_size": 5}
    wanted = Skeleton("other", ("x_a", *reversed(store.skeleton.joint_names[:6])))
    (plain,) = pipeline.evaluation_dataset(store, "valid", **settings).as_numpy_iterator()
    (other,) = pipeline.evaluation_dataset(store, "valid", skeleton=wanted, **settings).as_numpy_iterator()
    assert not other["valid3d"][:, 0].any() and other["valid3d"][:, 1:].all()
    np.testing.assert_array_equal(other["coords3d_mm"][:, 1:], plain["coords3d_mm"][:, 5::-1])
    (mirrored,) = pipeline.evaluation_dataset(store, "valid", mirror=True, **settings).as_numpy_iterator()
    np.testing.assert_allclose(mirrored["image"], plain["image"][:, :, ::-1], atol=3 / 255)
    swapped = plain["coords3d_mm"][:, store.skeleton.mirror] * (-1, 1, 1)
    np.testing.assert_allclose(mirrored["coords3d_mm"], swapped, atol=1e-2)
    for arguments, message in ((("c", "valid"), "2D labels"), (("a", "test"), "no split 'test'")):
        with pytest.raises(UserError, match=message):
            pipeline.evaluation_dataset(stores[arguments[0]], arguments[1], **settings)
    with pytest.raises(UserError, match="shares no joint"):
        pipeline.evaluation_dataset(store, "valid", skeleton=skeleton("_z"), **settings)


def test_low_2d_joints_are_not_labels(tmp_path):
    store = write_toy_store(tmp_path / "c", kind="2d", n=8, seed=5)
    loaded = [examples.load_plain_example(store, "train", i, 48) for i in range(8)]
    low = store.column("train", "coords")[:8, :, 1] > 0.95 * 120
    np.testing.assert_array_equal(np.stack([x.valid for x in loaded]), ~low)
    assert low.any() and loaded[0].coords.shape == (len(JOINTS), 2)


def test_the_trained_on_gradient_reaches_no_worker(mixture):
    """Iterating in a tf.function, as `fit` does, works; so does stopping early without leaving threads behind."""
    import threading

    dataset = pipeline.training_dataset(mixture, image_size=48)

    @tf.function
    def total(iterator):
        return tf.reduce_sum(next(iterator)["image"])

    iterator = iter(dataset)
    assert total(iterator) > 0
    del iterator, dataset
    import gc
    import time

    for _ in range(50):
        gc.collect()
        if not any(t.name.startswith("loader") for t in threading.enumerate()):
            break
        time.sleep(0.1)
    assert not any(t.name.startswith("loader") for t in threading.enumerate())


def test_waiting_for_input_is_measured(monkeypatch):
    clock = iter([0.0, 2.0, 2.1, 10.0, 11.0, 11.5])
    monkeypatch.setattr(loading.time, "monotonic", lambda: next(clock))
    meter = loading.InputMeter()
    meter.step_begins()  # at 0: the first step does not count
    meter.batch_is_there()
    meter.batch_is_there()  # ahead of time
    meter.step_begins()  # at 2: is there already
    assert meter.waited_s == 0
    meter.step_begins()  # at 2.1, and its batch comes at 10
    meter.batch_is_there()
    assert meter.waited_s == pytest.approx(7.9)
    meter.step_begins()  # at 11, and its batch comes at 11.5
    meter.batch_is_there()
    assert meter.waited_s == pytest.approx(8.4)
