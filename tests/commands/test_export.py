"""What --export hands on: bone lengths of the run's stores, detector, autoencoder, licences, pictures to compare on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from metrabs_acae.acae import Acae
from metrabs_acae.commands import export, models
from metrabs_acae.config import Config
from metrabs_acae.data.augmentation.augmentations import Augmentations
from metrabs_acae.data.settings import Data
from metrabs_acae.inference import export as inference_export
from metrabs_acae.inference import web_export
from metrabs_acae.main import main
from metrabs_acae.settings import with_values
from metrabs_acae.skeletons import Skeleton
from metrabs_acae.training.run_folder import RunFolder
from tests.models import tiny
from tests.small_stores import EDGES, POSE_MM, write_store

SKELETON = Skeleton("toy", tuple(f"{n}_a" for n in POSE_MM), EDGES)


class Call(dict):
    """The arguments of the export that was asked for."""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder whose stores are there, and what its export is called with: (folder, arguments)."""
    write_store(tmp_path / "a", "a")
    folder = RunFolder(tmp_path / "run")
    folder.create(Config(data=Data(dataset3d=(f"{tmp_path / 'a'}:4",))).run_settings())
    call = Call()
    pose_model = tiny.tiny_model()
    monkeypatch.setattr(models, "load_pose_model", lambda run: (pose_model, SKELETON, models.settings_of(run)))
    monkeypatch.setattr(
        inference_export,
        "export_saved_model",
        lambda model, skeleton, path, **settings: call.update(settings, path=path, skeleton=skeleton),
    )
    return folder, call


def export_command(folder, *flags) -> int:
    return main(["--export", "--load-path", str(folder.path), "--export-file", "out", *flags])


def test_bone_lengths_are_measured_and_kept(run, capsys, tmp_path):
    folder, call = run
    assert export_command(folder, "--detector", "none") == 0
    expected = [np.linalg.norm(np.subtract(*(list(POSE_MM.values())[i] for i in edge))) for edge in EDGES]
    np.testing.assert_allclose(call["bone_lengths"], expected, atol=60)  # the joints are jittered by 40 mm
    assert call["detector"] is None and call["crop_formats"] == () and not call["archive"]
    assert call["model_card"]["licences"] == [{"part": "a", "licence": "CC0"}]

    (tmp_path / "a").rename(tmp_path / "gone")
    first = call["bone_lengths"]
    assert export_command(folder, "--detector", "none") == 0
    np.testing.assert_allclose(call["bone_lengths"], first, atol=1e-2)
    (folder.path / models.BONES_FILE).unlink()
    assert export_command(folder, "--detector", "none") == 0
    assert call["bone_lengths"] is None and "--bone-lengths FILE" in capsys.readouterr().out
    assert export_command(folder, "--bone-lengths", "nowhere.json", "--detector", "none") == 2


@pytest.mark.parametrize(
    "trained, expected",
    [
        ({}, (25, 0.8, 1.1, 0.6)),  # as the reference trains and tests
        ({"rot_aug": 180.0, "scale_aug_up": 50.0, "scale_aug_down": 80.0}, (25, 0.8, 1.1, 0.6)),
        ({"rot_aug": 5.0, "scale_aug_up": 5.0, "scale_aug_down": 10.0, "color_aug": False}, (6.25, 0.92, 1.02, 1)),
        ({"geom_aug": False}, (0, 1, 1, 0.6)),
    ],
)
def test_augmentation_goes_as_far_as_in_training(trained, expected):
    np.testing.assert_allclose(export.augmentation_ranges(with_values(Augmentations(), trained)), expected, atol=1e-9)


def test_augmentation_is_handed_on_and_described(run):
    folder, call = run
    settings = with_values(Config(data=Data(dataset3d=("a:4",))), {"rot_aug": 4.0, "color_aug": False})
    folder.write_json("config.json", settings.run_settings())
    assert export_command(folder, "--detector", "none", "--bone-lengths", "none") == 0
    assert call["augmentation_ranges"].rotation_degrees == 5 and call["augmentation_ranges"].gamma == 1
    described = call["model_card"]["test-time_augmentation"]
    assert "turned by up to 5 degrees, zoomed by 0.8 to 1.1, every other one mirrored." in described
    assert export_command(folder, "--detector", "none", "--bone-lengths", "none", "--tta-rotation", "half_full") == 0
    assert "half of them turned by up to 5 degrees, half by any angle" in call["model_card"]["test-time_augmentation"]


def test_bone_lengths_of_a_file_or_none(run, tmp_path):
    folder, call = run
    bones = {"joints": ["lkne_a", "lhip_a"], "mean_mm": 432.0, "std_mm": 1.0, "count": 9}
    (tmp_path / "bones.json").write_text(json.dumps({"sources": [], "bones": [bones]}))
    assert export_command(folder, "--detector", "none", "--bone-lengths", str(tmp_path / "bones.json")) == 0
    assert call["bone_lengths"][2] == 432 and np.isnan(np.delete(call["bone_lengths"], 2)).all()
    assert export_command(folder, "--detector", "none", "--bone-lengths", "none") == 0
    assert call["bone_lengths"] is None and not (folder.path / models.BONES_FILE).exists()


def test_everything_asked_for_is_handed_on(run, tmp_path):
    folder, call = run
    rng = np.random.default_rng(0)
    encoder, decoder = rng.uniform(size=(8, 3)), rng.uniform(size=(3, 8))
    acae = Acae(encoder / encoder.sum(0), decoder / decoder.sum(0), SKELETON.joint_names, ("l0", "r0", "c0"))
    acae.save(tmp_path / "acae.npz")
    flags = ["--acae", str(tmp_path / "acae.npz"), "--crop-formats", "onnx", "litert", "--crop-batch-size", "4"]
    flags += ["--portable", "onnx", "--portable-precisions", "int8"]
    flags += ["--archive", "--tta-rotation", "full", "--licence-notes", "Research only."]
    assert export_command(folder, "--detector", "none", *flags) == 0
    np.testing.assert_allclose(call["joint_transform"], acae.encoder @ acae.decoder)
    assert call["transformed_skeleton"] == SKELETON and call["rotation_mode"] == "full" and call["archive"]
    assert call["crop_formats"] == ("onnx", "litert") and call["crop_batch_size"] == 4
    assert call["portable"] == ("onnx",) and call["portable_precisions"] == ("int8",)
    assert call["model_card"]["licence_notes"] == "Research only." and "3 latents" in call["model_card"]["output"]
    (photograph,) = call["photographs"]
    assert photograph.image.shape == (96, 96, 3) and photograph.boxes.shape == (1, 4)
    assert photograph.intrinsics.shape == (3, 3)


def test_web_page_is_made_of_the_portable_files(run, monkeypatch, tmp_path):
    folder, call = run
    pages = []
    monkeypatch.setattr(web_export, "read_runtime", lambda given: given)
    monkeypatch.setattr(web_export, "write_page", lambda *paths, **settings: pages.append((*paths, settings)))
    page = str(tmp_path / "page")
    assert export_command(folder, "--bone-lengths", "none", "--web", page, "--web-runtime", "a.tgz") == 0
    assert "onnx" in call["portable"] and call["detector"] is not None
    assert pages == [(page, Path("out"), {"runtime": "a.tgz", "name": "run"})]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--web", "page", "--detector", "none"], "The web page finds people with MoveNet"),
        (["--web", "page", "--web-runtime", "nowhere"], "is not the npm package onnxruntime-web"),
        (["--detector", "yolo"], "no detector 'yolo'"),
        (["--crop-batch-size", "0"], "--crop-batch-size must be greater than zero"),
        (["--crop-formats", "coreml"], "--crop-formats"),
        (["--acae", "nowhere.npz", "--detector", "none"], "no autoencoder file"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(run, flags, message, capsys):
    assert export_command(run[0], *flags) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
