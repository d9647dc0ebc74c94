"""The page on extending: each block is a module outside the project, and does what the page says."""

import importlib
import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_processing.__main__ import main as data_processing
from metrabs_acae import command_line, skeletons
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation import definitions
from metrabs_acae.main import main
from metrabs_acae.models import losses, variants
from tests.data.stores import write_toy_store

PAGE = (Path(__file__).parents[1] / "docs" / "extend.md").read_text()
BLOCKS = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """The page's modules in a folder that is not the project's."""
    for name, code in BLOCKS.items():
        (tmp_path / f"{name}.py").write_text(code)
        sys.modules.pop(name, None)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(skeletons, "_registered", {})
    registries = (definitions.FAMILIES, losses.LOSS_TERMS, variants.VARIANTS)
    before = [dict(registry) for registry in registries]
    yield tmp_path
    for registry, content in zip(registries, before, strict=True):
        registry.clear()
        registry.update(content)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_short(name):
    assert len([line for line in BLOCKS[name].splitlines() if line.strip()]) <= 15


def test_backbone():
    from metrabs_acae.models import build_backbone
    from metrabs_acae.models.backbones import import_backbone

    with pytest.raises(UserError, match="give --backbone my_backbone:TINY"):
        build_backbone("my_backbone:TINY", 64)
    import_backbone("my_backbone:TINY")
    assert build_backbone("my_backbone:TINY", 64, ghost_group_size=4).output_shape == (None, 2, 2, 16)


def test_dataset(package, capsys):
    (package / "raw").mkdir()
    K = [[300, 0, 79.5], [0, 300, 79.5], [0, 0, 1]]
    pose = [[0, 0, 0], [-120, 0, 0], [120, 0, 0], [-120, 450, 0], [120, 450, 0], [0, -500, 0]]
    frame = {"R": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "position_mm": [0, -4000, 950], "K": K, "box": [60, 30, 40, 90]}
    joints = [[x, z, 950 - y] for x, y, z in pose]  # z up
    for i in range(3):
        cv2.imwrite(str(package / "raw" / f"{i}.png"), np.full((160, 160, 3), 40 * i, np.uint8))
    frames = [{**frame, "image": f"{i}.png", "joints_mm": joints} for i in range(3)]
    (package / "raw" / "walk.json").write_text(json.dumps(frames))
    flags = ["--raw", "raw", "--out", "stores/walks", "--workers", "0"]
    assert data_processing(["my_dataset:WALKS", *flags]) == 0, capsys.readouterr().err
    store = PoseStore("stores/walks")
    assert store.splits == {"train": 3} and store.skeleton.joint_names[1] == "lhip_walks"
    assert data_processing(["my_dataset:NONE", *flags]) == 2


def test_skeleton():
    from metrabs_acae.commands.export import register_own_skeleton
    from metrabs_acae.skeletons import available_output_skeletons, get_skeleton

    register_own_skeleton("my_skeleton:LEGS", get_skeleton("h36m"))
    assert available_output_skeletons(get_skeleton("h36m"))["legs_5"].joint_names[1] == "lhip_h36m"
    assert "legs_5" not in available_output_skeletons(get_skeleton("smpl"))
    with pytest.raises(UserError, match="has no joint"):
        register_own_skeleton("my_skeleton:LEGS", get_skeleton("smpl"))


def test_variant_and_loss():
    variants.import_variant("my_variant:FLAT")  # as `main` does with what the command names
    config = command_line.parse_arguments(["--train", "--variant", "my_variant:FLAT"], "metrabs")
    assert config.model.variant == "my_variant:FLAT"
    variant = variants.get_variant("my_variant:FLAT")
    assert losses.term_weights(variant, half="3d") == {"pose": 1.0, "flat": 0.1}

    class Half:
        points = {"joints": np.array([[[0, 0, 4000.0], [0, 0, 5000]]])}

    assert float(losses.LOSS_TERMS["flat"](Half)) == pytest.approx(0.5)


def test_metric_and_protocol(package):
    from metrabs_acae.evaluation.predictions import Predictions
    from metrabs_acae.evaluation.protocols import protocol_from_flag

    store = write_toy_store(package / "toy", n=4)
    truth = [store.row("train", i) for i in range(4)]
    rng = np.random.default_rng(0)
    poses = np.stack([(r.coords - r.camera.optical_center_mm) @ r.camera.R.T for r in truth])
    predictions = Predictions(
        poses3d_mm=poses + rng.normal(0, 30, poses.shape),
        joint_names=store.skeleton.joint_names,
        sequence=[r.sequence for r in truth],
        frame=[r.frame for r in truth],
        person=[r.person for r in truth],
    )
    result = protocol_from_flag("my_protocol:PROTOCOL").evaluate_on(predictions, store, "train")
    (row,) = result.rows
    assert 0 < row["mpjpe"] < 150 and 0 < row["strict_pck@100"] <= 100


def test_augmentation(package, capsys):
    write_toy_store(package / "toy", n=4)
    looks = ["--show-batches", "1", "--dataset3d", "toy", "--batch-size", "4", "--batch-size-2d", "0", "--no-color-aug"]
    looks += ["--allow-suspicious-data", "--occlude-aug-prob", "0", "--background-aug-prob", "0", "--workers", "1"]
    assert main([*looks, "--out-dir", "plain"]) == 0, capsys.readouterr().err
    importlib.import_module("my_augmentation").Invert.draw = lambda self, rng, store: True
    assert main([*looks, "--augmentation", "my_augmentation:Invert", "--out-dir", "inverted"]) == 0
    plain, inverted = (cv2.imread(f"{name}/batches.png").astype(int) for name in ("plain", "inverted"))
    assert np.median(np.abs(plain + inverted - 255)[30:]) < 3  # but for the joints that are drawn in
