"""The default segmenter, and the pictures that serve augmentation."""

import importlib.util
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from data_processing import segmentation
from data_processing.__main__ import main
from data_processing.images import read_image
from data_processing.picture_sets import PICTURE_SETS
from metrabs_acae.errors import UserError

from .people import picture


def save_tflite(path, n_classes):
    """A network of 32 x 32 px in which what is bright is a person."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1, 32, 32, 3])])
    def network(image):
        bright = tf.sigmoid(50 * (image[..., :1] - 0.5))
        return bright if n_classes == 1 else tf.concat([0.5 - bright, bright - 0.5], axis=-1) * 20

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    path.write_bytes(converter.convert())


@pytest.mark.parametrize("n_classes", [1, 2])
def test_a_tflite_segmenter(tmp_path, n_classes):
    pytest.importorskip("ai_edge_litert", reason="the extra [export] is not installed")
    save_tflite(tmp_path / "s.tflite", n_classes)
    segment = segmentation.open_segmenter(f"tflite:{tmp_path / 's.tflite'}")
    image = np.zeros((64, 128, 3), np.uint8)
    image[16:48, 32:96] = 255
    found = segment(image, "key")
    assert found.shape == (64, 128) and found.dtype == bool
    assert (found != (image[..., 0] > 127)).mean() < 0.05
    (tmp_path / "broken.tflite").write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="broken.tflite is not a readable TFLite file"):
        segmentation.open_segmenter(f"tflite:{tmp_path / 'broken.tflite'}")


def test_mediapipes_segmenter_is_found_in_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="up to version 0.10.*--segmenter tflite:FILE"):
        segmentation.check_segmenter("mediapipe")
    file = tmp_path / "modules/selfie_segmentation/selfie_segmentation.tflite"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: package)
    assert segmentation.tflite_file("mediapipe") == file


def test_backgrounds_are_upright_squares_without_people(tmp_path, capsys):
    raw = tmp_path / "jpg"
    raw.mkdir()
    wide = picture((300, 200), 60)
    wide[:, :150] = 200
    for name in ("a", "people"):
        (raw / f"{name}.jpg").write_bytes(cv2.imencode(".jpg", wide)[1].tobytes())
    (raw / "b.jpg").write_bytes(_turned(cv2.imencode(".jpg", wide)[1].tobytes()))
    (raw / "broken.jpg").write_bytes(b"x")
    (tmp_path / "d.json").write_text(json.dumps({"people.jpg": [[0, 0, 9, 9, 0.8]], "a.jpg": [[0, 0, 9, 9, 0.1]]}))
    arguments = ["--root", str(raw), "--out", str(tmp_path / "out"), "--detector", f"json:{tmp_path / 'd.json'}"]
    assert main(["backgrounds", *arguments, "--side", "64"]) == 0
    assert "2 backgrounds; 1 photographs with people, 1 broken ones left out" in capsys.readouterr().out
    a, b = (read_image(tmp_path / f"out/{n}.jpg") for n in "ab")
    assert a.shape == b.shape == (64, 64, 3)
    assert abs(a[32, 8].mean() - 200) < 8 and abs(a[32, 56].mean() - 60) < 8
    assert abs(b[8, 32].mean() - 200) < 8 and abs(b[56, 32].mean() - 60) < 8  # lay on its side
    (raw / "a.jpg").unlink()
    (raw / "b.jpg").unlink()
    assert main(["backgrounds", "--root", str(raw), "--out", str(tmp_path / "o"), *arguments[4:]]) == 2
    assert "shows people or is broken" in capsys.readouterr().err


def _turned(jpeg: bytes) -> bytes:
    """The file with the tag that it is to be turned by 90 degrees clockwise."""
    tag = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    return jpeg[:2] + b"\xff\xe1" + (len(tag) + 2).to_bytes(2, "big") + tag + jpeg[2:]


def test_picture_sets_are_listed_with_their_sources(capsys):
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert "INRIA Holidays" in listed and "Pascal VOC 2012" in listed
    (file,) = PICTURE_SETS["voc"].files
    assert file.md5 == "6cd6e144f989b92b3379bac3b3de84fd" and file.archive
    assert [f.path for f in PICTURE_SETS["holidays"].files] == ["jpg1.tar.gz", "jpg2.tar.gz"]
