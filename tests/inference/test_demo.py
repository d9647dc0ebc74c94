"""The demo's files, its reading of inputs, boxes and cameras, and its error sentences."""

import dataclasses
import functools
import json
import os

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from metrabs_acae.data.lens import Lens, distort_points, undistort_points
from metrabs_acae.errors import UserError
from metrabs_acae.inference import demo, demo_inputs, demo_poses, export, video
from metrabs_acae.inference.demo_cameras import DemoCameras
from metrabs_acae.inference.demo_poses import RESULT_SUFFIXES
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.own_files import claim
from tests.inference import reference


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "model"
    return export.export_saved_model(
        reference.crop_model,
        reference.SKELETON,
        path,
        image_size=reference.SIZE,
        output_skeletons={"small": reference.SMALL},
    )


@pytest.fixture(autouse=True)
def load_once(monkeypatch):
    monkeypatch.setattr(demo, "load_saved_model", loaded)


@functools.cache
def loaded(path):
    return demo_poses.load_saved_model(path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, image in zip(("a.jpg", "b.png"), reference.ARRAYS["images"], strict=True):
        cv2.imwrite(str(folder / name), image[..., ::-1])
    (folder / "notes.txt").write_text("not a photograph")
    return folder


def people_in(path):
    return [f["people"] for f in json.loads(path.read_text())["frames"]]


def test_folder_with_boxes_by_name(model, photos, tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.jpg": [[50, 40, 100, 200]], "b": []}))
    lines, out = [], tmp_path / "out"
    settings = Demo(boxes=str(boxes), intrinsics="400,400,200,150")
    results = demo.run_demo(model, [photos], out_dir=out, settings=settings, log=lines.append)
    assert [(r.name, r.n_people) for r in results] == [("a.jpg", 1), ("b.png", 0)]
    contents = json.loads((out / "a.json").read_text())
    assert contents["skeleton"] == "small" and len(contents["joint_names"]) == 5
    assert contents["intrinsic_matrix"] == [[400, 0, 200], [0, 400, 150], [0, 0, 1]]
    (person,) = people_in(out / "a.json")[0]
    assert person["box"] == [50, 40, 100, 200] and "score" not in person
    projected = np.array(person["pose3d"]) @ np.array(contents["intrinsic_matrix"]).T
    np.testing.assert_allclose(person["pose2d"], projected[:, :2] / projected[:, 2:], atol=0.02)
    overlay = cv2.imread(str(out / "a.overlay.png"))
    assert overlay.shape == reference.ARRAYS["images"][0].shape
    assert (overlay != cv2.imread(str(photos / "a.jpg"))).any()
    assert people_in(out / "b.json") == [[]]
    assert {p for r in results for p in r.files} == set(out.iterdir())
    assert lines[0].startswith("a.jpg: 1 person") and lines[1].startswith("b.png: 0 people")


def test_a_calibration_file_gives_the_camera_and_its_lens(model, photos, tmp_path):
    lens = Lens.brown_conrady((-0.2, 0.05, 0.001, -0.001, 0))
    height, width = reference.ARRAYS["images"].shape[1:3]
    K = np.array([[800.0, 0, width - 0.5], [0, 800, height - 0.5], [0, 0, 1]])  # of pictures twice as large
    size = [2 * width, 2 * height]
    cameras = {"a": {"K": K.tolist(), "lens": lens.to_json(), "size": size}, "other": {"K": K.tolist()}}
    (tmp_path / "cameras.json").write_text(json.dumps(cameras))
    settings = Demo(boxes="50,40,100,200", camera=str(tmp_path / "cameras.json"), outputs=("json", "npz"))
    demo.run_demo(model, [photos / "a.jpg"], out_dir=tmp_path / "out", settings=settings, log=lambda line: None)
    contents = json.loads((tmp_path / "out" / "a.json").read_text())
    half = np.array([[400.0, 0, width / 2 - 0.5], [0, 400, height / 2 - 0.5], [0, 0, 1]])
    assert contents["intrinsic_matrix"] == half.tolist() and Lens.from_json(contents["lens"]) == lens
    ((person,),) = people_in(tmp_path / "out" / "a.json")
    pose = np.array(person["pose3d"])
    np.testing.assert_allclose(person["pose2d"], distort_points(pose[:, :2] / pose[:, 2:], half, lens), atol=0.02)
    metadata = json.loads(str(np.load(tmp_path / "out" / "a.npz")["metadata"]))
    assert Lens.from_json(metadata["lens"]) == lens


@pytest.mark.parametrize("found_by", ["boxes", "detector"])
def test_a_fisheye_lens(photos, tmp_path, found_by):
    """People are where the lens says, and projected through it; the analytic model sees the same in any grey crop."""
    image = np.full((300, 400, 3), 99, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    lens, K = Lens.fisheye((0.05, -0.01, 0, 0)), np.array([[150.0, 0, 199.5], [0, 150, 149.5], [0, 0, 1]])
    camera = {"K": K.tolist(), "distortion": list(lens.coefficients), "fisheye": True}
    (tmp_path / "cameras.json").write_text(json.dumps({"a": camera}))
    boxes = np.array([[189.5, 109.5, 20, 80], [340, 100, 20, 80.0]])  # in the middle, and 50 degrees to the right
    settings = Demo(camera=str(tmp_path / "cameras.json"), outputs=("json",))
    estimator = reference.estimator(detector=FixedDetector(boxes))
    if found_by == "boxes":
        settings = dataclasses.replace(settings, boxes="189.5,109.5,20,80;340,100,20,80")
    demo.run_demo("", [tmp_path / "a.png"], out_dir=tmp_path, settings=settings, load=lambda _: estimator, log=str)
    people = people_in(tmp_path / "a.json")[0]
    assert [p["box"] for p in people] == boxes.tolist()
    poses = np.array([p["pose3d"] for p in people])
    np.testing.assert_allclose(
        [p["pose2d"] for p in people], [distort_points(p[:, :2] / p[:, 2:], K, lens) for p in poses], atol=0.02
    )
    rays = undistort_points(boxes[:, :2] + boxes[:, 2:] / 2, K, lens)
    middles = poses.mean(1)
    cosines = (rays * middles).sum(1) / np.linalg.norm(rays, axis=1) / np.linalg.norm(middles, axis=1)
    off = np.degrees(np.arccos(cosines))  # 5 degrees of the model's own; 12 more without the lens
    assert off.max() < 6 and abs(off[1] - off[0]) < 2
    assert 45 < np.degrees(np.arctan(rays[1, 0])) < 60


class FixedDetector(tf.Module):
    """Finds the same boxes in every picture."""

    def __init__(self, boxes):
        super().__init__()
        self.boxes = tf.constant(np.column_stack([boxes, [0.9, 0.8]]), tf.float32)

    def detect(self, images, *settings):
        return tf.RaggedTensor.from_row_lengths(self.boxes, [len(self.boxes)])


K_200 = {"K": [200, 200, 99.5, 149.5]}


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        ({"left": K_200, "right": K_200}, "has no camera called 'a'; it has left, right"),
        ({"any": {**K_200, "size": [200, 300]}}, "a.jpg has 400 x 300 pixels, .* calibrated with 200 x 300"),
        ({"any": {"K": [9, 9, 0, 0]}}, "a.jpg: the camera 'any' must have focal lengths in pixels"),
    ],
)
def test_cameras_that_do_not_fit(cameras, message, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(cameras))
    find = DemoCameras(Demo(camera=str(tmp_path / "c.json")))
    with pytest.raises(UserError, match=message):
        find(demo_inputs.DemoInput("image", "photos/a.jpg", "a"), (400, 300))
    with pytest.raises(UserError, match="--camera and --intrinsics"):
        DemoCameras(Demo(camera="c.json", intrinsics="1,1,1,1"))


def test_a_video_gives_the_poses_of_its_frames_as_photographs(model, tmp_path):
    """Frames are estimated in batches, of which the results are independent."""
    writer = video.VideoWriter(tmp_path / "clip.mp4")
    for i in range(3):
        writer.write(np.roll(reference.ARRAYS["images"][0], 8 * i, axis=1), i / 10)
    writer.close()
    for frame in video.VideoFile(tmp_path / "clip.mp4"):
        cv2.imwrite(str(tmp_path / f"{frame.index}.png"), frame.image[..., ::-1])
    boxes = {"clip.mp4": [[[50, 40, 100, 200]], [], [[60, 40, 100, 200], [10, 10, 50, 60]]]}
    boxes |= {f"{i}.png": b for i, b in enumerate(boxes["clip.mp4"])}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    inputs = [tmp_path / name for name in ("clip.mp4", "0.png", "1.png", "2.png")]
    settings = Demo(boxes=str(tmp_path / "boxes.json"), outputs=("json",), frames_per_batch=2, refine=False)
    demo.run_demo(model, inputs, out_dir=tmp_path / "out", settings=settings, log=lambda line: None)
    frames = people_in(tmp_path / "out" / "clip.json")
    assert [len(f) for f in frames] == [1, 0, 2]
    for i, frame in enumerate(frames):
        for person, expected in zip(frame, people_in(tmp_path / "out" / f"{i}.json")[0], strict=True):
            np.testing.assert_allclose(person["pose3d"], expected["pose3d"], atol=0.05)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "no detector"),
        ({"boxes": "1,2,3"}, "left, top, width, height"),
        ({"boxes": "1,2,3,x"}, "cannot be read"),
        ({"boxes": "1,2,0,4"}, "positive width"),
        ({"boxes": "1,2,nan,4"}, "must be finite"),
        ({"boxes": "missing.json"}, "cannot be read as JSON"),
        ({"boxes": "1,2,3,4", "intrinsics": "1,2"}, "FX,FY,CX,CY"),
        ({"boxes": "1,2,3,4", "skeleton": "coco"}, "no skeleton 'coco'; it has: small"),
        ({"smooth": True, "track": False}, "--smooth needs tracked people"),
    ],
)
def test_error_sentences(model, photos, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        demo.run_demo(model, [photos / "a.jpg"], out_dir=tmp_path / "out", settings=Demo(**arguments))


def test_broken_files_and_folders(model, tmp_path):
    settings = Demo(boxes="1,2,3,4")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    for name, message in (
        ("broken.jpg", "cannot be read as an image"),
        ("broken.mp4", "is not a readable video"),
        ("nowhere.jpg", "does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            demo.run_demo(model, [tmp_path / name], out_dir=tmp_path / "out", settings=settings)
    assert list((tmp_path / "out").iterdir()) == []
    cv2.imwrite(str(tmp_path / "good.png"), np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(UserError, match="broken.jpg cannot be read .* unknown format; the rest is done"):
        inputs = [tmp_path / "broken.jpg", tmp_path / "good.png"]
        demo.run_demo(model, inputs, out_dir=tmp_path / "out", settings=settings, log=lambda line: None)
    assert (tmp_path / "out" / "good.json").exists()
    with pytest.raises(UserError, match="no saved_model.pb"):
        demo.run_demo(tmp_path, [tmp_path / "broken.jpg"], out_dir=tmp_path / "out", settings=settings)
    with pytest.raises(UserError, match="broken.jpg cannot be written to"):
        demo.run_demo(model, [tmp_path / "broken.jpg"], out_dir=tmp_path / "broken.jpg", settings=settings)


def clip(path, n_frames=2):
    writer = video.VideoWriter(path)
    for i in range(n_frames):
        writer.write(reference.ARRAYS["images"][0], i / 10)
    writer.close()


def test_all_that_can_be_done_is_done(model, photos, tmp_path):
    folder, lines = tmp_path / "mixed", []
    folder.mkdir()
    (folder / "a.jpg").write_bytes((photos / "a.jpg").read_bytes())
    clip(folder / "walk.mp4")
    for name in ("empty.mp4", "broken.png", "notes.txt", ".hidden", "raw.dng"):
        (folder / name).write_bytes(b"")
    settings = Demo(boxes="50,40,100,200", outputs=("json",))
    with pytest.raises(UserError) as raised:
        demo.run_demo(model, [folder], out_dir=tmp_path / "out", settings=settings, log=lines.append)
    sentence, *reasons = str(raised.value).splitlines()
    assert sentence == "3 of 5 inputs could not be used; the rest is done:"
    for name, reason in {"broken.png": "is empty", "empty.mp4": "not a readable video", "raw.dng": "raw data"}.items():
        assert any(line.startswith(f"  {name}: ") and reason in line for line in reasons)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.json", "walk.json"]
    assert lines[-1] == "Skipped, being no pictures or videos: notes.txt"


def test_a_box_file_without_an_entry_and_a_damaged_video_stop_nothing_else(model, photos, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "boxes.json").write_text(json.dumps({"a.jpg": [[5, 5, 50, 90]], "broken": []}), encoding="utf-8-sig")
    settings = Demo(boxes=str(tmp_path / "boxes.json"), outputs=("json",))
    inputs = [tmp_path / "broken.mp4", photos / "b.png", photos / "a.jpg"]
    with pytest.raises(UserError, match="2 of 3 inputs could not be used; the rest is done") as raised:
        demo.run_demo(model, inputs, out_dir=tmp_path / "out", settings=settings, log=lambda line: None)
    assert "b.png: The boxes file has no entry 'b.png'" in str(raised.value)
    assert len(people_in(tmp_path / "out" / "a.json")[0]) == 1


def test_results_among_the_inputs(model, photos, tmp_path):
    """They are not posed, and nobody's own file is overwritten, however often it is run."""
    (tmp_path / "a.jpg").write_bytes((photos / "a.jpg").read_bytes())
    (tmp_path / "b.png").write_bytes((photos / "b.png").read_bytes())
    clip(tmp_path / "walk.mp4")
    (tmp_path / "A.VIEWS.PNG").write_bytes(own := (photos / "b.png").read_bytes())
    settings = Demo(boxes="50,40,100,200")
    run = lambda inputs: demo.run_demo(model, inputs, out_dir=tmp_path, settings=settings, log=lambda line: None)  # noqa: E731
    first = [r.name for r in run([tmp_path])]
    assert first == ["A.VIEWS.PNG", "a.jpg", "b.png", "walk.mp4"]
    files = sorted(p.name for p in tmp_path.iterdir())
    assert (tmp_path / "A.VIEWS.PNG").read_bytes() == own and not (tmp_path / "a.views.png").exists()
    assert (tmp_path / "a_2.views.png").exists() and (tmp_path / "b.views.png").exists()
    assert [r.name for r in run([tmp_path])] == first
    assert [r.name for r in run(sorted(tmp_path.glob("[!.]*")))] == first  # as the shell's * names them
    assert sorted(p.name for p in tmp_path.iterdir()) == files
    with pytest.raises(UserError, match="Only results of an earlier --demo"):
        run([tmp_path / "b.overlay.png"])


def test_boxes_outside_of_the_picture_are_nobody(model, photos, tmp_path):
    settings = Demo(boxes="5000,10,50,100;-80,-90,20,30;50,40,100,200", outputs=("json",))
    demo.run_demo(model, [photos / "a.jpg"], out_dir=tmp_path, settings=settings, log=lambda line: None)
    assert [p["box"] for p in people_in(tmp_path / "a.json")[0]] == [[50, 40, 100, 200]]


def test_names_that_are_not_utf8(model, photos, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / f"{name}.jpg").write_bytes((photos / "a.jpg").read_bytes())
    clip(tmp_path / "walk.mp4")
    os.rename(tmp_path / "walk.mp4", tmp_path / f"{name}.mp4")
    settings = Demo(boxes="50,40,100,200")
    demo.run_demo(model, [tmp_path], out_dir=tmp_path / "out", settings=settings, log=lambda line: line.encode())
    for stem, source in (("caf\ufffd", "caf\ufffd.jpg"), ("caf\ufffd_2", "caf\ufffd.mp4")):
        assert json.loads((tmp_path / "out" / f"{stem}.json").read_text())["source"] == source


def test_the_focal_length_of_exif_data(model, photos, tmp_path):
    image, exif = Image.open(photos / "a.jpg"), Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 35
    image.save(tmp_path / "a.jpg", exif=exif)
    expected = 35 / 43.2666 * np.hypot(*image.size)
    for fov, focal, words in (
        (None, expected, "EXIF, 35 mm as on 35 mm film"),
        (90.0, max(image.size) / 2, "--fov, 90 degrees along the larger side"),
    ):
        lines, settings = [], Demo(boxes="50,40,100,200", outputs=("json",), fov=fov)
        demo.run_demo(model, [tmp_path / "a.jpg"], out_dir=tmp_path / "out", settings=settings, log=lines.append)
        contents = json.loads((tmp_path / "out" / "a.json").read_text())
        assert contents["camera_from"] == words and words in lines[0]
        (fx, _, cx), (_, fy, cy), _ = contents["intrinsic_matrix"]
        assert [fx, fy] == pytest.approx([focal] * 2, rel=1e-4)
        assert [cx, cy] == [(n - 1) / 2 for n in image.size]


def test_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.mp4", "a.JPG", "a.mov", "notes.txt", "7"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    found = demo_inputs.find_inputs([".", "a.JPG", "-", "0", "7"])
    assert [(i.kind, i.name, i.stem) for i in found] == [
        ("image", "a.JPG", "a"),
        ("video", "a.mov", "a_2"),
        ("video", "b.mp4", "b"),
        ("image", "a.JPG", "a_3"),
        ("video", "-", "stdin"),
        ("webcam", "0", "webcam-0"),
        ("image", "7", "7"),
    ]
    for nothing in ("empty", "12x"):
        with pytest.raises(UserError, match="empty holds no image|12x does not exist"):
            demo_inputs.find_inputs([nothing])


@pytest.mark.parametrize("theirs", ["walk.npz", "walk.0.bvh", "walk.2.bvh", "WALK.13.TRC"])
def test_a_user_s_file_is_not_overwritten(tmp_path, theirs):
    (tmp_path / "walk.mp4").touch()
    find = lambda: demo_inputs.find_inputs([tmp_path], out_dir=tmp_path, suffixes=RESULT_SUFFIXES)  # noqa: E731
    assert [item.stem for item in find()] == ["walk"]
    (tmp_path / theirs).touch()
    assert [item.stem for item in find()] == ["walk_2"]
    claim(tmp_path, ["WALK.1.TRC", *("walk" + suffix for suffix in RESULT_SUFFIXES)])
    assert [item.stem for item in find()] == ["walk"]  # an earlier result
    assert demo_inputs.skipped_files([tmp_path], find()) == []


def test_names_of_outputs_do_not_collide():
    assert demo_inputs.unique_stems(["a", "a", "b", "a_2", "a"]) == ["a", "a_2", "b", "a_2_2", "a_3"]


def test_boxes_of_a_video_by_frame():
    (item,) = [demo_inputs.DemoInput("video", "clips/walk.mp4", "walk")]
    same = demo_inputs.boxes_for(demo_inputs.parse_boxes({"walk.mp4": [[1, 2, 3, 4]]}), item)
    assert same(0).tolist() == same(99).tolist() == [[1, 2, 3, 4]]
    each = demo_inputs.boxes_for(demo_inputs.parse_boxes({"walk": [[], [[1, 2, 3, 4]]]}), item)
    assert [len(each(i)) for i in range(3)] == [0, 1, 0]
    with pytest.raises(UserError, match="no entry 'walk.mp4'"):
        demo_inputs.boxes_for(demo_inputs.parse_boxes({"other.mp4": []}), item)
    with pytest.raises(UserError, match="boxes of walk, frame 1"):
        demo_inputs.parse_boxes({"walk": [[], [[1, 2, 3]]]})


def test_usual_skeleton_is_preferred():
    model = type("Model", (), {"per_skeleton_joint_names": {"": 0, "zebra_5": 0, "h36m_17": 0}})()
    assert demo_poses.choose_skeleton(model, "") == "h36m_17"
