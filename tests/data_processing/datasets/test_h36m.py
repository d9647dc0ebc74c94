"""Human3.6M from real CDF, 7.3 .mat, XML and MP4 files of a stick person."""

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.datasets import h36m
from metrabs_acae.data.crop import looking_rotation
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.protocols.human36m import ACTIVITIES
from metrabs_acae.evaluation.truth import truth_from_store

from ..people import check_reprojection, picture, pose, write_video

cdflib = pytest.importorskip("cdflib")
SIZE = (320, 320)
WRIST = 16  # lwri_h36m in the skeleton's order
EULER = Rotation.from_matrix(looking_rotation(np.array([500.0, 4000, -400]), np.array([0, 0, 1.0]))).as_euler("XYZ")


def write_metadata(path):
    """Cameras: rotated by EULER, 4 m away in their viewing direction, a real lens."""
    R = h36m.euler_rotation(*EULER)
    center = np.array([0, 0, 900.0]) - 4000 * R[2]
    extrinsics = np.zeros((4, 11, 6))
    extrinsics[:] = [*EULER, *center]
    extrinsics[1, :, 5] += 300
    lens = [360.0, 361.0, 158.0, 163.0, -0.2, 0.24, -0.003, -0.0014, -0.001]
    numbers = np.concatenate([extrinsics.ravel(), np.tile(lens, 4)])
    path.parent.mkdir(parents=True)
    path.write_text(f"<metadata><w0>[{' '.join(f'{v:.17g}' for v in numbers)}]</w0></metadata>")


def write_sequence(raw, subject, activity, frames, *, shift_labels=0.0, cameras=h36m.CAMERAS, video_frames=None):
    """Labels in the 32 raw joints; pictures with a spot at the left wrist; boxes as masks in 7.3 files."""
    names = _names()
    true = np.stack([pose(names, at=(at, 0)) for at in frames])
    raw_joints = np.zeros((len(frames), 32, 3))
    raw_joints[:, h36m.RAW_JOINTS] = true + [shift_labels, 0, 0]
    folder = raw / f"S{subject}"
    cdf_path = folder / "MyPoseFeatures/D3_Positions" / f"{activity}.cdf"
    cdf_path.parent.mkdir(parents=True, exist_ok=True)
    cdf = cdflib.cdfwrite.CDF(str(cdf_path), cdf_spec={"Encoding": 6, "Compressed": 0})
    spec = {"Variable": "Pose", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": [len(frames), 96]}
    cdf.write_var(spec, var_data=raw_joints.reshape(1, len(frames), 96))
    cdf.close()
    for name in cameras:
        camera = h36m.read_cameras(raw / "Release-v1.2/metadata.xml")[name, subject]
        points = project(camera, true)
        pictures = [picture(SIZE, 40 + 2 * i, points[i, WRIST]) for i in range(video_frames or len(frames))]
        write_video(folder / "Videos" / f"{activity}.{name}.mp4", pictures, fps=50)
        shifted = project(camera, true + [shift_labels, 0, 0])
        write_boxes(folder / "MySegmentsMat/ground_truth_bb" / f"{activity}.{name}.mat", shifted)
    return true


def write_boxes(path, points):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        references = file.create_dataset("Masks", (len(points), 1), h5py.ref_dtype)
        for i, frame in enumerate(points):
            left, top, width, height = np.round(box_of_points(frame)).astype(int)
            mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
            mask[max(0, top) : top + height, max(0, left) : left + width] = 1
            references[i, 0] = file.create_dataset(f"#refs#/{i}", data=mask.T).ref


def _names():
    from metrabs_acae.skeletons import get_skeleton

    return get_skeleton("h36m").joint_names


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    write_metadata(folder / "Release-v1.2" / "metadata.xml")
    return folder


def test_euler_angles_agree_with_an_independent_library():
    expected = Rotation.from_euler("XYZ", EULER).as_matrix()
    np.testing.assert_allclose(h36m.euler_rotation(*EULER), expected, atol=1e-12)


def test_training_frames_are_every_fifth_then_by_motion(raw, converted):
    # 8 mm a frame: frames 0, 5, 10, 15 are 40 mm apart, so 0 and 15 are kept (120 mm)
    true = write_sequence(raw, 1, "Walking 1", [8.0 * i for i in range(21)], cameras=h36m.CAMERAS[:2])
    (raw / "S1/MyPoseFeatures/D3_Positions/_ALL.cdf").write_bytes(b"")
    store = converted("h36m", raw, skip_broken=True)
    assert store.splits == {"train": 4} and store.metadata["clean"]
    rows = [store.row("train", i) for i in range(4)]
    assert [(r.sequence, r.frame) for r in rows] == [
        (f"S1_Walking 1.{c}", f) for c in h36m.CAMERAS[:2] for f in (0, 15)
    ]
    assert rows[0].activity == "Walking"
    for row in rows:
        np.testing.assert_allclose(row.coords, true[row.frame], atol=0.01)
        assert row.camera.lens.is_pinhole  # crops are undistorted
        check_reprojection(row, joint=WRIST, level=40 + 2 * row.frame)
        joints = project(row.camera, row.coords)
        box = row.box_ltwh_px
        assert (joints > box[:2] - 3).all() and (joints < box[:2] + box[2:] + 3).all()


def test_test_frames_are_every_64th_and_s9_is_corrected(raw, converted):
    at = [0.0] * 65
    true = write_sequence(raw, 9, "Greeting", at, shift_labels=200.0, cameras=h36m.CAMERAS[:1])
    store = converted("h36m", raw, skip_broken=True)
    assert store.splits == {"test": 2}
    row = store.row("test", 1)
    assert row.frame == 64
    np.testing.assert_allclose(row.coords, true[64], atol=0.01)
    check_reprojection(row, joint=WRIST)
    joints = project(row.camera, row.coords)
    np.testing.assert_allclose(box_of_points(joints), row.box_ltwh_px, atol=4)


def test_the_benchmark_keeps_labels_and_frames_as_released(raw, converted):
    true = write_sequence(raw, 9, "Greeting", [0.0] * 3, shift_labels=200.0, cameras=h36m.CAMERAS[:1])
    write_sequence(raw, 1, "Greeting", [0.0], cameras=h36m.CAMERAS[:1])
    store = converted("h36m-test", raw, skip_broken=True)
    assert store.splits == {"test": 1}
    row = store.row("test", 0)
    np.testing.assert_allclose(row.coords, true[0] + [200, 0, 0], atol=0.01)
    assert tuple(row.image_size_wh) == SIZE
    np.testing.assert_allclose(row.camera.lens.coefficients, [-0.2, 0.24, -0.0014, -0.001, -0.003], atol=1e-6)
    np.testing.assert_allclose(row.box_ltwh_px, box_of_points(project(row.camera, row.coords)), atol=1.5)
    truth = truth_from_store(store)  # what the benchmark's protocol reads
    assert truth.sequence[0].startswith("S9_") and truth.activity[0] in ACTIVITIES


def test_a_missing_video_and_a_cut_off_file_are_named(raw, converted):
    write_sequence(raw, 5, "Eating", [0.0] * 6, cameras=h36m.CAMERAS[:1])
    with pytest.raises(UserError, match=r"3 of 4 units.*Eating\.55011271\.mat is missing"):
        converted("h36m", raw)
    path = raw / "S5/MyPoseFeatures/D3_Positions/Eating.cdf"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match="Eating.cdf is not a readable CDF"):
        converted("h36m", raw, out="other", limit=1)
    (raw / "Release-v1.2/metadata.xml").write_text("<metadata><w0>[1 2 3]</w0></metadata>")
    with pytest.raises(UserError, match="not Human3.6M's metadata"):
        converted("h36m", raw, out="third")


def test_the_corrupt_video_is_named_and_left_out(raw, converted):
    write_sequence(raw, 11, "Directions", [0.0])
    (raw / "S11/Videos/Directions.54138969.mp4").write_bytes(b"as released")
    for name in ("h36m", "h36m-test"):
        store = converted(name, raw, out=name)
        assert {store.row("test", i).sequence for i in range(3)} == {f"S11_Directions.{c}" for c in h36m.CAMERAS[1:]}
        assert store.metadata["provenance"]["known_faults"]["units_left_out"] == ["S11/Directions.54138969"]
    with pytest.raises(UserError, match=r"Directions.54138969.mp4 is not a readable video"):
        converted("h36m", raw, out="as_published", as_published=True)


def test_a_video_shorter_than_its_labels_is_counted(raw, converted):
    write_sequence(raw, 5, "Eating", [50.0 * i for i in range(21)], cameras=h36m.CAMERAS[:1], video_frames=12)
    store = converted("h36m", raw, skip_broken=True)
    assert [store.row("train", i).frame for i in range(3)] == [0, 5, 10]
    assert store.metadata["provenance"]["left_out"] == {"the video ends before the labels": 2}
