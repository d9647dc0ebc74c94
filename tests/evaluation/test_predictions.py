"""The prediction file: what is written is read; what is wrong is named in one sentence, never a traceback."""

import io
import zipfile
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predictions import (
    OPTIONAL,
    REQUIRED,
    Predictions,
    count_within_groups,
    load_predictions,
    save_predictions,
)

NAMES = ("pelv_a", "lhip_a", "rhip_a", "head_a")


def fields(n=6, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "poses3d_mm": rng.normal(0, 400, (n, 4, 3)) + (0, 0, 3000),
        "joint_names": np.array(NAMES),
        "sequence": np.array([f"S{i % 2} ü" for i in range(n)]),
        "frame": np.arange(n) // 3,
        "poses2d_px": rng.normal(500, 100, (n, 4, 2)),
        "score": rng.random(n),
    }


def write(path, **arrays):
    with open(path, "wb") as file:
        np.savez(file, **arrays)
    return path


def test_round_trip(tmp_path):
    saved = Predictions(**fields(), metadata={"model": "small", "num_aug": 5})
    save_predictions(tmp_path / "p.npz", saved)
    loaded = load_predictions(tmp_path / "p.npz")
    for key in ("poses3d_mm", "sequence", "frame", "person", "poses2d_px", "score"):
        np.testing.assert_array_equal(getattr(loaded, key), getattr(saved, key))
    assert loaded.joint_names == NAMES and loaded.metadata == {"model": "small", "num_aug": 5}
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_no_people_at_all_is_a_normal_result(tmp_path):
    empty = Predictions(np.zeros((0, 4, 3)), NAMES, [], [])
    save_predictions(tmp_path / "p.npz", empty)
    assert len(load_predictions(tmp_path / "p.npz")) == 0


def test_the_least_that_others_must_write(tmp_path):
    values = fields()
    least = {k: values[k] for k in REQUIRED}
    least |= {"poses3d_mm": least["poses3d_mm"].astype(np.float16), "joint_names": np.array(NAMES, "S"), "extra": 1}
    loaded = load_predictions(write(tmp_path / "p.npz", **least))
    # Rows of the same frame are numbered in their order: frames (S0,0) (S1,0) (S0,0) | (S1,1) (S0,1) (S1,1).
    assert loaded.person.tolist() == [0, 0, 1, 0, 0, 1]
    assert loaded.poses3d_mm.dtype == np.float64 and loaded.joint_names == NAMES


def test_joints_are_found_by_name_with_or_without_suffix():
    predictions = Predictions(**fields())
    chosen = predictions.select_joints(["head_a", "pelv_a"])
    np.testing.assert_array_equal(chosen.poses3d_mm, predictions.poses3d_mm[:, [3, 0]])
    np.testing.assert_array_equal(chosen.poses2d_px, predictions.poses2d_px[:, [3, 0]])
    bare = Predictions(**{**fields(), "joint_names": ["pelv", "lhip", "rhip", "head"]})
    np.testing.assert_array_equal(bare.select_joints(["head_a", "pelv_a"]).poses3d_mm, chosen.poses3d_mm)
    with pytest.raises(UserError, match="4 joints .* but not head_b"):
        predictions.select_joints(["head_b"])


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"poses3d_mm": fields()["poses3d_mm"] / 1000}, "looks like metres .* multiply by 1000"),
        ({"poses3d_mm": fields()["poses3d_mm"][..., :2]}, r"poses3d_mm has shape \[6, 4, 2\], expected"),
        ({"poses3d_mm": np.full((6, 4, 3), "x")}, "expected numbers"),
        ({"joint_names": np.array(NAMES[:3])}, "expected 4 texts"),
        ({"joint_names": np.array(["a", "b", "c", "a"])}, "a joint twice"),
        ({"joint_names": np.array([b"\xff\xfe"] * 4)}, "UTF-8"),
        ({"joint_names": np.arange(4)}, "expected 4 texts"),
        ({"sequence": np.array(["a"] * 5)}, "expected 6 texts"),
        ({"frame": np.arange(6) / 2}, "expected 6 integers"),
        ({"frame": np.arange(5)}, "expected 6 integers"),
        ({"person": np.zeros(6, int)}, "occurs twice"),
        ({"poses2d_px": np.zeros((6, 3, 2))}, "poses2d_px has shape"),
        ({"score": np.zeros((6, 1))}, "score has shape"),
        ({"metadata": np.array("{")}, "not JSON"),
        ({"metadata": np.array("[1]")}, "JSON object"),
        ({"poses3d_mm": np.array([None] * 3)}, "without pickled objects"),
    ],
)
def test_wrong_contents_are_named_with_the_file(tmp_path, change, sentence):
    path = write(tmp_path / "theirs.npz", **{**fields(), **change})
    with pytest.raises(UserError, match=sentence) as caught:
        load_predictions(path)
    assert "theirs.npz" in str(caught.value)


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(UserError, match="There is no prediction file"):
        load_predictions(tmp_path / "absent.npz")
    with pytest.raises(UserError, match="There is no prediction file"):
        load_predictions(tmp_path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(UserError, match="single array"):
        load_predictions(tmp_path / "one.npy")
    (tmp_path / "text.npz").write_text("frame,x,y,z\n")
    with pytest.raises(UserError, match="cannot be read"):
        load_predictions(tmp_path / "text.npz")
    with pytest.raises(UserError, match="lacks sequence, frame"):
        load_predictions(write(tmp_path / "few.npz", poses3d_mm=np.zeros((1, 1, 3)), joint_names=np.array(["a"])))
    with pytest.raises(UserError):
        load_predictions(write(tmp_path / "none.npz"))


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "p.npz"
    save_predictions(path, Predictions(**fields()))
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_predictions(path, Predictions(**fields(), metadata={"x": object()}))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_member_that_claims_more_memory_than_there_is(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**13, 4, 3)})
    path = write(tmp_path / "p.npz", **{k: v for k, v in fields().items() if k != "poses3d_mm"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("poses3d_mm.npy", header.getvalue())
    with pytest.raises(UserError):
        load_predictions(path)


def read_or_refuse(path):
    """A file either loads into something consistent or is refused by a UserError that is one line."""
    try:
        loaded = load_predictions(path)
    except UserError as error:
        assert "\n" not in str(error)
        return None
    assert loaded.poses3d_mm.shape == (len(loaded), len(loaded.joint_names), 3)
    assert len(loaded.sequence) == len(loaded.person) == len(loaded)
    return loaded


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(data=st.data())
def test_fuzz_arrays(tmp_path, data):
    """Each key absent, as it should be, or any array at all."""
    any_array = arrays_of.arrays(
        dtype=st.one_of(arrays_of.scalar_dtypes(), arrays_of.unicode_string_dtypes(), arrays_of.byte_string_dtypes()),
        shape=arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
    )
    chosen = {}
    for key in (*REQUIRED, *OPTIONAL):
        kind = data.draw(st.sampled_from(["good", "good", "good", "absent", "any"]))
        if kind == "good" and key in fields():
            chosen[key] = fields()[key]
        elif kind == "any":
            chosen[key] = data.draw(any_array)
    read_or_refuse(write(tmp_path / "p.npz", **chosen))


@FUZZ
@given(position=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
def test_fuzz_bytes(tmp_path, position, byte, cut):
    """A byte changed or the end cut off anywhere."""
    good = bytearray(write(tmp_path / "good.npz", **fields()).read_bytes())
    position %= len(good)
    good[position] = byte
    (tmp_path / "p.npz").write_bytes(good[:position] if cut else good)
    read_or_refuse(tmp_path / "p.npz")


@FUZZ
@given(content=st.binary(max_size=200))
def test_fuzz_garbage(tmp_path, content):
    (tmp_path / "p.npz").write_bytes(content)
    assert read_or_refuse(tmp_path / "p.npz") is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=30))
def test_counting_within_groups(rows):
    seen, expected = Counter(), []
    for row in rows:
        expected.append(seen[row])
        seen[row] += 1
    columns = [np.array([r[i] for r in rows]) for i in (0, 1)]
    assert count_within_groups(*columns).tolist() == expected
