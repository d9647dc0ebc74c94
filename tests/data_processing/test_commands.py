"""The commands, as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from data_processing.__main__ import main
from data_processing.images import encode_jpeg, read_image
from metrabs_acae.data.store import PoseStore

from .datasets.test_coco_and_mpii import write_coco
from .datasets.test_panoptic import write as write_panoptic
from .people import picture, write_video


def test_convert_and_verify(tmp_path, capsys):
    write_coco(tmp_path / "raw")
    assert main(["coco", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "coco"), "--workers", "0"]) == 0
    assert "train 2" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "coco"), "--out", str(tmp_path / "reports")]) == 0
    capsys.readouterr()
    # one that cannot be read does not keep the others from being checked
    assert main(["verify", str(tmp_path / "raw"), str(tmp_path / "coco"), "--out", str(tmp_path / "reports")]) == 2
    captured = capsys.readouterr()
    assert "coco: fine" in captured.out and "is not a pose store" in captured.err


def test_bad_arguments_are_explained(tmp_path, capsys):
    assert main(["coco", "--raw", str(tmp_path / "none"), "--out", str(tmp_path / "s")]) == 2
    assert "The raw folder" in capsys.readouterr().err
    assert main(["coco", "--raw", str(tmp_path), "--out", str(tmp_path / "s"), "--split", "dev"]) == 2
    assert "'dev' is not a split" in capsys.readouterr().err
    assert main([]) == 2 and main(["--help"]) == 0


def test_unpack(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/y.txt", "hello")
    assert main(["unpack", str(tmp_path / "a.zip"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/x/y.txt").read_text() == "hello"


def test_download_prints_what_a_person_must_do(tmp_path, capsys):
    assert main(["download", "h36m", "--out", str(tmp_path)]) == 2
    assert "Register on the website" in capsys.readouterr().err


@pytest.fixture
def models(tmp_path):
    """SavedModels: everyone is in the middle; what is bright is a person."""
    import tensorflow as tf

    class Detector(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
        def __call__(self, image):
            boxes = tf.constant([[[0.2, 0.43, 0.8, 0.57]]])
            return {"detection_boxes": boxes, "detection_scores": tf.constant([[0.75]])}

    class Segmenter(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
        def __call__(self, image):
            return {"labels": tf.where(image[..., 0] > 180, 15, 0)}

    for name, module in (("detector", Detector()), ("segmenter", Segmenter())):
        tf.saved_model.save(module, str(tmp_path / name), signatures=module.__call__.get_concrete_function())
    return f"savedmodel:{tmp_path / 'detector'}", f"savedmodel:{tmp_path / 'segmenter'}"


def test_detect_and_segment(tmp_path, models):
    raw = tmp_path / "raw"
    (raw / "sub").mkdir(parents=True)
    (raw / "sub" / "a.jpg").write_bytes(encode_jpeg(picture((200, 100), 20, [(60, 50)])))
    write_video(raw / "b.mp4", [picture((64, 48), 30)] * 4)
    arguments = ["--root", str(raw), "--out", str(tmp_path / "d.json"), "--detector", models[0], "--every", "2"]
    assert main(["detect", *arguments]) == 0
    found = json.loads((tmp_path / "d.json").read_text())
    assert sorted(found) == ["b.mp4/000000", "b.mp4/000002", "sub/a.jpg"]
    np.testing.assert_allclose(found["sub/a.jpg"], [[85.5, 19.5, 28, 60, 0.75]], atol=1e-4)
    assert main(["segment", "--root", str(raw), "--out", str(tmp_path / "m"), "--segmenter", models[1]]) == 0
    mask = read_image(tmp_path / "m" / "sub" / "a.png")[..., 0] > 127
    assert mask[50, 60] and 80 < mask.sum() < 150


def test_a_conversion_with_networks(tmp_path, models):
    """The box comes from the detector, the mask from the segmenter: here the white spot at the wrist."""
    write_panoptic(tmp_path / "raw", [[(0, 0, 0.9)]])
    networks = ["--detector", models[0], "--segmenter", models[1]]
    arguments = ["panoptic", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "s"), "--workers", "0", *networks]
    assert main(arguments) == 0
    store = PoseStore(tmp_path / "s")
    assert all(store.row("train", i).mask is not None for i in range(store.splits["train"]))


def test_detection_names_broken_files_and_goes_on_where_it_was(tmp_path, capsys):
    raw, out = tmp_path / "raw", tmp_path / "new" / "d.json"
    raw.mkdir()
    (raw / "a.jpg").write_bytes(encode_jpeg(picture((64, 48), 20)))
    (raw / "b.jpg").write_bytes(b"no picture")
    (tmp_path / "known.json").write_text(json.dumps({"a.jpg": [[1, 2, 3, 4, 0.5]], "b.jpg": [[5, 6, 7, 8, 0.5]]}))
    arguments = ["detect", "--root", str(raw), "--out", str(out), "--detector", f"json:{tmp_path / 'known.json'}"]
    assert main(arguments) == 2 and not out.exists()
    assert "1 of 2 files cannot be read" in capsys.readouterr().err
    assert main([*arguments, "--every", "2"]) == 2
    assert "unfinished run with other flags" in capsys.readouterr().err
    (raw / "a.jpg").write_bytes(b"is not read again")
    (raw / "b.jpg").write_bytes(encode_jpeg(picture((64, 48), 20)))
    assert main(arguments) == 0
    assert list(json.loads(out.read_text())) == ["a.jpg", "b.jpg"] and list(out.parent.iterdir()) == [out]
    (raw / "b.jpg").unlink()
    out.unlink()
    assert main([*arguments, "--skip-broken"]) == 0 and json.loads(out.read_text()) == {}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("verify", "Which pose stores"),
        ("verify x --rows -1", "must not be negative"),
        ("unpack --out u", "Which archives"),
        ("detect --root none --out d.json --detector none", "folder none does not exist"),
        ("detect --root . --out d.json --detector none", "no file with the ending"),
        ("detect --root . --out d.json --every 0 --detector none", "at least 1"),
        ("detect --root . --out d.txt --detector none", "should end in"),
        ("detect --root . --out d.json --detector json:x", "x does not exist"),
        ("segment --root . --out m --segmenter none", "'none' is not a model"),
        ("segment --root . --out m --segmenter onnx:x", "x does not exist"),
        ("segment --root . --out m --segmenter tflite:x", "segmenter x does not exist"),
        ("backgrounds --root . --out b --detector none", "Say --detector"),
        ("coco --raw . --out s --detector yolo", "'yolo' is not a model"),
        ("coco --raw . --out s --segmenter masks:x", "folder of masks x"),
        ("coco --raw . --out s --workers -1", "must not be negative"),
        ("skeletons --docs /dev/null/x", "/dev/null/x: Not a directory"),
        ("nonsense", "no dataset or command 'nonsense'"),
        ("list --bogus", "Unrecognized options: --bogus"),
    ],
)
def test_wrong_flags(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("Error: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def start_panoptic(tmp_path, n_sequences=3):
    """A real conversion by two processes, once its first unit is done."""
    for i in range(n_sequences):
        write_panoptic(tmp_path / "raw", [[(0, 0, 0.9)]] * 12, name=f"17040{i}_test1")
    arguments = ["panoptic", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "s"), "--workers", "2"]
    command = [sys.executable, "-m", "data_processing", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    units = tmp_path / ".s.work" / "units"
    limit = time.monotonic() + 100
    while not (units.is_dir() and list(units.glob("*.jsonl"))) and time.monotonic() < limit:
        time.sleep(0.05)
    return process, units, arguments


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_while_workers_are_busy_it_goes_on(tmp_path, how):
    process, units, arguments = start_panoptic(tmp_path)
    os.killpg(process.pid, how)
    _, errors = process.communicate()
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert b"Interrupted" in errors and b"Traceback" not in errors
    assert list(units.glob("*.jsonl")) and not (tmp_path / "s").exists()
    assert main(arguments[:-1] + ["0"]) == 0
    assert PoseStore(tmp_path / "s").splits == {"train": 6}
