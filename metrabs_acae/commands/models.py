"""Pose models built from settings, and found again in run folders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from metrabs_acae import config as config_lib
from metrabs_acae.config import Config
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import Skeleton
from metrabs_acae.training import checkpoints
from metrabs_acae.training.run_folder import RunFolder, newest_finished

RUNS = Path("runs")


def build_pose_model(model: config_lib.Model, skeleton: Skeleton, *, weights: str | None = None):
    """A `Metrabs` with random or, for the backbone, pretrained weights (`weights` overrides the setting)."""
    from metrabs_acae.models import Metrabs, build_backbone

    backbone = build_backbone(
        model.backbone,
        model.proc_side,
        weights=(model.backbone_weights if weights is None else weights) or None,
        centered_stride=model.centered_stride,
        ghost_group_size=model.ghost_bn or None,
        kernel_norm=model.constrain_kernel_norm,
        batch_norm_momentum=model.batch_norm_momentum,
    )
    return Metrabs(
        backbone,
        skeleton,
        depth=model.depth,
        box_size_mm=model.box_size_mm,
        centered_stride=model.centered_stride,
        mix_3d_inside_fov=model.mix_3d_inside_fov,
        weak_perspective=model.weak_perspective,
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
    model = build_pose_model(settings.model, skeleton, weights="")
    checkpoints.restore_weights(run.checkpoints, model)
    return model, skeleton, settings


def settings_of(run: RunFolder) -> Config:
    """The settings that a run was begun with."""
    stored = run.read_json("config.json")
    sections = {}
    for name in config_lib.RUN_SECTIONS:
        default = getattr(Config(), name)
        known = {f.name for f in dataclasses.fields(default)}
        unknown = set(stored[name]) - known
        if unknown:
            raise UserError(f"{run.path}/config.json has settings of another version: {', '.join(sorted(unknown))}.")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in stored[name].items()}
        sections[name] = dataclasses.replace(default, **values)
    return Config(**sections)
