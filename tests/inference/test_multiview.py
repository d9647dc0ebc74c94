"""Several calibrated cameras: people matched and fused from projected known poses; videos, cameras and moments."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest

from metrabs_acae.data.lens import Lens
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.inference import demo_inputs, multiview, multiview_inputs, multiview_posing, video
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.multiview_inputs import Moments, View
from metrabs_acae.inference.multiview_people import PeopleInViews
from metrabs_acae.inference.multiview_settings import Multiview
from metrabs_acae.inference.pose_files import nobody

SIZE_WH = (160, 120)
NAMES = ("head", "lsho", "rsho", "lhip", "rhip", "lkne", "rkne")
EDGES = ((0, 1), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6))
BODY_MM = np.array(
    [[0, 0, 1700.0], [0, 200, 1450], [0, -200, 1450], [0, 120, 950], [0, -120, 950], [0, 130, 500], [0, -130, 500]]
)
LENS = Lens.brown_conrady((-0.1, 0.02, 0.001, 0, 0))


def camera_at(angle_degrees, distance_mm=4000.0, *, height_mm=1500.0):
    """Looks at the middle of a body in the origin; z is up."""
    angle = np.radians(angle_degrees)
    center = np.array([distance_mm * np.cos(angle), distance_mm * np.sin(angle), height_mm])
    forward = np.array([0, 0, 1000.0]) - center
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    K = np.array([[150.0, 0, 79.5], [0, 150, 59.5], [0, 0, 1]])
    return CameraParams(np.stack([right, np.cross(forward, right), forward]), center, K, LENS)


VIEWS = [
    View(demo_inputs.DemoInput("video", f"{name}.mp4", name), camera_at(angle), name, SIZE_WH)
    for name, angle in (("a", 10), ("b", 100), ("c", 190), ("d", 260))
]


def seen(view, bodies, rng=None, *, px=0.0, depth=1.0):
    """What a model might see of bodies [P, 7, 3]: 2D poses that err by `px`, in the wrong depth."""
    rng = rng or np.random.default_rng(0)
    poses2d = view.project(bodies) + rng.normal(0, px, (*bodies.shape[:2], 2)) if px else view.project(bodies)
    low, high = poses2d.min(1), poses2d.max(1)
    return dataclasses.replace(
        nobody(len(NAMES)),
        person=np.arange(len(bodies), dtype=np.int32),
        boxes=np.concatenate([low, high - low], axis=1),
        scores=np.ones(len(bodies)),
        poses3d=view.to_camera(bodies) * depth,
        poses2d=poses2d,
        uncertainty=np.zeros(bodies.shape[:2]),
        entropy=np.zeros(bodies.shape[:2]),
    )


def observations(people, view):
    return [multiview_posing._observation(view, people, i, has_spread=False) for i in range(len(people))]


def test_a_view_projects_and_looks_back():
    view = VIEWS[0]
    pixels = view.project(BODY_MM)
    offset = BODY_MM - view.camera.optical_center_mm
    expected = offset / np.linalg.norm(offset, axis=1, keepdims=True)
    np.testing.assert_allclose(view.directions(pixels), expected, atol=1e-6)
    np.testing.assert_allclose(view.to_world(view.to_camera(BODY_MM)), BODY_MM, atol=1e-9)
    homogeneous = np.concatenate([BODY_MM, np.ones((7, 1))], axis=1)
    np.testing.assert_allclose((homogeneous @ view.extrinsics.T)[:, :3], view.to_camera(BODY_MM), atol=1e-9)
    assert np.isnan(view.project(view.camera.optical_center_mm * 2)).all()  # behind it


def follow(moments, **settings):
    """Runs `PeopleInViews` on [{view: (bodies, options)}]."""
    people = PeopleInViews(**settings)
    found = []
    for i, of_views in enumerate(moments):
        all_seen = {v: observations(seen(VIEWS[v], b, np.random.default_rng(9 * i + v), **o), VIEWS[v])
                    for v, (b, o) in of_views.items()}  # fmt: skip
        found.append(people.update(i / 25, all_seen))
    return found


def test_two_people_who_pass_each_other_keep_their_numbers_and_places():
    noise = {"px": 0.5, "depth": 1.15}
    moments, truth = [], []
    for i in range(20):
        bodies = np.stack([BODY_MM + [600, -1000 + 100 * i, 0], BODY_MM * [1, 1, 1.05] + [-600, 1000 - 100 * i, 0]])
        truth.append(bodies)
        # the order of the people differs between views
        moments.append({v: (bodies[::-1] if v % 2 else bodies, noise) for v in range(4)})
    found = follow(moments)
    assert [[p.number for p in people] for people in found] == [[1, 2]] * 20
    errors = [np.linalg.norm(p.points_mm - t, axis=-1) for people, t in zip(found, truth, strict=True)
              for p, t in zip(people, t if people[0].points_mm[0, 0] > 0 else t[::-1], strict=True)]  # fmt: skip
    assert np.mean(errors) < 20  # half a pixel is 13 mm at 4 m
    assert all(len(p.views) == 4 for people in found for p in people)
    assert np.median([p.scale for people in found for p in people]) == pytest.approx(1 / 1.15, rel=0.02)


def test_a_wrong_view_is_held_down_and_a_missing_one_is_missed_by_nobody():
    one = BODY_MM[np.newaxis]
    wrong = one.copy()
    wrong[:, 0] += [900, 0, 0]  # across the view of the fourth camera
    ((person,),) = follow([{0: (one, {}), 1: (one, {}), 2: (one, {}), 3: (wrong, {})}])
    assert np.linalg.norm(person.points_mm - BODY_MM, axis=-1).max() < 15
    assert person.weights[3][0] < 0.05 and person.weights[3][1:].min() > 0.9
    far = (one, {"depth": 1.3})  # as single views think
    found = follow([{0: far, 1: far}, {1: far}, {0: far, 1: far}])
    assert [[(p.number, sorted(p.views)) for p in people] for people in found] == [
        [(1, v)] for v in ([0, 1], [1], [0, 1])
    ]
    assert np.linalg.norm(found[1][0].points_mm - BODY_MM, axis=-1).max() < 60


def test_who_is_seen_by_too_few_views_has_no_number():
    one = BODY_MM[np.newaxis]
    assert follow([{0: (one, {}), 1: (one[:0], {})}]) == [[]]
    ((person,),) = follow([{0: (one, {}), 1: (one[:0], {})}], min_views=1)
    np.testing.assert_allclose(person.points_mm, BODY_MM, atol=1e-3)
    assert follow([{0: (one, {}), 1: (one + [0, 0, 0] + [[[2500.0, 0, 0]]], {})}]) == [[]]  # two people, one view each


class BodyEstimator:
    """Knows the bodies of each frame, whose number is the brightness of the picture."""

    skeleton, joint_names, edges = "bodies", NAMES, EDGES

    def __init__(self, bodies_of, views):
        self.bodies_of, self.views, self.turned_up = bodies_of, {v.item.stem: v for v in views}, []

    def __call__(self, images, boxes, source):
        view = self.views[source.name.split(".")[0]]
        return [seen(view, self.bodies_of(round(float(image.mean()) / 10)), px=0.3, depth=1.2) for image in images]

    def turned(self, images, boxes, ups, source):
        self.turned_up += [(source.name, up) for up in ups]
        view = self.views[source.name.split(".")[0]]
        return [seen(view, self.bodies_of(round(float(i.mean()) / 10)), px=0.1, depth=1.2) for i in images]


def bodies_of(i):
    return (BODY_MM + [20.0 * i, 0, 0])[np.newaxis]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four videos of ten frames; the third begins two frames before the others."""
    folder = tmp_path_factory.mktemp("cameras")
    for view in VIEWS:
        early = 2 if view.name == "c.mp4" else 0
        writer = video.VideoWriter(folder / view.name, fps=25)
        for i in range(10 + early):
            writer.write(np.full((120, 160, 3), 10 * max(i - early + 1, 0), np.uint8), i / 25)
        writer.close()
    cameras = {
        v.item.stem: {"K": v.camera.K.tolist(), "R": v.camera.R.tolist(), "lens": LENS.to_json(), "size": SIZE_WH,
                      "t": (v.extrinsics[:3, 3] / 1000).tolist()}
        for v in VIEWS
    }  # fmt: skip
    (folder / "cameras.json").write_text(json.dumps(cameras))  # in metres
    return folder


def items_of(folder, names="abd"):
    return demo_inputs.find_inputs([str(folder / f"{name}.mp4") for name in names])


def run(folder, tmp_path, names="abd", *, outputs=("overlay", "json", "npz", "viewer"), **several):
    settings = Demo(
        frames_per_batch=4,
        outputs=outputs,
        multiview=Multiview(calibration=str(folder / "cameras.json"), **several),
    )
    items = items_of(folder, names)
    moments = Moments(items, settings.multiview)
    estimator = BodyEstimator(lambda n: bodies_of(n - 1), VIEWS)
    posing = multiview_posing.Posing(moments.views, estimator, [None] * len(items), settings)
    lines = []
    result = multiview._run(items, moments, posing, tmp_path / "multiview", settings, lines.append)
    return result, lines, estimator


def test_all_files(videos, tmp_path):
    result, lines, estimator = run(videos, tmp_path)
    assert (result.n_frames, result.n_people) == (10, 10)
    expected = {"a.overlay.mp4", "b.overlay.mp4", "d.overlay.mp4", "multiview.json", "multiview.npz", "multiview.html"}
    assert {p.name for p in result.files} == {p.name for p in tmp_path.iterdir()} == expected
    arrays = np.load(tmp_path / "multiview.npz")
    truth = np.stack([bodies_of(i)[0] for i in range(10)])
    assert np.linalg.norm(arrays["world_mm"] - truth, axis=-1).mean() < 12
    assert np.linalg.norm(arrays["raw_poses3d_mm"] - VIEWS[0].to_camera(truth), axis=-1).mean() < 12
    np.testing.assert_allclose(arrays["poses3d_mm"], VIEWS[0].to_camera(arrays["world_mm"]), atol=0.01)
    np.testing.assert_allclose(arrays["view_poses2d_px"][:, 0], arrays["poses2d_px"], atol=1e-3)
    assert arrays["view_poses2d_px"].shape == (10, 3, 7, 2) and np.median(arrays["view_errors_px"]) < 0.5
    assert arrays["view_names"].tolist() == ["a", "b", "d"]
    np.testing.assert_allclose(arrays["view_extrinsic_matrices"][1], VIEWS[1].extrinsics, atol=1e-6)
    assert arrays["world_up"].tolist() == [0, 0, 1]
    frames = json.loads((tmp_path / "multiview.json").read_text())["frames"]
    np.testing.assert_allclose(frames[3]["people"][0]["world_mm"], arrays["world_mm"][3], atol=0.006)
    drawn = list(video.VideoFile(tmp_path / "d.overlay.mp4"))
    assert len(drawn) == 10 and drawn[0].image.max() > 100
    assert lines[0].startswith("a.mp4: camera 'a', reprojection error 0.")
    # the second look turns the trunk upright, in each camera's frame
    of_b = next(up for name, up in estimator.turned_up if name == "b.mp4")
    np.testing.assert_allclose(of_b, VIEWS[1].camera.R @ [0, 0, 1], atol=0.05)


def test_moments_that_are_shifted(videos, tmp_path):
    with pytest.raises(UserError, match="a.mp4 has 10 frames and c.mp4 has 12: .* --sync"):
        run(videos, tmp_path, "ac")
    result, _, _ = run(videos, tmp_path, "ac", sync=(0, 2), outputs=("npz",))
    assert result.n_frames == 10
    world = np.load(tmp_path / "multiview.npz")["world_mm"]
    assert np.linalg.norm(world - np.stack([bodies_of(i)[0] for i in range(10)]), axis=-1).mean() < 15


class LossyVideo(video.VideoFile):
    """Frame 5 of a.mp4 cannot be decoded."""

    def __iter__(self):
        return (frame for frame in super().__iter__() if (self.name, frame.index) != ("a.mp4", 5))


def test_time_goes_on_where_the_first_video_lacks_a_frame(videos, monkeypatch):
    """The other one's own time is 0.08 s ahead."""
    monkeypatch.setattr(multiview_inputs, "open_moving", LossyVideo)
    several = Multiview(calibration=str(videos / "cameras.json"), sync=(0, 2))
    with contextlib.closing(Moments(items_of(videos, "ac"), several)) as moments:
        numbers, times_s, views = zip(*((n, time_s, sorted(shown)) for n, time_s, shown in moments), strict=True)
    assert list(numbers) == list(range(10)) and views[4:7] == ([0, 1], [1], [0, 1])
    np.testing.assert_allclose(times_s, np.arange(10) / 25, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "several", "message"),
    [
        ("ab", {"camera_names": ("a",)}, "--camera-names names 1 cameras for 2 videos"),
        ("ab", {"camera_names": ("a", "x")}, "has no camera 'x'; it has a, b, c, d"),
        ("ab", {"camera_names": ("a", "a")}, "Two videos are of the same camera"),
        ("ab", {"sync": (1,)}, "--sync needs a frame number for each of the 2 videos"),
        ("ab", {"sync": (0, 10)}, "--sync says frame 10 of b.mp4, which has 10 frames"),
        ("ab", {"calibration_unit": "mm"}, "all stand within .* of the origin"),
    ],
)
def test_what_does_not_fit(videos, tmp_path, names, several, message):
    with pytest.raises(UserError, match=message):
        run(videos, tmp_path, names, **several)
    assert list(tmp_path.iterdir()) == []


def moments_of(folder, names, cameras, tmp_path, **several):
    (tmp_path / "cameras.json").write_text(json.dumps(cameras))
    return Moments(items_of(folder, names), Multiview(calibration=str(tmp_path / "cameras.json"), **several))


def test_cameras_of_other_names_and_sizes(videos, tmp_path):
    cameras = json.loads((videos / "cameras.json").read_text())
    renamed = {f"cam{i}": cameras[name] for i, name in enumerate("abd")}
    views = moments_of(videos, "abd", renamed, tmp_path).views  # by their order
    assert [v.camera_name for v in views] == ["cam0", "cam1", "cam2"]
    with pytest.raises(UserError, match="has 3 cameras .* and 2 videos are given, none .* --camera-names"):
        moments_of(videos, "ab", renamed, tmp_path)
    with pytest.raises(UserError, match="has no camera 'b'; it has a, c"):
        moments_of(videos, "ab", {"a": cameras["a"], "c": cameras["b"]}, tmp_path)
    large = {n: c | {"K": [300, 300, 159.5, 119.5], "size": [320, 240]} for n, c in cameras.items()}
    view = moments_of(videos, "ab", large, tmp_path).views[0]
    np.testing.assert_allclose(view.camera.K, VIEWS[0].camera.K)
    with pytest.raises(UserError, match="a.mp4 has 160 x 120 pixels, .* calibrated with 320 x 320"):
        moments_of(videos, "ab", {n: c | {"size": [320, 320]} for n, c in large.items()}, tmp_path)
    with pytest.raises(UserError, match="stand at the same place"):
        moments_of(videos, "ab", dict.fromkeys(cameras, cameras["a"]), tmp_path)


def test_the_world_of_a_camera_is_turned_upright(videos, tmp_path):
    """Many calibrations have the first camera's axes."""
    first = VIEWS[0].camera.R
    cameras = {
        v.item.stem: {"K": v.camera.K.tolist(), "R": (v.camera.R @ first.T).tolist(), "t": v.extrinsics[:3, 3].tolist()}
        for v in VIEWS
    }
    up = moments_of(videos, "ab", cameras, tmp_path).views[0].camera.world_up
    assert up.tolist() == [0, -1, 0]


def test_nobody_is_found_with_a_wrong_unit(videos, tmp_path):
    cameras = json.loads((videos / "cameras.json").read_text())
    shrunk = {n: c | {"t": (np.array(c["t"]) / 10).tolist()} for n, c in cameras.items()}
    folder, out = tmp_path / "shrunk", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for name in "ab":
        (folder / f"{name}.mp4").symlink_to(videos / f"{name}.mp4")
    (folder / "cameras.json").write_text(json.dumps(shrunk))
    result, lines, _ = run(folder, out, "ab", outputs=("npz",))
    assert result.n_people == 0 and "its unit" in lines[0]


def test_flags_that_do_not_go_together(videos, tmp_path):
    several = Multiview(calibration=str(videos / "cameras.json"))
    for settings, message in (
        (Demo(fov=60.0, multiview=several), "--fov and --calibration"),
        (Demo(track=False, multiview=several), "leave out --no-track"),
    ):
        with pytest.raises(UserError, match=message):
            multiview.run_multiview("model", [str(videos / "a.mp4")], out_dir=tmp_path, settings=settings)
    with pytest.raises(UserError, match="--calibration needs the video files of several cameras: there is one"):
        multiview.run_multiview("model", [str(videos / "a.mp4")], out_dir=tmp_path, settings=Demo(multiview=several))
    two = [str(videos / f"{name}.mp4") for name in "ab"]
    three = Demo(multiview=dataclasses.replace(several, min_views=3))
    with pytest.raises(UserError, match="--min-views 3 cameras are more than the 2 of the videos"):
        multiview.run_multiview("model", two, out_dir=tmp_path, settings=three)
