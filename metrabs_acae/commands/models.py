"""Pose models built from settings, and found again in run folders."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.config import Config
from metrabs_acae.data.bones import BoneStatistics, bone_statistics
from metrabs_acae.errors import UserError
from metrabs_acae.models.kinds import KINDS
from metrabs_acae.models.settings import NetworkSettings
from metrabs_acae.models.variants import get_variant
from metrabs_acae.skeletons import Skeleton
from metrabs_acae.training import checkpoints
from metrabs_acae.training.run_folder import RunFolder, newest_finished, open_run

RUNS = Path("runs")
ACAE_FILE = "acae.npz"
"""The autoencoder's name in the run folder of a fine-tuning."""
BONES_FILE = "bone_lengths.json"
"""Bone statistics of the training stores, in the run folder."""


def build_pose_model(model: NetworkSettings, skeleton: Skeleton, *, weights: str | None = None, acae=None, bones=None):
    """The network with random or, for the backbone, pretrained weights (`weights` overrides the setting).

    `acae` is the autoencoder, for variants that need one; `bones` the `BoneStatistics`, for models that do.
    """
    from metrabs_acae.models import build_backbone

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
    lengths = None if bones is None else bones.means_of(skeleton)
    return KINDS[model.model].build(model, backbone, skeleton, acae, lengths)


def bones_of(model: NetworkSettings, run: RunFolder, skeleton: Skeleton, stores=()) -> BoneStatistics | None:
    """The bone statistics that a model needs: those of its run folder, or measured on stores; else None."""
    if not KINDS[model.model].needs_bones:
        return None
    path = run.path / BONES_FILE
    return BoneStatistics.load(path) if path.exists() or not stores else bone_statistics(stores, skeleton=skeleton)


def find_run(load_path: str) -> RunFolder:
    """The run folder that `load_path` names (see `open_run`), or the newest finished one."""
    return open_run(load_path) if load_path else newest_finished(RUNS)


def load_pose_model(run: RunFolder):
    """(model, skeleton, settings) of a run, with the weights of its newest checkpoint."""
    settings = settings_of(run)
    skeleton = Skeleton.from_dict(run.read_json("skeleton.json"))
    needs_acae = get_variant(settings.model.variant).needs_acae
    acae = load_acae(run.path / ACAE_FILE, skeleton) if needs_acae else None
    bones = bones_of(settings.model, run, skeleton)
    model = build_pose_model(settings.model, skeleton, weights="", acae=acae, bones=bones)
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
