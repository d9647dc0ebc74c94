"""How a training starts from another run's weights, and the autoencoder that a fine-tuning keeps fixed."""

from __future__ import annotations

from collections.abc import Sequence

from metrabs_acae.commands import evaluate, models, new_joints
from metrabs_acae.config import Config
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.models.variants import get_variant
from metrabs_acae.settings import flag_of, leaves
from metrabs_acae.skeletons import Skeleton
from metrabs_acae.training.run_folder import RunFolder


def load_acae(config: Config, folder: RunFolder, skeleton: Skeleton):
    """The autoencoder of a fine-tuning: the copy in its run folder, else --acae; None for a variant without."""
    if not get_variant(config.model.variant).needs_acae:
        return None
    copy = folder.path / models.ACAE_FILE
    return models.load_acae(copy if copy.exists() else config.files.acae, skeleton)


def check(config: Config) -> None:
    """Raises UserError if there is an --init-path whose model does not fit the one to be trained."""
    if not config.files.init_path:
        return
    run = models.find_run(config.files.init_path)
    theirs, mine = models.settings_of(run).model, config.model
    for their, my in zip(leaves(theirs), leaves(mine), strict=True):
        if my.of_weights and their.value != my.value:
            raise UserError(
                f"The model of {run.path} has {my.name} {their.value}, not {my.value}; give {flag_of(my.name)} as it "
                "was there."
            )
    possible = get_variant(mine.variant).starts_from
    if theirs.variant not in possible:
        expected = " or ".join(possible)
        raise UserError(f"{run.path} has a model of variant {theirs.variant}; start from a {expected} one.")


def initialize(
    pose_model, init_path: str, stores: Sequence[PoseStore] = (), *, encoded_latents: bool = False
) -> list[str]:
    """Gives a model the weights of the newest checkpoint of a run; lines for the log.

    `stores` are the 3D stores to be trained on, needed where they have joints that the run does not (`new_joints`);
    `encoded_latents`: see `Metrabs.initialize_from`.
    """
    from metrabs_acae.training import checkpoints

    run = models.find_run(init_path)
    initial, theirs, _ = models.load_pose_model(run)
    said = [f"Starting from step {checkpoints.newest_step(run.checkpoints)} of {init_path}."]
    weights = None
    if theirs.joint_names != pose_model.skeleton.joint_names and "joints" in pose_model.variant.copies:
        size = pose_model.grid.image_size
        predict = evaluate.predictor(initial)
        weights, lines = new_joints.combinations(predict, theirs, pose_model.skeleton, stores, image_size=size)
        said += lines
    pose_model.initialize_from(initial, joints=weights, encoded_latents=encoded_latents)
    return said
