"""Bone statistics of pose stores: right numbers, files that come back, the command."""

import json

import numpy as np
import pytest

from data_processing.__main__ import main
from metrabs_acae.data.bones import BoneStatistics, bone_statistics
from metrabs_acae.data.store import CameraParams, PoseStore, PoseStoreWriter
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import Skeleton, merge_by_name, union
from tests.small_stores import EDGES, write_store

LEGS = Skeleton("legs", ("lhip_c", "lkne_c", "rhip_c", "rkne_c"), ((0, 1), (2, 3), (0, 2)))


def write_legs(path):
    """Three people with left shins of 400, 500 and 600 mm; the right knee is never labelled."""
    camera = CameraParams(np.eye(3), np.zeros(3), np.array([[300.0, 0, 47.5], [0, 300, 47.5], [0, 0, 1]]))
    with PoseStoreWriter(path, name="legs", skeleton=LEGS, licence="CC0") as writer:
        for i, length in enumerate([400.0, 500.0, 600.0]):
            pose = np.array([[-100.0, 0, 3000], [-100, length, 3000], [100, 0, 3000], [np.nan] * 3])
            writer.add(
                "train",
                image_key=f"{i}.png",
                image=np.zeros((96, 96, 3), np.uint8),
                box_ltwh_px=[10, 10, 50, 50],
                camera=camera,
                coords=pose,
            )
    return path


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bones")
    return [PoseStore(write_legs(folder / "legs")), PoseStore(write_store(folder / "a", "a"))]


def test_means_over_the_labelled_examples(stores):
    found = bone_statistics(stores)
    assert found.joint_pairs[:2] == (("lhip_c", "lkne_c"), ("lhip_c", "rhip_c"))
    by_pair = {p: v for p, *v in zip(found.joint_pairs, found.mean_mm, found.std_mm, found.count, strict=True)}
    np.testing.assert_allclose(by_pair["lhip_c", "lkne_c"], [500, np.sqrt(20000 / 3), 3], rtol=1e-5)
    np.testing.assert_allclose(by_pair["lhip_c", "rhip_c"], [200, 0, 3], atol=0.1)
    assert np.isnan(by_pair["rhip_c", "rkne_c"][0]) and by_pair["rhip_c", "rkne_c"][2] == 0
    coords = np.asarray(stores[1].column("train", "coords"))
    for (a, b), edge in zip(EDGES, stores[1].skeleton.edges, strict=True):
        names = tuple(stores[1].skeleton.joint_names[i] for i in sorted(edge))
        lengths = np.linalg.norm(coords[:, a] - coords[:, b], axis=-1)
        np.testing.assert_allclose(by_pair[names][:2], [lengths.mean(), lengths.std()], rtol=1e-4)
    assert [s["examples"] for s in found.sources] == [3, 12] and found.sources[0]["licence"] == "CC0"


def test_means_of_any_skeleton(stores):
    found = bone_statistics(stores)
    turned = Skeleton("x", ("lkne_c", "lhip_c", "other"), ((0, 1), (1, 2)))
    np.testing.assert_allclose(found.means_of(turned), [500, np.nan], rtol=1e-5)
    merged, _ = merge_by_name(union(s.skeleton for s in stores))
    of_merged = bone_statistics(stores, skeleton=merged)
    assert of_merged.count[of_merged.joint_pairs.index(("lhip", "lkne"))] == 15


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_command_writes_what_load_reads(stores, tmp_path, suffix, capsys):
    out = tmp_path / f"bones{suffix}"
    assert main(["bone-lengths", "--stores", *(str(s.path) for s in stores), "--out", str(out)]) == 0
    assert "9 bones, 15 examples of 2 stores" in capsys.readouterr().out
    expected, loaded = bone_statistics(stores), BoneStatistics.load(out)
    assert loaded.joint_pairs == expected.joint_pairs and loaded.sources == expected.sources
    for name in ("mean_mm", "std_mm", "count"):
        np.testing.assert_allclose(getattr(loaded, name), getattr(expected, name), atol=1e-3)
    if suffix == ".json":
        assert json.loads(out.read_text())["bones"][2]["mean_mm"] is None


def test_errors(stores, tmp_path, capsys):
    assert main(["bone-lengths", "--stores", str(stores[0].path), "--out", str(tmp_path / "x.txt")]) == 2
    assert main(["bone-lengths", "--stores", str(stores[0].path), "--out", "x.json", "--split", "test"]) == 2
    assert "no examples" not in capsys.readouterr().err.replace("has examples in split 'test'", "")
    with pytest.raises(UserError, match="bone-lengths"):
        BoneStatistics.load(tmp_path / "missing.json")
    (tmp_path / "bad.json").write_text('{"bones": [{"joints": ["a"]}], "sources": []}')
    with pytest.raises(UserError, match="cannot be read"):
        BoneStatistics.load(tmp_path / "bad.json")
