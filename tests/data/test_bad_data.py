"""Every kind of broken example at once: replaced reproducibly, named once, counted; and a stop above the limit."""

import logging
import shutil

import numpy as np
import pytest

from metrabs_acae.data import pipeline
from metrabs_acae.data.loading import BatchLoader, DataHealth
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from tests.data.stores import write_toy_store

N = 40
FAULTS = {
    0: "cut off",
    1: "No such file",
    2: "80 x 60 pixels, expected 160 x 120",
    3: "R is not finite",
    4: "not an intrinsic matrix",
    5: "outside the image",
    6: "all joints",
    7: "mask has size",
    N - 1: "damaged at row",
    9: "image file is broken",
    10: "mask is damaged",
    11: "no area",
    12: "image file is broken",
}


def break_store(path):
    """Breaks rows of the train split, each in the way that `FAULTS` names."""
    import h5py

    store = PoseStore(path)
    files = [store.row("train", i).image_path for i in range(N)]
    files[0].write_bytes(files[0].read_bytes()[:-400])
    files[1].unlink()
    shutil.copy(write_toy_store(path.parent / "other", n=1, size=(80, 60)).row("train", 0).image_path, files[2])
    files[9].write_bytes(b"")
    files[12].write_bytes(b"\xff\xd8" + bytes(500) + b"\xff\xd9")
    with h5py.File(path / "annotations.h5", "r+") as h5:
        train = h5["train"]
        train["R"][3] = np.nan
        train["K"][4] = 0
        train["box_ltwh_px"][5] = (5000, 0, 10, 10)
        train["coords"][6] = np.nan
        train["mask_size_hw"][7] = (5, 5)
        train["sequence.start"][N] = 10**9
        train["mask_counts.data"][train["mask_counts.start"][10]] = 255
        train["box_ltwh_px"][11] = (10, 10, 0, 20)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    write_toy_store(root / "bad", n=N)
    break_store(root / "bad")
    good = write_toy_store(root / "good", suffix="_b", n=30)
    return Mixture([Entry(PoseStore(root / "bad"), "train", 8), Entry(good, "train", 8)], seed=0)


def test_broken_examples_are_replaced_named_once_and_counted(mixture, caplog):
    settings = {"image_size": 32, "max_bad_fraction": 1.0}
    with caplog.at_level(logging.WARNING):
        dataset = pipeline.training_dataset(mixture, workers=3, **settings)
        first = list(dataset.take(15).as_numpy_iterator())  # three epochs of the broken store
    health = dataset.health
    expected = {f"bad train row {row}": message for row, message in FAULTS.items()}
    found = {key.split(" (")[0]: reason for key, reason in health.reasons.items()}
    assert found.keys() == expected.keys()
    for key, message in expected.items():
        assert message in found[key]
    assert "bad train row 0 (train/0.jpg)" in health.reasons
    assert len(caplog.records) == len(FAULTS)
    # 13 of 40 rows of half of the slots are broken, and replacements may be broken too.
    assert 0.15 < health.bad_fraction < 0.3
    second = list(pipeline.training_dataset(mixture, workers=1, start_step=10, **settings).take(5).as_numpy_iterator())
    for a, b in zip(first[10:], second, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
            assert np.isfinite(a[name]).all()


def test_too_many_stop_with_one_sentence(mixture):
    dataset = pipeline.training_dataset(mixture, image_size=32, max_bad_fraction=0.1)
    with pytest.raises(UserError, match=r"more than --max-bad-fraction 10.0% \(first: bad train row") as error:
        with pipeline.user_errors(dataset):
            for _ in dataset.take(500):
                pass
    assert "\n" not in str(error.value)
    with pytest.raises(ZeroDivisionError), pipeline.user_errors(dataset):
        raise ZeroDivisionError  # other errors pass


def test_a_store_of_broken_examples_only_stops_at_once(tmp_path):
    store = write_toy_store(tmp_path / "store", n=3)
    shutil.rmtree(store.path / "images")
    loader = BatchLoader(Mixture([Entry(store, "train", 2)], seed=0), image_size=32, max_bad_fraction=1.0)
    with pytest.raises(UserError, match="in a row are broken"):
        next(loader.batches())


def test_evaluation_keeps_the_place_of_a_broken_example(mixture):
    store = mixture.entries[0].store
    dataset = pipeline.evaluation_dataset(store, "train", image_size=32, batch_size=N)
    (batch,) = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(batch["index"], np.arange(N))
    np.testing.assert_array_equal(batch["valid3d"].any(axis=1), ~np.isin(np.arange(N), list(FAULTS)))
    assert dataset.health.n_bad == len(FAULTS)


def test_the_limit_holds_only_after_some_examples():
    health = DataHealth(0.1, n_trial=100)
    health.add_loaded(50)
    for i in range(20):
        health.add_bad(str(i), "broken")
    with pytest.raises(UserError, match="27.5%"):
        for _ in range(8):
            health.add_bad("x", "broken")
            health.add_loaded(3)
