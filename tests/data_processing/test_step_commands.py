"""The steps of data preparation as commands: as docs/data-steps.md shows them, and with what users get wrong."""

import json
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from data_processing import cameras, masks
from data_processing.__main__ import main
from data_processing.images import encode_jpeg, read_image
from data_processing.plain_files import camera_from_json, read_arrays, write_json
from metrabs_acae.data.crop import looking_rotation

from .people import picture, spot_error_px

PAGE = (Path(__file__).parents[2] / "docs" / "data-steps.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
K = cameras.intrinsics(700, 700, 320, 240)


def camera_of(distortion=None):
    center = np.array([300.0, -4000, 1500])
    return cameras.make_camera(
        looking_rotation(np.array([0, 0, 900.0]) - center, np.array([0, 0, 1.0])), center, K, distortion=distortion
    )


def points_of(n=40):
    return np.random.default_rng(0).normal(size=(n, 3)) * [300, 300, 500] + [0, 0, 900]


def save_models(folder):
    """SavedModels: everyone is in the middle; what is bright is a person."""
    import tensorflow as tf

    class Detector(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
        def __call__(self, image):
            return {"detection_boxes": tf.constant([[[0.1, 0.2, 0.9, 0.5]]]), "detection_scores": tf.constant([[0.75]])}

    class Segmenter(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
        def __call__(self, image):
            return {"labels": tf.where(image[..., 0] > 180, 15, 0)}

    for name, module in (("detector", Detector()), ("segmenter", Segmenter())):
        tf.saved_model.save(module, str(folder / name), signatures=module.__call__.get_concrete_function())


def test_every_command_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_models(tmp_path)
    Path("pictures").mkdir()
    Path("pictures/a.jpg").write_bytes(encode_jpeg(picture((200, 120), 20, [(70, 60), (150, 30)])))
    np.savez("poses.npz", poses=np.arange(8)[:, None, None] * np.full((1, 4, 3), 30.0))
    write_json("labels.json", {"pictures/a.jpg": [[40, 12, 60, 96]], "a.jpg": [[150, 0, 9, 9], [40, 12, 60, 96]]})
    write_json("boxes.json", {"a.png": [[140, 20, 20, 20], [60, 50, 20, 20]]})
    (people,) = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    Path("people_to_crop.json").write_text(people)
    np.savez("pairs.npz", points_mm=points_of(), points_px=cameras.project(camera_of(), points_of()), K=K)
    assert len(COMMANDS) == 11
    for line in COMMANDS:
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "data_processing"]
        assert main(words[3:]) == 0, line
    assert read_arrays("keep.npz", ["indices"])["indices"].tolist() == [0, 2, 4, 6]  # 52 mm a frame
    assert json.loads(Path("keep.json").read_text())["keep"] == [i % 2 == 0 for i in range(8)]
    matched = json.loads(Path("matched.json").read_text())
    assert matched["pictures/a.jpg"] == [None] and matched["a.jpg"][0] is None
    assert matched["a.jpg"][1]["detection"] == 0 and matched["a.jpg"][1]["iou"] == pytest.approx(1, abs=0.03)
    everyone, first, second = (
        masks.decode({**rle, "counts": rle["counts"].encode()})
        for name in ("masks.json", "people.json")
        for rle in json.loads(Path(name).read_text())["a.png"]
    )
    assert ((first | second) == everyone).all() and not (first & second).any()
    assert first[30, 150] and second[60, 70]
    check_crop(json.loads(people)[0], json.loads(Path("crops/crops.json").read_text())[0])
    found = camera_from_json(json.loads(Path("camera.json").read_text()), "camera.json")
    assert found.K[0, 0] == pytest.approx(700, rel=2e-3)


def check_crop(before, after):
    """The white spot at pixel (70, 60) lies in the crop where the crop's camera sees the same ray."""
    image = read_image(Path("crops") / after["image"])
    old, new = camera_from_json(before["camera"], "x"), camera_from_json(after["camera"], "x")
    ray = np.linalg.solve(old.K, [70, 60, 1]) @ old.R
    expected = cameras.project(new, old.optical_center_mm + 3000 * ray)
    assert spot_error_px(image, expected, radius=40) < 0.5
    assert max(after["box"][2:]) == pytest.approx(1.2 * 90, rel=0.02)
    mask = masks.decode({**after["mask"], "counts": after["mask"]["counts"].encode()})
    assert mask.shape == image.shape[:2] and mask[tuple(expected.round().astype(int)[::-1])]


def test_sampling_options(tmp_path):
    poses = np.zeros((4, 3, 3))
    poses[1, 0] = np.nan
    poses[2, :2] = 500
    np.savez(tmp_path / "p.npz", poses=poses)

    def kept(*flags):
        assert main(["sample", "--poses", str(tmp_path / "p.npz"), "--out", str(tmp_path / "k.json"), *flags]) == 0
        return json.loads((tmp_path / "k.json").read_text())["indices"]

    assert kept() == [0, 1, 2, 3]
    assert kept("--missing", "unmoved") == [0, 2, 3]
    assert kept("--appearing") == [0, 2, 3]
    assert kept("--missing", "unmoved", "--min-joints", "3") == [0]
    assert kept("--ring", "9") == [0, 2]
    assert kept("--ring", "9", "--missing", "moved") == [0, 1, 2]
    assert kept("--threshold-mm", "1e6", "--missing", "unmoved") == [0]


def test_crops_are_not_made_twice(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(encode_jpeg(picture((200, 120), 20)))
    entry = {"image": "a.png", "box": [40, 10, 60, 90], "name": "Ann"}
    entry["camera"] = {"K": [[500, 0, 100], [0, 500, 60], [0, 0, 1]], "R": np.eye(3).tolist(), "position_mm": [0, 0, 0]}
    entry["camera"] |= {"distortion": [0.1, 0, 0, 0], "up": [0, -1, 0]}
    write_json(tmp_path / "people.json", [entry, {**entry, "box": [900, 0, 5, 5]}])
    os.utime(tmp_path / "a.png", (1, 1))
    arguments = [
        "crop",
        "--people",
        str(tmp_path / "people.json"),
        "--root",
        str(tmp_path),
        "--out",
        str(tmp_path / "c"),
    ]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "1 crops, 1 left out" in captured.out and "entry 1 is left out: the box lies outside" in captured.err
    crop = tmp_path / "c" / "a_000000.jpg"
    (listed,) = json.loads((tmp_path / "c" / "crops.json").read_text())
    assert (listed["name"], listed["image"], listed["camera"]["lens"]["model"]) == ("Ann", "a_000000.jpg", "pinhole")
    written = crop.stat().st_mtime_ns
    assert main(arguments) == 0 and crop.stat().st_mtime_ns == written
    assert main([*arguments, "--extra", "1.3"]) == 0 and crop.stat().st_mtime_ns > written
    assert main([*arguments, "--plain"]) == 2


def test_calibration_finds_what_made_the_pairs(tmp_path):
    lens = (-0.2, 0.1, 0.001, -0.001, 0.0)
    camera, world = camera_of(lens), points_of(300) * [3, 1, 1]
    pixels = cameras.project(camera, world)
    pairs, out = str(tmp_path / "pairs.json"), tmp_path / "camera.json"

    def find(how, **arrays):
        arrays = {k: np.where(np.isnan(v), None, v).tolist() for k, v in arrays.items()}
        write_json(pairs, arrays)
        flags = ["--find", how, "--image-size", "640", "480"]
        assert main(["calibrate", "--pairs", pairs, "--out", str(out), *flags]) == 0
        data = json.loads(out.read_text())
        return camera_from_json(data, "x"), data["error_px"]

    missing = np.where(np.arange(300)[:, None] % 7 == 0, np.nan, pixels)
    found, error = find("pose", points_mm=world, points_px=missing, K=K, distortion=np.array(lens))
    np.testing.assert_allclose(found.optical_center_mm, camera.optical_center_mm, atol=1e-2)
    assert error["pairs"] == 257 and error["largest"] < 1e-3
    points = cameras.to_camera(camera, world)
    found, error = find("lens", points_mm=points.reshape(30, 10, 3), points_px=pixels.reshape(30, 10, 2))
    np.testing.assert_allclose(found.K, K, rtol=1e-3)
    assert error["largest"] < 0.01
    found, _ = find("intrinsics", points_mm=points, points_px=cameras.project(camera_of(), world))
    np.testing.assert_allclose(found.K, K, atol=1e-5)
    wrong = cameras.project(camera_of(), world)
    wrong[:60] += 200
    found, error = find("robust", points_mm=world, points_px=wrong, K=K)
    np.testing.assert_allclose(found.optical_center_mm, camera.optical_center_mm, atol=0.1)
    assert error["median"] < 0.01 < error["largest"]


GOOD = {"points_mm": points_of().tolist(), "points_px": cameras.project(camera_of(), points_of()).tolist()}
GOOD["K"] = K.tolist()


@pytest.mark.parametrize(
    "command, content, flags, message",
    [
        ("sample --poses", None, "", "does not exist"),
        ("sample --poses", {"pose": []}, "", "lacks the array poses"),
        ("sample --poses", {"poses": [[1, 2]]}, "", r"shape \(1, 2\)"),
        ("sample --poses", {"poses": [[[1, 2, 3]]]}, "--threshold-mm nan", "must not be negative"),
        ("sample --poses", {"poses": [[[1, 2, 3]]]}, "--ring -1", "must not be negative"),
        ("sample --poses", {"poses": [[[1, 2, 3]]]}, "--ring 3 --min-joints 2", "do not go together"),
        ("sample --poses", {"poses": [[[1, 2, 3]]]}, "--missing perhaps", "invalid choice"),
        ("match --detections FILE --labels", {"a": [1]}, "", r"'a': expected a list of boxes"),
        ("match --detections FILE --labels", [], "", "JSON object"),
        ("match --detections FILE --labels", {"a": []}, "--min-iou 2", "between 0 and 1;"),
        ("crop --root . --people", [], "", "lists nobody"),
        ("crop --root . --people", [{"image": "a.jpg"}], "", "entry 0: expected an object with image, box and camera"),
        ("crop --root . --people", [{"image": "../a.jpg", "box": 1, "camera": 1}], "", "relative path inside"),
        ("crop --root . --people", [{"image": "a.jpg", "box": 1, "camera": 1}], "", "a camera is an object"),
        ("crop --root . --people", [], "--extra 0", "between 0.1 and 10;"),
        ("encode-masks --masks none --boxes", {}, "", "no mask picture"),
        ("encode-masks --masks none --boxes", {}, "--threshold 300", "between 0 and 254;"),
        ("calibrate --pairs", {**GOOD, "K": [1]}, "", "camera's K has shape"),
        ("calibrate --pairs", {**GOOD, "points_px": [[1, 2]]}, "", r"points_px \(1, 2\)"),
        ("calibrate --pairs", {"points_mm": [[0, 0, 1]], "points_px": [[0, 0]], "K": K.tolist()}, "", "fewer than 6"),
        ("calibrate --pairs", {**GOOD, "points_mm": [[0, 0, 1]] * 40}, "", "no camera"),
        ("calibrate --pairs", {**GOOD, "points_mm": [[0, 0, 1]] * 40}, "--find robust", "no camera"),
        ("calibrate --pairs", GOOD, "--find lens", "needs --image-size"),
        ("calibrate --pairs", GOOD, "--find intrinsics", "not an intrinsic matrix"),  # it is the world's frame
        ("calibrate --pairs", {**GOOD, "points_mm": [[1, 1, -1]] * 40}, "--find intrinsics", "positive depth"),
        ("calibrate --pairs", {**GOOD, "distortion": [0.1] * 3}, "", "4, 5, 8, 12 or 14 finite coefficients"),
    ],
)
def test_wrong_input_is_explained_in_one_sentence(tmp_path, monkeypatch, capsys, command, content, flags, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("in.json").write_text(json.dumps(content))
    words = ["in.json" if w == "FILE" else w for w in shlex.split(command)]
    assert main([*words, "in.json", "--out", "out.json", *shlex.split(flags)]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.startswith("Error: ") and error.strip().count("\n") == 0, error
    assert not Path("out.json").exists()
    if not command.startswith("crop"):
        assert main([*words, "in.json", "--out", "out.txt"]) == 2
        assert "should end in" in capsys.readouterr().err
