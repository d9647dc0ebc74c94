"""Every dataset's fixture becomes a store; those of the 28 + 4 datasets make one mixture, and a model trains on it."""

import json
import os

import numpy as np
import pytest

from data_processing.cameras import is_inside, project
from data_processing.conversion import convert
from data_processing.converter import Options
from data_processing.images import read_image
from data_processing.registry import DATASETS
from metrabs_acae import command_line
from metrabs_acae.commands.stores import training_mixture
from metrabs_acae.data.paper_mixtures import BENCHMARKS, COUNTS_2D, COUNTS_3D
from metrabs_acae.data.store import PoseStore
from metrabs_acae.main import main
from metrabs_acae.skeletons import get_skeleton

from .fixtures import WRITE

NAMES = (*COUNTS_3D["full"], *COUNTS_2D[1], *BENCHMARKS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, body_models):
    """All stores, named like their datasets."""
    path = tmp_path_factory.mktemp("paper")
    for name in NAMES:
        info, raw = DATASETS[name], path / "raw" / name
        raw.mkdir(parents=True)
        WRITE[name](raw, body_models)
        converter = info.load_converter()(info, raw, Options(body_models=body_models))
        convert(converter, path / "stores" / name, workers=0, progress=False, skip_broken=True)
    return path / "stores"


def test_every_converter_has_a_fixture():
    assert {d.name for d in DATASETS.values() if d.converter} == set(WRITE) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_store_is_sound(folder, name):
    info, store = DATASETS[name], PoseStore(folder / name)
    assert store.name == name and store.kind == info.store_kind
    assert store.skeleton.joint_names == info.get_skeleton().joint_names
    split = "test" if info.role == "benchmark" else "train"
    for i in range(store.splits[split]):
        row = store.row(split, i)
        size = read_image(row.image_path).shape[1::-1]
        known = np.isfinite(row.coords).all(-1)
        assert known.any() and min(row.box_ltwh_px[2:]) > 5
        pixels = row.coords if store.kind == "2d" else project(row.camera, row.coords)
        assert is_inside(pixels[known], size).mean() > 0.6
        box = row.box_ltwh_px
        assert ((pixels[known] > box[:2] - 20) & (pixels[known] < box[:2] + box[2:] + 20)).all(-1).mean() > 0.6
        if store.kind == "3d":
            height = np.nanmax(row.coords, 0) - np.nanmin(row.coords, 0)
            assert 900 < np.linalg.norm(height) < 2500  # millimetres


def test_the_mixture_has_555_joints_and_their_mirror_images(folder):
    config = command_line.parse_arguments(["--train", "--preset", "paper-full", "--data-dir", str(folder)], "metrabs")
    mixture = training_mixture(config.data, data_dir="", seed=1)
    assert [(e.store.name, e.count) for e in mixture.entries] == [*(COUNTS_3D["full"] | COUNTS_2D[1]).items()]
    assert (mixture.batch_size_3d, mixture.batch_size_2d, len(mixture.joint_names_2d)) == (96, 32, 17)
    skeleton, whole = mixture.skeleton, get_skeleton("union_555")
    assert skeleton.n_joints == 555 and set(skeleton.joint_names) == set(whole.joint_names)
    order = whole.indices(skeleton.joint_names)
    np.testing.assert_array_equal(order[skeleton.mirror], whole.mirror[order])
    assert {os.path.basename(p) for p in config.data.test_on} == set(BENCHMARKS)


def test_a_model_trains_and_is_evaluated_on_it(folder, tmp_path):
    few = (
        "--training-steps 10 --validate-period 10 --checkpoint-period 10 --log-period 5 --batch-size-test 8 "
        "--proc-side 64 --backbone mobilenetv3-small --backbone-weights= --dtype float32 --no-export-model --workers 2 "
        "--finetune-in-inference-mode 0"
    )
    arguments = ["--train", "--preset", "paper-full", "--data-dir", str(folder), *few.split()]
    assert main([*arguments, "--logdir", str(tmp_path / "run")]) == 0
    assert len(json.loads((tmp_path / "run/skeleton.json").read_text())["joint_names"]) == 555
    lines = (tmp_path / "run/metrics.csv").read_text().splitlines()
    losses = [float(dict(zip(lines[0].split(","), line.split(","), strict=True))["loss"]) for line in lines[1:]]
    assert len(losses) == 2 and np.isfinite(losses).all()
    results = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert set(results) == set(BENCHMARKS)
    assert all(np.isfinite(r["mpjpe"]) and r["n_poses"] for r in results.values())
