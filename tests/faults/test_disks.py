"""Full and failing disks: one sentence, what was there stays, the same command goes on. Rows: fault, place."""

from __future__ import annotations

import contextlib
import errno
import os
import resource

import h5py
import numpy as np
import pytest

from metrabs_acae.acae.autoencoder import Acae
from metrabs_acae.acae.pseudo_labels import write_pseudo_labels
from metrabs_acae.data import pipeline
from metrabs_acae.data.bones import BoneStatistics
from metrabs_acae.data.images import FolderImages
from metrabs_acae.data.loading import BatchLoader
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import BadExample, UserError
from metrabs_acae.evaluation.predict import read_image
from metrabs_acae.evaluation.predictions import Predictions, save_predictions
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.inference import export
from metrabs_acae.training import checkpoints
from tests.acae.test_pseudo_labels import NAMES, make_sources, predict, truth
from tests.inference import reference
from tests.small_stores import write_store
from tests.training.test_trainer import small_model


@contextlib.contextmanager
def room(n_bytes: int):
    """No file may grow beyond this: the system refuses in the middle of a write, as where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def one_sentence(work, capsys) -> None:
    """The work fails as the program says it: exit code 2, one line."""
    capsys.readouterr()
    assert exit_code(work) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ") and error.count("\n") == 1


# Full disks


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.mark.parametrize("n_bytes", [0, 100, 2000])
def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path, model, capsys, n_bytes):
    checkpoints.save(tmp_path, 1, model)
    before = contents(tmp_path)
    with room(n_bytes):
        one_sentence(lambda: checkpoints.save(tmp_path, 2, model), capsys)
    assert checkpoints.newest_step(tmp_path) == 1
    assert {k: v for k, v in contents(tmp_path).items() if ".tmp" not in k} == before
    checkpoints.save(tmp_path, 2, model)
    assert checkpoints.newest_step(tmp_path) == 2 and not list(tmp_path.glob(".*"))


def write_model(path, **settings):
    return export.export_saved_model(
        reference.crop_model, reference.SKELETON, path, image_size=reference.SIZE, output_skeletons={}, **settings
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    write_model(folder / "model", archive=True)
    return folder


@pytest.mark.parametrize("n_bytes", [0, 1000, 100_000])
def test_an_export_that_stops_in_tensorflows_writer_leaves_the_model_that_was_there(exported, capsys, n_bytes):
    before = contents(exported)
    with room(n_bytes):
        one_sentence(lambda: write_model(exported / "model", archive=True), capsys)
    assert contents(exported) == before


@pytest.mark.parametrize("n_bytes", [0, 5000])
def test_an_archive_that_cannot_be_written_leaves_the_one_that_was_there(exported, capsys, n_bytes):
    before = contents(exported)
    with room(n_bytes):
        one_sentence(lambda: export.write_archive(exported / "model"), capsys)
    assert contents(exported) == before


@pytest.mark.parametrize("n_bytes", [0, 500, 4000, 20_000])
def test_a_store_that_cannot_be_written_is_not_there(tmp_path, capsys, n_bytes):
    with room(n_bytes):
        one_sentence(lambda: write_store(tmp_path / "store", counts={"train": 60}) and None, capsys)
    assert contents(tmp_path) == {}
    write_store(tmp_path / "store")


def save_acae(path):
    Acae(np.eye(4), np.eye(4), NAMES, tuple("abcd")).save(path)


def save_poses(path):
    write_pseudo_labels(path, make_sources([700], batch_size=350), predict, joint_names=NAMES, mirror=None)


def save_bones(path):
    BoneStatistics((("a", "b"),) * 50, np.ones(50), np.ones(50), np.ones(50, int)).save(path)


def save_people(path):
    save_predictions(path, Predictions(truth(range(90)), NAMES, sequence=["s"] * 90, frame=np.arange(90)))


@pytest.mark.parametrize(
    "save, name, n_bytes",
    [
        *((save_acae, "acae.npz", n) for n in (0, 300)),
        *((save_poses, f"poses.{kind}", n) for kind in ("npz", "h5") for n in (0, 100, 34_000)),
        *((save_bones, f"bones.{kind}", n) for kind in ("json", "npz") for n in (0, 500)),
        *((save_people, "people.npz", n) for n in (0, 3000)),
    ],
)
def test_files_are_whole_or_as_they_were(tmp_path, capsys, save, name, n_bytes):
    save(tmp_path / name)
    whole = contents(tmp_path)
    (tmp_path / name).write_text("what was there")
    with room(n_bytes):
        one_sentence(lambda: save(tmp_path / name), capsys)
    assert (tmp_path / name).read_text() == "what was there"
    save(tmp_path / name)
    if name.endswith("h5"):
        with h5py.File(tmp_path / name) as file:
            assert file["poses"].shape == (700, 4, 3)
    else:
        assert contents(tmp_path) == whole


# Disks that fail: no bad data

MACHINE = [errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENOSPC, errno.EACCES, errno.ENOMEM]
DATA = [errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return PoseStore(write_store(tmp_path_factory.mktemp("pictures") / "store"))


@pytest.fixture
def number(request, monkeypatch):
    """The system's number of the error with which pictures cannot be read."""

    def read(images, key):
        raise OSError(request.param, os.strerror(request.param), key)

    monkeypatch.setattr(FolderImages, "read", read)
    return request.param


@pytest.mark.parametrize("number", MACHINE, ids=errno.errorcode.get, indirect=True)
def test_a_machine_that_cannot_read_is_no_bad_data(store, number):
    loader = BatchLoader(Mixture([Entry(store, "train", 2)], seed=0), image_size=32, max_bad_fraction=1.0)
    evaluated = pipeline.evaluation_dataset(store, "test", image_size=32, batch_size=2)
    trained = pipeline.training_dataset(loader.mixture, image_size=32, max_bad_fraction=1.0)

    def through(dataset):
        with pipeline.user_errors(dataset):
            next(iter(dataset))

    for work in (
        lambda: next(loader.batches()),
        lambda: read_image(store, "a.jpg"),
        lambda: through(evaluated),
        lambda: through(trained),
    ):
        with pytest.raises(UserError, match=rf"cannot be read \({os.strerror(number)}\): mend what keeps") as found:
            work()
        assert not isinstance(found.value, BadExample)
    assert loader.health.n_bad == evaluated.health.n_bad == 0


@pytest.mark.parametrize("number", DATA, ids=errno.errorcode.get, indirect=True)
def test_a_missing_picture_is_bad_data(store, number):
    dataset = pipeline.evaluation_dataset(store, "test", image_size=32, batch_size=4)
    (batch,) = dataset.as_numpy_iterator()
    assert batch["broken"].all() and dataset.health.n_bad == 4 and read_image(store, "a.jpg") is None


# Pseudo-labels


def sources(broken: set[int], stop_at: int = 99):
    """Ten examples in batches of two, some broken; reading ends at a row as by a kill."""

    def batches(start):
        for batch in make_sources([10], batch_size=2)[0][2](start):
            if batch["index"][-1] >= stop_at:
                raise KeyboardInterrupt
            bad = np.isin(batch["index"], list(broken))
            yield {**batch, "broken": bad, "valid3d": batch["valid3d"] & ~bad[:, None]}

    return [("s:train", 10, batches)]


def label(path, *arguments, max_bad_fraction: float) -> int:
    return write_pseudo_labels(
        path, sources(*arguments), predict, joint_names=NAMES, mirror=None, max_bad_fraction=max_bad_fraction
    )


def test_broken_examples_of_an_interrupted_run_count(tmp_path):
    path = tmp_path / "p.npz"
    with pytest.raises(KeyboardInterrupt):
        label(path, {0, 1, 8}, 6, max_bad_fraction=0.2)
    with pytest.raises(UserError, match="So far 3 of 10 examples are broken in s:train, more than .* 20.0%"):
        label(path, {0, 1, 8}, max_bad_fraction=0.2)
    assert label(path, {0, 1, 8}, max_bad_fraction=0.3) == 7


def test_labels_of_before_this_count_go_on(tmp_path):
    """Partial files of older versions do not say how many examples were broken."""
    path = tmp_path / "p.npz"
    with pytest.raises(KeyboardInterrupt):
        label(path, set(), 6, max_bad_fraction=0.2)
    index = tmp_path / "p.npz.partial/index.json"
    index.write_text(index.read_text().replace(', "n_broken": {"0": 0}', ""))
    assert "n_broken" not in index.read_text()
    assert label(path, {9}, max_bad_fraction=0.2) == 9
