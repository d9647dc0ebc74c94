"""MPI-INF-3DHP (training and test set) and MuCo-3DHP, from real MATLAB, calibration, AVI and JPEG files."""

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from data_processing import boxes, masks
from data_processing.cameras import make_camera, project, project_camera_frame, to_camera, to_world
from data_processing.datasets import mpi_inf_3dhp_test, muco, skeletool
from data_processing.images import encode_jpeg
from data_processing.registry import DATASETS, get_dataset
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, turn_world, walk, write_video

REAL = Path(__file__).parents[4] / "shared" / "real"
NAMES = get_skeleton("3dhp").joint_names
NAMES_17 = get_skeleton("mpi_inf_3dhp_17").joint_names
WRIST, WRIST_17 = NAMES.index("lwri_3dhp"), NAMES_17.index("lwri_3dhp")
SIZE = (512, 512)
Y_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])


def studio_camera(azimuth, size=SIZE):
    return turn_world(camera(azimuth, size_wh=size, focal=0.9 * size[0]), Y_UP, (0, 1, 0))


def write_calibration(path, cameras):
    def flat(matrix):
        return " ".join(f"{v:.7g}" for v in np.ravel(matrix))

    lines = ["Skeletool Camera Calibration File V1.0"]
    for i, made in enumerate(cameras):
        K, E = np.eye(4), np.eye(4)
        K[:3, :3] = made.K
        E[:3, :3], E[:3, 3] = made.R, -made.R @ made.optical_center_mm
        lines += [f"name          {i}", "  sensor      10 10", "  size        2048 2048", "  animated    0"]
        lines += [f"  intrinsic   {flat(K)} ", f"  extrinsic   {flat(E)} ", "  radial      0"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_annotations(path, cameras, world):
    """annot.mat (version 5): cells of [frames, 84] in each camera's frame."""
    cells = np.empty((len(cameras), 1), object)
    for i, made in enumerate(cameras):
        cells[i, 0] = to_camera(made, world).reshape(len(world), -1)
    names = ("annot3", "univ_annot3")
    scipy.io.savemat(path, {**dict.fromkeys(names, cells), "frames": np.arange(len(world))})


def person_mask(made, points, size=SIZE):
    left, top, width, height = np.round(boxes.box_of_points(project(made, points), 1.02)).astype(int)
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[max(0, top) : top + height, max(0, left) : left + width] = 255
    return mask


def write_training(raw, world, *, with_masks=True, cameras=None):
    cameras = cameras or [studio_camera(20), studio_camera(100)]
    folder = raw / "S1/Seq1"
    write_calibration(folder / "camera.calibration", cameras)
    write_annotations(folder / "annot.mat", cameras, world)
    for i, made in enumerate(cameras):
        pictures = [picture(SIZE, 40 + 4 * f, project(made, w[[WRIST]])) for f, w in enumerate(world)]
        write_video(folder / f"imageSequence/video_{i}.avi", pictures, codec="mpeg4")
        if with_masks:
            keyed = []
            for w in world:
                mask = np.repeat(person_mask(made, w)[..., None], 3, 2)
                mask[:20, :20] = 255  # something else that is not green
                keyed.append(mask)
            write_video(folder / f"FGmasks/video_{i}.avi", keyed, codec="mpeg4")
    return cameras


def test_training_set(tmp_path, converted):
    world = walk(NAMES, 5, step_mm=60) @ Y_UP.T
    write_training(tmp_path / "raw", world)
    store = converted("3dhp", tmp_path / "raw")
    assert store.skeleton.joint_names == NAMES and store.color_fix == {"gamma": 0.67, "white_balance": [110, 145]}
    rows = [store.row("train", i) for i in range(store.splits["train"])]
    assert [(r.image_key.split("/")[2], r.frame) for r in rows] == [
        (f"video_{c}", f) for c in range(2) for f in (0, 2, 4)
    ]
    for row in rows:
        np.testing.assert_allclose(row.coords, world[row.frame], atol=0.02)  # the calibration has seven digits
        np.testing.assert_allclose(row.camera.world_up, [0, 1, 0])
        check_reprojection(row, joint=WRIST, level=40 + 4 * row.frame)
        mask = masks.decode(row.mask)
        assert mask.shape == tuple(row.image_size_wh[::-1])
        assert boxes.iou(masks.box_of(mask), row.box_ltwh_px) > 0.85


def test_people_outside_the_picture_are_left_out_and_masks_may_be_absent(tmp_path, converted):
    world = np.stack([pose(NAMES), pose(NAMES, at=(9000, 0))]) @ Y_UP.T
    write_training(tmp_path / "raw", world, with_masks=False)
    store = converted("3dhp", tmp_path / "raw")
    assert store.splits == {"train": 2} and store.row("train", 0).mask is None
    assert store.metadata["provenance"]["left_out"]["fewer than a third of the joints visible"] == 2


def test_swapped_sides_and_unfit_masks_are_mended_unless_asked_for(tmp_path, converted, monkeypatch):
    """In S4/Seq2 left and right are swapped in the labels of frames 3759 to 5852; here, in 1 to 2."""
    fault = get_dataset("3dhp").faults_of("sides", "S4/Seq2")[0]
    assert fault.frames == (3759, 5852) and not get_dataset("3dhp").faults_of("sides", "S4/Seq1")
    moved = dataclasses.replace(fault, frames=(1, 2))
    infos = {n: dataclasses.replace(DATASETS[n], faults=(moved, *DATASETS[n].faults[1:])) for n in ("3dhp", "muco")}
    monkeypatch.setattr("data_processing.registry.DATASETS", {**DATASETS, **infos})
    world = np.stack([pose(NAMES, at=(200 * i, 0), swing_mm=400) for i in range(4)]) @ Y_UP.T
    published = world.copy()
    published[1:3] = world[1:3][:, get_skeleton("3dhp").mirror]
    for subject, sequence in ((4, 2), (4, 1)):
        write_training(tmp_path / f"raw{sequence}", published, cameras=[studio_camera(20)])
        (tmp_path / f"raw{sequence}/S1/Seq1").rename(tmp_path / f"raw{sequence}/S1/Seq{sequence}")
        (tmp_path / f"raw{sequence}/S1").rename(tmp_path / f"raw{sequence}/S{subject}")
    mended = converted("3dhp", tmp_path / "raw2")
    for row in (mended.row("train", i) for i in range(4)):
        np.testing.assert_allclose(row.coords, world[row.frame], atol=0.02)
        assert row.mask is None
    assert mended.metadata["provenance"]["notes"] == [
        "S4/Seq2: masks not used: masks unfit for replacing the background"
    ]
    left = converted("3dhp", tmp_path / "raw2", out="left", as_published=True)
    other = converted("3dhp", tmp_path / "raw1", out="other")
    for store in (left, other):
        for row in (store.row("train", i) for i in range(4)):
            np.testing.assert_allclose(row.coords, published[row.frame], atol=0.02)
            assert row.mask is not None


def test_the_best_scored_detection_widens_the_box(tmp_path, converted):
    cameras = write_training(tmp_path / "raw", pose(NAMES)[None] @ Y_UP.T, cameras=[studio_camera(20)])
    left, top, width, height = boxes.box_of_points(project(cameras[0], pose(NAMES) @ Y_UP.T), 1.05)
    found = {
        "S1/Seq1/imageSequence/video_0.avi/000000": [[left - 30, top, width + 30, height, 0.9], [left, top, 9, 9, 0.3]]
    }
    (tmp_path / "d.json").write_text(json.dumps(found))
    plain = converted("3dhp", tmp_path / "raw").row("train", 0)
    wide = converted("3dhp", tmp_path / "raw", out="b", detector=f"json:{tmp_path / 'd.json'}").row("train", 0)
    ratio = wide.box_ltwh_px[2] / wide.box_ltwh_px[3] / (plain.box_ltwh_px[2] / plain.box_ltwh_px[3])
    assert ratio == pytest.approx((width + 30) / width, rel=0.03)


def test_bad_training_files(tmp_path, converted):
    world = pose(NAMES)[None] @ Y_UP.T
    write_training(tmp_path / "raw", world)
    calibration = tmp_path / "raw/S1/Seq1/camera.calibration"
    text = calibration.read_text()
    calibration.write_text(text[:300])
    with pytest.raises(UserError, match="not a camera calibration"):
        converted("3dhp", tmp_path / "raw")
    calibration.write_text(text)
    video = tmp_path / "raw/S1/Seq1/imageSequence/video_1.avi"
    video.write_bytes(video.read_bytes()[:100])
    with pytest.raises(UserError, match=r"video_1.avi is not a readable video"):
        converted("3dhp", tmp_path / "raw")


def test_the_up_direction_is_read_off_the_cameras(tmp_path):
    for matrix, up in ((Y_UP, (0, 1, 0)), (np.diag([1, -1, -1.0]) @ Y_UP, (0, -1, 0))):
        cameras = [turn_world(camera(a), matrix, up) for a in (0, 90, 200)]
        write_calibration(tmp_path / "c", cameras)
        assert skeletool.read_cameras(tmp_path / "c")[0].world_up.tolist() == list(up)


def write_test_set(raw, number, world, valid):
    made = mpi_inf_3dhp_test.camera_of(number)
    folder = raw / f"TS{number}"
    (folder / "imageSequence").mkdir(parents=True)
    points = to_camera(made, world)
    with h5py.File(folder / "annot_data.mat", "w") as file:  # axes reversed, as MATLAB 7.3 writes them
        file["annot3"] = points[:, None]
        file["univ_annot3"] = points[:, None]
        file["annot2"] = project_camera_frame(made, points)[:, None]
        file["valid_frame"] = np.array(valid, float)[:, None]
        file["activity_annotation"] = np.array([1.0, 2, 7])[: len(world), None]
    size = (2048, 2048) if number <= 4 else (1920, 1080)
    for i, w in enumerate(world):
        image = picture(size, 40 + i, project(made, w[[WRIST_17]]))
        (folder / "imageSequence" / f"img_{i + 1:06d}.jpg").write_bytes(encode_jpeg(image))


@pytest.mark.parametrize("number", [2, 6])
def test_test_set(tmp_path, converted, number):
    made = mpi_inf_3dhp_test.camera_of(number)
    upright = pose(NAMES_17) @ Y_UP.T
    world = upright - upright.mean(0) + to_world(made, [0, 0, 4000])
    world = np.stack([world + [50 * i, 0, 0] for i in range(3)])
    write_test_set(tmp_path / "raw", number, world, valid=[1, 0, 1])
    store = converted("3dhp-test", tmp_path / "raw")
    assert store.splits == {"test": 2} and store.skeleton.joint_names == NAMES_17
    rows = [store.row("test", i) for i in range(2)]
    assert [(r.frame, r.activity) for r in rows] == [(1, "Stand/Walk"), (3, "Misc.")]
    for row, w in zip(rows, world[[0, 2]], strict=True):
        np.testing.assert_allclose(row.coords, w, atol=1e-2)
        assert row.sequence == f"TS{number}" and row.camera.lens.is_pinhole == (number == 2)
        check_reprojection(row, joint=WRIST_17)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_nested_test_set_is_found(tmp_path, converted, depth):
    """The authors' script makes a folder in a folder of the same name."""
    upright = pose(NAMES_17) @ Y_UP.T
    world = upright - upright.mean(0) + to_world(mpi_inf_3dhp_test.camera_of(6), [0, 0, 4000])
    write_test_set(tmp_path / ("raw" + depth * "/mpi_inf_3dhp_test_set"), 6, world[None], valid=[1])
    assert converted("3dhp-test", tmp_path / "raw").splits == {"test": 1}


@pytest.mark.skipif(not REAL.is_dir(), reason="the real labels are not on this machine")
def test_the_test_sets_camera_on_real_labels():
    label = next(v for v in json.loads((REAL / "labels.json").read_text()) if v["image"] == "TS1_002001.jpg")
    person = label["people"][0]
    found = project_camera_frame(mpi_inf_3dhp_test.camera_of(1), np.array(person["coords3d_mm"]))
    # all but three joints, whose 2D labels were moved by hand, agree up to the labels' rounding to 0.01
    errors = np.linalg.norm(found - person["coords2d_px"], axis=1)
    assert (errors < 0.02).sum() == 14


def test_bad_test_files(tmp_path, converted):
    folder = tmp_path / "raw" / "TS1"
    folder.mkdir(parents=True)
    with h5py.File(folder / "annot_data.mat", "w") as file:
        file["annot3"] = np.zeros((1, 1, 17, 3))
    with pytest.raises(UserError, match=r"annot_data.mat lacks activity_annotation, valid_frame"):
        converted("3dhp-test", tmp_path / "raw")


def write_muco(raw):
    """One camera, four people at different depths, the nearest in front of the second."""
    made = studio_camera(0, (2048, 2048))
    at = [(0, -1500), (420, 0), (-1200, 0), (1300, 500)]
    world = np.stack([pose(NAMES, at=a) for a in at]) @ Y_UP.T
    folder = raw / "3dhp/S1/Seq1"
    write_calibration(folder / "camera.calibration", [made])
    write_annotations(folder / "annot.mat", [made], world)
    for kind in ("FGmasks", "ChairMasks"):
        (folder / kind).mkdir()
    for frame, w in enumerate(world):
        mask = person_mask(made, w, (2048, 2048))
        (folder / f"FGmasks/img_0_{frame:06d}.jpg").write_bytes(encode_jpeg(np.repeat(mask[..., None], 3, 2)))
        chair = np.full((2048, 2048, 3), 255, np.uint8)
        if frame == 0:
            chair[1900:2000, 900:1000] = 0
        (folder / f"ChairMasks/img_0_{frame:06d}.jpg").write_bytes(encode_jpeg(chair))
    images = raw / muco.IMAGE_FOLDER
    images.mkdir(parents=True)
    spots = project(made, world[:, WRIST])
    (images / "000001.jpg").write_bytes(encode_jpeg(picture((2048, 2048), 80, spots)))
    with h5py.File(raw / "sampled_dataset_info.mat", "w") as file:
        cells = file.create_dataset("composite_info", (4, 2), h5py.ref_dtype)
        for person in range(4):
            for sample in range(2):
                values = file.create_dataset(f"#v#/{person}{sample}", data=np.array([[1.0], [1], [0], [person]]))
                inner = file.create_dataset(f"#i#/{person}{sample}", (1, 1), h5py.ref_dtype)
                inner[0, 0] = values.ref
                cells[person, sample] = inner.ref
    return made, world


def test_muco(tmp_path, converted):
    made, world = write_muco(tmp_path / "raw")
    store = converted("muco", tmp_path / "raw")
    assert store.splits == {"train": 4}
    assert store.metadata["provenance"]["left_out"] == {"image or mask missing or broken": 1}
    for person in range(4):
        row = store.row("train", person)
        assert (row.person, row.frame, row.sequence) == (person, 1, "S1/Seq1")
        np.testing.assert_allclose(row.coords, world[person], atol=0.02)
        np.testing.assert_allclose(row.camera.R, made.R, atol=1e-5)  # not turned
        check_reprojection(row, joint=WRIST)
        # the mask covers all four people and the chair, so more than this person where others are near
        mask = masks.decode(row.mask)
        box = row.box_ltwh_px.round().astype(int)
        assert mask[box[1] + 2 : box[1] + box[3] - 2, box[0] + 2 : box[0] + box[2] - 2].mean() > 0.97
    hidden = store.row("train", 1)
    whole = boxes.box_of_points(project(hidden.camera, hidden.coords))
    assert hidden.box_ltwh_px[2] < 0.8 * whole[2]  # the nearest person covers a part of the second


def test_pictures_numbered_from_1_show_the_frame_before(tmp_path, converted):
    """Extracted without `-start_number 0`, img_0_000003.jpg shows frame 2, and so does a composite made of it."""
    _, world = write_muco(tmp_path / "raw")
    folder = tmp_path / "raw/3dhp/S1/Seq1"
    for kind in ("FGmasks", "ChairMasks"):
        for frame in (3, 2, 1, 0):
            (folder / kind / f"img_0_{frame:06d}.jpg").rename(folder / kind / f"img_0_{frame + 1:06d}.jpg")
    with h5py.File(tmp_path / "raw/sampled_dataset_info.mat", "a") as file:
        for person in range(4):
            file[f"#v#/{person}0"][3] = person + 1  # the pictures of these numbers were put together
    store = converted("muco", tmp_path / "raw")
    for person in range(4):
        row = store.row("train", person)
        np.testing.assert_allclose(row.coords, world[person], atol=0.02)
        check_reprojection(row, joint=WRIST)
    assert store.metadata["provenance"]["notes"] == ["pictures of MPI-INF-3DHP are numbered from 1"]


def test_who_is_nearer_follows_from_the_universal_poses(tmp_path, converted):
    """The composition orders people by `univ_annot3`, which may disagree with `annot3`."""
    write_muco(tmp_path / "raw")
    path = tmp_path / "raw/3dhp/S1/Seq1/annot.mat"
    data = scipy.io.loadmat(path)
    cell = data["univ_annot3"][0, 0].reshape(4, 28, 3).copy()
    cell[0, :, 2] += 9000  # the one in front is put together as if farthest
    data["univ_annot3"][0, 0] = cell.reshape(4, -1)
    scipy.io.savemat(path, {k: v for k, v in data.items() if not k.startswith("__")})
    second = converted("muco", tmp_path / "raw").row("train", 1)
    whole = boxes.box_of_points(project(second.camera, second.coords))
    assert second.box_ltwh_px[2] > 0.9 * whole[2]  # nobody covers it


def test_muco_bad_files(tmp_path, converted):
    write_muco(tmp_path / "raw")
    path = tmp_path / "raw" / "sampled_dataset_info.mat"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="not a readable MATLAB 7.3 file"):
        converted("muco", tmp_path / "raw")
    path.unlink()
    with pytest.raises(UserError, match="sampled_dataset_info.mat is missing. Expected in the raw folder"):
        converted("muco", tmp_path / "raw")


def test_unused_camera_helpers_agree():
    made = make_camera(np.eye(3), [1, 2, 3], np.eye(3))
    np.testing.assert_allclose(to_world(made, to_camera(made, [[4.0, 5, 6]])), [[4, 5, 6]])
