"""--evaluate FILE --protocol consistency: files of several skeletons, with and without labels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from experiments import joint_moments
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predictions import Predictions, save_predictions
from metrabs_acae.evaluation.protocols import get_protocol
from metrabs_acae.evaluation.truth import Truth
from metrabs_acae.main import main
from tests.small_stores import POSE_MM

NAMES = tuple(f"{n}_{c}" for c in "ab" for n in POSE_MM)
POSE = np.array(list(POSE_MM.values()), float)


def people(noise_mm: float, n: int = 4000) -> dict:
    """Poses turned at random; the second skeleton stands 50 mm beside the first, and is moved along x by noise."""
    rng = np.random.default_rng(0)
    second = POSE + (50.0, 0, 0) + rng.normal(0, noise_mm, (n, len(POSE), 1)) * (1, 0, 0)
    both = np.concatenate([np.tile(POSE, (n, 1, 1)), second], axis=1)
    turns, _ = np.linalg.qr(rng.normal(size=(n, 3, 3)))
    poses = np.einsum("nij,npj->npi", turns, both) + rng.normal(0, 500, (n, 1, 3)) + (0, 0, 4000)
    return {"poses3d_mm": poses, "joint_names": NAMES, "sequence": ["s"] * n, "frame": np.arange(n)}


def test_what_varies_between_skeletons_is_measured_without_labels():
    fixed, noisy = (get_protocol("consistency").evaluate(Predictions(**people(n)), None) for n in (0.0, 10.0))
    assert fixed["distance_mm"] == pytest.approx(50) and fixed["distance_spread_mm"] == pytest.approx(0, abs=1e-9)
    assert fixed["limb_spread_mm"] == pytest.approx(0, abs=1e-9) and fixed.counts["predicted_people"] == 4000
    assert noisy["distance_spread_mm"] == pytest.approx(10, rel=0.03)  # the noise lies along the offset
    assert {r["point"] for r in noisy.breakdowns["point"]} == set(POSE_MM)
    assert noisy.overall_rows()[1] == {"metric": "spread of distance", "unit": "mm", "all": noisy["distance_spread_mm"]}


def test_with_labels_of_several_skeletons_their_disagreement_is_measured():
    true, pred = people(0.0, 50), people(0.0, 50)
    pred["poses3d_mm"] = pred["poses3d_mm"] + 30.0
    pred["poses3d_mm"][:, len(POSE) :, 1] += 40
    result = get_protocol("consistency").evaluate(Predictions(**pred), Truth(**true))
    assert result["disagreement_mm"] == pytest.approx(40) and result.counts["points_compared_with_labels"] == len(POSE)


def test_a_file_needs_no_store(tmp_path, capsys):
    save_predictions(tmp_path / "p.npz", Predictions(**people(5.0, 20)))
    assert main(["--evaluate", str(tmp_path / "p.npz"), "--protocol", "consistency"]) == 0
    assert "spread of distance" in capsys.readouterr().out
    report = json.loads((tmp_path / "p" / "report.json").read_text())
    assert 3 < report["results"][0]["distance_spread_mm"] < 7
    assert main(["--evaluate", str(tmp_path / "p.npz")]) == 2 and "--truth" in capsys.readouterr().err
    assert main(["--evaluate", *[str(tmp_path / "p.npz")] * 2, "--protocol", "consistency"]) == 0
    assert "cannot be said" in capsys.readouterr().out


def test_one_skeleton_has_nothing_to_agree_with():
    one = people(0.0, 5)
    one["poses3d_mm"], one["joint_names"] = one["poses3d_mm"][:, : len(POSE)], NAMES[: len(POSE)]
    with pytest.raises(UserError, match="5 people and 0 joints that two skeletons share"):
        get_protocol("consistency").evaluate(Predictions(**one), None)


def test_skeletons_of_the_package_are_compared_with_the_agreed_pose():
    """One of five skeletons stands 40 mm behind the others: it is named, and the depth is what differs."""
    conventions = ("h36m", "coco", "smpl", "3dhp", "blazepose")
    true, names = joint_moments.people(range(30), held_out=True)
    chosen = [i for i, name in enumerate(names) if name.partition("_")[2] in conventions]
    names = tuple(names[i] for i in chosen)
    true = true[:, chosen][..., [0, 2, 1]].astype(np.float64) * [1, -1, 1]
    true = true - true.mean(axis=1, keepdims=True) + [0, 0, 4000]
    pred, moved = true + [100.0, 0, 0], np.array([name.endswith("_coco") for name in names])
    pred[:, moved, 2] += 40
    common = {"joint_names": names, "sequence": ["s"] * 30, "frame": np.arange(30)}
    of_true, result = (get_protocol("consistency").evaluate(Predictions(p, **common), None) for p in (true, pred))
    labelled = get_protocol("consistency").evaluate(Predictions(pred, **common), Truth(true, **common))
    assert of_true["agreed_disagreement_mm"] < 3 and of_true["agreed_cps@50"] == 100
    for agreed, known in (("disagreement", "disagreement"), ("depth", "disagreement_depth")):
        assert result[f"agreed_{agreed}_mm"] == pytest.approx(labelled[f"{known}_mm"], rel=0.15)
    assert result["agreed_plane_mm"] < 4
    rows = {row["skeleton"]: row for row in result.breakdowns["skeleton"]}
    assert set(rows) == set(conventions) and rows["coco"]["joints"] == 25
    assert rows["coco"]["off_depth_mm"] > 2 * max(rows[c]["off_depth_mm"] for c in conventions if c != "coco")
    assert result["agreed_cps@200"] == 100 and labelled["cps@200"] == 100
    assert "Per skeleton" in result.report()
