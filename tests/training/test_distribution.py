"""Several devices train as one does: same losses, same state, and a run may go on with other devices."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metrabs_acae.dealing import Dealing
from metrabs_acae.errors import UserError
from metrabs_acae.layers.ghost_batch_norm import GhostBatchNormalization
from metrabs_acae.training import distribution
from metrabs_acae.training.settings import Devices
from tests.training.devices import GROUP, HALF, N2, N3

ROOT = Path(__file__).parents[2]
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")


def start(backend: str, *arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.devices", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen, code: int = 0) -> str:
    out, _ = process.communicate(timeout=1500)
    assert process.returncode == code, out[-3000:]
    return out


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirrored")
    finish(start("tensorflow", "mirrored", folder))
    return folder


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jax")
    finish(start("jax", "data-parallel", folder))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first, second = [start("jax", "multi-host", folder, port, 2, index) for index in range(2)]
    finish(second, -signal.SIGKILL)
    (folder / "first_host.txt").write_text(finish(first, distribution.EXIT_CODE_LOST_HOST))
    return folder


def assert_same_training(folder: Path, name: str, from_step: int) -> None:
    with np.load(folder / "one.npz") as one, np.load(folder / f"{name}.npz") as other:
        expected = one["losses"][from_step:][: len(other["losses"])]
        np.testing.assert_allclose(other["losses"], expected, rtol=2e-5, atol=1e-6)  # float32 sums in another order
        names = [n for n in other.files if n.split("/", 1)[-1].startswith("model/")]
        assert any(name.endswith("moving_variance") for name in names)
        for name in names:
            # A step moves a weight by up to 1e-3, whatever its gradient; that of the head's bias is but rounding.
            tolerance = 0 if one[name].dtype.kind in "iu" else 3e-4
            np.testing.assert_allclose(other[name], one[name], rtol=0, atol=tolerance, err_msg=name)
        if from_step:
            np.testing.assert_allclose(other["poses"], one["poses"], rtol=0, atol=1)  # mm, at 4 m


@pytest.mark.slow
def test_mirrored_replicas_train_as_one_device(on_tensorflow):
    assert_same_training(on_tensorflow, "mirrored", 0)


@pytest.mark.slow
def test_a_mirrored_run_goes_on_with_one_device(on_tensorflow):
    assert_same_training(on_tensorflow, "mirrored-then-one", HALF)


@pytest.mark.slow
@needs_jax
def test_data_parallel_devices_train_as_one_device(on_jax):
    assert_same_training(on_jax, "data-parallel", 0)


@pytest.mark.slow
@needs_jax
def test_two_hosts_go_on_with_a_run_of_one_device(on_jax):
    assert_same_training(on_jax, "multi-host", HALF)


@pytest.mark.slow
@needs_jax
def test_a_lost_host_ends_the_others_with_one_sentence(on_jax):
    said = (on_jax / "first_host.txt").read_text()
    assert "Error: Host 0 of 2 lost the connection to another one" in said and "same command on all hosts" in said
    assert "Traceback" not in said


@pytest.mark.slow
@needs_jax
def test_a_run_of_jax_goes_on_with_tensorflow(on_jax):
    """Names, shapes and optimizer state fit; random numbers differ, so only the state is compared."""
    import keras

    from metrabs_acae.training import checkpoints
    from tests.training.devices import ONE, training_model

    keras.utils.clear_session()
    model = training_model(ONE)
    assert checkpoints.restore_newest(on_jax / "one", model) == HALF
    with np.load(on_jax / "one.npz") as one:
        for name, variable in checkpoints.checkpoint_variables(model).items():
            np.testing.assert_array_equal(checkpoints.array_of(variable), one[f"{HALF}/{name}"], err_msg=name)


def test_the_groups_of_dealt_examples_and_their_order_are_those_of_one_device():
    """All shares in one array, as hosts of a JAX training see them."""
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, size=(N3 + N2, 4, 4, 3)).astype(np.float32)
    places = Dealing(n_hosts=2).places(N3, N2)
    for group in (GROUP, 3, [5, 7]):  # with 3 and [5, 7] hosts hold parts of groups
        whole, dealt = (GhostBatchNormalization(group, momentum=0.9) for _ in range(2))
        dealt.set_places(places)
        expected = np.asarray(whole(x, training=True))[places[0]]
        np.testing.assert_allclose(dealt(x[places[0]], training=True), expected, atol=1e-5)
        np.testing.assert_allclose(dealt.moving_mean, whole.moving_mean, atol=1e-6)
        np.testing.assert_allclose(dealt.moving_variance, whole.moving_variance, rtol=1e-5)


def test_groups_that_cannot_be_dealt_whole_are_refused():
    with pytest.raises(UserError, match="cannot be dealt whole to 2 replicas"):
        GhostBatchNormalization(4).set_places(Dealing(n_replicas=2).places(12, 4))


@pytest.mark.parametrize(
    ("kind", "n", "n_3d", "n_2d", "ghost_bn", "why"),
    [
        ("mirrored", 2, 96, 32, 16, ""),
        ("mirrored", 8, 96, 32, 4, ""),
        ("mirrored", 8, 96, 32, 16, "12 3D-labelled and 4 2D-labelled examples of each of 8 devices"),
        ("mirrored", 2, 24, 8, 0, "ordinary batch normalization"),
        ("data-parallel", 8, 96, 32, 16, ""),
        ("data-parallel", 2, 24, 8, 0, ""),
        ("data-parallel", 3, 24, 8, 16, "cannot be shared equally by 3 devices"),
        ("mirrored", 1, 5, 3, 16, ""),
    ],
)
def test_which_devices_fit_a_batch(kind, n, n_3d, n_2d, ghost_bn, why):
    found = distribution._misfit(kind, n, n_3d, n_2d, ghost_bn, 1)
    assert (why in found) if why else not found


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (Devices("0"), "'all' or a number of at least 1; got 0"),
        (Devices("two"), "'all' or a number"),
        (Devices("2", "none"), "one device"),
        (Devices("all", "data-parallel"), "KERAS_BACKEND=jax"),
        (Devices("all", "multi-host"), "KERAS_BACKEND=jax"),
    ],
)
def test_wrong_flags_are_one_sentence(devices, message):
    with pytest.raises(UserError, match=message):
        distribution.choose(devices, n_3d=8, n_2d=4, ghost_bn=2)


def test_a_cpu_trains_alone_by_default():
    assert distribution.choose(Devices(), n_3d=8, n_2d=4, ghost_bn=2) == distribution.Distribution()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--n-hosts", "2"], "need --distribution multi-host"),
        (["--distribution", "multi-host"], "needs --logdir"),
    ],
)
def test_multi_host_flags_belong_together(flags, message):
    from metrabs_acae.command_line import parse_arguments

    with pytest.raises(UserError, match=message):
        parse_arguments(["--train", *flags], "metrabs_acae")
