"""The page "Train on your own data", run word for word on two small recordings."""

import csv
import json
import re
import shlex
from pathlib import Path

import cv2
import numpy as np

from data_processing.__main__ import main as data_processing
from metrabs_acae.data.store import PoseStore
from tests.data.stores import JOINTS, LEVEL_CAMERA, toy_row

PAGE = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text()
BASES = ("pelv", "lhip", "rhip", "lkne", "rkne", "lank", "rank", "neck")


PERSON = {  # stands before the camera and faces it, mm
    "pelv": (0, 0, 950), "lhip": (120, 0, 930), "rhip": (-120, 0, 930), "lkne": (130, -40, 500),
    "rkne": (-130, -40, 500), "lank": (130, 0, 90), "rank": (-130, 0, 90), "neck": (0, 0, 1480),
    "lsho": (180, 0, 1450), "rsho": (-180, 0, 1450), "lwri": (300, -80, 950), "rwri": (-300, -80, 950),
}  # fmt: skip


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def write_inputs(folder: Path, n: int = 12) -> None:
    rng = np.random.default_rng(0)
    (folder / "images" / "walk").mkdir(parents=True)
    rows = []
    for i in range(n):
        row = toy_row(rng, "3d", 160, 120)
        row["coords"] = np.array([PERSON[name] for name in JOINTS]) + rng.normal(0, 15, (len(JOINTS), 3))
        row["box_ltwh_px"] = [60, 10, 40, 100]
        cv2.imwrite(str(folder / "images" / "walk" / f"{i}.jpg"), row["image"])
        line = {"image": f"walk/{i}.jpg", "camera": "front"}
        line |= dict(zip(("left", "top", "width", "height"), row["box_ltwh_px"], strict=True))
        for base in BASES:
            xyz = row["coords"][JOINTS.index(base)]
            missing = base == "lank" and i == 3
            line |= {f"{base}_{axis}": "" if missing else v for axis, v in zip("xyz", xyz, strict=True)}
        rows.append(line)
    with open(folder / "keypoints.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    camera = row["camera"]
    front = {"K": camera.K.tolist(), "R": LEVEL_CAMERA.tolist(), "distortion": None, "up": [0, 0, 1]}
    front["position_mm"] = camera.optical_center_mm.tolist()
    (folder / "cameras.json").write_text(json.dumps({"front": front}))


def test_the_page_works(tmp_path, monkeypatch, capsys):
    from metrabs_acae import command_line, main

    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    table, check, look, train = (shlex.split(b) for b in blocks("bash"))
    assert data_processing(table[3:]) == 0, capsys.readouterr().err
    assert sum(PoseStore("stores/mine").splits.values()) == 12
    assert data_processing(check[3:]) == 0
    (code,) = blocks("python")
    exec(compile(code, "own-data.md", "exec"), {})
    store = PoseStore("stores/scripted")
    assert store.splits == {"valid": 2, "train": 10}
    assert store.skeleton.joint_names == tuple(f"{b}_mine" for b in BASES)
    assert np.isnan(store.column("train", "coords")[2, BASES.index("lank")]).all()
    assert main.main(look[3:]) == 0
    assert cv2.imread("look/batches.png").std() > 10
    assert "mine" in capsys.readouterr().out
    settings = command_line.parse_arguments(train[3:], "x")
    assert settings.data.dataset3d == ("stores/mine", "stores/other:16")
