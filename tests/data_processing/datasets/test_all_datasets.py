"""Every dataset's fixture becomes a store; those of the 28 + 4 datasets make one mixture, and a model trains on it."""

import os

import keras
import numpy as np
import pytest

from data_processing.cameras import is_inside, project
from data_processing.conversion import convert
from data_processing.converter import Options
from data_processing.images import read_image
from data_processing.registry import DATASETS
from metrabs_acae import command_line
from metrabs_acae.commands.evaluate import predictor
from metrabs_acae.commands.stores import training_mixture, with_paper_stores
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.paper_mixtures import BENCHMARKS, COUNTS_2D, COUNTS_3D
from metrabs_acae.data.pipeline import training_dataset
from metrabs_acae.data.store import PoseStore
from metrabs_acae.evaluation import store_tables
from metrabs_acae.evaluation.crops import predict_crops
from metrabs_acae.layers.ghost_batch_norm import GhostBatchNormalization
from metrabs_acae.models import Metrabs
from metrabs_acae.models.gates import gates_for
from metrabs_acae.models.losses import LossWeights, joint_group_matrix
from metrabs_acae.skeletons import get_skeleton, prefix_groups
from metrabs_acae.training.optimizers import build_optimizer
from metrabs_acae.training.schedules import MainSchedule
from metrabs_acae.training.trainer import TrainingModel, run_training

from .fixtures import WRITE

NAMES = (*COUNTS_3D["full"], *COUNTS_2D[1], *BENCHMARKS, "bedlam", "pose2sim-demo")
SIDE, STRIDE, N_STEPS = 64, 16, 10


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
    flags = ["--train", "--preset", "paper-full", "--data-dir", str(folder)]
    config = with_paper_stores(command_line.parse_arguments(flags, "metrabs"))
    mixture = training_mixture(config.data, data_dir="", seed=1)
    assert [(e.store.name, e.count) for e in mixture.entries] == [*(COUNTS_3D["full"] | COUNTS_2D[1]).items()]
    assert (mixture.batch_size_3d, mixture.batch_size_2d, len(mixture.joint_names_2d)) == (96, 32, 17)
    skeleton, whole = mixture.skeleton, get_skeleton("union_555")
    assert skeleton.n_joints == 555 and set(skeleton.joint_names) == set(whole.joint_names)
    order = whole.indices(skeleton.joint_names)
    np.testing.assert_array_equal(order[skeleton.mirror], whole.mirror[order])
    assert {os.path.basename(p) for p in config.data.test_on} == set(BENCHMARKS)


def test_a_model_trains_and_is_evaluated_on_it(folder):
    keras.utils.set_random_seed(3)
    stores = [PoseStore(folder / name) for name in NAMES if DATASETS[name].role in ("3d", "2d")]
    mixture = Mixture([Entry(store, "train", 1) for store in stores], seed=1)
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(16, 5, strides=STRIDE, padding="same")(image)
    x = keras.layers.Activation("relu")(GhostBatchNormalization(group_size=8)(x))
    pose_model = Metrabs(keras.Model(image, x, name="backbone"), mixture.skeleton, stride=STRIDE)
    names = mixture.skeleton.joint_names
    model = TrainingModel(
        pose_model,
        gates=gates_for(400_000),  # those of the paper: the loss stays the same sum for the first steps
        loss_weights=LossWeights(),
        joint_groups_2d=joint_group_matrix(prefix_groups(mixture.joint_names_2d, names), len(names)),
        seed=5,
    )
    optimizer = build_optimizer(MainSchedule(1e-3, N_STEPS), total_steps=N_STEPS, base_learning_rate=1e-3)
    model.compile(optimizer=optimizer, jit_compile=False, auto_scale_loss=False)
    optimizer.build(model.trainable_variables)
    before = [np.array(v) for v in model.trainable_variables]
    losses = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: seen.append(logs["loss"]))
    seen: list[float] = []
    assert run_training(
        model,
        lambda step: training_dataset(mixture, image_size=SIDE, start_step=step, workers=1),
        total_steps=N_STEPS,
        inference_mode_steps=2,
        log_period=N_STEPS,
        callbacks=[losses],
    )
    assert len(seen) == N_STEPS and np.isfinite(seen).all() and max(seen) < 2
    assert all((b != np.asarray(v)).any() for b, v in zip(before, model.trainable_variables, strict=True))
    for name in BENCHMARKS:
        store = PoseStore(folder / name)
        arguments = {"image_size": SIDE, "batch_size": 2, "max_examples": 2}
        predictions = predict_crops(predictor(pose_model), mixture.skeleton, store, "test", **arguments)
        assert predictions.pred_mm.shape[1:] == (store.skeleton.n_joints, 3)
        assert 0 < store_tables.standard(predictions, store.skeleton.joint_names)["mpjpe"] < 2000
