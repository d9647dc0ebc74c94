"""How a training starts from another run's weights, and the autoencoder that a fine-tuning keeps fixed."""

from __future__ import annotations

from metrabs_acae.commands import models
from metrabs_acae.config import Config
from metrabs_acae.errors import UserError
from metrabs_acae.models.variants import get_variant
from metrabs_acae.settings import flag_of
from metrabs_acae.skeletons import Skeleton
from metrabs_acae.training.run_folder import RunFolder

SHARED_SETTINGS = ("model", "backbone", "depth", "proc_side", "box_size_mm", "centered_stride")
"""Settings of the network that give its weights their shapes and meaning."""


def load_acae(config: Config, folder: RunFolder, skeleton: Skeleton):
    """The autoencoder of a fine-tuning: the copy in its run folder, else --acae; None for a variant without."""
    if not get_variant(config.model.variant).needs_acae:
        return None
    copy = folder.path / models.ACAE_FILE
    return models.load_acae(copy if copy.exists() else config.files.acae, skeleton)


def check(config: Config, skeleton: Skeleton) -> None:
    """Raises UserError if there is an --init-path whose model does not fit the one to be trained."""
    if not config.files.init_path:
        return
    run = models.find_run(config.files.init_path)
    theirs, mine = models.settings_of(run).model, config.model
    for name in SHARED_SETTINGS:
        if getattr(theirs, name) != getattr(mine, name):
            raise UserError(
                f"The model of {run.path} has {name} {getattr(theirs, name)}, not {getattr(mine, name)}; "
                f"give {flag_of(name)} as it was there."
            )
    possible = get_variant(mine.variant).starts_from
    if theirs.variant not in possible:
        expected = " or ".join(possible)
        raise UserError(f"{run.path} has a model of variant {theirs.variant}; start from a {expected} one.")
    their_skeleton = Skeleton.from_dict(run.read_json("skeleton.json"))
    if their_skeleton.joint_names != skeleton.joint_names:
        raise UserError(
            f"The model of {run.path} has {their_skeleton.n_joints} joints, which are not the {skeleton.n_joints} of "
            "this training's pose stores in the same order; name the same stores in the same order."
        )


def initialize(pose_model, init_path: str) -> int:
    """Copies the weights of the newest checkpoint of a run; its step."""
    from metrabs_acae.training import checkpoints

    run = models.find_run(init_path)
    initial, _, _ = models.load_pose_model(run)
    pose_model.initialize_from(initial)
    return checkpoints.newest_step(run.checkpoints)
