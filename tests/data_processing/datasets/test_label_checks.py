"""The guards in a conversion: they stop it before pictures are read, and can be turned off."""

import json

import numpy as np
import pytest
import scipy.io

from data_processing import masks
from data_processing.cameras import project, to_camera
from data_processing.conversion import convert
from data_processing.converter import Options, UnitOutput
from data_processing.registry import get_dataset
from metrabs_acae.errors import UserError

from ..motion import moving
from ..people import rows_of
from .test_3dhp import NAMES, Y_UP, studio_camera, write_calibration, write_training
from .test_jta import write as write_jta

N = 900


def write_labels(raw, *, change=lambda poses: poses, cameras=None, cameras_written=None):
    """annot.mat with 2D joints and the calibration of a recording, without pictures."""
    cameras = cameras or [studio_camera(20), studio_camera(100)]
    folder = raw / "S1/Seq1"
    world = moving(NAMES, N) @ Y_UP.T
    write_calibration(folder / "camera.calibration", cameras_written or cameras)
    cells = {name: np.empty((len(cameras), 1), object) for name in ("annot2", "annot3", "univ_annot3")}
    for i, made in enumerate(cameras):
        cells["annot2"][i, 0] = project(made, world).reshape(N, -1)
        for name in ("annot3", "univ_annot3"):
            cells[name][i, 0] = change(to_camera(made, world)).reshape(N, -1)
    scipy.io.savemat(folder / "annot.mat", cells)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda p: p / 1000, "median extent of .* metres"),
        (lambda p: np.roll(p, 1, 0), "a frame late"),
        (lambda p: np.concatenate([p[:300], p[300:700, [NAMES.index(_mirror(n)) for n in NAMES]], p[700:]]), "swapped"),
        (lambda p: p * [1, -1, -1], "OpenGL"),
    ],
)
def test_labels_that_contradict_each_other_stop_a_conversion(tmp_path, converted, change, words):
    write_labels(tmp_path / "raw", change=change)
    with pytest.raises(UserError, match=rf"S1/Seq1/annot.mat: .*{words}.*--allow-suspicious-data") as caught:
        converted("3dhp", tmp_path / "raw")
    assert "video_0.avi" not in str(caught.value)  # no picture was looked for


def _mirror(name):
    return {"l": "r", "r": "l"}.get(name[0], name[0]) + name[1:]


def test_a_second_cameras_calibration_is_named(tmp_path, converted):
    cameras = [studio_camera(20), studio_camera(107)]
    write_labels(tmp_path / "raw", cameras=cameras, cameras_written=cameras[::-1])
    with pytest.raises(UserError, match="cameras 0 and 1 lie .* apart in the world"):
        converted("3dhp", tmp_path / "raw")


def test_checks_can_be_turned_off(tmp_path, converted):
    write_training(
        tmp_path / "raw", moving(NAMES, 3, fps=5)[:, [NAMES.index(_mirror(n)) for n in NAMES]] @ Y_UP.T / 1000
    )
    with pytest.raises(UserError, match="metres"):
        converted("3dhp", tmp_path / "raw")
    info = get_dataset("3dhp")
    converter = info.load_converter()(info, tmp_path / "raw", Options())
    with pytest.raises(UserError, match="no example was found"):  # of millimetres, in the pictures' middle
        convert(converter, tmp_path / "other", workers=0, progress=False, allow_suspicious=True)


def test_an_older_release_with_other_axes_is_named(tmp_path, converted):
    write_jta(tmp_path / "raw", [[(3, 300 * i - 900, 0, ())] for i in range(7)])
    path = tmp_path / "raw/annotations/train/seq_0.json"
    rows = json.loads(path.read_text())
    for row in rows:
        row[5:8] = [row[5], -row[6], row[7]]  # y up
    path.write_text(json.dumps(rows))
    with pytest.raises(UserError, match=r"seq_0.json: in frames 0 to 6 .* axes are \(x, -y, z\)"):
        converted("jta", tmp_path / "raw")


def test_masks_of_whole_crops_are_refused(tmp_path, converted):
    world = moving(NAMES, 24, fps=5) @ Y_UP.T
    write_training(tmp_path / "raw", world[:4], cameras=[studio_camera(20)])
    white = tmp_path / "raw/S1/Seq1/FGmasks/video_0.avi"
    _write_white(white, 4)
    store = converted("3dhp", tmp_path / "raw")
    rows = rows_of(store)
    assert rows and all(r.mask is None for r in rows)
    assert "the mask covers the whole crop (the example is kept without it)" in store.metadata["provenance"]["left_out"]
    write_training(tmp_path / "raw2", world, cameras=[studio_camera(20)])
    _write_white(tmp_path / "raw2/S1/Seq1/FGmasks/video_0.avi", 24)
    with pytest.raises(UserError, match="23 of 23 masks cover their whole crop"):
        converted("3dhp", tmp_path / "raw2", out="other")


def _write_white(path, n):
    from ..people import write_video
    from .test_3dhp import SIZE

    path.unlink()
    write_video(path, [np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)] * n, codec="mpeg4")


def test_people_who_are_never_detected_where_labels_put_them(tmp_path):
    output = UnitOutput(tmp_path, tmp_path / "u.jsonl")
    for _ in range(30):
        output.skip("no detection")
    with pytest.raises(UserError, match="x: 30 of 30 labelled people were not detected"):
        output.check("x", get_dataset("3dhp").get_skeleton())
    output.rows.discard()


def test_the_first_units_all_faulty_stop_the_rest(tmp_path, converted):
    cameras = [studio_camera(40 * i) for i in range(8)]
    write_labels(tmp_path / "raw", change=lambda p: p / 1000, cameras=cameras)
    with pytest.raises(UserError, match="The first 5 units all have labels that cannot be right.*metres"):
        converted("3dhp", tmp_path / "raw")


def test_far_fewer_examples_than_expected_are_said(tmp_path, converted):
    from .test_mads import write as write_mads

    write_mads(tmp_path / "raw")
    store = converted("mads", tmp_path / "raw")
    assert "about 32,649 of the whole dataset" in store.metadata["provenance"]["warning"]
    assert "warning" not in converted("mads", tmp_path / "raw", out="b", limit=1).metadata["provenance"]


def test_a_usable_mask_is_one_that_leaves_something(tmp_path):
    output = UnitOutput(tmp_path, tmp_path / "u.jsonl")
    mask = np.ones((100, 100), bool)
    assert output.usable_mask(masks.encode(mask)) is None
    mask[:2] = False
    assert output.usable_mask(masks.encode(mask)) is not None
    output.rows.discard()
