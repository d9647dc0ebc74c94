"""A backbone of the user's own, by MODULE:NAME, of which a part is trained: from the command to the run and back."""

import subprocess
import sys

import numpy as np
import pytest

from metrabs_acae.main import main
from metrabs_acae.models.backbones import registry
from metrabs_acae.training import checkpoints
from tests.small_stores import write_store

MODULE = """
import keras

def net(image_size):
    layers = keras.layers
    x = image = keras.Input((image_size, image_size, 3))
    for i in range(4):
        x = layers.Conv2D(8, 3, 2, padding="same", name=f"c{i}")(x)
        x = layers.BatchNormalization(name=f"n{i}")(x)
    return keras.Model(image, layers.Conv2D(8, 3, 2, padding="same", name="c4")(x))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own_backbone")
    write_store(folder / "a", "a")
    write_store(folder / "c", kind="2d", seed=2)
    (folder / "users_nets.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(folder)
        patch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
        yield folder


def train(*more) -> int:
    stores = ["--dataset3d", "a", "--dataset2d", "c", "--no-export-model"]
    network = ["--backbone", "users_nets:net", "--trained-convolutions", "2"]
    return main(["--train", "--preset", "tiny", *stores, *network, *more])


def test_a_run_needs_the_name_again(folder, capsys):
    weights = folder / "start.weights.h5"
    registry.import_backbone("users_nets:net")
    start = registry.find_backbone("users_nets:net")(64)
    start.save_weights(weights)
    assert train("--logdir", "run", "--backbone-weights", str(weights)) == 0
    assert "first 3 of 5 convolutions stay fixed; trained: from c3 on" in (folder / "run" / "log.txt").read_text()
    (_, last) = checkpoints.list_checkpoints(folder / "run" / "checkpoints")[-1]
    arrays = checkpoints.read(last)
    before = {w.path: np.array(w) for w in start.weights}
    changed = {path for path, array in before.items() if not np.array_equal(array, arrays[f"model/{path}"])}
    assert changed == {p for p in before if p.startswith(("c3", "n3", "c4"))}
    n_slots = sum(name.startswith("optimizer/") for name in arrays)
    assert n_slots < 2 * 2 * 8  # two moments of what is trained: c3, n3, c4 and the head, and two counters

    # a checkpoint half way, and the same command again: the same weights to the bit
    assert train("--logdir", "again", "--backbone-weights", str(weights)) == 0
    (folder / "again" / "finished.json").unlink()
    kept = checkpoints.list_checkpoints(folder / "again" / "checkpoints")
    (step, half), (_, full) = kept
    for file in full.iterdir():
        file.unlink()
    full.rmdir()
    assert 0 < step < 8
    assert train("--logdir", "again", "--backbone-weights", str(weights)) == 0
    resumed = checkpoints.read(checkpoints.list_checkpoints(folder / "again" / "checkpoints")[-1][1])
    assert all(np.array_equal(resumed[name], arrays[name]) for name in arrays)

    # in a process of its own, in which nobody has named the module
    command = [sys.executable, "-m", "metrabs_acae.main", "--evaluate", "--load-path", "run", "--test-on", "a"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "give --backbone users_nets:net if you trust" in done.stderr
    assert subprocess.run([*command, "--backbone", "users_nets:net"], capture_output=True).returncode == 0
    capsys.readouterr()
    assert main([*command[3:], "--backbone", "resnet50"]) == 2
    assert "stands in its config.json" in capsys.readouterr().err
