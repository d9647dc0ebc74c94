"""--pseudo-labels: a trained model's poses of many examples, all joints, as training data for the autoencoder."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from metrabs_acae.commands import evaluate, models, stores
from metrabs_acae.config import Config
from metrabs_acae.data.settings import store_and_split
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.models.kinds import require_absolute
from metrabs_acae.progress import Progress
from metrabs_acae.skeletons import corresponding_joints


def run(config: Config) -> None:
    """Predicts with mirror averaging and writes --poses-file; the same command goes on with an interrupted one."""
    from metrabs_acae.acae.pseudo_labels import write_pseudo_labels
    from metrabs_acae.data.pipeline import evaluation_dataset, user_errors
    from metrabs_acae.training import checkpoints

    folder = models.find_run(config.files.load_path)
    require_absolute(models.settings_of(folder).model.model, "--pseudo-labels")
    wanted = config.pseudo_label_settings.pseudo_label_on
    by_path = wanted and all(Path(store_and_split(text, "train")[0]).is_dir() for text in wanted)
    chosen = choose(wanted, [] if by_path else run_stores(folder, config))
    pose_model, skeleton, settings = models.load_pose_model(folder)
    step = checkpoints.newest_step(folder.checkpoints)
    min_auc = config.pseudo_label_settings.min_auc
    target = Path(config.files.poses_file or folder.poses)
    target.parent.mkdir(parents=True, exist_ok=True)

    def batches_of(store: PoseStore, split: str):
        def batches_from(row: int) -> Iterable[dict]:
            dataset = evaluation_dataset(
                store,
                split,
                image_size=settings.model.proc_side,
                batch_size=config.data.batch_size_test,
                rows=range(row, store.splits[split]),
                workers=config.data.workers,
            )
            with user_errors(dataset):
                yield from dataset

        return batches_from

    label_joints = None
    if min_auc:
        label_joints = [corresponding_joints(skeleton, store.skeleton.joint_names) for store, _ in chosen]
    with closing(Progress("Pseudo-labels: examples", None)) as bar:
        kept = write_pseudo_labels(
            target,
            [(f"{store.name}:{split}", store.splits[split], batches_of(store, split)) for store, split in chosen],
            evaluate.predictor(pose_model),
            joint_names=skeleton.joint_names,
            mirror=skeleton.mirror,
            label_joints=label_joints,
            min_auc=min_auc,
            max_bad_fraction=config.data.max_bad_fraction,
            provenance={
                "run": str(folder.path),
                "step": step,
                "stores": [str(store.path) for store, _ in chosen],
                "licences": [str(store.metadata.get("licence", "")) for store, _ in chosen],
            },
            progress=lambda done, total, kept: bar.to(done, total, remark=f"{kept} kept"),
        )
    of = sum(store.splits[split] for store, split in chosen)
    print(f"Wrote {kept} poses of {skeleton.n_joints} joints, from {of} examples, to {target}")


def run_stores(folder, config: Config) -> list[PoseStore]:
    """The 3D stores of a run."""
    return stores.stores_3d(models.settings_of(folder).data, config.files.data_dir)


def choose(wanted: tuple[str, ...], of_run: list[PoseStore]) -> list[tuple[PoseStore, str]]:
    """Stores and splits from STORE[:SPLIT], each a path or a name of the run's stores; without any, the clean ones.

    Raises:
        UserError: nothing chosen, or a store or split that is not there.
    """
    if wanted:
        return [stores.open_split(text, "train", known=of_run) for text in wanted]
    chosen = [(store, "train") for store in of_run if store.clean]
    if not chosen:
        names = ", ".join(s.name for s in of_run)
        raise UserError(f"None of the run's stores ({names}) is marked clean; choose some with --pseudo-label-on.")
    for store, split in chosen:
        stores.require_split(store, split)
    return chosen
