"""MuPoTS-3D (MATLAB 5) and 3DPW (pickles of Python 2) with their pictures."""

import pickle

import numpy as np
import pytest
import scipy.io

from data_processing.boxes import box_of_points
from data_processing.cameras import project, to_camera
from data_processing.images import encode_jpeg
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, turn_world

NAMES_17 = get_skeleton("mpi_inf_3dhp_17").joint_names
SMPL_NAMES = get_skeleton("smpl_24").joint_names  # pelvis first, as in the files
WRIST = "lwri"
SIZE = (640, 480)


def write_mupots(raw, *, sequence="TS2"):
    """Two people in three frames; the second is not valid in frame 1, and nobody is in frame 2."""
    view = camera(15)
    folder = raw / "MultiPersonTestSet" / sequence
    folder.mkdir(parents=True)
    cells = np.empty((3, 2), object)
    world = np.stack([[pose(NAMES_17, at=(x, 40 * f)) for x in (-500, 500)] for f in range(3)])
    for frame in range(3):
        for person in range(2):
            points = to_camera(view, world[frame, person])
            valid = frame == 0 or (frame, person) == (1, 0)
            cells[frame, person] = {
                "annot2": project(view, world[frame, person]).T,
                "annot3": points.T,
                "univ_annot3": points.T,
                "isValidFrame": np.array([[valid]]),
            }
        spots = project(view, world[frame, :, list(NAMES_17).index("lwri_3dhp")])
        (folder / f"img_{frame:06d}.jpg").write_bytes(encode_jpeg(picture(SIZE, 60 + 9 * frame, spots)))
    scipy.io.savemat(folder / "annot.mat", {"annotations": cells})
    return view, world


def test_mupots(tmp_path, converted):
    view, world = write_mupots(tmp_path / "raw")
    store = converted("mupots", tmp_path / "raw")
    assert store.splits == {"test": 3} and store.color_fix["sequences"] == [f"TS{i}" for i in range(1, 6)]
    rows = [store.row("test", i) for i in range(3)]
    assert [(r.frame, r.person) for r in rows] == [(0, 0), (0, 1), (1, 0)]
    assert rows[0].image_key == rows[1].image_key == "TS2/img_000000.jpg"
    for row in rows:
        np.testing.assert_allclose(row.coords, to_camera(view, world[row.frame, row.person]), atol=0.01)
        np.testing.assert_allclose(row.camera.K, view.K, atol=0.01)
        np.testing.assert_allclose(row.box_ltwh_px, box_of_points(project(row.camera, row.coords), 1.05), atol=0.01)
        check_reprojection(row, joint=store.skeleton.joint_names.index("lwri_3dhp"))


def test_mupots_bad_files(tmp_path, converted):
    write_mupots(tmp_path / "raw")
    folder = tmp_path / "raw/MultiPersonTestSet/TS2"
    (folder / "img_000001.jpg").unlink()
    with pytest.raises(UserError, match="img_000001.jpg cannot be read"):
        converted("mupots", tmp_path / "raw")
    scipy.io.savemat(folder / "annot.mat", {"something": 1})
    with pytest.raises(UserError, match="no 'annotations'"):
        converted("mupots", tmp_path / "raw", out="other")


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2 wrote: protocol 2, byte strings for text, NumPy's old module names."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_text(self, value):
        data = value.encode("latin1") if isinstance(value, str) else value
        if len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        else:
            self.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_text

    def save_global(self, value, name=None):
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{value.__name__}\n".encode())
        self.memoize(value)

    dispatch[type] = save_global
    dispatch[type(lambda: 0)] = dispatch[type(len)] = save_global


def write_3dpw(raw, *, official="test", name="downtown_test_00"):
    """A hand-held camera that moves, two people; y is up in the world, metres."""
    y_up = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])
    n_frames = 3
    cameras = [turn_world(camera(10 + 5 * f), y_up, (0, 1, 0)) for f in range(n_frames)]
    world = np.stack([[pose(SMPL_NAMES, at=(x, 60 * f)) @ y_up.T for f in range(n_frames)] for x in (-400, 400)])
    extrinsics = np.tile(np.eye(4), (n_frames, 1, 1))
    for f, view in enumerate(cameras):
        extrinsics[f, :3, :3], extrinsics[f, :3, 3] = view.R, -view.R @ view.optical_center_mm / 1000
    poses2d = [np.ones((n_frames, 3, 18)) for _ in range(2)]
    poses2d[1][2, 2] = 0  # the second person is not annotated in frame 2
    valid = [np.array([1, 1, 1]), np.array([1, 0, 1])]
    data = {
        "sequence": name,
        "jointPositions": [w.reshape(n_frames, -1) / 1000 for w in world],
        "cam_poses": extrinsics,
        "cam_intrinsics": cameras[0].K,
        "campose_valid": valid,
        "poses2d": poses2d,
        "img_frame_ids": np.arange(n_frames),
        "genders": ["m", "f"],
        "betas": [np.zeros(10), np.zeros(10)],
    }
    path = raw / "sequenceFiles" / official / f"{name}.pkl"
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        Python2Pickler(file, 2).dump(data)
    folder = raw / "imageFiles" / name
    folder.mkdir(parents=True)
    for f, view in enumerate(cameras):
        spots = project(view, world[:, f, list(SMPL_NAMES).index("lwri_smpl")])
        (folder / f"image_{f:05d}.jpg").write_bytes(encode_jpeg(picture(SIZE, 60 + 9 * f, spots)))
    return cameras, world


def test_3dpw(tmp_path, converted):
    cameras, world = write_3dpw(tmp_path / "raw")
    store = converted("3dpw", tmp_path / "raw")
    rows = [store.row("test", i) for i in range(store.splits["test"])]
    assert [(r.frame, r.person) for r in rows] == [(0, 0), (0, 1), (1, 0), (2, 0)]
    names = store.skeleton.joint_names
    order = [list(SMPL_NAMES).index(n) for n in names]
    for row in rows:
        np.testing.assert_allclose(row.coords, world[row.person, row.frame][order], atol=0.01)
        np.testing.assert_allclose(row.camera.world_up, [0, 1, 0])
        np.testing.assert_allclose(row.camera.optical_center_mm, cameras[row.frame].optical_center_mm, atol=0.01)
        assert row.activity == "test" and row.sequence == "downtown_test_00"
        check_reprojection(row, joint=names.index("lwri_smpl"))


def test_3dpw_bad_files(tmp_path, converted):
    write_3dpw(tmp_path / "raw")
    path = next((tmp_path / "raw").rglob("*.pkl"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a readable pickle.*fetch it again"):
        converted("3dpw", tmp_path / "raw")
    path.write_bytes(pickle.dumps({"sequence": "x"}))
    with pytest.raises(UserError, match="not a sequence file of 3DPW"):
        converted("3dpw", tmp_path / "raw", out="other")
