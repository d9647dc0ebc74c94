"""Pose models built from settings, and found again in run folders."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae import config as config_lib
from metrabs_acae.config import Config
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import Skeleton
from metrabs_acae.training import checkpoints
from metrabs_acae.training.run_folder import RunFolder, newest_finished

RUNS = Path("runs")
ACAE_FILE = "acae.npz"
"""The autoencoder's name in the run folder of a fine-tuning."""


def build_pose_model(model: config_lib.Model, skeleton: Skeleton, *, weights: str | None = None, acae=None):
    """A `Metrabs` with random or, for the backbone, pretrained weights (`weights` overrides the setting).

    `acae` is the autoencoder, for all variants but separate.
    """
    from metrabs_acae.models import Metrabs, build_backbone

    backbone = build_backbone(
        model.backbone,
        model.proc_side,
        weights=(model.backbone_weights if weights is None else weights) or None,
        centered_stride=model.centered_stride,
        ghost_group_size=model.ghost_bn or None,
        kernel_norm=model.constrain_kernel_norm,
        batch_norm_momentum=model.batch_norm_momentum,
        trained_convolutions=model.trained_convolutions,
    )
    return Metrabs(
        backbone,
        skeleton,
        variant=model.variant,
        acae=acae,
        depth=model.depth,
        box_size_mm=model.box_size_mm,
        centered_stride=model.centered_stride,
        mix_3d_inside_fov=model.mix_3d_inside_fov,
        weak_perspective=model.weak_perspective,
        stop_gradient_features=model.stop_gradient_features,
        name="metrabs",
    )


def find_run(load_path: str) -> RunFolder:
    """The run folder at `load_path`, or the newest finished one."""
    if not load_path:
        return newest_finished(RUNS)
    run = RunFolder(load_path)
    if not run.exists:
        raise UserError(f"{load_path} is not a run folder: it has no config.json.")
    return run


def load_pose_model(run: RunFolder):
    """(model, skeleton, settings) of a run, with the weights of its newest checkpoint."""
    settings = settings_of(run)
    skeleton = Skeleton.from_dict(run.read_json("skeleton.json"))
    acae = load_acae(run.path / ACAE_FILE, skeleton) if settings.model.variant != "separate" else None
    model = build_pose_model(settings.model, skeleton, weights="", acae=acae)
    checkpoints.restore_weights(run.checkpoints, model)
    return model, skeleton, settings


def load_acae(path: str | Path, skeleton: Skeleton):
    """The autoencoder in `path`; UserError unless its joints are those of `skeleton`, in the same order."""
    from metrabs_acae.acae import Acae

    acae = Acae.load(path)
    try:
        acae.require_joints(skeleton.joint_names)
    except UserError as error:
        raise UserError(f"{path} does not fit this model: {error}") from None
    return acae


def settings_of(run: RunFolder) -> Config:
    """The settings that a run was begun with."""
    return Config().with_run_settings(run.read_json("config.json"), run.path / "config.json")
