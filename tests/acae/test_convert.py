"""Anybody's keypoints between skeletons by what the package knows: errors as stated, gaps, files, refusals."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from experiments import joint_moments
from metrabs_acae.acae import translate
from metrabs_acae.acae.__main__ import main
from metrabs_acae.acae.convert import convert_poses, find_joints
from metrabs_acae.acae.pose_arrays import read_pose_arrays
from metrabs_acae.errors import UserError
from metrabs_acae.geometry.joint_moments import JointMoments

ROOT = Path(__file__).parents[2]
TO_SMPL = ("convert", "--from", "blazepose_33", "--to", "smpl_24")


@pytest.fixture(scope="module")
def people():
    """Skeleton -> [40, J, 3] mm of held-out people."""
    poses, names = joint_moments.people(range(40), held_out=True)
    index = {name: i for i, name in enumerate(names)}
    moments = JointMoments.load()
    return lambda skeleton: poses[:, [index[n] for n in find_joints(moments, skeleton)]].astype(np.float64)


def error(poses, true) -> float:
    return float(np.linalg.norm(poses - true, axis=-1).mean())


@pytest.mark.parametrize(
    "source, target, mm",
    [("blazepose_33", "smpl_24", 10.6), ("coco_17", "smpl_24", 18.5), ("h36m_17", "coco_17", 12.0)],
)
def test_errors_are_those_of_the_table(people, source, target, mm):
    assert error(translate(people(source), source, target), people(target)) == pytest.approx(mm, rel=0.2)
    page = (ROOT / "benchmarks" / "results" / "translation.md").read_text()
    assert re.search(rf"\| {source} +\| {target} +\| +{mm} \|", page)


def test_frame_and_unit_do_not_matter(people):
    poses = people("blazepose_33")
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    moved = translate(poses @ turn.T / 1000 + [1.0, 2, 3], "blazepose_33", "smpl_24")
    np.testing.assert_allclose(moved, translate(poses, "blazepose_33", "smpl_24") @ turn.T / 1000 + [1.0, 2, 3])
    assert translate(poses[0], "blazepose_33", ["nose_coco", "lhip_h36m"]).shape == (2, 3)
    assert translate(poses.reshape(4, 10, 33, 3), "blazepose_33", "all").shape == (4, 10, 649, 3)


def test_a_mirrored_frame_passes_through_and_is_told(people):
    poses = people("h36m_17")
    with pytest.warns(UserWarning, match="left-handed"):
        mirrored = translate(poses * [1, 1, -1], "h36m_17", "smpl_24")
    np.testing.assert_allclose(mirrored, translate(poses, "h36m_17", "smpl_24") * [1, 1, -1])


def test_missing_joints_are_filled_from_the_others(people):
    poses = people("blazepose_33")
    gaps = np.concatenate([poses, np.ones((40, 33, 1))], axis=-1)
    gaps[:10, 13:17, 3] = 0  # elbows and wrists, by confidence
    gaps[10:20, 27:33, :3] = 0  # feet, at zero
    gaps[20, 3:] = np.nan
    converted, true = translate(gaps, "blazepose_33", "smpl_24"), people("smpl_24")
    whole = translate(poses, "blazepose_33", "smpl_24")
    np.testing.assert_allclose(converted[21:], whole[21:])
    assert np.isnan(converted[20]).all() and np.isfinite(np.delete(converted, 20, axis=0)).all()
    assert error(whole[:20], true[:20]) < error(converted[:20], true[:20]) < 70
    root = poses - poses[:, 23:24]  # one joint always at zero is no gap
    np.testing.assert_allclose(translate(root, "blazepose_33", "smpl_24"), whole - poses[:, 23:24])


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda p: p[..., :2], "2 coordinates a joint"),
        (lambda p: p * [1, 1, 0], "flat, like 2D keypoints"),
        (lambda p: np.concatenate([p[..., :2], np.full((40, 33, 1), 0.9)], axis=-1), "flat, like 2D keypoints"),
        (lambda p: p[:, ::-1], "not those of a body with these joints"),
        (lambda p: p[:, :17], r"got the shape \[40, 17, 3\]. 17 joints have: h36m_17"),
        (lambda p: p * 0, "No pose has 4 joints"),
        (lambda p: np.ones_like(p), "stand at one point"),
        (lambda p: p / 0.0, "infinite"),
        (lambda p: p[0, 0], "shape"),
    ],
)
def test_what_is_no_3d_pose_of_the_skeleton_is_refused(people, change, sentence):
    with np.errstate(divide="ignore"), pytest.raises(UserError, match=sentence):
        translate(change(people("blazepose_33")), "blazepose_33", "smpl_24")


def test_another_order_of_joints_is_refused(people):
    for source, other in (("h36m_17", "mpi_inf_3dhp_17"), ("coco_17", "h36m_17"), ("openpose_body_25", "kinectv2_25")):
        with pytest.raises(UserError, match="is this the right skeleton"):
            translate(people(source), other, "smpl_24")
    swapped = people("smpl_24")[:, [*range(20), 21, 20, 22, 23]]
    with pytest.raises(UserError, match="most out of place: [lr](wri|han)_smpl, [lr](wri|han)_smpl"):
        translate(swapped, "smpl_24", "h36m_17")
    noisy = people("smpl_24") + np.random.default_rng(0).normal(0, 80, swapped.shape)
    with pytest.warns(UserWarning, match="hardly those of a body"):
        translate(noisy, "smpl_24", "h36m_17")


def test_unknown_skeletons_are_listed():
    with pytest.raises(UserError, match="no skeleton 'body_25'.*openpose_body_25.*coco_17"):
        translate(np.zeros((1, 25, 3)), "body_25", "smpl_24")


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv", ".json"])
def test_files_of_each_kind_are_written_and_read_again(people, tmp_path, suffix, capsys):
    poses = people("blazepose_33") / 1000
    poses[3, 31:] = np.nan
    np.savez(tmp_path / "in.npz", poses=poses)
    there, back = tmp_path / f"there{suffix}", tmp_path / f"back{suffix}"
    assert main([*TO_SMPL, str(tmp_path / "in.npz"), str(there)]) == 0
    said = capsys.readouterr().out
    for words in ("poses [40, 24, 3] of smpl_24", "1 of 40 poses lack joints", "are metres", "errs by 14 mm"):
        assert words in said
    assert main(["convert", "--from", "smpl_24", "--to", "h36m_17", str(there), str(back)]) == 0
    assert main(["convert", "--from", "h36m_17", "--to", "coco_17", str(back), str(tmp_path / "out.npz")]) == 0
    with np.load(tmp_path / "out.npz") as out:
        expected = poses
        for names in (("blazepose_33", "smpl_24"), ("smpl_24", "h36m_17"), ("h36m_17", "coco_17")):
            expected = translate(expected, *names)
        np.testing.assert_allclose(out["poses"], expected, atol=1e-5)
        assert out["joint_names"].tolist() == list(find_joints(JointMoments.load(), "coco_17"))
        assert out["expected_error_mm"].shape == (40, 17)


def test_headings_of_a_table_that_name_its_joints_must_be_those_of_the_skeleton(people, tmp_path, capsys):
    names = list(find_joints(JointMoments.load(), "smpl_24"))
    swapped = [*names[:20], names[21], names[20], *names[22:]]
    poses = people("smpl_24").reshape(40, -1)
    convert = ["convert", "--from", "smpl_24", "--to", "h36m_17", str(tmp_path / "in.csv"), str(tmp_path / "out.csv")]

    def written(joints, code):
        header = ",".join(f"{name}_{axis}" for name in joints for axis in "xyz")
        np.savetxt(tmp_path / "in.csv", poses, delimiter=",", header=header, comments="")
        assert main(convert) == code
        return capsys.readouterr().err

    written(names, 0)
    written([f"bone {i}" for i in range(24)], 0)  # another program's names
    assert "names its 24 joints" in written(swapped, 2)


def test_files_of_other_programs(people, tmp_path):
    given = people("blazepose_33")[:33]  # as many poses as joints
    landmarks = [[dict(zip("xyz", joint, strict=True), visibility=0.5) for joint in pose] for pose in given.tolist()]
    (tmp_path / "mediapipe.json").write_text(json.dumps(landmarks))
    table = given.reshape(33, 99)
    lines = ["frame;" + ";".join(f"c{i}" for i in range(99))]
    lines += [f"{i};" + ";".join(map(str, row)) for i, row in enumerate(table)]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    for name in ("mediapipe.json", "table.csv"):
        assert main([*TO_SMPL, str(tmp_path / name), str(tmp_path / "out.npy")]) == 0
        expected = translate(given, "blazepose_33", "smpl_24")
        np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-6)
    body = [{"pose_keypoints_3d": [x for joint in pose for x in (*joint, 1)]} for pose in people("openpose_body_25")]
    (tmp_path / "openpose.json").write_text(json.dumps({"people": body}))
    command = ["convert", "--from", "openpose_body_25", "--to", "smpl_24", str(tmp_path / "openpose.json")]
    assert main([*command, str(tmp_path / "out.npy")]) == 0
    assert error(np.load(tmp_path / "out.npy"), people("smpl_24")) < 15


@pytest.mark.parametrize("suffixes", ["csv csv", "json csv", "npz csv", "csv json", "csv npz json"])
def test_labels_of_poses_are_kept_through_any_files(people, tmp_path, suffixes):
    kept = {"frame": [3, 5, 9], "time_s": [0.1, 0.25, 0.5], "person": ["007", "8", "b"]}
    headings = ["Frame", *(f"x{i}" for i in range(72)), "time_s", "person"]
    rows = [
        [kept["frame"][i], *pose.ravel(), kept["time_s"][i], kept["person"][i]]
        for i, pose in enumerate(people("smpl_24")[:3])
    ]
    last = tmp_path / "a.csv"
    last.write_text("\n".join(",".join(map(str, row)) for row in [headings, *rows]))
    there = ["smpl_24", "h36m_17", "coco_wholebody_23", "smpl_24", "h36m_17"]
    for i, suffix in enumerate([*suffixes.split(), "npz"]):
        out = tmp_path / f"{i}.{suffix}"
        assert main(["convert", "--from", there[i], "--to", there[i + 1], str(last), str(out)]) == 0
        last = out
    with np.load(last) as arrays:
        assert {name: arrays[name].tolist() for name in kept} == kept


def test_labels_that_are_no_plain_values_do_not_stop_a_conversion(people, tmp_path):
    poses = people("smpl_24")[:2]
    labels = {"frame": np.array([3, "a"], object), "time": np.array([0.5, np.nan]), "person": np.array([b"x", b"y"])}
    np.savez(tmp_path / "a.npz", poses=poses, **labels)
    lists = {"poses": poses.tolist(), "frame": [[1], [2, 3]], "id": "whole file", "person": ["x", "y"]}
    (tmp_path / "b.json").write_text(json.dumps(lists))
    for given, kept in (("a.npz", {"time": [0.5, None]}), ("b.json", {"person": ["x", "y"]})):
        out = tmp_path / "out.json"
        assert main(["convert", "--from", "smpl_24", "--to", "h36m_17", str(tmp_path / given), str(out)]) == 0
        found = json.loads(out.read_text())
        assert {name: found[name] for name in found if name not in ("joint_names", "poses")} == kept


@pytest.mark.parametrize("cells, kept", [("1 nan", ["1", "nan"]), ("0.5 1e3", [0.5, 1000.0])])
def test_times_are_numbers_where_all_are(people, tmp_path, cells, kept):
    poses = people("smpl_24").reshape(40, -1).tolist()
    rows = [f"{cell},{','.join(map(str, poses[i]))}" for i, cell in enumerate(cells.split())]
    (tmp_path / "a.csv").write_text("\n".join(["time," + ",".join(f"x{i}" for i in range(72)), *rows]))
    assert read_pose_arrays(tmp_path / "a.csv")["time"].tolist() == kept


def test_numbers_of_the_rows_of_a_single_pose_are_no_labels(people, tmp_path):
    rows = [f"{i},{x},{y},{z}" for i, (x, y, z) in enumerate(people("smpl_24")[0])]
    (tmp_path / "a.csv").write_text("\n".join(["id,x,y,z", *rows]))
    for out in ("out.csv", "out.npz"):
        assert (
            main(["convert", "--from", "smpl_24", "--to", "h36m_17", str(tmp_path / "a.csv"), str(tmp_path / out)]) == 0
        )
    assert set(read_pose_arrays(tmp_path / "out.csv")) == {"poses", "headings"}
    assert "id" not in np.load(tmp_path / "out.npz")


@pytest.mark.parametrize(
    "name, text, sentence",
    [
        ("a.csv", "", "one pose or more"),
        ("a.csv", "x,y\n1,2\n3\n", "a table of numbers"),
        ("a.csv", "1,2\n3,abc\n", "a table of numbers"),
        ("a.csv", "x,y,z\n1,4,5,6\n2,4,5,6\n", "more cells than the first"),  # as R numbers rows
        ("a.json", "[[1, 2], [3]]", "lists of equal length"),
        ("a.json", '{"poses": [[{"x": 1}]]}', "lists of equal length"),
        ("a.json", "3", "lists of equal length"),
        ("a.npy", "no", "cannot be read as an .npy file"),
        ("a.npz", "no", "must be an .npz file"),
    ],
)
def test_broken_files_end_with_code_2_and_one_sentence(tmp_path, name, text, sentence, capsys):
    (tmp_path / name).write_text(text)
    assert main([*TO_SMPL, str(tmp_path / name), str(tmp_path / "out.npz")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ") and said.count("\n") == 1 and sentence in said
    assert main([*TO_SMPL, str(tmp_path / name), str(tmp_path / "out.txt")]) == 2
    assert "end with .npz, .npy, .csv, .json" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_blank_cells_are_missing_joints_in_the_first_line_too(tmp_path):
    (tmp_path / "a.csv").write_text("1.5, ,3,\n4,5,6,7\n")
    np.testing.assert_equal(read_pose_arrays(tmp_path / "a.csv")["poses"], [[1.5, np.nan, 3, np.nan], [4, 5, 6, 7]])


def test_skeletons_are_listed_with_their_joints(capsys):
    assert main(["skeletons"]) == 0
    listed = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    assert listed["coco_17"].startswith("nose_coco, leye_coco, reye_coco, lear_coco")
    assert len(listed["blazepose_33"].split(", ")) == 33 and {"halpe_26", "coco_wholebody_23"} <= set(listed)


def test_exact_joints_are_kept_if_they_are_trusted(people):
    moments, names = JointMoments.load(), find_joints(JointMoments.load(), "coco_17")
    given = people("coco_17")
    for noise, mm in ((2.0, 0.5), (20.0, 6.0)):
        kept = convert_poses(given, moments, from_joints=names, to_joints=names, noise_mm=noise)
        assert error(kept, given) < mm


def test_documented_commands_run(people, tmp_path, monkeypatch):
    pages = [ROOT / "README.md", ROOT / "docs" / "acae.md"]
    text = "\n".join(page.read_text() for page in pages)
    commands = [c for c in re.findall(r"python -m metrabs_acae\.acae (convert [^`\n#]*)", text) if "--acae" not in c]
    assert commands
    monkeypatch.chdir(tmp_path)
    np.save("keypoints.npy", people("blazepose_33"))
    for command in commands:
        assert main(shlex.split(command)) == 0
