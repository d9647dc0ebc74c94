"""Where the program runs: machines, environments and files that are other than usual. Rows: fault, sentence."""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest

from metrabs_acae import backend, command_line, machine
from metrabs_acae.data import jpeg
from metrabs_acae.data.examples import decode_image
from metrabs_acae.data.images import BarecatImages, read_image_size_wh
from metrabs_acae.data.loading import BatchLoader
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import BadExample, UserError
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.inference.demo_inputs import find_inputs
from tests.small_stores import write_store


def jpeg_file(width: int = 120, height: int = 90) -> bytes:
    return jpeg.encode(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", ["torch", "numpy", "openvino", "Tensorflow", "nonsense"])
def test_backends_that_cannot_be_used_are_named(monkeypatch, name):
    monkeypatch.setenv("KERAS_BACKEND", name)
    with pytest.raises(UserError, match=f"KERAS_BACKEND={name} cannot be used here; set it to tensorflow or jax."):
        backend.set_up_keras()


def test_a_backend_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setitem(sys.modules, "keras", None)  # importing it raises ImportError
    with pytest.raises(UserError, match=r"KERAS_BACKEND=jax \(.+\): install jax\."):
        backend.set_up_keras()


SHOW = """
import sys
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.backend import set_up_keras

def work():
    set_up_keras()
    from keras import config
    print(config.backend(), config.floatx(), config.epsilon(), config.image_data_format())

sys.exit(exit_code(work))
"""


@pytest.mark.parametrize(
    "written, code, said",
    [
        (
            {"backend": "torch", "floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"},
            0,
            "tensorflow float32 1e-07 channels_last\n",
        ),
        ({"epsilon": 1}, 2, "keras.json (Invalid `epsilon` configuration. Expected a float."),
        (["backend"], 2, "keras.json ('list' object has no attribute 'get'): mend or remove that file.\n"),
    ],
)
def test_what_a_user_has_told_keras_changes_nothing(tmp_path, written, code, said):
    (tmp_path / "keras.json").write_text(json.dumps(written))
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"} | {"KERAS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, env=environment)
    assert done.returncode == code and said in (done.stderr if code else done.stdout)
    assert not code or done.stderr.splitlines()[-1].startswith("Error: Keras cannot use")


READ_ONLY = """
mount --make-rprivate / && mount -o remount,ro,bind / && mount -t tmpfs tmpfs /mnt || exit 99
exec "$@"
"""


@pytest.mark.parametrize("temporary, kept", [("/mnt", "metrabs_acae-numba"), ("/", "none")])
def test_a_disk_that_can_only_be_read(temporary, kept):
    """As in a container: nothing can be written but, at most, temporary files; compiled code works all the same."""
    use = """
import os, numpy as np
from metrabs_acae.data.kernels import blend
out = np.zeros(3, np.uint8)
blend(out + 9, out, out + 255, out)
print(out.tolist(), os.environ.get("NUMBA_CACHE_DIR", "none"))
"""
    shell = ["unshare", "-rm", "sh", "-c", READ_ONLY, "sh"]
    environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "TMPDIR")}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.getcwd(), "TMPDIR": temporary}
    try:
        done = subprocess.run(
            [*shell, sys.executable, "-c", use], capture_output=True, text=True, env=environment, cwd="/"
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode in (1, 99) and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip("no mounts of one's own here")
    assert done.returncode == 0 and done.stdout.startswith("[9, 9, 9] ") and kept in done.stdout, done.stderr


def test_cores_where_the_system_cannot_tell(monkeypatch):
    assert machine.n_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert machine.n_cores() == os.cpu_count()


@pytest.mark.parametrize("given", [True, False])
def test_compiled_code_has_a_place_with_a_home_that_cannot_be_written_to(monkeypatch, tmp_path, given):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    machine.find_numba_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ  # this one can
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if given:
        monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    machine.find_numba_cache()
    folder = os.environ["NUMBA_CACHE_DIR"]
    monkeypatch.setenv("NUMBA_CACHE_DIR", folder)
    assert folder == "mine" if given else stat.S_IMODE(os.stat(folder).st_mode) == 0o700


@pytest.mark.parametrize("length", [0, 60_000, 3 * 65_533])
def test_long_profiles_may_stand_before_the_size(tmp_path, length):
    data = jpeg_file()
    pieces = [length] if length < 65_534 else [65_533] * (length // 65_533)
    profile = b"".join(b"\xff\xe2" + struct.pack(">H", n + 2) + bytes(n) for n in pieces if n)
    (tmp_path / "a.jpg").write_bytes(data[:2] + profile + data[2:])
    assert read_image_size_wh(tmp_path / "a.jpg") == (120, 90)


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]])
def test_a_jpeg_file_without_its_last_two_bytes_is_read(options):
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    data = cv2.imencode(".jpg", image, options)[1].tobytes()
    expected = decode_image(data, (120, 90))[0]
    np.testing.assert_array_equal(decode_image(data[:-2], (120, 90))[0], expected)


@pytest.mark.parametrize("lost", [20, 400, 5000])
def test_a_jpeg_file_without_more_than_that_is_refused(lost):
    with pytest.raises(ValueError, match="cut off"):
        decode_image(jpeg_file()[:-lost], (120, 90))


def test_file_names_that_are_not_utf8_are_shown_with_a_stand_in(tmp_path):
    for name in (b"a\xff.jpg", b"a\xfe.jpg"):
        (tmp_path / os.fsdecode(name)).write_bytes(jpeg_file())
    items = find_inputs([str(tmp_path)])
    assert [i.stem for i in items] == ["a\ufffd", "a\ufffd_2"] and {i.name for i in items} == {"a\ufffd.jpg"}
    assert all(os.path.exists(i.path) for i in items)


def test_printing_such_a_name_does_not_end_the_work():
    code = "import sys; from metrabs_acae.exit_codes import exit_code; sys.exit(exit_code(lambda: print('a\\udcff')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=os.environ | {"PYTHONUTF8": "1"})
    assert (done.returncode, done.stdout) == (0, b"a\\udcff\n")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "model"), PermissionError(13, "Denied", "x")])
def test_disks_that_cannot_be_used_end_with_a_sentence(capsys, error):
    def work():
        raise error

    assert exit_code(work) == 2 and capsys.readouterr().err == f"Error: {error.filename}: {error.strerror}.\n"


def test_an_autoencoder_without_an_initial_run_is_explained_beside_another_config(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"of": "another program"}')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="needs --init-path RUN"):
        command_line.parse_arguments(["--train", "--acae", "a.npz", "--variant", "hybrid"], "metrabs")


@pytest.mark.parametrize("content", ["[]", '"text"', "3"])
def test_settings_of_another_kind_are_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match="should hold a JSON object of settings"):
        command_line.starting_values(["--acae", "a.npz", "--init-path", str(tmp_path)])


@pytest.mark.parametrize("error", [KeyError, IndexError, ValueError, TypeError, ZeroDivisionError, OSError])
def test_errors_of_the_program_are_no_bad_data(tmp_path, monkeypatch, error):
    store = PoseStore(write_store(tmp_path / "store"))
    loader = BatchLoader(Mixture([Entry(store, "train", 2)], seed=0), image_size=32, max_bad_fraction=1.0)

    def broken(*_, **__):
        raise error("a mistake")

    monkeypatch.setattr(loader._augmenter, "apply", broken)
    with pytest.raises(error, match="a mistake"):
        next(loader.batches())
    assert loader.health.n_bad == 0


def test_a_missing_package_is_no_bad_data(tmp_path, monkeypatch):
    store = PoseStore(write_store(tmp_path / "store"))
    store.images = BarecatImages(tmp_path / "images.barecat")
    monkeypatch.setitem(sys.modules, "barecat", None)
    loader = BatchLoader(Mixture([Entry(store, "train", 2)], seed=0), image_size=32, max_bad_fraction=1.0)
    with pytest.raises(UserError, match="pip install barecat") as found:
        next(loader.batches())
    assert not isinstance(found.value, BadExample) and loader.health.n_bad == 0
